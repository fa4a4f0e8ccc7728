"""Offsets moved by our command and by other tools on a real Kafka, and how the roles react."""

from argparse import ArgumentParser
from contextlib import closing

import pytest
from kafka import OffsetAndMetadata

from campus.commands import Context, reset
from campus.config.settings import BrokerConfig, Config, TopicsConfig
from campus.domain.codec import keyed_record
from campus.domain.partitions import item_partition
from campus.kafka.clients import admin
from campus.kafka.consumer_groups import (
    GroupActive,
    UnknownGroup,
    describe_group,
    move_offsets,
    with_retries,
)
from campus.kafka.group_consumer import COMMIT_METADATA, GroupConsumer
from campus.kafka.producer.writer import Writer
from campus.kafka.records import TopicPartition
from campus.startup.topics import ensure_topics
from campus.supervision.registry import Registry
from roles import analytics, inventory
from tests.builders import PARTITIONS, an_order
from tests.support.customers import order
from tests.support.kafka import kafka_tool
from tests.support.ledgers import audited, records_of
from tests.support.processes import soon
from tests.support.running import role_running

ROLES = {"inventory": inventory, "analytics": analytics}
ITEMS = ("pizza", "burger", "salad", "sandwich")
STOCK = dict.fromkeys(ITEMS, 20)
PIZZA = item_partition("pizza", PARTITIONS)


@pytest.fixture
def config(kafka, unique_prefix):
    config = Config(
        kafka=kafka.kafka,
        broker=BrokerConfig(mode="external"),
        topics=TopicsConfig(prefix=unique_prefix, partitions=PARTITIONS),
        roles={
            "inventory": inventory.Settings(stock=STOCK, group=f"{unique_prefix}inventory"),
            "analytics": analytics.Settings(group=f"{unique_prefix}analytics"),
        },
    )
    ensure_topics(config.kafka, config.topics, STOCK)
    return config


@pytest.fixture
def worked(config):
    """A stopped system in which 3 orders of each item were placed, decided, counted and saved in
    snapshots."""
    orders(config, 3)
    with running(config, "inventory"), running(config, "analytics"):
        caught_up(config, "inventory")
        caught_up(config, "analytics")
    return config


def orders(config, of_each, first=0):
    with closing(Writer(config.kafka, client_id="test")) as writer:
        for item in ITEMS:
            tp = TopicPartition(config.topics.orders_topic, item_partition(item, PARTITIONS))
            placed = [an_order(f"{item}-{n}", item=item) for n in range(first, first + of_each)]
            writer.append({tp: list(map(keyed_record, placed))})


def running(config, name):
    return role_running(ROLES[name].build(config.roles[name], config, Registry()))


def topic_of(config, name):
    return config.topics.orders_topic if name == "inventory" else config.topics.journal_topic


def committed(config, name):
    """Per partition the offset, and the metadata with it."""
    group = config.roles[name].group
    # With retries: on a new broker, the first request creates the topic of the offsets.
    commits = with_retries(lambda client: client.list_group_offsets({group: None})[group], config.kafka)
    return {at.partition: (one.offset, one.metadata) for at, one in commits.items()}


def ends(config, name):
    return {
        p: len(records) for p, records in records_of(config.kafka, topic_of(config, name), PARTITIONS).items()
    }


def caught_up(config, name):
    """Wait until the role has committed the end of every partition itself."""

    def has_committed():
        commits = committed(config, name)
        log = ends(config, name)
        return {p: offset for p, (offset, _) in commits.items()} == log and all(
            metadata.startswith(COMMIT_METADATA) for _, metadata in commits.values()
        )

    soon(has_committed)


def started_again(config, name, caplog):
    """What the role logs until it has committed again itself."""
    caplog.clear()
    with caplog.at_level("INFO"), running(config, name):
        caught_up(config, name)
    return [record.message for record in caplog.records if record.name == name]


def final_report(config, capsys):
    """The final report of an analytics that starts and stops."""
    capsys.readouterr()
    with running(config, "analytics"):
        caught_up(config, "analytics")
    return capsys.readouterr().out.partition("final report")[2]


def resets(config, group, *words):
    parser = ArgumentParser()
    reset.add_arguments(parser)
    context = Context(config=config, system=lambda: pytest.fail("no system is needed"))
    return reset.run(parser.parse_args(["--group", group, *words]), context)


def by_our_command(kafka, config, group):
    assert resets(config, group, "--to", "earliest") == 0


