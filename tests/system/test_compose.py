"""docker-compose.kafka.yml runs the embedded Kafka in a container: same version, same address."""

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
    """Kafka's settings, which the image reads from the environment."""
    return {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in service["environment"].items()
        if name.startswith("KAFKA_")
    }


def listeners(text: str) -> dict[str, str]:
    return dict(part.split("://") for part in text.split(","))


def test_it_has_the_version_of_the_embedded_kafka(service: Any) -> None:
    assert service["image"] == f"apache/kafka:{KAFKA_VERSION}"


def test_the_host_reaches_it_at_the_default_address_of_the_program(
    service: Any, settings: dict[str, str]
) -> None:
    default = KafkaConfig().bootstrap_servers
    assert service["ports"] == [f"{default}:9092"]
    assert listeners(settings["advertised.listeners"])["HOST"] == default
    assert listeners(settings["listeners"])["HOST"] == ":9092"


def test_other_containers_reach_it_by_its_host_name(service: Any, settings: dict[str, str]) -> None:
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


def test_settings_of_both_kafkas_have_the_same_values(settings: dict[str, str]) -> None:
    embedded = dict(
        line.split(" = ")
        for line in broker_settings(Address("127.0.0.1", 9092), Address("127.0.0.1", 1)).splitlines()
        if " = " in line
    )
    shared = [name for name in settings if "replication.factor" in name or "min.isr" in name]
    assert len(shared) == 5
    for name in [*shared, "auto.create.topics.enable", "group.initial.rebalance.delay.ms"]:
        assert settings[name] == embedded[name], name


def test_its_data_is_on_a_volume(compose: dict[str, Any], service: Any, settings: dict[str, str]) -> None:
    (volume,) = service["volumes"]
    name, folder = volume.split(":")
    assert name in compose["volumes"]
    assert settings["log.dirs"] == folder


def test_its_health_check_asks_kafka_itself(service: Any, settings: dict[str, str]) -> None:
    check = service["healthcheck"]["test"]
    assert check[1] == "/opt/kafka/bin/kafka-broker-api-versions.sh"
    assert check[-1] == listeners(settings["advertised.listeners"])["INSIDE"]
