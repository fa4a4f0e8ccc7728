"""The Kafka of docker-compose.kafka.yml is the embedded one, in a container: same version, same address."""

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from campus.addresses import Address
from campus.broker.jars import KAFKA_VERSION
from campus.broker.server_settings import broker_settings
from campus.config.settings import KafkaConfig

FILE = Path(__file__).parents[2] / "docker-compose.kafka.yml"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded = yaml.safe_load(FILE.read_text("utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.fixture(scope="module")
def service(compose: dict[str, Any]) -> Any:
    assert list(compose["services"]) == ["kafka"]
    return compose["services"]["kafka"]


@pytest.fixture(scope="module")
def settings(service: Any) -> dict[str, str]:
    """Kafka's settings as the image reads them out of the environment."""
    return {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in service["environment"].items()
        if name.startswith("KAFKA_")
    }


def listeners(text: str) -> dict[str, str]:
    return dict(part.split("://") for part in text.split(","))


def test_it_is_the_version_of_the_embedded_kafka(service: Any) -> None:
    assert service["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_the_host_finds_it_where_the_program_looks_by_itself(service: Any, settings: dict[str, str]) -> None:
    default = KafkaConfig().bootstrap_servers
    assert service["ports"] == [f"{default}:9092"]
    assert listeners(settings["advertised.listeners"])["HOST"] == default
    assert listeners(settings["listeners"])["HOST"] == ":9092"


def test_other_containers_find_it_by_its_name(service: Any, settings: dict[str, str]) -> None:
    assert listeners(settings["advertised.listeners"])["INSIDE"] == f"{service['hostname']}:29092"
    assert listeners(settings["listeners"])["INSIDE"] == ":29092"
    assert settings["inter.broker.listener.name"] == "INSIDE"


def test_it_is_one_kraft_node_that_is_its_own_controller(service: Any, settings: dict[str, str]) -> None:
    assert settings["process.roles"] == "broker,controller"
    controller = listeners(settings["listeners"])[settings["controller.listener.names"]]
    assert settings["controller.quorum.voters"] == f"{settings['node.id']}@{service['hostname']}{controller}"
    assert set(listeners(settings["listeners"])) == {
        part.split(":")[0] for part in settings["listener.security.protocol.map"].split(",")
    }
    cluster_id = service["environment"]["CLUSTER_ID"]
    decoded = base64.urlsafe_b64decode(cluster_id + "==")
    assert len(decoded) == 16
    assert base64.urlsafe_b64encode(decoded).decode() == f"{cluster_id}=="


def test_what_both_kafkas_set_is_set_alike(settings: dict[str, str]) -> None:
    embedded = dict(
        line.split(" = ")
        for line in broker_settings(Address("127.0.0.1", 9092), Address("127.0.0.1", 1)).splitlines()
        if " = " in line
    )
    alike = [name for name in settings if "replication.factor" in name or "min.isr" in name]
    assert len(alike) == 5
    for name in [*alike, "auto.create.topics.enable", "group.initial.rebalance.delay.ms"]:
        assert settings[name] == embedded[name], name


def test_its_data_outlives_the_container(
    compose: dict[str, Any], service: Any, settings: dict[str, str]
) -> None:
    (volume,) = service["volumes"]
    name, folder = volume.split(":")
    assert name in compose["volumes"]
    assert settings["log.dirs"] == folder


def test_its_health_is_that_kafka_answers(service: Any, settings: dict[str, str]) -> None:
    check = service["healthcheck"]["test"]
    assert check[1] == "/opt/kafka/bin/kafka-broker-api-versions.sh"
    assert check[-1] == listeners(settings["advertised.listeners"])["INSIDE"]
