"""The rate limit per client address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campus.http.rate import TokenBuckets
from tests.api.serving import Client, a_request, a_server
from tests.http.serving import a_response


def buckets(per_s=2.0, burst=3, clients_max=100):
    return TokenBuckets(per_s, burst, clients_max=clients_max)


def test_a_burst_passes_and_then_the_rate_applies():
    some = buckets(per_s=2.0, burst=3)
    assert [some.take("a", 10.0) for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    assert some.take("a", 10.4) == pytest.approx(0.1)
    assert [some.take("a", 10.5) for _ in range(2)] == [0, 0.5]


def test_a_silent_client_regains_one_burst_and_no_more():
    some = buckets(per_s=2.0, burst=3)
    assert [some.take("a", 10.0) for _ in range(4)][-1] > 0
    assert [some.take("a", 1000.0) for _ in range(4)] == [0, 0, 0, 0.5]


def test_clients_have_separate_buckets():
    some = buckets(burst=1)
    assert some.take("a", 1.0) == 0
    assert some.take("a", 1.0) > 0
    assert some.take("b", 1.0) == 0


def test_the_table_is_bounded_and_drops_the_longest_silent_client():
    some = buckets(burst=1, clients_max=3)
    for client in ("a", "b", "c"):
        assert some.take(client, 1.0) == 0
    assert some.take("a", 1.0) > 0  # now b is silent longest
    assert some.take("d", 1.0) == 0
    assert len(some._full_at_s) == 3
    assert some.take("a", 1.0) > 0
    assert some.take("b", 1.0) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
def test_an_ipv6_client_is_identified_by_its_network(one, other, same):
    some = buckets(burst=1)
    assert some.take(one, 1.0) == 0
    assert (some.take(other, 1.0) > 0) is same


@given(
    per_s=st.floats(0.1, 1000), burst=st.integers(1, 50), pauses_s=st.lists(st.floats(0, 10), max_size=200)
)
def test_no_time_span_has_more_requests_than_burst_plus_rate(per_s, burst, pauses_s):
    some = buckets(per_s=per_s, burst=burst)
    now_s, through = 0.0, []
    for pause_s in pauses_s:
        now_s += pause_s
        if some.take("a", now_s) == 0:
            through.append(now_s)
    for first, begin_s in enumerate(through):
        for count, end_s in enumerate(through[first:], start=1):
            assert count <= burst + (end_s - begin_s) * per_s + 0.001


@given(st.floats(0.1, 1000), st.integers(1, 50), st.floats(0, 1e6))
def test_a_client_that_waits_as_told_passes(per_s, burst, now_s):
    some = buckets(per_s=per_s, burst=burst)
    waits_s = [some.take("a", now_s) for _ in range(burst + 1)]
    assert waits_s[:-1] == [0] * burst
    assert some.take("a", now_s + waits_s[-1]) == 0


def fine(environ):
    called.append(environ["REMOTE_ADDR"])
    return a_response()


called: list[str] = []


def test_too_many_requests_are_429_with_retry_after_and_do_not_reach_the_app():
    called.clear()
    with a_server(fine, requests_per_s=0.001, requests_burst=2) as served:
        client = served.client().send(a_request() * 3)
        assert [client.answer().status for _ in range(2)] == [200, 200]
        answer = client.answer()
        assert answer.status == 429
        assert answer.json["type"] == "/problems/too-many-requests"
        assert 900 <= int(answer.headers["retry-after"]) <= 1000
        assert client.send(a_request()).answer().status == 429  # on the same connection
        assert served.ask(a_request()).status == 429  # and on another
    assert len(called) == 2


def test_without_a_rate_limit_no_request_is_refused():
    with a_server(fine) as served:
        client = Client(served.port).send(a_request() * 200)
        assert {client.answer().status for _ in range(200)} == {200}
