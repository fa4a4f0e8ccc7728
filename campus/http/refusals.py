"""What the server itself answers, made once: a request that is refused costs no more than sending it."""

import math

from campus.http.problems import ProblemType, Response

RETRY_AFTER_S = 2
TRY_AGAIN = (("retry-after", str(RETRY_AFTER_S)),)

MALFORMED_REQUEST = ProblemType(400, "malformed-request", "This is no HTTP request that is understood here")
REQUEST_TIMEOUT = ProblemType(408, "request-timeout", "The request did not come in time")
TOO_MANY_REQUESTS = ProblemType(429, "too-many-requests", "There are too many requests from this address")

MALFORMED = MALFORMED_REQUEST("It breaks the rules of HTTP/1.1, or could be misread by others")
BAD_VERSION = MALFORMED_REQUEST("HTTP/1.1 and HTTP/1.0 are spoken here")
BAD_HOST = MALFORMED_REQUEST("HTTP/1.1 requires one valid Host header")
BAD_TARGET = MALFORMED_REQUEST("The request target must be a path, or http://host/path")
BAD_CODING = MALFORMED_REQUEST("The only transfer coding is chunked, and only in HTTP/1.1")
HEAD_LATE = REQUEST_TIMEOUT("Its head is not complete yet")
BODY_LATE = REQUEST_TIMEOUT("Its body is not complete yet")
LENGTH_REQUIRED = ProblemType(411, "length-required", "The length is missing")(
    "Send Content-Length, or Transfer-Encoding: chunked"
)
BODY_TOO_LARGE = ProblemType(413, "body-too-large", "The body is too large")(
    "It has more bytes than are read at this path"
)
URL_TOO_LONG = ProblemType(414, "url-too-long", "The URL is too long")("It has more bytes than are read")
BAD_EXPECTATION = ProblemType(417, "unknown-expectation", "This cannot be expected here")(
    "The only expectation is 100-continue"
)
HEAD_TOO_LARGE = ProblemType(431, "head-too-large", "The headers are too large")(
    "They are too many, or too long together"
)
INTERNAL_ERROR = ProblemType(500, "internal-error", "Something is broken here")(
    "This is a fault of ours; it has been logged"
)
TOO_MANY_CONNECTIONS = ProblemType(503, "too-many-connections", "There are too many connections")(
    "Try again in a moment", headers=TRY_AGAIN
)
TOO_MANY_BODIES = ProblemType(503, "too-many-bodies", "Too much is being received at once")(
    "Nothing was done. Try again in a moment", headers=TRY_AGAIN
)
STOPPING = ProblemType(503, "stopping", "The server is stopping")(
    "Nothing was done. Try again in a moment", headers=TRY_AGAIN
)


def too_many_requests(wait_s: float) -> Response:
    seconds = math.ceil(wait_s)
    return TOO_MANY_REQUESTS(
        f"Nothing was done. Try again in {seconds} s", headers=(("retry-after", str(seconds)),)
    )
