"""Records of foreign producers in `order-events`: compressed, with empty headers, of the maximum size."""

from collections.abc import Callable
from contextlib import closing

import pytest
from kafka import KafkaProducer

from campus.domain.codec import encode
from campus.domain.partitions import item_partition
from campus.inventory.ledger import ORIGIN_TIME_HEADER
from campus.kafka.producer.writer import Writer
from campus.kafka.records import TopicPartition
from campus.startup.topics import ensure_topics
from tests.builders import an_order
from tests.support.ledgers import audited
from tests.support.processes import Campus

PARTITIONS = 4
PIZZA = item_partition("pizza", PARTITIONS)
LARGEST_BYTES = 1_000_000  # of a record, with a topic's default of 1 MiB

RECORDS = {
    "headers without a value": (
        None,
        encode(an_order("headers")),
        [(ORIGIN_TIME_HEADER, None), ("owner", None)],
    ),
    "a tombstone": (b"pizza", None, []),
    "the largest record": (None, b"x" * LARGEST_BYTES, []),
    "a key as large": (b"k" * LARGEST_BYTES, encode(an_order("large-key")), []),
    "deep nesting": (None, b"[" * 500_000, []),
    "many headers": (None, encode(an_order("many")), [("h", b"x")] * 5_000),
    "nothing strange": (b"pizza", encode(an_order("after")), []),
}


@pytest.fixture
def here(campus: Callable[..., Campus]) -> Campus:
    here = campus()
    ensure_topics(here.config.kafka, here.config.topics, here.config.roles["inventory"].stock)
    return here


def test_each_foreign_record_gets_its_journal_entry_and_processing_continues(here: Campus) -> None:
    kafka, topic = here.config.kafka, here.config.topics.orders_topic
    with closing(Writer(kafka, client_id="foreign-producer")) as writer:
        for record in RECORDS.values():
            writer.append({TopicPartition(topic, PIZZA): [record]})
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap_servers, compression_type="gzip")) as gzip:
        gzip.send(topic, partition=PIZZA, value=encode(an_order("compressed"))).get(30)
    inventory = here.start_up("--role", "inventory")
    findings = audited(here.config, accepted=["headers", "large-key", "many", "after", "compressed"])
    assert findings.summed_totals().reserved == 5
    assert findings.dead_letters == 3
    inventory.stops()
