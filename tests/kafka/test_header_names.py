"""Records with header names that are not UTF-8 are read, and nothing else of a record changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

import campus.kafka.clients  # noqa: F401  (patches the decoder)

NOT_UTF8 = b"\xff\xfe"


class Name(str):
    """A string whose encoding is any given bytes."""

    def __new__(cls, name):
        text = super().__new__(cls, name.decode("latin-1"))
        text.name = name
        return text

    def encode(self, *_):
        return self.name


def read_back(*records):
    """Encode and decode records of (key, value, headers with names as bytes)."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1 << 24)
    for key, value, headers in records:
        headers = [(Name(name), header) for name, header in headers]
        builder.append(timestamp=1, key=key, value=value, headers=headers)
    builder.close()
    data = bytes(builder.buffer())
    return [
        (record.key, record.value, record.headers)
        for batch in iter(MemoryRecords(data).next_batch, None)
        for record in batch
    ]


def test_a_name_that_is_not_utf8_is_read_as_question_marks():
    assert read_back((b"k", b"v", [(NOT_UTF8, b"h")])) == [(b"k", b"v", [("??", b"h")])]


@pytest.mark.parametrize("value", [NOT_UTF8, b"x" + NOT_UTF8 + b"y", NOT_UTF8 * 3])
def test_a_key_or_value_with_the_same_bytes_is_not_changed(value):
    ((key, read, _),) = read_back((NOT_UTF8, value, [(b"plain", b"h"), (NOT_UTF8, b"h")]))
    assert (key, read) == (NOT_UTF8, value)


def test_records_around_one_with_several_such_names_are_read():
    records = [
        (b"1", b"before", [(b"a", b"x")]),
        (b"2", b"strange", [(NOT_UTF8, None), (NOT_UTF8, b"y"), (b"b", b"z")]),
        (b"3", b"after", []),
    ]
    assert [value for _, value, _ in read_back(*records)] == [b"before", b"strange", b"after"]
    assert read_back(*records)[1][2] == [("??", None), ("??", b"y"), ("b", b"z")]


def shown(name):
    try:
        return name.decode()
    except UnicodeDecodeError:
        return "?" * len(name)


BYTES = st.binary(max_size=200)
HEADERS = st.lists(st.tuples(st.binary(max_size=70) | st.just(b"\x80"), st.none() | BYTES), max_size=4)


@given(st.lists(st.tuples(st.none() | BYTES, st.none() | BYTES, HEADERS), max_size=3))
def test_only_names_that_are_not_utf8_are_read_differently(records):
    read = read_back(*records)
    assert read == [(k, v, [(shown(name), header) for name, header in headers]) for k, v, headers in records]


def test_very_many_such_names_are_read_in_one_pass():  # name by name it would take minutes
    ((*_, headers),) = read_back((b"k", b"v", [(b"\xff%d" % n, None) for n in range(50_000)]))
    assert len(headers) == 50_000
