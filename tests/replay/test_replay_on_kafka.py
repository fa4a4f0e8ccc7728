"""The replay of a real system: while it runs, at rest, as of a time, and after tampering."""

import hashlib
import json
import re
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from contextlib import closing

import msgspec
import pytest
from kafka import KafkaProducer

from campus.analytics.metrics import OrderMetrics, summed
from campus.commands import Context
from campus.commands import replay as command
from campus.config.settings import BrokerConfig, Config, TopicsConfig
from campus.domain.codec import encode, keyed_record
from campus.domain.events import InventoryFailed, InventoryReserved, OrderCancelled
from campus.domain.journal import JournalRule
from campus.domain.partitions import item_partition
from campus.domain.snapshot import packed
from campus.domain.times import iso_utc
from campus.inventory.ledger import StockLedger
from campus.kafka.clients import admin
from campus.kafka.log_reader import BeginningMissing
from campus.kafka.producer.writer import Writer
from campus.kafka.records import TopicPartition
from campus.kafka.topics import PartitionCountMismatch
from campus.replay import replayer
from campus.replay.kafka_logs import freeze, replay
from campus.startup.topics import ensure_topics
from campus.supervision.registry import Registry
from roles import analytics, inventory
from tests.builders import PARTITIONS, a_restock, an_order
from tests.support.customers import ITEMS, Crowd, one_each
from tests.support.ledgers import audited, records_of
from tests.support.processes import PATIENCE_S, Campus, soon
from tests.support.running import role_running

PIZZA = item_partition("pizza", PARTITIONS)
STOCK = {"pizza": 3, "burger": 3}

MakeCampus = Callable[..., Campus]


@pytest.fixture
def config(kafka, unique_prefix):
    config = Config(
        kafka=kafka.kafka,
        broker=BrokerConfig(mode="external"),
        topics=TopicsConfig(prefix=unique_prefix, partitions=PARTITIONS),
    )
    ensure_topics(config.kafka, config.topics, STOCK)
    return config


def running(role, settings, config):
    return role_running(role.build(settings, config, Registry()))


def an_inventory(config):
    group = f"{config.topics.prefix}inventory"
    return running(inventory, inventory.Settings(stock=STOCK, group=group), config)


def sent(config, *events, partition=None):
    records = {}
    for event in events:
        home = item_partition(event.item, PARTITIONS) if partition is None else partition
        records.setdefault(TopicPartition(config.topics.orders_topic, home), []).append(keyed_record(event))
    with closing(Writer(config.kafka, client_id="test")) as writer:
        writer.append(records)


def written(config, topic, value, headers=(), partition=PIZZA):
    with closing(Writer(config.kafka, client_id="test")) as writer:
        writer.append({TopicPartition(topic, partition): [(b"even", value, headers)]})


def decided_all(config, *events):
    """Send them, let an inventory decide them, and stop."""
    sent(config, *events)
    with an_inventory(config):
        soon(lambda: (found := replay(config)).compared > 0 and found.undecided == 0)


def replay_says(config, capsys, *words):
    """Runs the command; returns its exit code and its JSON output."""
    code, out = replay_prints(config, capsys, "--json", *words)
    return code, json.loads(out)


def replay_prints(config, capsys, *words):
    parser = ArgumentParser()
    command.add_arguments(parser)
    context = Context(config=config, system=lambda: pytest.fail("no system is needed"))
    capsys.readouterr()
    code = command.run(parser.parse_args(words), context)
    return code, capsys.readouterr().out


def journal_of(config, partition=PIZZA):
    return records_of(config.kafka, config.topics.journal_topic, PARTITIONS)[partition]


# A whole system, in several processes