def by_kafkas_own(kafka, config, group):
    words = ("--reset-offsets", "--to-earliest", "--all-topics", "--execute")
    kafka_tool(kafka, "consumer.group.ConsumerGroupCommand", "--group", group, *words)


def by_a_tool_that_keeps_the_metadata(kafka, config, group):
    with admin(config.kafka) as client:
        tps = client.list_group_offsets({group: None})[group]
        client.reset_group_offsets(group, dict.fromkeys(tps, 0))
        kept = client.list_group_offsets({group: None})[group].values()
    assert {(one.offset, one.metadata[: len(COMMIT_METADATA)]) for one in kept} == {(0, COMMIT_METADATA)}


EACH_TOOL = pytest.mark.parametrize(
    "moved_back",
    [by_our_command, by_kafkas_own, pytest.param(by_a_tool_that_keeps_the_metadata, marks=pytest.mark.long)],
)

# How the roles react


@EACH_TOOL
def test_analytics_whose_offsets_moved_back_logs_it_counts_again_and_reports_the_same(
    kafka, worked, caplog, capsys, moved_back
):
    before = final_report(worked, capsys)
    assert "Successful                        12" in before
    moved_back(kafka, worked, worked.roles["analytics"].group)
    said = started_again(worked, "analytics", caplog)
    assert said[0].startswith("offsets moved back by hand, partition 0 to 0, partition 1 to 0")
    assert said[1].endswith("the same state as before")
    assert final_report(worked, capsys) == before


@EACH_TOOL
def test_inventory_whose_offsets_moved_back_logs_it_rebuilds_and_decides_nothing_twice(
    kafka, worked, caplog, moved_back
):
    before = audited(worked).summed_totals()
    moved_back(kafka, worked, worked.roles["inventory"].group)
    said = started_again(worked, "inventory", caplog)
    assert said[0].startswith("offsets moved back by hand, ")
    assert said[1].endswith("the same state as before")
    assert audited(worked).summed_totals() == before
    orders(worked, 18, first=100)  # 17 are left of each
    with running(worked, "inventory"):
        caught_up(worked, "inventory")
    totals = audited(worked).summed_totals()
    assert (totals.reserved, totals.failed) == (20 * len(ITEMS), {"insufficient_stock": len(ITEMS)})


def test_offsets_moved_back_are_handled_once(kafka, worked, caplog):
    by_our_command(kafka, worked, worked.roles["inventory"].group)
    assert "rebuilding" in started_again(worked, "inventory", caplog)[0]
    caplog.clear()
    with caplog.at_level("INFO"), running(worked, "inventory"):
        soon(lambda: "claimed partitions" in caplog.text)
    assert "by hand" not in caplog.text


@pytest.mark.parametrize("name", ["inventory", "analytics"])
def test_offsets_moved_forward_skip_no_record(worked, caplog, name):
    orders(worked, 2, first=100)
    if name == "analytics":
        with running(worked, "inventory"):
            caught_up(worked, "inventory")
    assert resets(worked, worked.roles[name].group, "--to", "latest") == 0
    said = started_again(worked, name, caplog)
    assert said[0].startswith("offsets moved forward by hand, ")
    assert said[0].endswith("no record is skipped, it goes on from its state")
    assert audited(worked).summed_totals().reserved == 20


@pytest.mark.parametrize("name", ["inventory", "analytics"])
def test_an_offset_beyond_the_log_does_not_stop_a_role(worked, caplog, name):
    commits = {
        TopicPartition(topic_of(worked, name), partition): OffsetAndMetadata(10_000, "", -1)
        for partition in range(PARTITIONS)
    }
    with admin(worked.kafka) as client:
        client.alter_group_offsets(worked.roles[name].group, commits)
    assert "no record is skipped" in started_again(worked, name, caplog)[0]


# The command


def test_an_active_group_is_an_error_that_names_its_members_and_moves_nothing(worked, capsys):
    group = worked.roles["analytics"].group
    with running(worked, "analytics"):
        soon(
            lambda: with_retries(lambda client: describe_group(client, group), worked.kafka).state == "Stable"
        )
        before = committed(worked, "analytics")
        with pytest.raises(GroupActive, match=r"is active: analytics at 127\.0\.0\.1\.") as refused:
            resets(worked, group, "--to", "earliest")
        assert committed(worked, "analytics") == before
    assert refused.value.exit_code == 1


