"""The analytics role: counts what the journal says, and prints a report now and then and at the end.

It reads only `inventory-events`. Several instances share the partitions, and each reports on all of them;
while the broker is away it reports on its own partitions and says so.
"""

import logging
import time
from collections.abc import Mapping
from functools import partial
from threading import Event

from campus.analytics.metrics import OrderMetrics, summed
from campus.analytics.report import text_report
from campus.config.settings import Config, RoleSettings
from campus.config.stanza import Text, setting
from campus.processing.follower import Follower
from campus.processing.role_loop import KAFKA_ERRORS, LoopRole, open_clients, run_through_outages
from campus.processing.snapshots import Snapshots
from campus.supervision.registry import Registry
from campus.supervision.role import Heartbeat

NAME = "analytics"
START_ORDER = 10  # before inventory, so it stops after it: the final report includes the last decisions
FINISH_S = 2.0
# Nobody waits for a count, so fetches wait for many records. Waking up for each outcome took two fifths of
# the interpreter's time from those that clients wait for (all roles in one process, one client): 151 orders/s
# against 245 without it.
FETCH_BYTES_MIN = 64 * 1024
log = logging.getLogger(NAME)


class Settings(RoleSettings):
    """Counts orders, and prints a report."""

    group: Text = setting("analytics-service", "instances of one group share the partitions")
    report_every_s: float = setting(30.0, "time between two printed reports", ge=0.1, le=86_400)
    snapshot_every_entries: int = setting(
        20_000, "write the counts down after this many entries of a partition", ge=1
    )
    snapshot_every_s: float = setting(60.0, "write the counts down after this time, if entries came", ge=0.1)


def build(settings: Settings, config: Config, _registry: Registry) -> LoopRole:
    return LoopRole(config.kafka, partial(run, settings, config))


def run(settings: Settings, config: Config, stop: Event, heartbeat: Heartbeat) -> None:
    topics = config.topics
    report_due_at_s = time.monotonic() + settings.report_every_s
    with open_clients(
        config.kafka,
        role=NAME,
        topic=topics.journal_topic,
        group=settings.group,
        heartbeat=heartbeat,
        fetch_bytes_min=FETCH_BYTES_MIN,
    ) as clients:
        follower = Follower(
            topics,
            clients,
            snapshots=Snapshots(
                clients.writer,
                topics.analytics_snapshots_topic,
                every_events=settings.snapshot_every_entries,
                every_s=settings.snapshot_every_s,
            ),
            records_max=config.kafka.consumer.max_poll_records,
            log=log.info,
        )

        def report_if_due() -> None:
            nonlocal report_due_at_s
            if time.monotonic() >= report_due_at_s:
                report_due_at_s = time.monotonic() + settings.report_every_s
                print_report("report", follower.folds_of_all(), topics.partitions)

        run_through_outages(
            follower, stop, kafka=config.kafka, heartbeat=heartbeat, log=log, after_step=report_if_due
        )
        try:
            follower.finish(within_s=FINISH_S)
        except KAFKA_ERRORS as error:
            log.warning("the final report may lack the last entries: %s", error)
            folds = follower.folds()  # not those of other instances: to restore them takes too long now
        else:
            folds = follower.folds_of_all()
        print_report("final report", folds, topics.partitions)


def print_report(title: str, folds: Mapping[int, OrderMetrics], partitions_all: int) -> None:
    """To standard output: the report is the program's result, not a log line."""
    total = summed(folds.values())
    print(text_report(total, title=title, partitions=folds.keys(), partitions_all=partitions_all), flush=True)
