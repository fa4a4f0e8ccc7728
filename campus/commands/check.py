"""Check config, broker, topics and port, a line each, then print every setting and where it comes from.

Changes nothing. Exits with 0 if the system can start as it is, 2 if the config does not fit what is there,
3 if there is no broker. With broker.mode auto, the embedded broker is started for as long as the check takes.
"""

import argparse
import http.client
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from typing import Any

from campus.addresses import Address
from campus.broker.errors import NoBroker
from campus.commands import Context, a_broker
from campus.config.schema import editor_schema
from campus.config.settings import Config
from campus.config.stanza import DEFAULT, Key, leaves
from campus.config.strict_yaml import YamlFaults, parse
from campus.http.server import CannotListen, listen
from campus.kafka.clients import BrokerAway, admin
from campus.kafka.topics import PartitionCountMismatch, partition_counts, settings_that_differ
from campus.startup.topics import topic_settings

HELP = "check config, broker, topics and port, and print every setting"
WRONG_CONFIG, NO_BROKER = 2, 3
ANSWER_S = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """`exit_code` 0: all is well, or advice."""

    subject: str
    message: str
    exit_code: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--json", action="store_true", help="print findings and settings as one JSON document"
    )
    output.add_argument(
        "--schema", action="store_true", help="print only the JSON Schema of config.yaml, for editors"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    config = context.config
    if args.schema:
        roles = {name: type(settings) for name, settings in config.roles.items()}
        print(json.dumps(editor_schema(roles), indent=2, ensure_ascii=False))
        return 0
    found = []
    for finding in findings(args, config):
        found.append(finding)
        if not args.json:
            mark = "ok   " if finding.exit_code == 0 else "wrong"
            print(f"{finding.subject:<8}{mark}  {finding.message}", flush=True)
    print(as_json(found, config) if args.json else f"\n{as_yaml(config)}")
    return max(finding.exit_code for finding in found)


def as_json(found: Iterable[Finding], config: Config) -> str:
    settings = [
        {"key": ".".join(key), "value": value, "source": config.sources.get(key, DEFAULT)}
        for key, value in leaves(config.model_dump(mode="json"))
    ]
    return json.dumps({"findings": [asdict(finding) for finding in found], "settings": settings}, indent=2)


def as_yaml(config: Config) -> str:
    """Every setting as config.yaml can hold it, with its source as a comment; secrets are masked."""
    lines = [*_lines(config.model_dump(mode="json"), config.sources)]
    width = max(len(line) for line, source in lines if source)
    return "\n".join(f"{line:<{width}}  # {source}" if source else line for line, source in lines)


def _lines(tree: Mapping[str, Any], sources: Mapping[Key, str], at: Key = ()) -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        line, key = "  " * len(at) + _scalar(name) + ":", (*at, name)
        if isinstance(value, dict) and value:
            yield line, ""
            yield from _lines(value, sources, key)
        else:
            yield f"{line} {_scalar(value)}", sources.get(key, DEFAULT)


def _scalar(value: Any) -> str:
    """The value as YAML: in quotes if it would be read as something else without them."""
    if not isinstance(value, str):
        return json.dumps(value)
    text: str = value.replace("${", "$${")
    with suppress(YamlFaults):
        if text.isprintable() and parse(text) == text:
            return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def findings(args: argparse.Namespace, config: Config) -> Iterator[Finding]:
    yield Finding("config", f"{args.config} and what overrides it")
    yield port(config)
    lines: list[str] = []
    try:
        with a_broker(config, lines.append), admin(config.kafka) as client:
            how = "; started for this look" if any("ready" in line for line in lines) else ""
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
        mismatch = PartitionCountMismatch(name, found, config.topics.partitions)
        yield Finding("topics", str(mismatch), WRONG_CONFIG)
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
    address = Address(producer.host, producer.port)
    if takes_orders(address):
        return Finding("port", f"a CampusKafka takes orders at {address}")
    try:
        listen(address, next_step="Stop what listens there, or set roles.producer.port.").close()
    except CannotListen as error:
        return Finding("port", str(error), WRONG_CONFIG)
    return Finding("port", f"{address} is free")


def takes_orders(address: Address) -> bool:
    """Whether what listens there answers as a producer role does, of this system or of another."""
    try:
        with closing(http.client.HTTPConnection(address.host, address.port, timeout=ANSWER_S)) as connection:
            connection.request("GET", "/order")
            response = connection.getresponse()
            response.read()
    except (OSError, http.client.HTTPException):
        return False
    return response.status == http.client.METHOD_NOT_ALLOWED and "POST" in (response.getheader("Allow") or "")