def test_a_member_that_joins_at_the_last_moment_stops_the_move(worked):
    with admin(worked.kafka) as client:
        group = describe_group(client, worked.roles["analytics"].group)
        plan = reset.plan_moves(client, group, group.partitions, reset.parse_target("earliest"))
        reader = GroupConsumer(
            worked.kafka, topic=worked.topics.journal_topic, group=group.name, client_id="late"
        )
        with closing(reader):
            soon(lambda: bool(reader.poll(timeout_s=0.1, records_max=1).assigned), every_s=0)
            with pytest.raises(GroupActive, match="late at"):
                move_offsets(client, group, plan)


def test_a_dry_run_shows_what_would_change_and_changes_nothing(worked, capsys):
    before = committed(worked, "analytics")
    assert resets(worked, worked.roles["analytics"].group, "--to", "earliest", "--dry-run") == 0
    assert committed(worked, "analytics") == before
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{worked.roles['analytics'].group} (Empty), to earliest:"
    assert lines[2 + PIZZA].split() == [worked.topics.journal_topic, str(PIZZA), str(before[PIZZA][0]), "0"]
    assert lines[-1] == f"{PARTITIONS} partitions would be moved; nothing was changed"


def moved_to(config, to, *words):
    assert resets(config, config.roles["inventory"].group, "--to", to, *words) == 0
    return committed(config, "inventory")[PIZZA]


def test_it_moves_to_an_offset_or_back_by_a_count_without_our_metadata(worked):
    assert moved_to(worked, "2") == (2, "")
    end = ends(worked, "inventory")[PIZZA]
    assert moved_to(worked, "latest") == (end, "")
    assert moved_to(worked, "-3") == (end - 3, "")


def test_it_moves_to_the_first_record_from_a_time_on(worked):
    records = records_of(worked.kafka, worked.topics.orders_topic, PARTITIONS)[PIZZA]
    opening, first = records[0], records[1]
    assert opening.timestamp < first.timestamp
    assert moved_to(worked, str(first.timestamp)) == (first.offset, "")
    assert moved_to(worked, "2001-01-01T00:00:00Z") == (0, "")
    assert moved_to(worked, "2101-01-01") == (len(records), "")


def test_an_offset_outside_the_log_is_clamped_and_reported(worked, capsys):
    with admin(worked.kafka) as client:
        client.delete_records({TopicPartition(worked.topics.orders_topic, PIZZA): 2})
    end = ends(worked, "inventory")[PIZZA] + 2
    assert moved_to(worked, "5000")[0] == end
    assert "the log does not have 5,000" in capsys.readouterr().out
    assert moved_to(worked, "1") == (2, "")
    assert "the log does not have 1\n" in capsys.readouterr().out


def test_nothing_to_move_is_an_error(worked):
    with pytest.raises(UnknownGroup, match=worked.roles["analytics"].group):
        resets(worked, "nobody", "--to", "earliest")
    for topic in ("nowhere", worked.topics.orders_topic):
        with pytest.raises(
            reset.NothingToMove, match=f"reads {worked.topics.journal_topic}: offsets on '{topic}'"
        ):
            resets(worked, worked.roles["analytics"].group, "--to", "earliest", "--topic", topic)


def test_a_wrong_target_is_a_command_line_error(worked, capsys):
    with pytest.raises(SystemExit) as ended:
        resets(worked, "any", "--to", "soon")
    assert ended.value.code == 2
    assert "'soon' is none of: earliest, latest, an offset" in capsys.readouterr().err


# The whole program


def test_the_replay_demonstration(campus):
    here = campus()
    program = here.start_up("--all")
    for item in ITEMS:
        assert order(here.endpoint, item).status == 202
    refused = here.run("reset", "--group", here.config.roles["analytics"].group, "--to", "earliest")
    assert refused.returncode == 1
    assert "is active: analytics at 127.0.0.1" in refused.stderr
    audited(here.config)
    program.stops()
    before = program.output.partition("final report")[2]
    for role in ROLES:
        done = here.run("reset", "--group", here.config.roles[role].group, "--to", "earliest")
        assert done.returncode == 0, done.stderr
    again = here.start_up("--all")
    for role in ROLES:
        again.says(f" {role} .*offsets moved back by hand")
        again.says(f" {role} .*rebuilt partitions .*: the same state as before")
    again.stops()
    assert again.output.partition("final report")[2] == before
    assert here.run("audit").returncode == 0
