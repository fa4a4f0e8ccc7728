"""The lag of consumer groups on a real Kafka: the same figures as Kafka's own command, and verdicts."""

import json
import re
from contextlib import closing

import pytest
from kafka import OffsetAndMetadata

from campus.commands.lag import as_json, as_text
from campus.domain.codec import encode
from campus.groups.lag import LagMonitor
from campus.kafka.clients import admin
from campus.kafka.consumer_groups import UnknownGroup, log_bounds, partitions_of, with_retries
from campus.kafka.group_consumer import GroupConsumer
from campus.kafka.producer.writer import Writer
from campus.kafka.records import TopicPartition
from tests.builders import an_order
from tests.support.customers import order
from tests.support.kafka import kafka_tool
from tests.support.processes import run, soon

PARTITIONS = 3
JSON_NAMES = (
    "group",
    "topic",
    "partition",
    "start",
    "committed",
    "end",
    "lag",
    "rate_in",
    "rate_out",
    "time_to_drain_s",
    "verdict",
)


class AGroup:
    """A group with a topic of its own, whose commits and whose clock the test moves."""

    def __init__(self, kafka, name):
        self.kafka, self.name, self.clock_s = kafka.kafka, name, 0.0
        self.monitor = LagMonitor({}, only=name, clock=lambda: self.clock_s)

    def writes(self, count, partition=0):
        with closing(Writer(self.kafka, client_id="test")) as writer:
            writer.append({TopicPartition(self.name, partition): [(None, encode(an_order("A")), ())] * count})

    def commits(self, offset, partition=0):
        commit = {TopicPartition(self.name, partition): OffsetAndMetadata(offset, "", -1)}
        with_retries(lambda client: client.alter_group_offsets(self.name, commit), self.kafka)

    def joined(self, client_id):
        """A member that is assigned every partition and commits nothing."""
        reader = GroupConsumer(self.kafka, topic=self.name, group=self.name, client_id=client_id)
        soon(lambda: len(reader.poll(timeout_s=0.1, records_max=1).assigned) == PARTITIONS, every_s=0)
        return reader

    def samples(self):
        self.clock_s += 1
        return {row.partition: row for row in with_retries(self.monitor.sample, self.kafka)}


@pytest.fixture
def group(kafka, unique_prefix):
    made = AGroup(kafka, unique_prefix + "group")
    with admin(made.kafka) as client:
        client.create_topics({made.name: {"num_partitions": PARTITIONS, "replication_factor": 1}})
        client.wait_for_topics([made.name])
        # Only leaders answer this, so from now on every partition has one.
        log_bounds(client, partitions_of(client, made.name))
    return made


def kafkas_own_figures(kafka, group):
    """Committed offset, end and lag by topic and partition, as kafka-consumer-groups prints them."""
    rows = {}
    for line in kafka_tool(
        kafka, "consumer.group.ConsumerGroupCommand", "--describe", "--group", group
    ).splitlines():
        name, *cells = line.split() or [""]
        if name == group:
            topic, partition, *figures = cells[:5]
            rows[topic, int(partition)] = tuple(None if cell == "-" else int(cell) for cell in figures)
    return rows


def figures_of(rows):
    return {(row["topic"], row["partition"]): (row["committed"], row["end"], row["lag"]) for row in rows}


# Figures


def test_the_figures_equal_those_of_kafkas_own_command(kafka, campus):
    here = campus({"roles.inventory.stock": {"pizza": 9, "burger": 9, "salad": 9}})
    everything = here.start_up("--all")
    for item in ("pizza", "burger", "salad"):
        order(here.endpoint, item)
    everything.says("claimed partitions")
    everything.stops()
    only_orders = here.start_up("--role", "producer")
    for item in ("pizza", "burger", "salad", "pizza"):
        assert order(here.endpoint, item).status == 202
    only_orders.stops()
    done = here.run("lag", "--json", "--samples", "2", "--interval", "0.2")
    assert done.returncode == 0, done.stderr
    rows = [row for row in json.loads(done.stdout) if row["group"].startswith(here.config.topics.prefix)]
    assert all(tuple(row)[: len(JSON_NAMES)] == JSON_NAMES for row in rows)
    for role in ("inventory", "analytics"):
        name = here.config.roles[role].group
        ours = figures_of(row for row in rows if row["group"] == name)
        assert ours == kafkas_own_figures(kafka, name)
        assert len(ours) == here.config.topics.partitions
    waiting = [row for row in rows if row["topic"] == here.config.topics.orders_topic and row["lag"]]
    assert sum(row["lag"] for row in waiting) == 4
    assert {row["verdict"] for row in waiting} == {"STOP"}


