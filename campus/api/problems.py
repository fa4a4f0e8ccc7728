"""Every kind of problem that the API itself can answer with, each once; the description lists them.

Not here: what is said of headers and bodies, beside those who read them, and what the server refuses before
the API is asked.
"""

from typing import TypeAlias

from campus.http.problems import ProblemType, Response
from campus.http.refusals import TRY_AGAIN

NO_SUCH_PATH = ProblemType(404, "no-such-path", "There is nothing at this path")
METHOD_NOT_ALLOWED = ProblemType(405, "method-not-allowed", "This path does not take that method")
INVALID_PARAMETER = ProblemType(400, "invalid-parameter", "A parameter is not understood")

KEY_REUSED = ProblemType(422, "idempotency-key-reused", "The Idempotency-Key was used for something else")
UNKNOWN_ORDER = ProblemType(404, "unknown-order", "This order is not known here")
NOT_CANCELLABLE = ProblemType(409, "not-cancellable", "This order cannot be cancelled")
NO_TOKEN = ProblemType(401, "token-missing", "This needs a token")
WRONG_TOKEN = ProblemType(401, "token-wrong", "The token is not the right one")

TOO_MANY_WAITING = ProblemType(503, "too-many-waiting", "Too much waits already")
STARTING_ANEW = ProblemType(503, "starting-anew", "The service is starting anew")
NOT_ACKNOWLEDGED = ProblemType(503, "not-acknowledged", "This is not acknowledged")
NO_ORDER_BOOK = ProblemType(503, "no-order-book", "Nobody keeps an order book here")
ORDER_BOOK_BEHIND = ProblemType(503, "order-book-behind", "The order book is still being read")
BROKER_AWAY = ProblemType(503, "broker-away", "The broker does not acknowledge what it is given")

# What the server answers by itself, whatever the path: for the description (a test compares the two).
BY_SERVER = (
    ProblemType(400, "malformed-request", "This is no HTTP request that is understood here"),
    ProblemType(408, "request-timeout", "The request did not come in time"),
    ProblemType(411, "length-required", "The length is missing"),
    ProblemType(413, "body-too-large", "The body is too large"),
    ProblemType(414, "url-too-long", "The URL is too long"),
    ProblemType(417, "unknown-expectation", "This cannot be expected here"),
    ProblemType(429, "too-many-requests", "There are too many requests from this address"),
    ProblemType(431, "head-too-large", "The headers are too large"),
    ProblemType(500, "internal-error", "Something is broken here"),
    ProblemType(503, "too-many-connections", "There are too many connections"),
    ProblemType(503, "too-many-bodies", "Too much is being received at once"),
    ProblemType(503, "stopping", "The server is stopping"),
)
LENGTH_REQUIRED = 411  # of those: for methods that come with a body

Ids: TypeAlias = dict[str, str]

# What whoever was not answered may do; what is sent again as something else would be carried out twice.
AGAIN_WITH_KEY = "Send the same again, with the same Idempotency-Key: it is carried out once"
AGAIN_AS_BATCH = "Send the same batch again, whole, with the same Idempotency-Key: it is carried out once"
AGAIN_AS_IT_IS = "Send the same again: it is carried out once"
LOOK_FIRST = "It has no Idempotency-Key: look for it by its id before you send it again, or it may come twice"


def not_acknowledged(ids: Ids, advice: str) -> Response:
    """Of what was handed over, by its id: it may still come."""
    return NOT_ACKNOWLEDGED(
        f"The broker has not acknowledged it in time, and may still carry it out. {advice}",
        headers=TRY_AGAIN,
        more=ids,
    )


def too_many_waiting() -> Response:
    return TOO_MANY_WAITING("Nothing was placed; try again in a moment", headers=TRY_AGAIN)


def starting_anew() -> Response:
    return STARTING_ANEW("Nothing was placed; try again in a moment", headers=TRY_AGAIN)
