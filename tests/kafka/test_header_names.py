"""A record whose header has a name of strange bytes is read like any other; nothing else of it changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder

import campus.kafka.clients  # noqa: F401  (what is tested)

STRANGE = b"\xff\xfe"


class Name(str):
    """One that any bytes can be the encoding of."""

    def __new__(cls, name):
        text = super().__new__(cls, name.decode("latin-1"))
        text.name = name
        return text

    def encode(self, *_):
        return self.name


def read_back(*records):
    """Records of (key, value, headers by bytes), as a consumer gets them."""
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


def shown(name):
    try:
        return name.decode()
    except UnicodeDecodeError:
        return "?" * len(name)


BYTES = st.binary(max_size=200)
HEADERS = st.lists(st.tuples(st.binary(max_size=70) | st.just(b"\x80"), st.none() | BYTES), max_size=4)


@given(st.lists(st.tuples(st.none() | BYTES, st.none() | BYTES, HEADERS), max_size=3))
def test_whatever_the_names_are_only_they_are_read_otherwise(records):
    read = read_back(*records)
    assert read == [(k, v, [(shown(name), header) for name, header in headers]) for k, v, headers in records]


def test_very_many_strange_names_are_read_in_one_go():  # name by name it would take minutes
    ((*_, headers),) = read_back((b"k", b"v", [(b"\xff%d" % n, None) for n in range(50_000)]))
    assert len(headers) == 50_000
