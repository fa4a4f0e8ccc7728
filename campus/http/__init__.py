"""An HTTP/1.1 server for one app whose responses may be deferred. It knows nothing of orders.

The size, number and duration of everything that a client can cause is bounded (`limits.py`). Responses on a
connection leave in the order of their requests. Read `server.py` first, then `protocol.py`.

server.py     runs the event loop in the calling thread: asyncio, uvloop where available
acceptor.py   accepts connections, many per turn of the event loop
protocol.py   one connection: order of responses, timeouts, backpressure, closing
requests.py   parses requests (httptools); heads.py checks what the parser lets through
state.py      what the connections of one server share; calls the app
deferred.py   lets a response wait; wire.py encodes it
rate.py       rate limit per client address; refusals.py has the server's own error responses
problems.py   what passes between server and app, and RFC 9457 problems; json_body.py validates JSON bodies
"""
