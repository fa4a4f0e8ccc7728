"""The settings of the embedded Kafka and of its JVM."""

from pathlib import Path

import pytest

from campus.addresses import Address
from campus.broker.java import Java
from campus.broker.server_settings import broker_settings, java_options


def settings(address: Address) -> dict[str, str]:
    lines = broker_settings(address, Address(address.host, 7)).splitlines()
    return dict(line.split(" = ") for line in lines if not line.startswith("#"))


def test_it_listens_only_at_the_given_address() -> None:
    found = settings(Address("127.0.0.1", 9092))
    assert found["listeners"] == "CLIENT://127.0.0.1:9092,CONTROLLER://127.0.0.1:7"
    assert found["advertised.listeners"] == "CLIENT://127.0.0.1:9092"
    assert found["controller.quorum.bootstrap.servers"] == "127.0.0.1:7"


def test_an_ipv6_address_is_in_brackets() -> None:
    assert settings(Address("::1", 9092))["listeners"] == "CLIENT://[::1]:9092,CONTROLLER://[::1]:7"


def test_topics_are_never_created_automatically() -> None:
    assert settings(Address("127.0.0.1", 9092))["auto.create.topics.enable"] == "false"


@pytest.mark.parametrize(
    ("heap", "initial"), [("256m", "-Xms128m"), ("64m", "-Xms64m"), ("1g", "-Xms128m"), ("128m", "-Xms128m")]
)
def test_the_initial_heap_is_never_larger_than_the_maximum(heap: str, initial: str) -> None:
    options = java_options(Java(Path("java"), 17), heap)
    assert options[:2] == [initial, f"-Xmx{heap}"]


@pytest.mark.parametrize(("version", "expected"), [(17, False), (23, False), (24, True), (25, True)])
def test_only_a_newer_java_gets_the_option_that_silences_its_unsafe_warning(
    version: int, expected: bool
) -> None:
    assert (
        "--sun-misc-unsafe-memory-access=allow" in java_options(Java(Path("java"), version), "1g")
    ) is expected
