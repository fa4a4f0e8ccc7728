"""The partition of an item: the same as Kafka's Java clients compute with their default partitioner.

Source: `org.apache.kafka.common.utils.Utils.murmur2` and `BuiltInPartitioner.partitionForKey`.
"""

from functools import lru_cache

MURMUR2_SEED = 0x9747B28C
MURMUR2_M = 0x5BD1E995
UINT32 = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bits, unsigned, with Kafka's seed."""
    length = len(data)
    h = MURMUR2_SEED ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * MURMUR2_M & UINT32
        k = (k ^ (k >> 24)) * MURMUR2_M & UINT32
        h = (h * MURMUR2_M & UINT32) ^ k
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * MURMUR2_M & UINT32
    h = (h ^ (h >> 13)) * MURMUR2_M & UINT32
    return h ^ (h >> 15)


@lru_cache(maxsize=4096)
def item_partition(item: str, partitions: int) -> int:
    """The partition that holds an item's whole history."""
    return (murmur2(item.encode()) & 0x7FFFFFFF) % partitions