@pytest.mark.long
def test_a_system_with_every_kind_of_record_replays_identically_while_running_and_at_rest(
    campus: MakeCampus,
) -> None:
    """Two inventories of which one is killed, cancellations, failures, foreign keys, rubbish, repeats."""
    here = campus({"roles.analytics.snapshot_every_entries": 50})
    config = here.config
    here.start_up("--role", "producer", "--role", "analytics")
    stays, dies = here.start_up("--role", "inventory"), here.start_up("--role", "inventory")
    soon(lambda: "claimed" in stays.output and "claimed" in dies.output)
    crowd = Crowd(here.endpoint, one_each(1_000_000))
    soon(lambda: len(crowd.accepted) > 200)
    cancel(config, crowd.accepted[:10])
    at_work = here.run("replay", "--json")
    assert (at_work.returncode, json.loads(at_work.stdout)["verdict"]) == (0, "identical"), at_work.stdout
    dies.kill()
    before = len(crowd.accepted)
    soon(lambda: len(crowd.accepted) > before + 200)
    crowd.stop(within_s=PATIENCE_S)
    cancel(config, crowd.accepted[5:15])
    sent(config, an_order("foreign"), partition=(PIZZA + 1) % PARTITIONS)
    sent(config, an_order("twice"), an_order("twice"), a_restock("more", "pizza", 7))
    written(config, config.topics.orders_topic, b"rubbish")
    totals = audited(config, accepted=crowd.accepted).summed_totals()

    at_rest = here.run("replay", "--json")
    printed = json.loads(at_rest.stdout)
    assert (at_rest.returncode, printed["verdict"], printed["metrics_identical"]) == (0, "identical", True)
    assert (printed["undecided"], printed["different"], printed["records"]) == (0, 0, printed["decisions"])
    assert printed["claims"] > PARTITIONS
    assert (printed["metrics"]["successful"], printed["metrics"]["total"]) == (totals.reserved, totals.orders)
    assert printed["metrics"] == printed["metrics_of_analytics"]
    assert printed["metrics"]["cancelled"] == 15
    assert printed["digest"] == json.loads(here.run("replay", "--json").stdout)["digest"]
    text = here.run("replay")
    assert text.returncode == 0
    assert re.search(r"^identical: every decision again, byte for byte  \(.* records/s\)$", text.stdout, re.M)


def cancel(config: Config, order_ids: Sequence[str]) -> None:
    """One cancel per item; only one of them names the order's item."""
    sent(config, *(OrderCancelled(order_id=one, item=item) for one in order_ids for item in ITEMS))


def test_speed_shows_the_events_in_time_order_and_then_the_verdict(config, capsys):
    decided_all(config, an_order("A"), an_order("B", "burger"), OrderCancelled(order_id="A", item="pizza"))
    code, out = replay_prints(config, capsys, "--speed", "max")
    shown = [line for line in out.splitlines() if re.match(r"\d{4}-", line)]
    assert code == 0
    assert [line[:24] for line in shown] == sorted(line[:24] for line in shown)
    printed = replay_says(config, capsys)[1]
    assert len(shown) == printed["records"] + printed["decisions"] + printed["claims"]
    ordered, reserved, cancelling, released = (
        next(number for number, line in enumerate(shown) if words in line)
        for words in (
            "ana orders 1 × pizza (A)",
            "→ reserved 1 × pizza for ana (A); 2 left",
            "pizza is cancelled (A)",
            "→ released 1 × pizza (A); 3 left",
        )
    )
    assert ordered < cancelling < released and ordered < reserved < released
    assert out.splitlines()[-1].startswith("identical: ")


def test_ctrl_c_stops_the_timeline_at_once(config, campus: MakeCampus) -> None:
    here = campus({"topics.partitions": PARTITIONS})
    decided_all(config, an_order("A"))
    sent(config, an_order("B"))
    program = here.start("replay", "--speed", "0.000001x")
    program.says("… nothing for ")
    program.interrupt()
    assert program.ends(within_s=10) == command.INTERRUPTED
    assert program.output.endswith("stopped; nothing was compared\n")


# Nothing to replay


def test_with_no_decisions_there_is_nothing_to_replay(config, capsys):
    code, printed = replay_says(config, capsys)
    assert (code, printed["verdict"], printed["decisions"], printed["undecided"]) == (
        3,
        "empty",
        0,
        len(STOCK),
    )


def test_with_no_topics_there_is_nothing_to_replay(kafka, unique_prefix, capsys):
    config = Config(
        kafka=kafka.kafka, broker=BrokerConfig(mode="external"), topics=TopicsConfig(prefix=unique_prefix)
    )
    assert replay_says(config, capsys)[0] == 3
    assert "nothing to replay" in replay_prints(config, capsys, "--speed", "max")[1]


