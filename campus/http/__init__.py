"""An HTTP server for a WSGI app whose answers may have to wait: bounded in every size, number and time.

`server.py` runs it in a thread, on asyncio (uvloop where there is one) and httptools. `accepting.py` lets
clients in; for each, `protocol.py` keeps the order of its answers and its limits, `requests.py` and
`heads.py` read what it sends, `wire.py` writes. `service.py` is what they share; `wsgi.py` calls the app,
`deferred.py` holds an answer back, `rate.py` counts, `limits.py` and `refusals.py` say what is too much.
For the app there are `problems.py`, which says what is wrong with a request, and `forms.py`, which reads a
JSON body.
"""
