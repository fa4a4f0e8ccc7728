"""The orders HTTP API: its endpoints, their handlers, and its own description as OpenAPI and as a page.

It promises: a 2xx to an order, a restock or a cancellation is sent after the broker has acknowledged the
event (unless `ack` is none), and every response is one that the description lists. Read `operations.py`
first: the routes (app.py) and the description are both made from its table.

app.py          the app: routes, content negotiation, query and path parameters
orders.py       POST /order and `Prefer: wait`; batch.py: POST /orders
stock.py        restocking and cancelling; queries.py: the GET endpoints
bodies.py, headers.py, parameters.py, types.py    what a request and a response consist of
openapi.py      the description; docs_page.py: the same as HTML
problems.py     the API's problem types; failures.py: logs failed orders as one outage
publisher.py    what the API needs of the role that runs it; token.py: the token for restocking
address_file.py    how a second process finds the running producer
"""
