"""The server's own error responses. Nearly all are encoded once: to refuse costs no more than to send."""

import math

from campus.http.problems import ProblemType, Response

RETRY_AFTER = (("retry-after", "2"),)

# All of them, on any path; an API's description needs the list.
PROBLEM_TYPES = (
    _MALFORMED := ProblemType(400, "malformed-request", "Malformed HTTP request"),
    _TIMEOUT := ProblemType(408, "request-timeout", "Request timeout"),
    _LENGTH := ProblemType(411, "length-required", "Content-Length required"),
    _BODY := ProblemType(413, "body-too-large", "Request body too large"),
    _URL := ProblemType(414, "url-too-long", "URL too long"),
    _EXPECTATION := ProblemType(417, "unknown-expectation", "Unsupported expectation"),
    _RATE := ProblemType(429, "too-many-requests", "Too many requests from this address"),
    _HEAD := ProblemType(431, "head-too-large", "Request headers too large"),
    _INTERNAL := ProblemType(500, "internal-error", "Internal server error"),
    _CONNECTIONS := ProblemType(503, "too-many-connections", "Too many connections"),
    _BODIES := ProblemType(503, "too-many-bodies", "Too many request bodies at the same time"),
    _STOPPING := ProblemType(503, "stopping", "The server is shutting down"),
)

MALFORMED = _MALFORMED.response("The request violates HTTP/1.1, or could be read in more than one way")
BAD_VERSION = _MALFORMED.response("Only HTTP/1.1 and HTTP/1.0 are supported")
BAD_HOST = _MALFORMED.response("HTTP/1.1 requires exactly one valid Host header")
BAD_TARGET = _MALFORMED.response("The request target must be a path, or http://host/path")
BAD_TRANSFER_CODING = _MALFORMED.response("The only transfer coding is chunked, and only in HTTP/1.1")
HEAD_TIMEOUT = _TIMEOUT.response("The request line and headers did not arrive in time")
BODY_TIMEOUT = _TIMEOUT.response("The request body did not arrive in time")
LENGTH_REQUIRED = _LENGTH.response("Send Content-Length, or Transfer-Encoding: chunked")
BODY_TOO_LARGE = _BODY.response("The body has more bytes than this path accepts")
URL_TOO_LONG = _URL.response("The URL has more bytes than this server accepts")
BAD_EXPECTATION = _EXPECTATION.response("The only supported expectation is 100-continue")
HEAD_TOO_LARGE = _HEAD.response("There are too many headers, or they are too long in total")
INTERNAL_ERROR = _INTERNAL.response("This is a fault of the server; it has been logged")

_NOT_HANDLED = "The request was not handled. Try again in a moment"
TOO_MANY_CONNECTIONS = _CONNECTIONS.response(_NOT_HANDLED, headers=RETRY_AFTER)
TOO_MANY_BODIES = _BODIES.response(_NOT_HANDLED, headers=RETRY_AFTER)
STOPPING = _STOPPING.response(_NOT_HANDLED, headers=RETRY_AFTER)


def too_many_requests(wait_s: float) -> Response:
    seconds = math.ceil(wait_s)
    return _RATE.response(
        f"The request was not handled. Try again in {seconds} s", headers=(("retry-after", str(seconds)),)
    )
