"""The lag of consumer groups on a real Kafka: the figures of its own command, and what is judged of them."""

import json
import re
from contextlib import closing

import pytest
from kafka import OffsetAndMetadata

from campus.commands.lag import as_json, as_text
from campus.domain.codec import encode
from campus.groups.lag import LagWatch
from campus.kafka.clients import admin
from campus.kafka.consumer_groups import UnknownGroup, log_bounds, partitions_of, patiently
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
    """Somebody's, on a topic of its own; committed for by hand, and looked at by a clock moved by hand."""

    def __init__(self, kafka, name):
        self.kafka, self.name, self.clock_s = kafka.kafka, name, 0.0
        self.watch = LagWatch({}, only=name, clock=lambda: self.clock_s)

    def writes(self, count, partition=0):
        with closing(Writer(self.kafka, client_id="test")) as writer:
            writer.append({TopicPartition(self.name, partition): [(None, encode(an_order("A")), ())] * count})

    def commits(self, offset, partition=0):
        commit = {TopicPartition(self.name, partition): OffsetAndMetadata(offset, "", -1)}
        patiently(lambda client: client.alter_group_offsets(self.name, commit), self.kafka)

    def joined(self, client_id):
        """A member that holds everything, and commits nothing."""
        reader = GroupConsumer(self.kafka, topic=self.name, group=self.name, client_id=client_id)
        soon(lambda: len(reader.poll(timeout_s=0.1, records_max=1).assigned) == PARTITIONS, every_s=0)
        return reader

    def looks(self):
        self.clock_s += 1
        return {row.partition: row for row in patiently(self.watch.look, self.kafka)}


@pytest.fixture
def group(kafka, unique_prefix):
    made = AGroup(kafka, unique_prefix + "group")
    with admin(made.kafka) as client:
        client.create_topics({made.name: {"num_partitions": PARTITIONS, "replication_factor": 1}})
        client.wait_for_topics([made.name])
        # Answered by who leads them, so from now on the broker knows that it does.
        log_bounds(client, partitions_of(client, made.name))
    return made


def told_by_kafka(kafka, group):
    """What its own command says, by topic and partition: committed, end and lag."""
    told = {}
    for line in kafka_tool(
        kafka, "consumer.group.ConsumerGroupCommand", "--describe", "--group", group
    ).splitlines():
        name, *cells = line.split() or [""]
        if name == group:
            topic, partition, *figures = cells[:5]
            told[topic, int(partition)] = tuple(None if cell == "-" else int(cell) for cell in figures)
    return told


def figures_of(rows):
    return {(row["topic"], row["partition"]): (row["committed"], row["end"], row["lag"]) for row in rows}


# Figures


def test_the_figures_are_those_of_kafkas_own_command(kafka, campus):
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
        assert ours == told_by_kafka(kafka, name)
        assert len(ours) == here.config.topics.partitions
    waiting = [row for row in rows if row["topic"] == here.config.topics.orders_topic and row["lag"]]
    assert sum(row["lag"] for row in waiting) == 4
    assert {row["verdict"] for row in waiting} == {"STOP"}


def test_a_member_that_has_not_committed_everywhere_has_the_rest_of_the_log_before_it(kafka, group):
    group.writes(5, partition=0)
    group.writes(7, partition=1)
    group.commits(2, partition=0)
    group.commits(0, partition=2)
    with closing(group.joined("somebody")):
        rows = group.looks()
        of_kafka = told_by_kafka(kafka, group.name)
    assert {p: (row.committed, row.end, row.lag) for p, row in rows.items()} == {
        0: (2, 5, 3),
        1: (None, 7, 7),
        2: (0, 0, 0),
    }
    assert of_kafka[group.name, 0] == (2, 5, 3)
    assert of_kafka[group.name, 1] == (None, 7, None)  # it counts no lag there; what is unread is lag for us
    assert {(row.client_id, row.host, row.state) for row in rows.values()} == {
        ("somebody", "127.0.0.1", "Stable")
    }


