"""The audit of a real system: at rest, while it runs, and after somebody tampered with its logs."""

import json
from argparse import ArgumentParser
from contextlib import closing
from threading import Event

import pytest
from kafka import KafkaProducer

from campus.addresses import wait_until
from campus.commands import Context, audit
from campus.commands.audit import NoExpectations
from campus.config.settings import BrokerConfig, Config, TopicsConfig
from campus.domain.codec import decode_journal, encode, keyed_record
from campus.domain.events import InventoryReserved
from campus.domain.partitions import item_partition
from campus.kafka.clients import admin
from campus.kafka.log_reader import BeginningMissing, LogReader
from campus.kafka.producer.writer import Writer
from campus.kafka.records import TopicPartition
from campus.kafka.topics import PartitionCountMismatch
from campus.startup.topics import ensure_topics
from campus.supervision.registry import Registry
from roles import inventory
from tests.builders import PARTITIONS, a_cancel, an_order
from tests.support.running import role_running

PIZZA = item_partition("pizza", PARTITIONS)
STOCK = {"pizza": 3, "burger": 3}
PATIENCE_S = 60.0


@pytest.fixture
def config(kafka, unique_prefix):
    config = Config(
        kafka=kafka.kafka,
        broker=BrokerConfig(mode="external"),
        topics=TopicsConfig(prefix=unique_prefix, partitions=PARTITIONS),
    )
    ensure_topics(config.kafka, config.topics, STOCK)
    return config


def an_inventory(config):
    settings = inventory.Settings(stock=STOCK, group=f"{config.topics.prefix}inventory")
    return role_running(inventory.build(settings, config, Registry()))


def sent(config, *records, partition=PIZZA):
    with closing(Writer(config.kafka, client_id="test")) as writer:
        writer.append({TopicPartition(config.topics.orders_topic, partition): records})


def audit_says(config, capsys, *words):
    """Runs the command; returns its exit code and its JSON output."""
    parser = ArgumentParser()
    audit.add_arguments(parser)
    context = Context(config=config, system=lambda: pytest.fail("no system is needed"))
    code = audit.run(parser.parse_args(["--json", *words]), context)
    return code, json.loads(capsys.readouterr().out)


def decided_all(config, capsys):
    """Runs an inventory until every record is decided, then the audit."""
    last = []

    def nothing_waits():
        last[:] = audit_says(config, capsys)
        assert last[1]["violations"] == []
        return last[0] == 0 and last[1]["undecided"] == 0

    with an_inventory(config):
        assert wait_until(nothing_waits, Event(), timeout_s=PATIENCE_S), last
    return audit_says(config, capsys)


def test_with_no_orders_there_is_nothing_to_audit(config, capsys):
    code, printed = audit_says(config, capsys)
    assert (code, printed["verdict"], printed["decisions"]) == (3, "empty", 0)


def test_with_no_topics_there_is_nothing_to_audit(kafka, unique_prefix, capsys):
    config = Config(
        kafka=kafka.kafka, broker=BrokerConfig(mode="external"), topics=TopicsConfig(prefix=unique_prefix)
    )
    assert audit_says(config, capsys)[0] == 3


def test_a_system_that_has_had_every_kind_of_record_is_clean(config, capsys):
    order = keyed_record(an_order("A"))
    sent(config, order, order, (None, b"rubbish", ()), keyed_record(an_order("B", quantity=9)))
    sent(config, keyed_record(an_order("C")), partition=(PIZZA + 1) % PARTITIONS)
    cancel = keyed_record(a_cancel("A"))
    sent(config, cancel, cancel, keyed_record(a_cancel("B")), keyed_record(a_cancel("nobody's")))
    code, printed = decided_all(config, capsys)
    assert (code, printed["verdict"]) == (0, "clean")
    assert (printed["duplicates"], printed["dead_letters"], printed["reroutes"]) == (1, 1, 1)
    assert printed["totals"] == {
        "orders": 3,
        "reserved": 2,
        "cancelled": 1,
        "failed": {"insufficient_stock": 1},
        "portions": {"pizza": 1},
    }
    assert printed["not_cancelled"] == {"already_cancelled": 1, "not_reserved": 1, "unknown_order": 1}


