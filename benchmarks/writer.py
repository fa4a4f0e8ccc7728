"""Acknowledged records a second: our writer against kafka-python's KafkaProducer, in the same run.

All take turns, a short stretch each, in rounds of 1, 40 and 1000 records of 150 bytes over 4 partitions;
a round is over when all of it is acknowledged (acks=all). The medians are told, and as ratios, which
outlive the machine. At the end the log is counted: what was acknowledged is there, or the run is void.

    python campuskafka.py broker                  # in another terminal, or any Kafka
    python benchmarks/writer.py [--bootstrap-servers 127.0.0.1:9092] [--repeats 3] [--stretch-s 0.5]
"""

import argparse
import logging
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from typing import Any

from kafka import KafkaProducer

sys.path.insert(0, str(Path(__file__).parent.parent))

from campus.config.settings import KafkaConfig
from campus.kafka.clients import admin, kafka_settings, make_consumer
from campus.kafka.producer.batches import BATCH_BYTES_MAX
from campus.kafka.producer.writer import Writer
from campus.kafka.records import ProducerRecord, TopicPartition

PARTITIONS = 4
ROUND_SIZES = (1, 40, 1000)
VALUE = b"v" * 150

Round = Callable[
    [Sequence[ProducerRecord], int], None
]  # append these records, starting at that partition, and wait


def writer_rounds(kafka: KafkaConfig, topic: str, stack: ExitStack) -> Round:
    writer = stack.enter_context(closing(Writer(kafka, client_id="benchmark")))

    def append(records: Sequence[ProducerRecord], turn: int) -> None:
        parts = [records[n::PARTITIONS] for n in range(PARTITIONS)]
        writer.append({TopicPartition(topic, (turn + n) % PARTITIONS): part for n, part in enumerate(parts)})

    return append


def producer_rounds(kafka: KafkaConfig, topic: str, stack: ExitStack, **settings: Any) -> Round:
    producer = stack.enter_context(closing(KafkaProducer(**kafka_settings(kafka), acks="all", **settings)))

    def append(records: Sequence[ProducerRecord], turn: int) -> None:
        futures = [
            producer.send(topic, value, key, partition=(turn + n) % PARTITIONS)
            for n, (key, value, _) in enumerate(records)
        ]
        for future in futures:
            future.get(timeout=10)

    return append


def stretch(append: Round, size: int, seconds: float) -> tuple[int, float]:
    """Rounds for so long; how many records were acknowledged, and in what time."""
    records: list[ProducerRecord] = [(b"key-%d" % n, VALUE, ()) for n in range(size)]
    began = time.perf_counter()
    rounds = 0
    while time.perf_counter() - began < seconds:
        append(records, rounds)
        rounds += 1
    return rounds * size, time.perf_counter() - began


def make_topic(kafka: KafkaConfig) -> str:
    topic = f"benchmark-{uuid.uuid4().hex[:8]}"
    with admin(kafka) as client:
        client.create_topics({topic: {"num_partitions": PARTITIONS, "replication_factor": 1}})
        client.wait_for_topics([topic])
    with closing(make_consumer(kafka)) as consumer:  # it asks until every leader is at work
        consumer.end_offsets([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
    return topic


def count_and_remove(kafka: KafkaConfig, topic: str) -> int:
    tps = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    with closing(make_consumer(kafka)) as consumer, admin(kafka) as client:
        count = sum(consumer.end_offsets(tps).values())
        client.delete_topics([topic])
    return int(count)


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("--bootstrap-servers", default="127.0.0.1:9092")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--stretch-s", type=float, default=0.5)
    given = options.parse_args()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    kafka = KafkaConfig(bootstrap_servers=given.bootstrap_servers)
    topic = make_topic(kafka)
    rates: dict[tuple[str, int], list[float]] = defaultdict(list)
    acknowledged = 0
    with ExitStack() as stack:
        tuned = {"enable_idempotence": False, "linger_ms": 0, "batch_size": BATCH_BYTES_MAX}
        contenders = {
            "writer": writer_rounds(kafka, topic, stack),
            "KafkaProducer, tuned": producer_rounds(kafka, topic, stack, **tuned),
            "KafkaProducer, as found": producer_rounds(kafka, topic, stack),
        }
        for append in contenders.values():  # connections and first-time costs are not what is measured
            acknowledged += stretch(append, 40, 0.2)[0]
        for _ in range(given.repeats):
            for size in ROUND_SIZES:
                for name, append in contenders.items():
                    count, took_s = stretch(append, size, given.stretch_s)
                    rates[name, size].append(count / took_s)
                    acknowledged += count
    print(f"{'records/s in rounds of':<26}" + "".join(f"{size:>20}" for size in ROUND_SIZES))
    for name in contenders:
        print(f"{name:<26}" + "".join(_cell(rates, name, size) for size in ROUND_SIZES))
    found = count_and_remove(kafka, topic)
    print(f"{acknowledged} records acknowledged, {found} in the log")
    return 0 if found == acknowledged else 1


def _cell(rates: dict[tuple[str, int], list[float]], name: str, size: int) -> str:
    rate = median(rates[name, size])
    return f"{rate:>12,.0f}  ({rate / median(rates['writer', size]):4.2f})"


if __name__ == "__main__":
    sys.exit(main())
