"""Imports only go down the floors, there is no import cycle, and only `campus/kafka` imports `kafka`."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the top down. A module may import from the floors below its own, and from its own folder; nothing else.
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
FLOOR_OF = {folder: -number for number, floor in enumerate(FLOORS) for folder in floor}
# Folders whose files must not import each other: roles and commands.
INDEPENDENT_FILES = {"roles", "campus.commands"}
# The modules of the lowest floor may import each other.
LOWEST_FLOOR = {"campus.errors", "campus.logs", "campus.addresses"}
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


def folder_of(module):
    """The entry of FLOORS that a module belongs to; None for other libraries."""
    return next((name for name in FLOOR_OF if module == name or module.startswith(f"{name}.")), None)


def imports_of(path):
    """The modules that a file imports; for `from a import b` both `a` and, if it is a module, `a.b`."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} has a relative import"
            yield node.module
            inside = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name for name in inside if is_module(name))


def violations(module, imported):
    """Yield the rules that an import breaks, as messages."""
    ours, theirs = folder_of(module), folder_of(imported)
    if imported.split(".")[0] == "kafka" and ours != "campus.kafka":
        yield f"{module} imports {imported}: only campus/kafka may import the kafka library"
    if ours is None or theirs is None:
        return
    if FLOOR_OF[theirs] > FLOOR_OF[ours]:
        yield f"{module} imports {imported}, which is on a higher floor"
    is_independent = ours in INDEPENDENT_FILES and module != ours and imported not in (ours, module)
    is_other = ours != theirs or is_independent
    if FLOOR_OF[theirs] == FLOOR_OF[ours] and is_other and not {ours, theirs} <= LOWEST_FLOOR:
        yield f"{module} imports {imported}, which is on the same floor"


def cycle_in(graph):
    """The modules of one import cycle, in order; [] if there is none."""
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
    assert [rule for imported in imports_of(path) for rule in violations(module, imported)] == []


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_module_is_on_a_floor(path):
    assert folder_of(name_of(path)) or name_of(path) == "campus"


def test_there_is_no_import_cycle():
    files = {name_of(path) for path in MODULES}
    graph = {name_of(path): [name for name in imports_of(path) if name in files] for path in MODULES}
    assert cycle_in(graph) == []


def test_the_rules_find_violations():
    assert [*violations("campus.inventory.ledger", "campus.kafka.records")]
    assert [*violations("campus.http.server", "campus.domain.events")]
    assert [*violations("campus.config.settings", "campus.http.server")]
    assert [*violations("campus.audit.checker", "campus.replay.findings")]
    assert [*violations("roles.inventory", "roles.analytics")]
    assert [*violations("campus.commands.order", "campus.commands.lag")]
    assert [*violations("campus.broker.process", "campus.kafka.clients")]
    assert [*violations("campus.broker.process", "kafka.errors")]
    assert [*violations("roles.producer", "kafka")]
    assert [*violations("campus.processing.owner", "campus.api.orders")]
    assert not [*violations("campus.commands.order", "campus.commands")]
    assert not [*violations("roles.inventory", "campus.processing.owner")]
    assert not [*violations("campus.kafka.clients", "kafka.errors")]
    assert cycle_in({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c"]
    assert cycle_in({"a": ["b", "c"], "b": ["c"], "c": []}) == []
    assert len(MODULES) > 30


@pytest.mark.parametrize("folder", PURE)
def test_pure_folders_import_no_clock_randomness_or_io(folder):
    for path in ROOT.joinpath(*folder.split(".")).glob("*.py"):
        found = {name.split(".")[0] for name in imports_of(path)} & IMPURE_LIBRARIES
        assert not found, f"{path.name} imports {found}"
