"""Decides whether a server behaved correctly; a verdict lists its faults, one line each.

Each request that the strict reader finds is paired with its response. The server may refuse more than that
reader, if it responds so and closes. It must not answer more requests than there are, place an order that is
in none of them, refuse a good order, or answer 202 to an order that is not in the log as it was sent.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from tests.api import contract
from tests.attack.answers import Answer, BadAnswer, read_answers
from tests.attack.builder import CANARY, HIDDEN, AfterSend, Attack
from tests.attack.strict import OrderFields, Reading, Request, Tail

SUCCESSES = {200, 202, 204, 207, 303}
REFUSALS = {400, 401, 404, 405, 406, 408, 409, 411, 413, 414, 415, 417, 422, 429, 431, 503}
NOT_FOR_US = {501, 505}  # RFC 9110's status codes for methods and versions that are not supported
INTENDED_503 = {"not-acknowledged", "starting-anew", "stopping", "too-many-connections", "too-many-waiting",
                "too-many-bodies"}  # fmt: skip
NEEDS = {
    303: "location",
    401: "www-authenticate",
    405: "allow",
    429: "retry-after",
    503: "retry-after",
}
SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "",
    "content-security-policy": "frame-ancestors 'none'",
}
INTERNALS = re.compile(
    r"Traceback|\.py\b|/usr/|/tmp/|/home/|site-packages|msgspec|bottle|uvicorn|httptools|uvloop|asyncio"
    r"|kafka-python|Exception|\bNone\b|object at 0x|<class"
)
PLAIN_FIELDS = {b"host", b"content-type", b"content-length", b"connection"}
# Exactly as the builder writes it.
GOOD_ORDER = re.compile(rb'\{"user_id": "[a-z0-9-]{1,40}", "item": "[a-z]{1,40}", "quantity": [1-3]\}')


@dataclass(frozen=True, slots=True)
class Conversation:
    attack: Attack
    received: bytes
    was_reset: bool  # by the server, or on its way
    was_closed: bool  # by the server, within the time


@dataclass
class Verdict:
    faults: list[str] = field(default_factory=list)
    accepted: dict[str, OrderFields] = field(default_factory=dict)  # by order id; each must be in the log
    allowed: list[OrderFields] = field(default_factory=list)  # orders that may be in the log because of it
    statuses: list[int] = field(default_factory=list)


def judge(conversation: Conversation) -> Verdict:
    attack = conversation.attack
    reading = attack.reading
    verdict = Verdict(allowed=[order for request in reading.requests for order in request.orders()])
    if attack.after_send not in (AfterSend.READ, AfterSend.HALF_CLOSE):
        return verdict  # the client did not read the responses
    if not conversation.was_closed:
        verdict.faults.append("a hang: neither closed nor answered to the end")
    try:
        answers = read_answers(conversation.received, reading.methods)
    except BadAnswer as error:
        verdict.faults.append(f"not HTTP: {error}")
        return verdict
    verdict.statuses = [answer.status for answer in answers.final]
    if answers.is_cut_off and not conversation.was_reset:
        verdict.faults.append("an answer is cut off")
    if answers.interim > sum(b"100" in b"".join(one.values(b"expect")) for one in reading.requests) + (
        reading.tail is not Tail.NOTHING
    ):
        verdict.faults.append("100 Continue without Expect")
    if len(answers.final) > reading.answers_most:
        verdict.faults.append(f"{len(answers.final)} answers to {reading.answers_most} requests")
    for answer in answers.final:
        verdict.faults += faults_of_answer(answer)
    verdict.faults += _faults_of_pairs(reading, list(answers.final))
    if not conversation.was_reset:
        verdict.faults += _unanswered(reading, list(answers.final), attack.after_send)
    verdict.accepted = dict(_accepted(reading, answers.final))
    return verdict


def faults_of_answer(answer: Answer) -> Iterator[str]:
    """Faults of a response that do not depend on the request."""
    status = answer.status
    if status not in SUCCESSES | REFUSALS | NOT_FOR_US:
        yield f"status {status}"
    if CANARY.encode() in answer.head:
        yield f"text of the client in a header: {answer.head!r}"
    if status < 500 and "date" not in answer.headers:
        yield f"{status} without a Date"
    if "server" in answer.headers:
        yield f"Server header: {answer.headers['server']}"
    if (name := NEEDS.get(status)) and name not in answer.headers:
        yield f"{status} without {name}"
    for name, part in SECURITY.items():
        if part not in answer.headers.get(name, "-"):
            yield f"{status} with {name}: {answer.headers.get(name)}"
    if status >= 400 and answer.body:
        yield from _faults_of_problem(answer)


def _faults_of_problem(answer: Answer) -> Iterator[str]:
    if answer.headers.get("content-type") != "application/problem+json":
        yield f"{answer.status} as {answer.headers.get('content-type')}"
        return
    try:
        content = answer.json
        kind, status, detail = (
            content["type"],
            content["status"],
            content["title"] + content.get("detail", ""),
        )
    except (ValueError, KeyError, TypeError) as error:
        yield f"no problem: {error!r}: {answer.body[:200]!r}"
        return
    if not re.fullmatch(r"/problems/[a-z0-9-]+", kind):
        yield f"{answer.status} of type {kind}"
    if status != answer.status:
        yield f"{answer.status} that says {status}"
    if found := INTERNALS.search(f"{kind} {detail}"):
        yield f"internals: {found[0]!r} in {answer.body[:300]!r}"
    if answer.status == 503 and kind.rpartition("/")[2] not in INTENDED_503:
        yield f"an unintended 503: {kind}"


def _faults_of_pairs(reading: Reading, answers: list[Answer]) -> Iterator[str]:
    for request, answer in zip(reading.requests, answers, strict=False):
        refused = answer.status >= 400
        if b"%" not in request.target and request.target.startswith(b"/") and request.method.isupper():
            yield from _not_described(request, answer)
        if not request.has_one_good_host and answer.status != 400 and not (refused and answer.closes):
            yield f"{answer.status} without one good Host"
        if answer.status == 202 and not list(request.orders()) and request.path in (b"/order", b"/orders"):
            yield "202 to what is no order"
        if _is_plainly_good(request) and answer.status != 202 and not _may_be_refused(answer):
            yield f"{answer.status} to a good order: {answer.body[:200]!r}"
        if request.ends_the_connection and request.version == b"1.1" and not answer.closes:
            yield "asked to close, and does not say so"
    for answer in answers[len(reading.requests) :]:
        if answer.status < 400:
            yield f"{answer.status} to what is {reading.tail.value} ({reading.why})"
        elif reading.tail is Tail.MALFORMED and not answer.closes:
            yield f"goes on after what is malformed ({reading.why})"


def _not_described(request: Request, answer: Answer) -> Iterator[str]:
    method, target = request.method.decode(), request.target.decode()
    try:
        contract.check(method, target, answer.status, answer.headers, answer.body)
    except AssertionError as error:
        yield f"not as described: {str(error)[:300]}"


def _may_be_refused(answer: Answer) -> bool:
    """Because of an earlier request on the connection, or of the load."""
    return answer.status == 503 or (answer.status in (408, 429) and answer.closes)


def _is_plainly_good(request: Request) -> bool:
    if request.method != b"POST" or request.target != b"/order" or request.version != b"1.1":
        return False
    names = [name for name, _ in request.fields]
    if set(names) != PLAIN_FIELDS and set(names) != PLAIN_FIELDS - {b"connection"}:
        return False
    if len(set(names)) != len(names) or request.values(b"content-type") != [b"application/json"]:
        return False
    if request.values(b"host") != [b"here"] or request.tokens_of_connection - {b"close", b""}:
        return False
    return GOOD_ORDER.fullmatch(request.body) is not None


def _unanswered(reading: Reading, answers: list[Answer], after_send: AfterSend) -> Iterator[str]:
    missing = len(reading.requests) - len(answers)
    if missing > 0 and not (answers and answers[-1].closes):
        half = " after the client closed its half" if after_send is AfterSend.HALF_CLOSE else ""
        yield f"{missing} of {len(reading.requests)} requests were never answered{half}"
    # If the client half-closes within a head, the server may stay silent: it may check a head only when it is
    # complete.
    may_be_silent = after_send is AfterSend.HALF_CLOSE and reading.head_is_open
    has_response = missing != 0 or (answers and answers[-1].closes)
    if reading.tail is Tail.MALFORMED and not has_response and not may_be_silent:
        yield f"no response to what is malformed ({reading.why})"


def _accepted(reading: Reading, answers: tuple[Answer, ...]) -> Iterator[tuple[str, OrderFields]]:
    for request, answer in zip(reading.requests, answers, strict=False):
        if request.method != b"POST" or answer.status not in (200, 202, 207):
            continue
        orders = list(request.orders())
        if request.path == b"/order" and orders:
            yield answer.json["order_id"], orders[0]
        elif request.path == b"/orders":
            yield from _accepted_of_batch(answer)


def _accepted_of_batch(answer: Answer) -> Iterator[tuple[str, OrderFields]]:
    results = answer.json
    results = results if isinstance(results, list) else results["results"]
    for one in results:
        if one.get("status") == "accepted":
            yield one["order_id"], OrderFields(*(one[name] for name in OrderFields._fields))


def faults_of_log(log: Mapping[str, OrderFields], verdicts: "Tally") -> Iterator[str]:
    """Compares the whole log with what was sent and what was answered."""
    for order_id, order in verdicts.accepted.items():
        if order_id not in log:
            yield f"202 and not in the log: {order_id} {order}"
        elif log[order_id] != order:
            yield f"in the log as {log[order_id]}, but sent as {order}"
    for order in log.values():
        if order not in verdicts.allowed:
            yield f"in the log, but in no request: {order}"


@dataclass
class Tally:
    """The orders of many verdicts."""

    accepted: dict[str, OrderFields] = field(default_factory=dict)
    allowed: set[OrderFields] = field(default_factory=set)

    def record(self, verdict: Verdict) -> None:
        self.accepted.update(verdict.accepted)
        self.allowed.update(order for order in verdict.allowed if _is_hashable(order))


def _is_hashable(order: OrderFields) -> bool:
    return all(not isinstance(value, list | dict) for value in order)


def faults_of_output(lines: list[str]) -> Iterator[str]:
    """Faults in the output of the process."""
    for line in lines:
        if CANARY in line or HIDDEN in line:
            yield f"text of a client in the log: {line[:300]!r}"
        if not line.isprintable():
            yield f"raw characters in the log: {line[:300]!r}"
        if re.search(r"Traceback|crashed|failed|fault|Unclosed|never awaited| ERROR ", line):
            yield f"in the log: {line[:300]!r}"
