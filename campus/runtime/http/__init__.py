"""An HTTP server for a WSGI app whose answers may have to wait: bounded in every size and time.

`server.py` runs it in a thread, `guard.py` keeps slow and oversized clients out, `adapter.py` calls the
app and holds an answer back, `forms.py` reads a JSON body, `problems.py` says what is wrong with one.
Which server and which parser are behind it is known in here only, so that they can change.
"""
