"""Thousands of requests of all kinds leave no object of campus.http and no descriptor behind.

In a module of its own, where no other test keeps a server or a connection.
"""

import gc
import os

from campus.http.deferred import Deferred
from campus.http.problems import Response
from campus.http.protocol import Connection
from campus.http.requests import Request, RequestReader
from tests.api.serving import Client, a_request, soon
from tests.http.serving import CountingApp, a_service

MIXED = (
    (a_request(), 1, 200),
    (a_request(path="/held"), 1, 200),
    (a_request(b"", method="GET", path="/nowhere") * 170, 170, 200),
    (a_request(b"x" * 3000) * 3, 3, 200),
    (a_request(b"x" * 70_000), 1, 413),
    (a_request(headers=("Transfer-Encoding: chunked",), body=b"5\r\nhello\r\n0\r\n\r\n"), 1, 200),
    (a_request(headers=("Transfer-Encoding: chunked",), body=b"nonsense\r\n"), 1, 400),
    (b"nonsense\r\n\r\n", 1, 400),
    (a_request(path="/" + "x" * 20_000), 1, 414),
    (a_request()[:-5], 0, 0),  # incomplete; then the client disconnects
    (a_request(path="/held") + a_request()[:30], 1, 200),  # the same, behind a complete request
)
OURS = (Connection, RequestReader, Request, Deferred, Response)


def test_thousands_of_requests_leave_no_objects_and_no_descriptors():
    app = CountingApp()

    def ask_all(served, rounds):
        count = 0
        for _ in range(rounds):
            for sent, answers, status in MIXED:
                client = Client(served.port).send(sent)
                if b"/held" in sent:
                    soon(lambda: app.held)
                    served.in_the_loop(app.held.pop().release)
                assert [client.answer().status for _ in range(answers)] == [status] * answers
                client.close()
                count += max(answers, 1)
            app.bodies.clear()
        soon(lambda: served.in_the_loop(alive)["Connection"] == 0)
        return count

    def alive():
        gc.collect()
        return {kind.__name__: sum(type(one) is kind for one in gc.get_objects()) for kind in OURS}

    with a_service(app) as served:
        ask_all(served, 3)  # creates everything that is created only once
        before, descriptors = alive(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        assert ask_all(served, 110) > 20_000
        assert alive() == before
        assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208
