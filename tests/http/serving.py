"""Servers and apps for the tests of campus/http; clients and `a_server` are in tests/api/serving.py."""

import json
import threading
from contextlib import contextmanager

from campus.addresses import Address
from campus.http.deferred import DEFERRED, Deferred
from campus.http.limits import Limits
from campus.http.problems import BODY_KEY, Response, json_response
from campus.http.server import HttpServer, listen
from tests.api.serving import Running, a_request, soon

LATE = json_response(503, {"late": True})
GET = a_request(b"", method="GET", path="/")


class CountingApp:
    """An app that numbers its responses; those to /held are deferred until the test releases them."""

    def __init__(self, extra_timeout_s=0.0, fallback=lambda: LATE):
        self.held = []
        self.bodies = []
        self._extra_timeout_s = extra_timeout_s
        self._fallback = fallback

    def __call__(self, environ):
        self.bodies.append(environ[BODY_KEY])
        if environ["PATH_INFO"] == "/held":
            environ[DEFERRED] = Deferred(self._fallback, self._extra_timeout_s)
            self.held.append(environ[DEFERRED])
        return a_response(b"%d" % len(self.bodies), ("Content-Type", "text/plain"))


class Served(Running):
    def __init__(self, app, limits):
        self.listener = listen(Address("127.0.0.1", 0), next_step="")
        self.server = HttpServer(app, limits)
        super().__init__(self.server.run, self.listener)
        self.port = self.listener.getsockname()[1]
        self.start()

    def in_the_loop(self, do):
        """Run it in the event loop and return its result."""
        results, done = [], threading.Event()
        soon(lambda: self.server._loop is not None)
        self.server.call_soon(lambda: (results.append(do()), done.set()))
        assert done.wait(5)
        return results[0]


@contextmanager
def a_service(app, **limits):
    served = Served(app, Limits(**limits))
    try:
        yield served
    finally:
        served.close()
        served.listener.close()


def texts(client, count):
    return [client.answer().text for _ in range(count)]


def a_response(body=b"fine", *headers):
    return Response(200, headers, body)


def echo(environ):
    """An app that responds with its environ and the body, as JSON."""
    content = {name: value for name, value in environ.items() if isinstance(value, str)}
    content["body"] = environ[BODY_KEY].decode("latin-1")
    return a_response(json.dumps(content).encode(), ("Content-Type", "application/json"))
