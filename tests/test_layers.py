"""Imports only go down the list of the layout, without a cycle, and only `campus/kafka` imports `kafka`."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the top down. A floor may import the floors below it, never one above it or beside it.
FLOORS = (
    {"campuskafka"},
    {"roles"},
    {"campus.commands"},
    {"campus.startup"},
    {"campus.api"},
    {"campus.bench"},
    {"campus.book"},
    {"campus.audit", "campus.replay"},
    {"campus.groups"},
    {"campus.processing"},
    {"campus.kafka"},
    {"campus.broker"},
    {"campus.inventory", "campus.analytics"},
    {"campus.domain"},
    {"campus.config", "campus.supervision", "campus.http"},
    {"campus.errors", "campus.logs", "campus.addresses"},
)
FLOOR_OF = {part: -at for at, floor in enumerate(FLOORS) for part in floor}
# Each role and each command stands alone: none imports another.
FOLDERS_OF_SINGLES = {"roles", "campus.commands"}
# The ground of the house: these may use each other.
TOGETHER = {"campus.errors", "campus.logs", "campus.addresses"}
PURE = ("campus.domain", "campus.inventory", "campus.analytics")
IMPURE_LIBRARIES = {
    "time",
    "random",
    "secrets",
    "uuid",
    "os",
    "io",
    "socket",
    "threading",
    "logging",
    "pathlib",
}
MODULES = sorted(
    path.relative_to(ROOT)
    for path in [ROOT / "campuskafka.py", *(ROOT / "campus").rglob("*.py"), *(ROOT / "roles").rglob("*.py")]
)


def name_of(path):
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def is_module(name):
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def part_of(module):
    return next((part for part in FLOOR_OF if module == part or module.startswith(f"{part}.")), None)


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
    if imported.split(".")[0] == "kafka" and ours != "campus.kafka":
        yield f"{module} imports {imported}: only campus/kafka may import Kafka's client"
    if ours is None or theirs is None:
        return
    if FLOOR_OF[theirs] > FLOOR_OF[ours]:
        yield f"{module} imports {imported}, which is above it"
    is_single = ours in FOLDERS_OF_SINGLES and module != ours and imported not in (ours, module)
    is_beside = ours != theirs or is_single
    if FLOOR_OF[theirs] == FLOOR_OF[ours] and is_beside and not {ours, theirs} <= TOGETHER:
        yield f"{module} imports {imported}, which stands beside it"


def cycle_in(graph):
    """The modules of one import cycle, in order; empty if there is none."""
    done, path = set(), []

    def visit(module):
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        path.append(module)
        found = next((cycle for name in graph.get(module, ()) if (cycle := visit(name))), [])
        path.pop()
        done.add(module)
        return found

    return next((cycle for module in graph if (cycle := visit(module))), [])


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_only_go_down(path):
    module = name_of(path)
    assert [b for imported in imports_of(path) for b in breaches(module, imported)] == []


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_module_has_its_floor(path):
    assert part_of(name_of(path)) or name_of(path) == "campus"


def test_there_is_no_import_cycle():
    files = {name_of(path) for path in MODULES}
    graph = {name_of(path): [name for name in imports_of(path) if name in files] for path in MODULES}
    assert cycle_in(graph) == []


def test_the_rules_are_not_blind():
    assert [*breaches("campus.inventory.ledger", "campus.kafka.records")]
    assert [*breaches("campus.http.server", "campus.domain.events")]
    assert [*breaches("campus.config.settings", "campus.http.server")]
    assert [*breaches("campus.audit.checker", "campus.replay.findings")]
    assert [*breaches("roles.inventory", "roles.analytics")]
    assert [*breaches("campus.commands.order", "campus.commands.lag")]
    assert [*breaches("campus.broker.process", "campus.kafka.clients")]
    assert [*breaches("campus.broker.process", "kafka.errors")]
    assert [*breaches("roles.producer", "kafka")]
    assert [*breaches("campus.processing.owner", "campus.api.orders")]
    assert not [*breaches("campus.commands.order", "campus.commands")]
    assert not [*breaches("roles.inventory", "campus.processing.owner")]
    assert not [*breaches("campus.kafka.clients", "kafka.errors")]
    assert cycle_in({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c"]
    assert cycle_in({"a": ["b", "c"], "b": ["c"], "c": []}) == []
    assert len(MODULES) > 30


@pytest.mark.parametrize("folder", PURE)
def test_what_decides_has_no_clock_no_chance_and_no_io(folder):
    for path in ROOT.joinpath(*folder.split(".")).glob("*.py"):
        found = {name.split(".")[0] for name in imports_of(path)} & IMPURE_LIBRARIES
        assert not found, f"{path.name} imports {found}"
