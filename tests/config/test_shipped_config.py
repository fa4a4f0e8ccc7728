"""config.yaml holds every setting with its default and description, and docs/config.schema.json fits it."""

import json
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import roles
from campus.config.config_file import load
from campus.config.schema import editor_schema, file_model, schema_at
from campus.config.settings import Config, ConsumerConfig, RoleSettings, SecurityConfig
from campus.config.stanza import leaves
from campus.config.strict_yaml import parse

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "config.yaml"
SCHEMA = ROOT / "docs" / "config.schema.json"


def settings_of_the_roles() -> dict[str, type[RoleSettings]]:
    modules = {
        info.name: import_module(f"roles.{info.name}") for info in pkgutil.iter_modules(roles.__path__)
    }
    return {name: module.Settings for name, module in modules.items() if hasattr(module, "Settings")}


def comments() -> dict[tuple[str, ...], str]:
    """The comment beside each key of the shipped file."""
    found: dict[tuple[str, ...], str] = {}
    key: tuple[str, ...] = ()
    for line in SHIPPED.read_text("utf-8").splitlines():
        if match := re.match(r"( *)(\w+):[^#]*(?:# (.*))?$", line):
            indent, name, comment = match.groups()
            key = (*key[: len(indent) // 2], name)
            found[key] = comment or ""
    return found


def test_the_shipped_file_has_every_setting_with_its_default():
    defaults = Config(roles={name: cls() for name, cls in settings_of_the_roles().items()})
    assert parse(SHIPPED.read_text("utf-8")) == defaults.model_dump(mode="json")


def test_the_shipped_file_is_taken():
    config = load(SHIPPED, roles=settings_of_the_roles(), environ={})
    assert config.kafka.consumer == ConsumerConfig()
    assert config.kafka.security == SecurityConfig()
    assert config.broker.data_dir == ROOT / ".campuskafka"
    assert {"producer", "inventory", "analytics"} <= config.roles.keys()


def test_the_shipped_file_says_why_for_each_setting():
    portions = settings_of_the_roles()["inventory"]().stock
    for line in SHIPPED.read_text("utf-8").splitlines():
        assert len(line) <= 100, line
        key, value = re.match(r"\s*([\w]*):?\s*([^#]*)", line).groups()
        if key and value and key not in portions:
            assert re.search(r"  # \S.{8,}", line), f"{line!r} has no comment"


def test_the_comments_of_the_shipped_file_are_the_descriptions_of_the_settings():
    schema = file_model(settings_of_the_roles()).model_json_schema()
    written = comments()
    for key, _ in leaves(parse(SHIPPED.read_text("utf-8"))):
        setting = key if key[:3] != ("roles", "inventory", "stock") else key[:3]
        assert written[setting] == schema_at(schema, setting)["description"], ".".join(key)


def test_every_role_can_be_disabled():
    for name, cls in settings_of_the_roles().items():
        assert cls.model_fields["enabled"].default is True, name


# The schema for editors


def test_the_schema_in_the_docs_is_current():
    advice = "run: campuskafka.py check --schema > docs/config.schema.json"
    assert json.loads(SCHEMA.read_text("utf-8")) == editor_schema(settings_of_the_roles()), advice


def test_the_first_line_of_the_shipped_file_names_the_schema():
    first_line = SHIPPED.read_text("utf-8").splitlines()[0]
    (named,) = re.findall(r"^# yaml-language-server: \$schema=(\S+)$", first_line)
    assert SHIPPED.parent / named == SCHEMA


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_shipped_file_fits_the_schema(schema):
    assert [*schema.iter_errors(parse(SHIPPED.read_text("utf-8")))] == []


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "kafka:",
        "roles: {producer: }",
        "topics: {partitions: '${PARTITIONS}', prefix: '${SITE}-'}",
        "roles: {inventory: {stock: {soup: '${SOUP}'}, processing_delay_s: 1}}",
        "roles: {producer: {token: '${TOKEN}', ack: '${ACK}', client_requests_per_s: '${RATE}'}}",
        "broker: {heap: '${HEAP}', jars: jars}",
    ],
)
def test_what_may_be_written_fits_the_schema(schema, text):
    assert [*schema.iter_errors(parse(text))] == []


@pytest.mark.parametrize(
    "text",
    [
        "topics: {partitons: 4}",
        "topics: {partitions: 0}",
        "topics: {partitions: four}",
        "topics: 5",
        "logging: {level: LOUD}",
        "broker: {heap: 1t}",
        "roles: {inventory: {stock: {soup: -1}}}",
        "roles: {unheard_of: {enabled: true}}",
        "kafka: {security: {sasl_password: ''}}",
    ],
)
def test_what_would_be_refused_does_not_fit_the_schema(schema, text):
    assert [*schema.iter_errors(parse(text))] != []
