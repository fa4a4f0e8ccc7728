"""Analytics: adds the journal up and reports, now and then and at the end.

It reads `inventory-events` alone. Several instances share the partitions out, and each reports on the
whole; without a broker it reports on its own partitions, and says so.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import closing
from threading import Event

from campus.addresses import wait_for_listener
from campus.analytics.metrics import OrderMetrics, summed
from campus.analytics.report import text_report
from campus.config.settings import Config, RoleSettings
from campus.config.stanza import Text, setting
from campus.kafka.clients import BrokerAway
from campus.kafka.group_consumer import Fenced, GroupConsumer
from campus.kafka.log_reader import LogReader
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.producer.writer import Writer
from campus.processing.follower import Follower
from campus.processing.outage import run_through_outages
from campus.processing.restore import Folds
from campus.processing.snapshots import Snapshots
from campus.supervision.registry import Registry
from campus.supervision.role import Health, Heartbeat

NAME = "analytics"
START_ORDER = 10  # before inventory, so that it stops after it: the final report has what was decided last
FINISH_S = 2.0
# Nobody waits for a count. To be woken by each outcome alone took two fifths of the interpreter's time, with
# all roles in one process and one customer, from those who are waited for: 151 orders/s, and 245 without it.
FETCH_BYTES_MIN = 64 * 1024
FOLDS = Folds(lambda _: OrderMetrics(), lambda _, state: OrderMetrics.from_state(state))
log = logging.getLogger(NAME)


class Settings(RoleSettings):
    """Counts orders, and prints a report."""

    group: Text = setting("analytics-service", "instances of one group share the partitions")
    report_every_s: float = setting(30.0, "time between two printed reports", ge=0.1, le=86_400)
    snapshot_every_entries: int = setting(
        20_000, "write the counts down after this many entries of a partition", ge=1
    )
    snapshot_every_s: float = setting(60.0, "write the counts down after this time, if entries came", ge=0.1)


class Analytics:
    def __init__(self, settings: Settings, config: Config) -> None:
        self._settings, self._config = settings, config
        self._heartbeat = Heartbeat()
        self._report_due_at = time.monotonic() + settings.report_every_s

    def health(self) -> Health:
        return self._heartbeat.health()

    def run(self, stop: Event) -> None:
        kafka = self._config.kafka
        if not wait_for_listener(kafka.addresses, stop, heartbeat=self._heartbeat.renew):
            return
        with (
            closing(Writer(kafka, client_id=NAME)) as writer,
            closing(LogReader(kafka, client_id=NAME, heartbeat=self._heartbeat.renew)) as history,
            closing(self._joined()) as group,
        ):
            follower = Follower(
                FOLDS,
                self._config.topics,
                group=group,
                history=history,
                snapshots=self._snapshots(writer),
                records_max=kafka.consumer.max_poll_records,
                log=log.info,
            )
            self._heartbeat.now("running", ready=True)
            run_through_outages(
                follower,
                stop,
                kafka=kafka,
                heartbeat=self._heartbeat,
                log=log,
                after_step=lambda: self._report_if_due(follower),
            )
            self._finish(follower)

    def _snapshots(self, writer: Writer) -> Snapshots:
        return Snapshots(
            writer,
            self._config.topics.analytics_snapshots_topic,
            every_events=self._settings.snapshot_every_entries,
            every_s=self._settings.snapshot_every_s,
            clock=time.monotonic,
        )

    def _joined(self) -> GroupConsumer:
        return GroupConsumer(
            self._config.kafka,
            topic=self._config.topics.journal_topic,
            group=self._settings.group,
            client_id=NAME,
            fetch_bytes_min=FETCH_BYTES_MIN,
        )

    def _finish(self, follower: Follower[OrderMetrics]) -> None:
        title = "final report"
        try:
            follower.finish(within_s=FINISH_S)
        except (AppendFailed, BrokerAway, Fenced) as away:
            log.warning("the final report may lack what came last: %s", away)
            self._print(follower.folds(), title)  # to ask for the others' would take longer than there is
        else:
            self._print_report(follower, title)

    def _report_if_due(self, follower: Follower[OrderMetrics]) -> None:
        if time.monotonic() >= self._report_due_at:
            self._report_due_at = time.monotonic() + self._settings.report_every_s
            self._print_report(follower, "report")

    def _print_report(self, follower: Follower[OrderMetrics], title: str) -> None:
        try:
            folds = follower.folds_of_all()
        except BrokerAway:
            folds = follower.folds()
        self._print(folds, title)

    def _print(self, folds: Mapping[int, OrderMetrics], title: str) -> None:
        """On standard output: it is what the program is run for, not a line of its log."""
        print(
            text_report(
                summed(folds.values()),
                title=title,
                partitions=folds.keys(),
                partitions_all=self._config.topics.partitions,
            ),
            flush=True,
        )


def build(settings: Settings, config: Config, _registry: Registry) -> Analytics:
    return Analytics(settings, config)