# What is read


def test_the_digest_is_the_sha256_of_the_journals_entries(config, capsys):
    decided_all(config, *(an_order(f"o-{n}", item) for n in range(20) for item in STOCK))
    entries = [
        record.value
        for partition in range(PARTITIONS)
        for record in journal_of(config, partition)
        if b"OwnerClaimed" not in record.value
    ]
    digest = hashlib.sha256(b"".join(value + b"\n" for value in entries)).hexdigest()
    assert {replay_says(config, capsys)[1]["digest"] for _ in range(2)} == {digest}


def test_orders_of_an_aborted_transaction_are_not_decided_again(config, capsys):
    producer = KafkaProducer(
        bootstrap_servers=config.kafka.bootstrap_servers, transactional_id=config.topics.prefix
    )
    producer.init_transactions()
    for ends, order_id in [(producer.abort_transaction, "A"), (producer.commit_transaction, "B")]:
        producer.begin_transaction()
        producer.send(config.topics.orders_topic, encode(an_order(order_id)), partition=PIZZA).get(PATIENCE_S)
        ends()
    producer.close()
    decided_all(config, an_order("C"))
    code, printed = replay_says(config, capsys)
    assert (code, printed["metrics"]["successful"], printed["records"]) == (0, 2, 2 + len(STOCK))
    assert replay_prints(config, capsys, "--speed", "max")[0] == 0


def test_records_after_the_frozen_ends_change_nothing(config):
    decided_all(config, an_order("A"))
    ends = freeze(config)
    first = replay(config, ends)
    decided_all(config, an_order("B"), an_order("C"))
    again = replay(config, ends)
    assert (again.digest, again.metrics, again.records) == (first.digest, first.metrics, first.records)
    assert replay(config).records == first.records + 2


def test_as_of_a_time_the_stock_and_the_metrics_are_those_of_then(config, capsys):
    decided_all(config, an_order("A"))
    then_ms = journal_of(config)[-1].timestamp
    soon(lambda: time_of(config, an_order("later", "burger")) > then_ms)
    decided_all(config, an_order("B"), an_order("C"), an_order("D"))
    code, then = replay_says(config, capsys, "--as-of", str(then_ms))
    assert (code, then["verdict"], then["as_of"]) == (0, "identical", iso_utc(then_ms))
    assert (then["metrics"]["total"], then["stock"]["pizza"], then["metrics_identical"]) == (1, 2, True)
    code, text = replay_prints(config, capsys, "--as-of", iso_utc(then_ms))
    assert code == 0
    assert f"── as of {iso_utc(then_ms)} ─" in text and "pizza 2" in text
    assert replay_says(config, capsys)[1]["stock"]["pizza"] == 0
    assert replay_says(config, capsys, "--as-of", "2001-01-01")[0] == 3
    assert replay_says(config, capsys, "--as-of", "2101-01-01T00:00:00+02:00")[1]["stock"]["pizza"] == 0


def time_of(config, event):
    """Sends it; returns its append time in ms."""
    sent(config, event)
    home = item_partition(event.item, PARTITIONS)
    return records_of(config.kafka, config.topics.orders_topic, PARTITIONS)[home][-1].timestamp


def test_item_limits_the_events_the_stock_and_the_verdict_to_that_item(config, capsys):
    decided_all(config, an_order("A"), an_order("B", "burger"), an_order("C", quantity=9))
    code, printed = replay_says(config, capsys, "--item", "pizza")
    assert (code, printed["item"], printed["records"], printed["stock"]) == (0, "pizza", 3, {"pizza": 2})
    assert [one["remaining"] for one in printed["history"]] == [3, 2, 2]
    code, out = replay_prints(config, capsys, "--item", "pizza", "--speed", "max")
    assert code == 0
    assert "burger" not in out
    assert out.count("reserved 1 × pizza for ana (A); 2 left") == 2  # as it happened, and in the history


# Different


