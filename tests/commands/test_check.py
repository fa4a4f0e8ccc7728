"""What `check` prints of the configuration: every setting with its source, no secret, and the schema."""

import json
from argparse import ArgumentParser
from pathlib import Path

import pytest

import campuskafka
from campus.commands import Context, check
from campus.config.config_file import load
from campus.config.stanza import leaves
from campus.config.strict_yaml import parse

ROOT = Path(__file__).parents[2]
ROLES = {name: module.Settings for name, module in campuskafka._role_modules().items()}
FOUND = [check.Finding("config", "config.yaml"), check.Finding("port", "is taken", 2)]


@pytest.fixture
def checked(tmp_path, monkeypatch, capsys):
    """Runs `check` on a config.yaml with this text; it finds FOUND. Returns its exit code and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, "findings", lambda args, config: iter(FOUND))

    def run(*arguments, text="", overrides=(), **environ):
        Path("config.yaml").write_text(text, "utf-8")
        config = load(Path("config.yaml"), roles=ROLES, overrides=overrides, environ=environ)
        parser = ArgumentParser()
        check.add_arguments(parser)
        exit_code = check.run(parser.parse_args(arguments), Context(config=config, system=None))
        return exit_code, capsys.readouterr().out

    return run


def settings_in(printed):
    """The lines behind the findings, as YAML."""
    return printed.partition("\n\n")[2]


def test_the_findings_come_first_and_decide_the_exit_code(checked):
    exit_code, printed = checked()
    assert exit_code == 2
    assert printed.splitlines()[:3] == ["config  ok     config.yaml", "port    wrong  is taken", ""]


def test_every_setting_is_printed_with_its_source(checked):
    _, printed = checked(
        text="{topics: {prefix: north-}, roles: {inventory: {stock: {soup: 3}}}}",
        overrides=["roles.producer.port=0"],
        PROCESSING_DELAY="2",
    )
    lines = [line.split() for line in settings_in(printed).splitlines()]
    assert ["prefix:", "north-", "#", "file"] in lines
    assert ["soup:", "3", "#", "file"] in lines
    assert ["processing_delay_s:", "2.0", "#", "environment"] in lines
    assert ["port:", "0", "#", "--set"] in lines
    assert ["partitions:", "4", "#", "default"] in lines


def test_an_item_that_is_added_leaves_the_others_at_their_default(checked):
    _, printed = checked(overrides=["roles.inventory.stock.soup=3"])
    lines = [line.split() for line in settings_in(printed).splitlines()]
    assert ["pizza:", "100", "#", "default"] in lines
    assert ["soup:", "3", "#", "--set"] in lines


def test_the_sources_stand_in_one_column(checked):
    _, printed = checked()
    settings = [line for line in settings_in(printed).splitlines() if not line.endswith(":")]
    assert {line.index("  # default") for line in settings} == {settings[0].index("  # default")}


def test_the_printed_settings_are_a_config_file_with_the_same_settings(checked):
    text = """
        topics: {prefix: "on"}
        roles:
          inventory: {stock: {"veggie: burger": 3, "7": 1, "soup #1": 2, "a\\u2028b": 4, "-": 5}}
          producer: {host: "$${x} '\\"", client_requests_per_s: 0.00001e5}
    """
    _, printed = checked(text=text)
    _, again = checked(text=settings_in(printed))
    assert parse(settings_in(again)) == parse(settings_in(printed))
    _, as_json = checked("--json", text=settings_in(printed))
    stock = {
        entry["key"].removeprefix("roles.inventory.stock."): entry["value"]
        for entry in json.loads(as_json)["settings"]
        if entry["key"].startswith("roles.inventory.stock.")
    }
    assert stock == {"veggie: burger": 3, "7": 1, "soup #1": 2, "a\u2028b": 4, "-": 5}


def test_json_is_one_document_of_findings_and_settings(checked):
    exit_code, printed = checked("--json", overrides=["topics.partitions=8"])
    assert exit_code == 2
    document = json.loads(printed)
    assert document["findings"] == [
        {"subject": "config", "message": "config.yaml", "exit_code": 0},
        {"subject": "port", "message": "is taken", "exit_code": 2},
    ]
    settings = {entry["key"]: entry for entry in document["settings"]}
    assert settings["topics.partitions"] == {"key": "topics.partitions", "value": 8, "source": "--set"}
    assert settings["topics.replication"] == {"key": "topics.replication", "value": 1, "source": "default"}
    assert len(settings) == len([*leaves(parse((ROOT / "config.yaml").read_text("utf-8")))])


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_no_secret_is_printed(checked, arguments):
    security = "{protocol: SASL_SSL, sasl_mechanism: PLAIN, sasl_username: ana, sasl_password: hunter2}"
    _, printed = checked(
        *arguments,
        text=f"kafka: {{security: {security}}}",
        overrides=["roles.producer.token=${TOKEN}"],
        TOKEN="hunter2-and-more-of-it",
    )
    assert "hunter2" not in printed
    assert printed.count("**********") == 2


def test_the_schema_is_printed_alone_as_it_is_in_the_docs(checked):
    exit_code, printed = checked("--schema")
    assert exit_code == 0
    assert printed == (ROOT / "docs" / "config.schema.json").read_text("utf-8")
