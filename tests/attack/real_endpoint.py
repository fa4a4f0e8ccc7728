"""As endpoint.py, but a whole campus on a real Kafka: its log is the topic, and it is audited."""

from pathlib import Path

from campus.domain.codec import decode_input
from campus.domain.events import OrderPlaced
from tests.api.serving import TOKEN
from tests.attack.endpoint import ORDERS_KEPT, TIMES_OUT_S, WAIT_MAX_S
from tests.attack.monitor import pid_of
from tests.attack.strict import OrderFields
from tests.support.kafka import OneKafka
from tests.support.ledgers import audited, records_of
from tests.support.processes import Campus

STOCK = dict.fromkeys(("pizza", "burger", "salad", "sandwich"), 1_000_000)
AUDITED_S = 600.0


class RealEndpoint:
    def __init__(self, folder: Path) -> None:
        self._kafka = OneKafka(folder / "kafka")
        self._kafka.start()
        settings = {
            "broker.mode": "external",
            "roles.inventory.stock": STOCK,
            "roles.producer.head_timeout_s": TIMES_OUT_S,
            "roles.producer.body_timeout_s": TIMES_OUT_S,
            "roles.producer.wait_max_s": WAIT_MAX_S,
            "roles.producer.token": TOKEN,
        }
        # Not Kafka's folder: every process with files in the campus folder must have ended at the end.
        campus_folder = folder / "campus"
        campus_folder.mkdir()
        self._campus = Campus(campus_folder, settings, bootstrap_servers=self._kafka.bootstrap_servers)
        self._decides = self._campus.start("--role", "inventory", "--role", "analytics")
        book = ("--role", "book", "--set", f"roles.book.orders_max={ORDERS_KEPT}")
        self._program = self._campus.start_up("--role", "producer", *book)
        self._decides.says("CampusKafka is up")
        self.port = self._campus.endpoint.port
        self.pid = pid_of(str(self._campus.file), "producer")

    @property
    def runs(self) -> bool:
        return self._program.runs

    def output(self) -> list[str]:
        return self._program.output.split("\n")

    def log(self) -> dict[str, OrderFields]:
        """The orders in the topic, after all are decided and audited."""
        config = self._campus.config
        audited(config, within_s=AUDITED_S)
        topics = config.topics
        found = {}
        for records in records_of(config.kafka, topics.orders_topic, topics.partitions).values():
            for event in (decode_input(record.value) for record in records):
                if isinstance(event, OrderPlaced):
                    found[event.order_id] = OrderFields(event.user_id, event.item, event.quantity)
        return found

    def close(self) -> int:
        self._program.stops()
        self._decides.stops()
        self._campus.close()
        self._kafka.stop()
        return 0