def test_a_running_system_is_clean_at_any_moment(config, capsys):
    orders = 5_000
    with an_inventory(config), closing(Writer(config.kafka, client_id="test")) as writer:
        for first in range(0, orders, 1000):
            batch = [keyed_record(an_order(f"o-{n}")) for n in range(first, first + 1000)]
            writer.append({TopicPartition(config.topics.orders_topic, PIZZA): batch})
            assert audit_says(config, capsys)[1]["violations"] == []
    code, printed = decided_all(config, capsys)
    assert (code, printed["records"], printed["decisions"]) == (0, orders + len(STOCK), orders + len(STOCK))


def test_orders_of_an_aborted_transaction_do_not_count(config, capsys):
    producer = KafkaProducer(
        bootstrap_servers=config.kafka.bootstrap_servers, transactional_id=config.topics.prefix
    )
    producer.init_transactions()
    for ends, order_id in [(producer.abort_transaction, "A"), (producer.commit_transaction, "B")]:
        producer.begin_transaction()
        producer.send(
            config.topics.orders_topic, encode(an_order(order_id)), key=b"pizza", partition=PIZZA
        ).get(timeout=PATIENCE_S)
        ends()
    producer.close()
    sent(config, keyed_record(an_order("C")))
    code, printed = decided_all(config, capsys)
    assert (code, printed["totals"]["reserved"]) == (0, 2)


def test_an_invented_entry_is_a_violation_with_its_coordinates(config, capsys):
    sent(config, keyed_record(an_order("A")))
    decided_all(config, capsys)
    tp = TopicPartition(config.topics.journal_topic, PIZZA)
    with closing(LogReader(config.kafka, client_id="test")) as history:
        records = [record for _, batch in history.read(history.bounds([tp])) for record in batch]
    last = decode_journal(records[-1].value)
    assert isinstance(last, InventoryReserved)
    fields = {name: getattr(last, name) for name in last.__struct_fields__}
    invented = InventoryReserved(**{**fields, "seq": last.seq + 1, "source_offset": last.source_offset + 1})
    with closing(Writer(config.kafka, client_id="test")) as writer:
        writer.append({tp: [(None, encode(invented), records[-1].headers)]})
    code, printed = audit_says(config, capsys)
    assert (code, printed["verdict"]) == (1, "violated")
    first = printed["violations"][0]
    assert (first["kind"], first["partition"]) == ("entry_without_record", PIZZA)
    assert (first["offset"], first["seq"]) == (invented.source_offset, invented.seq)


def test_an_expected_order_that_is_missing_is_a_violation(config, capsys, tmp_path):
    sent(config, keyed_record(an_order("A")), keyed_record(an_order("B")))
    assert decided_all(config, capsys)[0] == 0
    accepted = tmp_path / "accepted.txt"
    accepted.write_text("A\nB\n")
    assert audit_says(config, capsys, "--expect", str(accepted))[0] == 0
    accepted.write_text("A\nlost\nB\n")
    code, printed = audit_says(config, capsys, "--expect", str(accepted))
    assert code == 1
    assert [(one["kind"], "'lost'" in one["what"]) for one in printed["violations"]] == [
        ("expected_missing", True)
    ]


def test_an_unreadable_file_of_expected_orders_is_a_command_line_error(config, capsys, tmp_path):
    with pytest.raises(NoExpectations, match="one a line") as refused:
        audit_says(config, capsys, "--expect", str(tmp_path / "none.txt"))
    assert refused.value.exit_code == 2


def test_a_log_that_lost_its_beginning_cannot_be_audited(config, capsys):
    sent(config, keyed_record(an_order("A")))
    decided_all(config, capsys)
    with admin(config.kafka) as client:
        client.delete_records({TopicPartition(config.topics.orders_topic, PIZZA): 1})
    with pytest.raises(BeginningMissing, match="begins at offset 1"):
        audit_says(config, capsys)


def test_another_partition_count_than_the_topics_have_is_an_error(config, capsys):
    wrong = Config(
        kafka=config.kafka,
        broker=config.broker,
        topics=TopicsConfig(prefix=config.topics.prefix, partitions=PARTITIONS + 1),
    )
    with pytest.raises(PartitionCountMismatch):
        audit_says(wrong, capsys)
