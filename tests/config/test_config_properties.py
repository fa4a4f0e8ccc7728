"""Whatever the text, reading it ends in a Config within all limits or in faults of one line each."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import Field, SecretStr

from campus.config.config_file import ConfigError, load
from campus.config.schema import editor_schema
from campus.config.settings import RoleSettings
from campus.config.strict_yaml import YamlFaults, parse, scalar


class CounterSettings(RoleSettings):
    level: Literal["low", "high"] = "low"
    port: int = Field(8000, ge=0, le=65535)
    pause_s: float = Field(0.0, ge=0, le=60)
    group: str = "counter"
    stock: dict[str, Annotated[int, Field(ge=0, le=1_000_000)]] = Field({})
    token: SecretStr | None = Field(None, min_length=1)


SCHEMA = Draft202012Validator(editor_schema({"counter": CounterSettings}))
PRINTABLE = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp", "Co")))
NAMES = PRINTABLE.filter(lambda text: 0 < len(text) <= 256)
COUNTERS = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.booleans(),
        "level": st.sampled_from(["low", "high"]),
        "port": st.integers(0, 65535),
        "pause_s": st.floats(0, 60) | st.integers(0, 60),
        "group": PRINTABLE,
        "stock": st.dictionaries(NAMES, st.integers(0, 1_000_000), max_size=5),
    },
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | PRINTABLE
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PRINTABLE, inner, max_size=3),
    max_leaves=8,
)
# Trees that often have a known key, so that they get further than the first stanza.
NEAR_TREES = st.dictionaries(
    st.sampled_from(["kafka", "broker", "topics", "roles", "supervisor", "logging"]),
    TREES
    | st.dictionaries(
        st.sampled_from(["counter", "security", "consumer", "prefix", "orders", "bootstrap_servers"]),
        TREES,
        max_size=4,
    ),
    max_size=4,
)


def read(text, *overrides, **environ):
    with TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(text, "utf-8", errors="surrogatepass")
        return load(path, roles={"counter": CounterSettings}, overrides=overrides, environ=environ)


def outcome(text, *overrides, **environ):
    """The config, or the faults."""
    try:
        return read(text, *overrides, **environ), ()
    except ConfigError as error:
        return None, error.faults


def assert_taken_or_told(text, *overrides):
    config, faults = outcome(text, *overrides)
    for fault in faults:
        assert fault.isprintable(), fault
        assert len(fault) < 1000
    if not config:
        assert faults
    else:
        assert 1 <= config.topics.partitions <= 1000
        assert all(0 <= many <= 1_000_000 for many in config.roles["counter"].stock.values())


@given(COUNTERS)
def test_what_is_within_the_limits_is_taken_as_it_is(counter):
    # Not PyYAML's dumper: it leaves texts such as 0E0 bare, which are numbers to us and to YAML 1.2.
    text = json.dumps({"roles": {"counter": quoted(counter)}}, ensure_ascii=False)
    taken = read(text).roles["counter"].model_dump(mode="json")
    assert taken == CounterSettings().model_dump(mode="json") | counter


def quoted(counter):
    """Texts that YAML and `${NAME}` leave alone."""
    return counter | {"group": counter["group"].replace("${", "$${")} if "group" in counter else counter


@given(TREES | NEAR_TREES)
def test_any_tree_is_taken_or_told_in_single_lines(tree):
    assert_taken_or_told(yaml.safe_dump(tree, allow_unicode=True))


@given(NEAR_TREES | st.fixed_dictionaries({"roles": st.fixed_dictionaries({"counter": COUNTERS})}))
def test_what_is_taken_fits_the_schema_for_editors(tree):
    text = json.dumps(tree, ensure_ascii=False)
    config, _ = outcome(text)
    if config:
        assert [*SCHEMA.iter_errors(parse(text))] == []


@given(st.text() | st.text(alphabet="{}[]:,#&*!|>'\"%@` \n\t-ab1"))
def test_any_text_is_taken_or_told_in_single_lines(text):
    assert_taken_or_told(text)


@given(st.text() | st.builds("roles.counter.{}={}".format, st.text(), st.text()))
def test_any_override_is_taken_or_told_in_single_lines(override):
    assert_taken_or_told("", override)


@given(
    st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)))
    | st.text(alphabet="0123456789-.e\n{}$"),
    st.sampled_from(["${X}", "${X}${X}", "a${Y}", "${", "$${X}"]),
    st.sampled_from(["token", "port", "pause_s", "level", "stock", "enabled", "group", "unheard_of"]),
)
def test_any_variable_is_taken_or_told_in_single_lines(value, text, key):
    _, faults = outcome(f"roles: {{counter: {{{key}: '{text}'}}}}", X=value)
    assert len(faults) <= 1
    assert all(fault.isprintable() and len(fault) < 1000 for fault in faults)


@given(st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_a_number_is_read_as_it_is_written(number):
    assert parse(f"a: {str(number).lower()}") == {"a": number}


@given(st.text(alphabet="0123456789+-._:eExobfalstrundy~", min_size=1, max_size=12))
def test_a_word_is_a_number_a_boolean_null_or_itself(word):
    meant = scalar(word)
    if isinstance(meant, str):
        assert meant == word
    elif meant is None or isinstance(meant, bool):
        assert word.lower() in {"~", "null", "true", "false"}
    else:
        assert float(word) == meant


@given(st.dictionaries(NAMES, st.integers(), min_size=1, max_size=4), st.data())
def test_a_key_that_stands_twice_is_never_passed_over(mapping, data):
    text = yaml.safe_dump(mapping, allow_unicode=True)
    again = data.draw(st.sampled_from(sorted(mapping)))
    text += yaml.safe_dump({again: 0}, allow_unicode=True)
    with pytest.raises(YamlFaults, match="twice"):
        parse(text)


@given(
    PRINTABLE.map(lambda text: f"hunter2{text}").filter(lambda text: "${" not in text),
    st.sampled_from(["token", "port", "pause_s", "level", "stock", "enabled", "topics"]),
)
def test_a_text_of_the_environment_shows_in_no_fault_and_in_no_config(secret, key):
    config, faults = outcome(f"roles: {{counter: {{{key}: '${{SECRET}}'}}}}", SECRET=secret)
    if config:
        assert config.roles["counter"].token == SecretStr(secret)
        assert "hunter2" not in repr(config)
        assert "hunter2" not in str(config.model_dump(mode="json"))
    assert "hunter2" not in str(faults)
