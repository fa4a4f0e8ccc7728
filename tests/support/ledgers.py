"""Reads the topics of a campus from the beginning, and audits them."""

from collections.abc import Collection
from contextlib import closing
from typing import Any

from campus.audit.checker import Audit
from campus.audit.findings import Findings
from campus.config.settings import Config, KafkaConfig
from campus.domain.codec import decode_input
from campus.domain.events import InventoryFailed, InventoryReserved, OrderPlaced
from campus.domain.journal import JournalRule
from campus.kafka.log_reader import LogReader
from campus.kafka.records import TopicPartition
from tests.support.processes import PATIENCE_S, soon

Outcome = InventoryReserved | InventoryFailed


def outcomes(config: Config) -> dict[str, list[Outcome]]:
    """The valid outcomes in the journal, by order id."""
    found: dict[str, list[Outcome]] = {}
    for records in _all(config, config.topics.journal_topic).values():
        for event in JournalRule().counting(records):
            if isinstance(event, InventoryReserved | InventoryFailed):
                found.setdefault(event.order_id, []).append(event)
    return found


def outcome(config: Config, order_id: str) -> Outcome:
    """Wait for the outcome of this order."""
    found: list[Outcome] = []

    def decided() -> bool:
        found[:] = outcomes(config).get(order_id, [])
        return bool(found)

    soon(decided)
    assert len(found) == 1
    return found[0]


def order_ids(config: Config) -> list[str]:
    """The ids of all placed orders, unsorted."""
    records = _all(config, config.topics.orders_topic).values()
    events = (decode_input(record.value) for part in records for record in part)
    return [event.order_id for event in events if isinstance(event, OrderPlaced)]


def audited(config: Config, *, accepted: Collection[str] = (), within_s: float = PATIENCE_S) -> Findings:
    """Wait until all is decided; assert that the audit is clean and every `accepted` order is in the log."""
    findings = Findings()

    def is_all_decided() -> bool:
        nonlocal findings
        findings = _audit(config, accepted)
        return findings.undecided == 0 and findings.decisions > 0

    soon(is_all_decided, within_s=within_s, every_s=0.2)
    assert findings.verdict == "clean", findings.violations_listed[:5]
    return findings


def _audit(config: Config, accepted: Collection[str]) -> Findings:
    topics = config.topics
    audit = Audit(topics.partitions, expected=accepted)
    # Read the journal first: its entries come from records that were already in the other topics.
    journal = _all(config, topics.journal_topic)
    orders = _all(config, topics.orders_topic)
    letters = _all(config, topics.dead_letters_topic)
    for partition in range(topics.partitions):
        audit.dead_letters(partition, letters[partition])
        audit.partition(partition, orders[partition], journal[partition])
    return audit.finish()


def _all(config: Config, topic: str) -> dict[int, list[Any]]:
    return records_of(config.kafka, topic, config.topics.partitions)


def records_of(kafka: KafkaConfig, topic: str, partitions: int) -> dict[int, list[Any]]:
    """All records of a topic, by partition."""
    tps = [TopicPartition(topic, partition) for partition in range(partitions)]
    read: dict[int, list[Any]] = {partition: [] for partition in range(partitions)}
    with closing(LogReader(kafka, client_id="test")) as history:
        for tp, records in history.read(history.bounds(tps)):
            read[tp.partition].extend(records)
    return read
