"""A record whose header has a name of strange bytes is read like any other; nothing else of it changes."""

import pytest
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

import campus.stream.header_names  # noqa: F401  (what is tested)

STRANGE = b"\xff\xfe"


def read_back(*records):
    """Records of (key, value, headers by bytes), as a consumer gets them."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1 << 20)
    for key, value, headers in records:
        plain = [("##" if name == STRANGE else name.decode(), header) for name, header in headers]
        builder.append(timestamp=1, key=key, value=value, headers=plain)
    builder.close()
    data = bytes(builder.buffer()).replace(b"##", STRANGE)
    return [
        (record.key, record.value, record.headers)
        for batch in iter(MemoryRecords(data).next_batch, None)
        for record in batch
    ]


def test_a_strange_name_is_read_as_question_marks():
    assert read_back((b"k", b"v", [(STRANGE, b"h")])) == [(b"k", b"v", [("??", b"h")])]


@pytest.mark.parametrize("value", [STRANGE, b"x" + STRANGE + b"y", STRANGE * 3])
def test_a_value_with_the_same_bytes_stays_as_it_is(value):
    ((key, read, _),) = read_back((STRANGE, value, [(b"plain", b"h"), (STRANGE, b"h")]))
    assert (key, read) == (STRANGE, value)


def test_several_strange_names_and_the_records_around_them_are_read():
    records = [
        (b"1", b"before", [(b"a", b"x")]),
        (b"2", b"strange", [(STRANGE, None), (STRANGE, b"y"), (b"b", b"z")]),
        (b"3", b"after", []),
    ]
    assert [value for _, value, _ in read_back(*records)] == [b"before", b"strange", b"after"]
    assert read_back(*records)[1][2] == [("??", None), ("??", b"y"), ("b", b"z")]
