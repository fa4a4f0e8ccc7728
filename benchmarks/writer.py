"""Acknowledged records per second: our Writer against kafka-python's KafkaProducer, in the same run.

The contenders take turns, each for a short stretch of time. They append batches of 1, 40 and 1000 records of
150 bytes over 4 partitions, and wait until each batch is acknowledged (acks=all). The output is the medians
and, since only ratios are comparable between machines, their ratio to our Writer. At the end the records in
the log are counted: if that is not the number acknowledged, the exit code is 1.

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
BATCH_SIZES = (1, 40, 1000)
VALUE = b"v" * 150

# append(records, turn): append the records, the first to partition `turn`, and wait for the acknowledgement.
Append = Callable[[Sequence[ProducerRecord], int], None]


def with_writer(kafka: KafkaConfig, topic: str, stack: ExitStack) -> Append:
    writer = stack.enter_context(closing(Writer(kafka, client_id="benchmark")))

    def append(records: Sequence[ProducerRecord], turn: int) -> None:
        parts = [records[n::PARTITIONS] for n in range(PARTITIONS)]
        writer.append({TopicPartition(topic, (turn + n) % PARTITIONS): part for n, part in enumerate(parts)})

    return append


def with_kafka_producer(kafka: KafkaConfig, topic: str, stack: ExitStack, **settings: Any) -> Append:
    producer = stack.enter_context(closing(KafkaProducer(**kafka_settings(kafka), acks="all", **settings)))

    def append(records: Sequence[ProducerRecord], turn: int) -> None:
        futures = [
            producer.send(topic, value, key, partition=(turn + n) % PARTITIONS)
            for n, (key, value, _) in enumerate(records)
        ]
        for future in futures:
            future.get(timeout=10)

    return append


def stretch(append: Append, size: int, seconds: float) -> tuple[int, float]:
    """Append batches of `size` for `seconds`; returns the records acknowledged and the seconds taken."""
    records: list[ProducerRecord] = [(b"key-%d" % n, VALUE, ()) for n in range(size)]
    began = time.perf_counter()
    batches = 0
    while time.perf_counter() - began < seconds:
        append(records, batches)
        batches += 1
    return batches * size, time.perf_counter() - began


def make_topic(kafka: KafkaConfig) -> str:
    topic = f"benchmark-{uuid.uuid4().hex[:8]}"
    with admin(kafka) as client:
        client.create_topics({topic: {"num_partitions": PARTITIONS, "replication_factor": 1}})
        client.wait_for_topics([topic])
    with closing(make_consumer(kafka)) as consumer:  # retries until every partition has a leader
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
            "writer": with_writer(kafka, topic, stack),
            "KafkaProducer, tuned": with_kafka_producer(kafka, topic, stack, **tuned),
            "KafkaProducer, default": with_kafka_producer(kafka, topic, stack),
        }
        for append in contenders.values():  # warm-up: connections and first-time costs are not measured
            acknowledged += stretch(append, 40, 0.2)[0]
        for _ in range(given.repeats):
            for size in BATCH_SIZES:
                for name, append in contenders.items():
                    count, took_s = stretch(append, size, given.stretch_s)
                    rates[name, size].append(count / took_s)
                    acknowledged += count
    print(f"{'records/s in batches of':<26}" + "".join(f"{size:>20}" for size in BATCH_SIZES))
    for name in contenders:
        print(f"{name:<26}" + "".join(_cell(rates, name, size) for size in BATCH_SIZES))
    found = count_and_remove(kafka, topic)
    print(f"{acknowledged} records acknowledged, {found} in the log")
    return 0 if found == acknowledged else 1


def _cell(rates: dict[tuple[str, int], list[float]], name: str, size: int) -> str:
    rate = median(rates[name, size])
    return f"{rate:>12,.0f}  ({rate / median(rates['writer', size]):4.2f})"


if __name__ == "__main__":
    sys.exit(main())