def test_only_the_partitions_that_a_group_has_to_do_with_are_its_own(group):
    group.writes(5, partition=1)
    group.commits(1, partition=1)
    assert group.looks().keys() == {1}


def test_of_a_log_that_was_trimmed_the_lag_is_from_the_commit_on(group):
    group.writes(10)
    group.commits(2)
    with admin(group.kafka) as client:
        client.delete_records({TopicPartition(group.name, 0): 6})
    row = group.looks()[0]
    assert (row.start, row.committed, row.end, row.lag) == (6, 2, 10, 8)


def test_a_group_whose_topic_is_gone_has_no_lag_on_it(group):
    group.commits(0)
    with admin(group.kafka) as client:
        client.delete_topics([group.name])
    soon(lambda: group.looks() == {})


def test_a_group_of_ours_that_never_ran_has_its_whole_topic_before_it(kafka, group):
    group.writes(4)
    watch = LagWatch({group.name: group.name})
    rows = [row for row in patiently(watch.look, kafka.kafka) if row.group == group.name]
    assert [(row.committed, row.lag, row.state) for row in rows] == [
        (None, 4, "Dead"),
        (None, 0, "Dead"),
        (None, 0, "Dead"),
    ]


def test_a_group_that_is_not_there_is_an_error_that_names_those_that_are(kafka, group):
    group.commits(0)
    with pytest.raises(UnknownGroup, match=group.name) as unknown:
        patiently(LagWatch({}, only="nobody").look, kafka.kafka)
    assert unknown.value.exit_code == 1


# Verdicts and rates


def test_rates_and_time_to_drain_are_of_what_was_seen(group):
    group.writes(10)
    group.commits(0)
    group.looks()
    group.writes(10)
    group.commits(15)
    row = group.looks()[0]
    assert (row.rate_in, row.rate_out, row.time_to_drain_s, row.verdict) == (10.0, 15.0, 1.0, "OK")


def test_a_group_that_reads_too_slowly_is_warned_of(group):
    for committed in (0, 1, 2):
        group.writes(5)
        group.commits(committed)
        row = group.looks()[0]
    assert (row.lag, row.verdict, row.time_to_drain_s) == (13, "WARN", None)


def test_who_holds_a_partition_and_does_not_move_is_stalled_and_after_it_left_stopped(group):
    group.writes(5)
    group.commits(1)
    with closing(group.joined("idle")):
        group.looks()
        stalled = group.looks()[0]
    assert (stalled.verdict, stalled.client_id) == ("STALL", "idle")
    stopped = group.looks()[0]
    assert (stopped.verdict, stopped.client_id, stopped.state) == ("STOP", None, "Empty")


def test_an_offset_that_was_moved_back_is_a_rewind_until_the_window_has_passed_it(group):
    group.writes(5)
    group.commits(5)
    group.looks()
    group.commits(0)
    assert group.looks()[0].verdict == "REWIND"
    for _ in range(20):
        row = group.looks()[0]
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


def test_a_watch_goes_on_until_ctrl_c(campus, group):
    group.writes(3)
    group.commits(1)
    program = campus().start("lag", "--watch", "--interval", "0.1", "--group", group.name)
    line = rf"{group.name} +{group.name} +0 +0 +1 +3 +2 +0\.0 +0\.0 +never +STOP +nobody \(Empty\)\n"
    program.says(f"(?s)({line}.*){{3}}")
    program.stops()


def test_text_and_json_say_the_same(group):
    group.writes(3)
    group.commits(1)
    group.looks()
    rows = list(group.looks().values())
    (told,) = json.loads(as_json(rows))
    assert (told["lag"], told["rate_out"], told["time_to_drain_s"]) == (2, 0.0, None)
    header, line = as_text(rows).splitlines()
    assert re.split(" {2,}", header)[:3] == ["group", "topic", "p"]
    assert line.endswith("never  STOP     nobody (Empty)")
