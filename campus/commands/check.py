"""Look at the config, the broker, the topics and the port, a line each, and change nothing.

Exits with 0 if the system can start as it is, 2 if the config does not fit what is there, 3 if there is
no broker. With broker.mode auto, the embedded broker is started for as long as the look takes.
"""

import argparse
import http.client
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from campus.broker.errors import NoBroker
from campus.commands import Context, a_broker
from campus.config.settings import Config
from campus.kafka.clients import BrokerAway, admin
from campus.kafka.topics import partition_counts, settings_that_differ
from campus.startup.topics import topic_settings

HELP = "look at config, broker, topics and port, and say what is wrong"
WRONG_CONFIG, NO_BROKER = 2, 3
ANSWER_S = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """`exit_code` 0: all is well, or a word of advice."""

    subject: str
    says: str
    exit_code: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none of its own."""


def run(args: argparse.Namespace, context: Context) -> int:
    worst = 0
    for finding in findings(args, context.config):
        mark = "ok   " if finding.exit_code == 0 else "wrong"
        print(f"{finding.subject:<8}{mark}  {finding.says}", flush=True)
        worst = max(worst, finding.exit_code)
    return worst


def findings(args: argparse.Namespace, config: Config) -> Iterator[Finding]:
    yield Finding("config", f"{args.config} and what overrides it")
    yield port(config)
    said: list[str] = []
    try:
        with (
            a_broker(config, said.append),
            admin(config.kafka) as client,
        ):
            how = "; started for this look" if any("ready" in line for line in said) else ""
            brokers = len(client.describe_cluster()["brokers"])
            yield Finding("broker", f"Kafka at {config.kafka.bootstrap_servers}, {brokers} of it{how}")
            yield from topics(client, config)
    except (NoBroker, BrokerAway) as away:
        yield Finding("broker", str(away), NO_BROKER)


def topics(client: Any, config: Config) -> Iterator[Finding]:
    wanted = topic_settings(config.topics)
    counts = partition_counts(client, wanted)
    wrong = {name: found for name, found in counts.items() if found != config.topics.partitions}
    for name, found in wrong.items():
        fact = f"{name} has {found} partitions, topics.partitions says {config.topics.partitions}"
        yield Finding("topics", f"{fact}; a topic's count is fixed when it is made", WRONG_CONFIG)
    missing = [name for name in wanted if name not in counts]
    if missing:
        yield Finding("topics", f"{', '.join(missing)}: not there yet, will be made at the first start")
    elif not wrong:
        differing = settings_that_differ(client, wanted)
        names = f"{', '.join(wanted)} with {config.topics.partitions} partitions each"
        yield Finding("topics", "; ".join([names, *differing]), WRONG_CONFIG if differing else 0)


def port(config: Config) -> Finding:
    producer: Any = config.roles["producer"]
    if not producer.port:
        return Finding("port", "any free one")
    where = f"{producer.host}:{producer.port}"
    if takes_orders(producer.host, producer.port):
        return Finding("port", f"a CampusKafka takes orders at {where}")
    family = socket.AF_INET6 if ":" in producer.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((producer.host, producer.port))
        except OSError as taken:
            says = f"{where}: {taken.strerror}. Stop what listens there, or set roles.producer.port"
            return Finding("port", says, WRONG_CONFIG)
    return Finding("port", f"{where} is free")


def takes_orders(host: str, port: int) -> bool:
    """Whether what listens there answers as a producer role does, of this system or of another."""
    try:
        with closing(http.client.HTTPConnection(host, port, timeout=ANSWER_S)) as connection:
            connection.request("GET", "/order")
            response = connection.getresponse()
            response.read()
    except (OSError, http.client.HTTPException):
        return False
    return response.status == http.client.METHOD_NOT_ALLOWED and "POST" in (response.getheader("Allow") or "")
