"""Accept, Prefer and Idempotency-Key are read by their specifications, whatever the header holds."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campus.api.headers import KEY_CHARS_MAX, accepts, idempotency_key, preferred_wait_s
from campus.http.problems import Refused

visible = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=KEY_CHARS_MAX)


@given(visible)
def test_any_visible_ascii_text_can_be_a_key(key):
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    assert idempotency_key(f'"{escaped}"') == key


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: not text.isascii()))
def test_a_key_must_be_ascii(value):
    with pytest.raises(Refused):
        idempotency_key(value)


@given(st.text())
def test_any_prefer_header_gives_seconds_or_none(value):
    wait_s = preferred_wait_s(value)
    assert wait_s is None or 0 <= wait_s < 10**9


@given(st.text(), st.integers(0, 999))
def test_quoted_text_is_not_read_as_a_preference(text, wait_s):
    quoted = text.replace("\\", "").replace('"', "")[:100]
    assert preferred_wait_s(f'note="{quoted}, wait=1000", wait={wait_s}') == wait_s


@given(st.text())
def test_any_accept_header_can_be_read(value):
    assert accepts(value, ("application/json",)) in (True, False)


@pytest.mark.parametrize(
    "evil",
    ['"' * 16_000, '\\"' * 8000, '"\\' * 8000, "a;" * 8000, "a" + " " * 16_000 + "=", "wait=" + "9" * 16_000],
)
def test_no_header_takes_long_to_parse(evil):
    began_s = time.thread_time()
    preferred_wait_s(evil)
    accepts(evil, ("application/json",))
    with pytest.raises(Refused):
        idempotency_key(evil + ",")
    assert time.thread_time() - began_s < 0.2
