"""Imports only go down: command line, roles and commands, the API, stream and broker, domain and runtime."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = {
    "campuskafka": 5,
    "roles": 4,
    "campus.commands": 4,
    "campus.api": 3,
    "campus.bench": 3,
    "campus.stream": 2,
    "campus.broker": 2,
    "campus.domain": 1,
    "campus.runtime": 1,
}
# One role or command is a house of its own; so is each of these packages.
HOUSES_OF_FILES = {"roles", "campus.commands"}
MODULES = sorted(
    path.relative_to(ROOT) for folder in ("campus", "roles") for path in (ROOT / folder).rglob("*.py")
)


def is_module(name):
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def part_of(module):
    return next((part for part in FLOORS if module == part or module.startswith(f"{part}.")), None)


def house_of(module):
    part = part_of(module)
    return module if part in HOUSES_OF_FILES else part


def imports_of(path):
    """What a file imports, as dotted names; of `from a import b` both `a` and `a.b`."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield node.module
            inside = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name for name in inside if is_module(name))


def breaches(module, imported):
    """What is wrong about an import, in words; nothing if it is right."""
    ours, theirs = part_of(module), part_of(imported)
    if imported.split(".")[0] == "kafka" and ours != "campus.stream":
        yield f"{module} imports {imported}: only campus/stream knows Kafka's client"
    if ours is None or theirs is None:
        return
    if FLOORS[theirs] > FLOORS[ours]:
        yield f"{module} imports {imported}, which is above it"
    if FLOORS[theirs] == FLOORS[ours] and house_of(module) != house_of(imported) and imported != theirs:
        yield f"{module} imports {imported}, which stands beside it"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_only_go_down(path):
    module = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    assert [b for imported in imports_of(path) for b in breaches(module, imported)] == []


def test_the_rule_is_not_blind():
    assert [*breaches("campus.domain.ledger", "campus.stream.writer")]
    assert [*breaches("campus.runtime.http", "campus.domain.events")]
    assert [*breaches("roles.inventory", "roles.analytics")]
    assert [*breaches("campus.broker.process", "campus.stream.clients")]
    assert [*breaches("roles.producer", "kafka")]
    assert [*breaches("campus.stream.owner", "campus.api.orders")]
    assert not [*breaches("campus.commands.order", "campus.commands")]
    assert not [*breaches("roles.inventory", "campus.stream.owner")]
    assert len(MODULES) > 30


def test_the_domain_has_no_clock_no_chance_and_no_io():
    forbidden = {"time", "random", "secrets", "uuid", "os", "io", "socket", "threading", "logging", "pathlib"}
    for path in (ROOT / "campus" / "domain").glob("*.py"):
        found = {name.split(".")[0] for name in imports_of(path)} & forbidden
        assert not found, f"{path.name} imports {found}"
