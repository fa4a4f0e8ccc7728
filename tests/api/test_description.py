"""The API's description: complete, true and readable; and what holds for every path."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from jsonschema import Draft202012Validator

from campus.api.docs_page import page
from campus.api.openapi import DOCUMENT_OBJECT
from campus.api.operations import OPERATIONS, PATHS, allow_of
from campus.http import refusals
from campus.http.problems import Response
from tests.api import contract
from tests.api.book_fixture import BookFixture
from tests.api.serving import a_producer, a_request

GETS = [operation.path.replace("{order_id}", "x") for operation in OPERATIONS if operation.method == "GET"]


@pytest.fixture(scope="module")
def served():
    with a_producer(book=BookFixture(pizza=100).book) as running:
        yield running


def an_example_of(path):
    return path.replace("{order_id}", "x").replace("{item}", "pizza")


# The description.


def test_the_description_is_served_as_it_stands(served):
    answer = served.get("/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == DOCUMENT_OBJECT
    assert answer.json["openapi"].startswith("3.1.")


def test_limits_in_the_description_are_the_ones_enforced(served):
    order = DOCUMENT_OBJECT["components"]["schemas"]["Order"]
    assert order["additionalProperties"] is False
    quantity, item = order["properties"]["quantity"], order["properties"]["item"]
    for value, status in [(quantity["minimum"], 202), (quantity["maximum"], 202)]:
        assert served.order({"user_id": "a", "item": "b", "quantity": value}).status == status
    for value in (quantity["minimum"] - 1, quantity["maximum"] + 1):
        assert served.order({"user_id": "a", "item": "b", "quantity": value}).status == 422
    for length, status in [(item["minLength"], 202), (item["maxLength"], 202), (item["maxLength"] + 1, 422)]:
        assert served.order({"user_id": "a", "item": "x" * length, "quantity": 1}).status == status


def test_every_schema_is_valid_and_every_reference_resolves():
    text = json.dumps(DOCUMENT_OBJECT)
    schemas = DOCUMENT_OBJECT["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", text)) == set(schemas)
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


def test_every_operation_id_is_unique():
    names = [
        operation["operationId"] for path in DOCUMENT_OBJECT["paths"].values() for operation in path.values()
    ]
    assert len(names) == len(set(names))


def test_every_response_of_the_server_itself_is_described():
    responses = [value for value in vars(refusals).values() if isinstance(value, Response)]
    for response in (*responses, refusals.too_many_requests(1.0)):
        assert json.loads(response.body)["type"] in {type_.type for type_ in refusals.PROBLEM_TYPES}
        headers = {"content-type": "application/problem+json", "retry-after": "1"}
        contract.check("?", "?", response.status, headers, response.body)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"status": 201}, "only .* are described"),
        ({"headers": {"content-type": "application/json"}}, "without Location"),
        ({"headers": {"content-type": "text/html", "location": "/"}}, "text/html is not described"),
        ({"body": b'{"order_id": "x", "status": "accepted", "user_id": "a", "item": "b"}'}, "quantity"),
        (
            {
                "body": b'{"order_id": "x", "status": "taken", "user_id": "a", "item": "b", "quantity": 1}',
            },
            "taken",
        ),
        (
            {
                "body": b'{"order_id": "x", "status": "accepted", "user_id": "a", "item": "b", "quantity": 1,'
                b' "more": 1}',
            },
            "more",
        ),
    ],
)
def test_the_contract_check_detects_every_kind_of_deviation(change, says):
    answer = {
        "status": 202,
        "headers": {"content-type": "application/json", "location": "/orders/x"},
        "body": b'{"order_id": "x", "status": "accepted", "user_id": "a", "item": "b", "quantity": 1}',
    }
    contract.check("POST", "/order", **answer)
    with pytest.raises(AssertionError, match=says):
        contract.check("POST", "/order", **{**answer, **change})


# The page.


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.links, self.ids = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_shows_every_operation_and_its_links_resolve(served):
    answer = served.get("/docs")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    read = Page(answer.text.decode())
    text = "".join(read.text)
    assert all(operation.path in text and operation.summary in text for operation in OPERATIONS)
    inside = {link.removeprefix("#") for link in read.links if link.startswith("#")}
    assert inside <= set(read.ids)
    assert {link for link in read.links if not link.startswith("#")} == {"/openapi.json"}


def test_the_page_has_no_script_and_may_load_nothing(served):
    answer = served.get("/docs")
    text = answer.text.decode()
    assert not {"script", "link", "img", "iframe", "object"} & set(Page(text).tags)
    assert not re.search(r"\son\w+=|style=|https?:", text)
    [style] = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    its_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and f"style-src 'sha256-{its_hash}'" in policy
    assert "unsafe" not in policy


def test_all_text_of_the_description_is_escaped_on_the_page():
    poison = "<script>alert(1)</script>\"'&"

    def poisoned(value):
        if isinstance(value, dict):
            return {key: poisoned(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [poisoned(inner) for inner in value]
        return value + poison if isinstance(value, str) and "#/" not in value else value

    assert "script" not in Page(page(poisoned(DOCUMENT_OBJECT))).tags


def test_the_root_redirects_to_the_page(served):
    answer = served.get("/")
    assert (answer.status, answer.headers["location"]) == (303, "/docs")


# Every path.


@pytest.mark.parametrize("path", PATHS)
def test_options_is_204_with_the_allowed_methods(served, path):
    answer = served.get(an_example_of(path), method="OPTIONS")
    assert (answer.status, answer.headers["allow"]) == (204, allow_of(path))


@pytest.mark.parametrize("path", PATHS)
def test_any_other_method_is_405_with_the_same_allow(served, path):
    allowed = allow_of(path).split(", ")
    for method in {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE"} - set(allowed):
        answer = served.get(an_example_of(path), method=method)
        assert (answer.status, answer.headers["allow"]) == (405, allow_of(path))


@pytest.mark.parametrize("path", GETS)
def test_head_is_get_without_the_body(served, path):
    got, headers_alone = served.get(path), served.get(path, method="HEAD")
    assert headers_alone.status == got.status
    assert headers_alone.text == b""
    without_date = [{k: v for k, v in a.headers.items() if k != "date"} for a in (got, headers_alone)]
    assert without_date[0] == without_date[1]
    assert int(got.headers["content-length"]) == len(got.text)


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        ("/health", "application/json", 200),
        ("/health", "application/problem+json", 406),
        ("/stock", "application/json;q=0, */*;q=0.5", 406),
        ("/health", "application/json, application/json;version=2;q=0", 200),
        ("/health", "application/json;version=2;q=0, application/json", 200),
        ("/health", "application/json; charset=utf-8", 200),
        ("/health", "application/*;q=0.1", 200),
        ("/health", "text/html, */*;q=0.1", 200),
        ("/health", "no such thing", 200),
        ("/health", "", 200),
        ("/health", "text/html", 406),
        ("/health", "application/json;q=0", 406),
        ("/health", "*/*;q=0", 406),
        ("/health", "application/xml, text/*", 406),
        ("/docs", "text/html,application/xhtml+xml", 200),
        ("/docs", "image/png", 406),
        ("/openapi.json", "image/png", 406),
    ],
)
def test_accept_decides_between_200_and_406(served, path, accept, status):
    answer = served.get(path, headers=(f"Accept: {accept}",))
    assert answer.status == status
    if status == 406:
        assert answer.json["type"] == "/problems/not-acceptable"


def test_an_order_with_an_unacceptable_accept_is_not_placed(served):
    placed = len(served.commit.taken)
    headers = ("Content-Type: application/json", "Accept: text/html")
    assert served.order(headers=headers).status == 406
    assert len(served.commit.taken) == placed


@pytest.mark.parametrize("path", ["/", "/docs", "/order", "/nowhere"])
def test_every_response_forbids_framing_sniffing_and_caching(served, path):
    headers = served.get(path).headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_no_response_header_repeats_text_of_the_client(served):
    poison = "poison-text"
    requests = [
        a_request({"user_id": poison, "item": poison, "quantity": 1}),
        a_request(b"", method="GET", path=f"/orders/{poison}"),
        a_request(b"", method="GET", path=f"/orders?item={poison}&{poison}=1"),
        a_request(b"", method=poison.upper().replace("-", ""), path="/order"),
        a_request(headers=(f"Content-Type: {poison}", f"Idempotency-Key: {poison}")),
        a_request(headers=("Content-Type: application/json", f"Idempotency-Key: {poison}")),
        a_request(b"", path=f"/stock/{poison}", headers=(f"Authorization: {poison}",)),
    ]
    for request in requests:
        answer = served.ask(request)
        assert poison not in str(answer.headers).lower()
