"""Ids from the time sort by it; ids from a key are the same in every process, always."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campus.domain.order_ids import NOISE_BYTES, key_part, keyed_order_id, keyed_restock_id, new_order_id

NOISE = bytes(range(NOISE_BYTES))
REQUEST = {"user_id": "ana", "item": "pizza", "quantity": 2}

texts = st.text(min_size=1, max_size=40)
requests = st.fixed_dictionaries({"user_id": texts, "item": texts, "quantity": st.integers(1, 1_000_000)})


def test_ids_of_later_milliseconds_sort_later():
    ids = [new_order_id(now_ms, bytes([255 - now_ms % 256] * 10)) for now_ms in range(10**12, 10**12 + 300)]
    assert ids == sorted(ids)


def test_an_id_by_time_is_a_uuid_of_version_7_that_holds_its_time():
    parsed = uuid.UUID(new_order_id(1_763_000_000_123, NOISE))
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == 1_763_000_000_123


def test_ids_of_one_millisecond_differ_by_their_noise():
    assert new_order_id(1, NOISE) != new_order_id(1, NOISE[::-1])


def test_a_keyed_id_is_a_uuid_of_version_8():
    parsed = uuid.UUID(keyed_order_id("k", **REQUEST))
    assert (parsed.version, parsed.variant) == (8, uuid.RFC_4122)


def test_a_keyed_id_never_changes_between_versions():
    # Literal values: a version that gave other ids would decide a retried order a second time.
    assert (
        keyed_order_id("8e03978e-40d5-43dd-bc93-6894a57f9324", **REQUEST)
        == "e2e39121-8962-8c35-a9cd-d8872de02655"
    )
    assert (
        keyed_restock_id("8e03978e-40d5-43dd-bc93-6894a57f9324", item="pizza", quantity=2)
        == "bc9db6cd-beb4-84c0-87d5-8543c6c35531"
    )


@given(texts, requests, requests)
def test_another_request_with_the_same_key_has_another_id_with_the_same_key_part(key, one, other):
    ids = {keyed_order_id(key, **one), keyed_order_id(key, **other)}
    assert len(ids) == (1 if one == other else 2)
    assert len({key_part(order_id) for order_id in ids}) == 1


@given(texts, texts, requests)
def test_the_same_request_with_another_key_has_another_id_and_another_key_part(key, other, request):
    one, two = keyed_order_id(key, **request), keyed_order_id(other, **request)
    assert (one == two) == (key == other) == (key_part(one) == key_part(two))


def test_requests_whose_fields_concatenate_to_the_same_text_have_different_ids():
    ids = {
        keyed_order_id("k", user_id=user_id, item=item, quantity=quantity)
        for user_id, item, quantity in [("ab", "c", 1), ("a", "bc", 1), ('a","b', "c", 1), ("ab", "c1", 1)]
    }
    assert len(ids) == 4


def test_an_order_and_a_restock_with_the_same_key_have_different_key_parts():
    assert key_part(keyed_order_id("k", **REQUEST)) != key_part(
        keyed_restock_id("k", item="pizza", quantity=2)
    )


@pytest.mark.parametrize(
    "order_id",
    [
        new_order_id(1_763_000_000_123, NOISE),
        str(uuid.UUID(int=0x8 << 76)),  # without the variant
        keyed_order_id("k", **REQUEST).upper(),
        keyed_order_id("k", **REQUEST) + "x",
        "order-of-somebody-else",
        "",
    ],
)
def test_an_id_that_is_not_keyed_has_no_key_part(order_id):
    assert key_part(order_id) is None
