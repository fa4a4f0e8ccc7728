"""Whatever the README and docs/ name exists: commands, options, make targets, settings, files, API paths."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

import campuskafka
from campus.api.operations import OPERATIONS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SECTIONS = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
OPTION = re.compile(r"--[a-z][a-z-]*")


def text_of(page):
    return page.read_text("utf-8")


def code_blocks(text):
    return re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL) + re.findall(
        r"(?:^    .*\n)+", text, re.MULTILINE
    )


def code_spans(text):
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def calls_of_the_program(text):
    """The arguments of each call of campuskafka.py that can be copied from the page."""
    for source in [*"".join(code_blocks(text)).splitlines(), *code_spans(text)]:
        found = re.search(r"python campuskafka\.py (.*)", source)
        if found and "…" not in found[1]:
            yield shlex.split(found[1], comments=True)


def settings_named(text):
    """Dotted keys such as `broker.mode: auto`, `--set roles.producer.port=9000` and `kafka.security`."""
    sections = "|".join(SECTIONS)
    for span in [*code_spans(text), *"".join(code_blocks(text)).splitlines()]:
        for key in re.findall(rf"(?<![\w./-])((?:{sections})(?:\.[a-z_]+)+)\b(?!\()", span):
            if not key.endswith((".py", ".md", ".yaml")):
                yield key


def is_setting(key):
    level = SECTIONS
    for part in key.split("."):
        if not isinstance(level, dict) or part not in level:
            return False
        level = level[part]
    return True


def parser():
    return campuskafka._parser(campuskafka._role_modules())


def is_understood(arguments):
    try:
        parser().parse_args(arguments)
    except SystemExit as ended:
        return not ended.code
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_call_of_the_program_is_understood(page):
    assert [
        arguments for arguments in calls_of_the_program(text_of(page)) if not is_understood(arguments)
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_exists(page):
    named = re.findall(r"(?:^ {4}|`|^)make ([a-z][a-z-]*)", text_of(page), re.MULTILINE)
    assert set(named) <= TARGETS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_setting_exists(page):
    assert [key for key in settings_named(text_of(page)) if not is_setting(key)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text_of(page))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_table_of_commands_names_only_options_that_exist(capsys):
    rows = re.findall(
        r"^\| `(?!python )([a-z][a-z-]*)([^|`]*(?:\\\|[^|`]*)*)`",
        text_of(ROOT / "docs/command-line.md"),
        re.MULTILINE,
    )
    assert len(rows) > 5
    for command, usage in rows:
        assert is_understood([command, "--help"]), command
        unknown = set(OPTION.findall(usage)) - set(OPTION.findall(capsys.readouterr().out))
        assert not unknown, (command, unknown)


def test_every_command_is_in_the_table(capsys):
    is_understood(["--help"])
    commands = re.findall(r"^    ([a-z][a-z-]+)\b", capsys.readouterr().out, re.MULTILINE)
    table = text_of(ROOT / "docs/command-line.md")
    assert len(commands) > 5
    assert [command for command in commands if f"| `{command}" not in table] == []


def test_the_table_of_the_api_has_every_operation_and_no_other():
    def of_any_item(path):
        return re.sub(r"{\w+}", "{}", path)

    found = re.findall(r"`(GET|POST) (/[^`?]*)", text_of(ROOT / "docs/http-api.md").split("```")[0])
    served = {(one.method, of_any_item(one.path)) for one in OPERATIONS}
    assert {(method, of_any_item(path)) for method, path in found} == served


def test_every_folder_on_the_map_exists():
    block = code_blocks(text_of(ROOT / "docs/development.md"))[0]
    names = re.findall(r"(?:^ *|  )([a-z_]+(?:/|\.py|\.yaml))", block, re.MULTILINE)
    parents = ("", "campus", "campus/kafka")
    missing = [name for name in names if not any((ROOT / parent / name).exists() for parent in parents)]
    assert len(names) > 20
    assert missing == []


def test_the_reader_of_pages_is_not_blind():
    page = "```\n$ python campuskafka.py audit --no-such\n```\n`kafka.no_such` `roles.producer.port`\n"
    assert [*calls_of_the_program(page)] == [["audit", "--no-such"]]
    assert not is_understood(["audit", "--no-such"])
    assert [key for key in settings_named(page) if not is_setting(key)] == ["kafka.no_such"]