def test_a_ledger_with_wrong_rules_gives_a_difference(config, monkeypatch):
    class Generous(StockLedger):
        def decide(self, record):
            entry, side_output = super().decide(record)
            if isinstance(entry, InventoryFailed):
                fields = {name: getattr(entry, name) for name in entry.__struct_fields__ if name != "reason"}
                return InventoryReserved(**fields), side_output
            return entry, side_output

    decided_all(config, an_order("A"), an_order("B", quantity=9))
    monkeypatch.setattr(replayer, "StockLedger", Generous)
    found = replay(config)
    assert (found.verdict, found.different, found.miscounted) == ("different", 1, 1)
    assert (found.first_difference.partition, found.first_difference.field) == (PIZZA, "event_type")
    assert found.metrics != found.metrics_of_analytics


def test_an_invented_entry_is_shown_with_its_coordinates(config, capsys):
    decided_all(config, an_order("A"))
    sent(config, an_order("B"))
    last = journal_of(config)[-1]
    entry = msgspec.json.decode(last.value)
    invented = entry | {"seq": entry["seq"] + 1, "source_offset": entry["source_offset"] + 1}
    written(config, config.topics.journal_topic, msgspec.json.encode(invented), last.headers)
    code, printed = replay_says(config, capsys)
    first = printed["first_difference"]
    assert (code, printed["verdict"], printed["different"]) == (1, "different", 1)
    assert (first["where"], first["partition"], first["seq"]) == ("journal", PIZZA, invented["seq"])
    assert (first["field"], first["source_offset"]) == ("order_id", invented["source_offset"])
    assert json.loads(first["journal"]) == invented
    assert json.loads(first["decided"])["order_id"] == json.loads(first["record"])["order_id"] == "B"
    code, text = replay_prints(config, capsys)
    assert code == 1
    assert (
        f"first difference, journal partition {PIZZA} seq {invented['seq']} "
        f"offset {invented['source_offset']}: order_id: 'A' in the journal, 'B' decided again" in text
    )


def test_a_wrong_snapshot_of_analytics_is_a_difference(config, capsys):
    """A readable snapshot of the right position in the journal, with one portion too many."""
    decided_all(config, an_order("A"))
    rule, metrics = JournalRule(), OrderMetrics()
    for event in rule.counting(journal_of(config)):
        metrics.apply(event)
    metrics.items["pizza"].portions += 1
    written(config, config.topics.analytics_snapshots_topic, packed(rule, metrics.state()))
    code, printed = replay_says(config, capsys)
    assert (code, printed["different"], printed["metrics_identical"]) == (1, 0, False)
    first = printed["first_difference"]
    assert (first["where"], first["partition"]) == ("analytics", PIZZA)
    assert (first["field"], first["what"]) == (
        "items.pizza.portions",
        "analytics has counted 2, what was decided again gives 1",
    )
    code, text = replay_prints(config, capsys)
    assert code == 1
    assert f"analytics counts otherwise in 1 of {PARTITIONS} partitions" in text


def test_the_metrics_of_analytics_are_those_of_its_own_report(config, capsys):
    settings = analytics.Settings(group=f"{config.topics.prefix}analytics", report_every_s=0.1)
    with running(analytics, settings, config):
        decided_all(config, an_order("A"), an_order("B", quantity=9), an_order("C", "burger"))
        soon(lambda: "Total orders                       3" in capsys.readouterr().out)
    snapshots = records_of(config.kafka, config.topics.analytics_snapshots_topic, PARTITIONS)
    assert any(snapshots.values()), "it has written nothing down"
    found = replay(config)
    assert found.verdict == "identical"
    assert found.metrics_of_analytics == found.metrics == summed(found.analytics.values())
    assert (found.metrics.successful, found.metrics.failed) == (2, 1)


# What cannot be replayed


def test_a_log_that_lost_its_beginning_cannot_be_replayed(config):
    decided_all(config, an_order("A"))
    with admin(config.kafka) as client:
        client.delete_records({TopicPartition(config.topics.orders_topic, PIZZA): 1})
    with pytest.raises(BeginningMissing, match="begins at offset 1"):
        replay(config)


def test_another_partition_count_than_the_topics_have_is_an_error(config):
    wrong = Config(
        kafka=config.kafka,
        broker=config.broker,
        topics=TopicsConfig(prefix=config.topics.prefix, partitions=PARTITIONS + 1),
    )
    with pytest.raises(PartitionCountMismatch):
        replay(wrong)
