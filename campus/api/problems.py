"""The API's problem types, and the responses that several handlers share.

Elsewhere: the problem types of headers and bodies are beside their readers, and those that the server raises
before the app is called are in campus/http/refusals.py.
"""

from collections.abc import Mapping

from campus.http.problems import ProblemType, Response
from campus.http.refusals import RETRY_AFTER

NO_SUCH_PATH = ProblemType(404, "no-such-path", "No such path")
METHOD_NOT_ALLOWED = ProblemType(405, "method-not-allowed", "Method not allowed")
INVALID_PARAMETER = ProblemType(400, "invalid-parameter", "Invalid parameter")

KEY_REUSED = ProblemType(422, "idempotency-key-reused", "Idempotency-Key reused with a different body")
UNKNOWN_ORDER = ProblemType(404, "unknown-order", "Unknown order")
NOT_CANCELLABLE = ProblemType(409, "not-cancellable", "The order cannot be cancelled")
NO_TOKEN = ProblemType(401, "token-missing", "Bearer token required")
WRONG_TOKEN = ProblemType(401, "token-wrong", "Wrong bearer token")

TOO_MANY_WAITING = ProblemType(503, "too-many-waiting", "Too many events wait for the broker")
STARTING_ANEW = ProblemType(503, "starting-anew", "The service is restarting")
NOT_ACKNOWLEDGED = ProblemType(503, "not-acknowledged", "Not acknowledged by the broker")
NO_ORDER_BOOK = ProblemType(503, "no-order-book", "This process has no order book")
ORDER_BOOK_BEHIND = ProblemType(503, "order-book-behind", "The order book is still loading")
BROKER_AWAY = ProblemType(503, "broker-away", "The broker does not acknowledge writes")

# How a client that got no acknowledgement can go on without ordering twice.
RETRY_WITH_KEY = "Send the same request again with the same Idempotency-Key: it is carried out once"
RETRY_BATCH = "Send the whole batch again with the same Idempotency-Key: each order is carried out once"
RETRY_AS_IT_IS = "Send the same request again: it is carried out once"
LOOK_UP_FIRST = "Without an Idempotency-Key, look it up by its id first: a retry may carry it out twice"


def not_acknowledged(ids: Mapping[str, str], advice: str) -> Response:
    """For an event that was submitted; `ids` are its members in the problem."""
    return NOT_ACKNOWLEDGED.response(
        f"The broker did not acknowledge it in time. It may still be carried out. {advice}",
        headers=RETRY_AFTER,
        more=ids,
    )


def not_written(type_: ProblemType) -> Response:
    """For an event that was not submitted."""
    return type_.response("Nothing was written. Try again in a moment", headers=RETRY_AFTER)
