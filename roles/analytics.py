"""The analytics role: counts what the journal says, and prints a report now and then and at the end.

It reads only `inventory-events`. Several instances share the partitions, and each reports on all of them;
while the broker is away it reports on its own partitions and says so.
"""

import logging
import time
from collections.abc import Mapping
from threading import Event

from campus.addresses import wait_for_listener
from campus.analytics.metrics import OrderMetrics, summed
from campus.analytics.report import text_report
from campus.config.settings import Config, RoleSettings
from campus.config.stanza import Text, setting
from campus.processing.follower import Follower
from campus.processing.restore import FoldFactory
from campus.processing.role_loop import KAFKA_ERRORS, Clients, open_clients, run_through_outages
from campus.processing.snapshots import Snapshots
from campus.supervision.registry import Registry
from campus.supervision.role import Health, Heartbeat

NAME = "analytics"
START_ORDER = 10  # before inventory, so it stops after it: the final report includes the last decisions
FINISH_S = 2.0
# Nobody waits for a count, so fetches wait for many records. Waking up for each outcome took two fifths of
# the interpreter's time from those that clients wait for (all roles in one process, one client): 151 orders/s
# against 245 without it.
FETCH_BYTES_MIN = 64 * 1024
FOLD_FACTORY = FoldFactory(lambda _: OrderMetrics(), lambda _, state: OrderMetrics.from_state(state))
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
        with open_clients(
            kafka,
            role=NAME,
            topic=self._config.topics.journal_topic,
            group=self._settings.group,
            heartbeat=self._heartbeat,
            fetch_bytes_min=FETCH_BYTES_MIN,
        ) as clients:
            follower = self._follower(clients)
            run_through_outages(
                follower,
                stop,
                kafka=kafka,
                heartbeat=self._heartbeat,
                log=log,
                after_step=lambda: self._report_if_due(follower),
            )
            self._finish(follower)

    def _follower(self, clients: Clients) -> Follower[OrderMetrics]:
        return Follower(
            FOLD_FACTORY,
            self._config.topics,
            clients,
            snapshots=Snapshots(
                clients.writer,
                self._config.topics.analytics_snapshots_topic,
                every_events=self._settings.snapshot_every_entries,
                every_s=self._settings.snapshot_every_s,
            ),
            records_max=self._config.kafka.consumer.max_poll_records,
            log=log.info,
        )

    def _finish(self, follower: Follower[OrderMetrics]) -> None:
        try:
            follower.finish(within_s=FINISH_S)
        except KAFKA_ERRORS as error:
            log.warning("the final report may lack the last entries: %s", error)
            # Not those of other instances: to restore them takes too long now.
            self._print("final report", follower.folds())
        else:
            self._print("final report", follower.folds_of_all())

    def _report_if_due(self, follower: Follower[OrderMetrics]) -> None:
        if time.monotonic() >= self._report_due_at:
            self._report_due_at = time.monotonic() + self._settings.report_every_s
            self._print("report", follower.folds_of_all())

    def _print(self, title: str, folds: Mapping[int, OrderMetrics]) -> None:
        """To standard output: the report is the program's result, not a log line."""
        partitions_all = self._config.topics.partitions
        total = summed(folds.values())
        print(
            text_report(total, title=title, partitions=folds.keys(), partitions_all=partitions_all),
            flush=True,
        )


def build(settings: Settings, config: Config, _registry: Registry) -> Analytics:
    return Analytics(settings, config)
