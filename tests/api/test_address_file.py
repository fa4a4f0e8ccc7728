"""The file that says where the producer listens: found by a second process, and never trusted when stale."""

import json
import logging
import os
import socket
import subprocess
import sys

import pytest

from campus.addresses import Address
from campus.api.address_file import FOLDER, address_published, running_producer
from campus.config.settings import BrokerConfig, Config, KafkaConfig, TopicsConfig
from roles.producer import Settings
from tests.api.serving import a_producer
from tests.support.kafka import free_address


@pytest.fixture
def config(tmp_path):
    return Config(broker=BrokerConfig(data_dir=tmp_path / "data"), roles={"producer": Settings(port=0)})


@pytest.fixture
def listening():
    """The address of something that listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Address("127.0.0.1", server.getsockname()[1])


@pytest.fixture
def another():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Address("127.0.0.1", server.getsockname()[1])


def files_of(config):
    return [path.name for path in (config.broker.data_dir / FOLDER).iterdir()]


def file_of(config):
    return config.broker.data_dir / FOLDER / "order-events.json"


def write(config, **changes):
    file_of(config).parent.mkdir(parents=True, exist_ok=True)
    note = {"pid": os.getpid(), "host": "127.0.0.1", "port": 1, "kafka": config.kafka.bootstrap_servers}
    file_of(config).write_text(json.dumps({**note, **changes}))


def a_dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_published_address_is_found(config, listening):
    with address_published(config, listening):
        assert running_producer(config) == listening
        assert files_of(config) == ["order-events.json"]


def test_the_file_is_removed_when_the_producer_stops(config, listening):
    with address_published(config, listening):
        pass
    assert files_of(config) == []
    assert running_producer(config) is None


def test_the_producer_role_publishes_its_address_before_it_is_ready_and_removes_it(config):
    with a_producer(config=config) as served:
        assert running_producer(config) == Address("127.0.0.1", served.port)
    assert files_of(config) == []


def test_without_a_file_no_producer_is_found(config):
    assert running_producer(config) is None


def test_the_last_producer_to_start_is_found_and_keeps_its_file_when_the_first_stops(
    config, listening, another
):
    first = address_published(config, listening)
    first.__enter__()
    with address_published(config, another):
        assert running_producer(config) == another
        first.__exit__(None, None, None)
        assert running_producer(config) == another
    assert files_of(config) == []


def test_the_address_of_a_dead_process_is_ignored_even_if_something_listens_there(config, listening):
    write(config, pid=a_dead_pid(), port=listening.port)
    assert running_producer(config) is None


def test_an_address_at_which_nothing_listens_is_ignored(config):
    write(config, port=free_address().port)
    assert running_producer(config) is None


def test_a_process_of_another_user_counts_as_alive(config, listening, monkeypatch):
    def refuse(pid, signal):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refuse)
    write(config, pid=1, port=listening.port)
    assert running_producer(config) == listening


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'"\xff"', b'{"pid": 1}'],
)
def test_a_file_that_cannot_be_read_is_ignored(config, content):
    write(config)
    file_of(config).write_bytes(content)
    assert running_producer(config) is None


def test_a_system_with_other_topics_or_on_another_kafka_is_not_found(config, listening):
    with address_published(config, listening):
        assert running_producer(config.with_changes(topics=TopicsConfig(prefix="other-"))) is None
        assert (
            running_producer(config.with_changes(kafka=KafkaConfig(bootstrap_servers="other:9092"))) is None
        )


def test_the_configured_port_comes_first_and_the_file_second(config, listening, another):
    with address_published(config, listening):
        at_another = config.with_changes(roles={"producer": Settings(port=another.port)})
        assert running_producer(at_another) == another
        nobody_there = config.with_changes(roles={"producer": Settings(port=free_address().port)})
        assert running_producer(nobody_there) == listening


def test_a_folder_that_cannot_be_written_is_a_warning_and_the_producer_runs(tmp_path, config, caplog):
    (tmp_path / "data").write_text("a file")
    with caplog.at_level(logging.WARNING), a_producer(config=config) as served:
        assert served.order().status == 202
    assert "cannot write" in caplog.text
