"""An item's partition is the one that any Java client would pick for its key."""

import pytest
from kafka.partitioner.default import murmur2 as kafka_python_murmur2

from campus.domain.partitions import item_partition, murmur2

# From Kafka's own UtilsTest.testMurmur2, as signed 32-bit numbers.
JAVA_HASHES = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "signed"), JAVA_HASHES.items())
def test_murmur2_gives_what_java_gives(key, signed):
    assert murmur2(key) == signed & 0xFFFFFFFF


@pytest.mark.parametrize("length", range(20))
def test_murmur2_gives_what_kafka_python_gives_at_every_length(length):
    key = bytes(range(250, 250 - length, -1))
    assert murmur2(key) == kafka_python_murmur2(key) & 0xFFFFFFFF


def test_a_partition_is_never_negative():
    assert item_partition("foobar", 4) == (-790332482 & 0x7FFFFFFF) % 4


def test_an_item_is_hashed_by_its_utf8_bytes():
    assert item_partition("crêpe", 4) == (murmur2("crêpe".encode()) & 0x7FFFFFFF) % 4