def test_a_partition_without_a_commit_lags_by_its_whole_log(kafka, group):
    group.writes(5, partition=0)
    group.writes(7, partition=1)
    group.commits(2, partition=0)
    group.commits(0, partition=2)
    with closing(group.joined("somebody")):
        rows = group.samples()
        of_kafka = kafkas_own_figures(kafka, group.name)
    assert {p: (row.committed, row.end, row.lag) for p, row in rows.items()} == {
        0: (2, 5, 3),
        1: (None, 7, 7),
        2: (0, 0, 0),
    }
    assert of_kafka[group.name, 0] == (2, 5, 3)
    assert of_kafka[group.name, 1] == (None, 7, None)  # Kafka shows no lag there; we count what is unread
    assert {(row.client_id, row.host, row.state) for row in rows.values()} == {
        ("somebody", "127.0.0.1", "Stable")
    }


def test_only_partitions_with_a_commit_or_a_member_are_listed(group):
    group.writes(5, partition=1)
    group.commits(1, partition=1)
    assert group.samples().keys() == {1}


def test_the_lag_on_a_trimmed_log_counts_from_the_commit(group):
    group.writes(10)
    group.commits(2)
    with admin(group.kafka) as client:
        client.delete_records({TopicPartition(group.name, 0): 6})
    row = group.samples()[0]
    assert (row.start, row.committed, row.end, row.lag) == (6, 2, 10, 8)


def test_a_deleted_topic_has_no_lag(group):
    group.commits(0)
    with admin(group.kafka) as client:
        client.delete_topics([group.name])
    soon(lambda: group.samples() == {})


def test_a_group_of_ours_that_never_ran_lags_by_its_whole_topic(kafka, group):
    group.writes(4)
    monitor = LagMonitor({group.name: group.name})
    rows = [row for row in with_retries(monitor.sample, kafka.kafka) if row.group == group.name]
    assert [(row.committed, row.lag, row.state) for row in rows] == [
        (None, 4, "Dead"),
        (None, 0, "Dead"),
        (None, 0, "Dead"),
    ]


def test_an_unknown_group_is_an_error_that_names_the_known_ones(kafka, group):
    group.commits(0)
    with pytest.raises(UnknownGroup, match=group.name) as unknown:
        with_retries(LagMonitor({}, only="nobody").sample, kafka.kafka)
    assert unknown.value.exit_code == 1


# Verdicts and rates


def test_rates_and_time_to_drain_come_from_the_samples(group):
    group.writes(10)
    group.commits(0)
    group.samples()
    group.writes(10)
    group.commits(15)
    row = group.samples()[0]
    assert (row.rate_in, row.rate_out, row.time_to_drain_s, row.verdict) == (10.0, 15.0, 1.0, "OK")


def test_a_group_that_reads_too_slowly_is_a_warning(group):
    for committed in (0, 1, 2):
        group.writes(5)
        group.commits(committed)
        row = group.samples()[0]
    assert (row.lag, row.verdict, row.time_to_drain_s) == (13, "WARN", None)


def test_a_member_that_does_not_commit_is_stalled_and_after_it_left_stopped(group):
    group.writes(5)
    group.commits(1)
    with closing(group.joined("idle")):
        group.samples()
        stalled = group.samples()[0]
    assert (stalled.verdict, stalled.client_id) == ("STALL", "idle")
    stopped = group.samples()[0]
    assert (stopped.verdict, stopped.client_id, stopped.state) == ("STOP", None, "Empty")


def test_an_offset_moved_back_is_a_rewind_until_the_window_has_passed_it(group):
    group.writes(5)
    group.commits(5)
    group.samples()
    group.commits(0)
    assert group.samples()[0].verdict == "REWIND"
    for _ in range(20):
        row = group.samples()[0]
    assert row.verdict == "STOP"


# The command


@pytest.mark.long
def test_without_a_broker_it_exits_with_3():
    done = run("lag", "--set", "broker.mode=external", "--set", "kafka.bootstrap_servers=127.0.0.1:1")
    assert done.returncode == 3, done.stderr


def test_an_unknown_group_exits_with_1(campus):
    done = campus().run("lag", "--group", "nobody")
    assert done.returncode == 1
    assert done.stderr.startswith("campuskafka: there is no group 'nobody' on this broker. It has: ")


def test_watch_runs_until_ctrl_c(campus, group):
    group.writes(3)
    group.commits(1)
    program = campus().start("lag", "--watch", "--interval", "0.1", "--group", group.name)
    line = rf"{group.name} +{group.name} +0 +0 +1 +3 +2 +0\.0 +0\.0 +never +STOP +nobody \(Empty\)\n"
    program.says(f"(?s)({line}.*){{3}}")
    program.stops()


def test_text_and_json_show_the_same_figures(group):
    group.writes(3)
    group.commits(1)
    group.samples()
    rows = list(group.samples().values())
    (figures,) = json.loads(as_json(rows))
    assert (figures["lag"], figures["rate_out"], figures["time_to_drain_s"]) == (2, 0.0, None)
    header, line = as_text(rows).splitlines()
    assert re.split(" {2,}", header)[:3] == ["group", "topic", "p"]
    assert line.endswith("never  STOP     nobody (Empty)")
