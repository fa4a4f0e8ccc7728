"""The file, the environment and `--set` are put on top of each other; later wins."""

import errno
from pathlib import Path

import pytest

from campus.config.config_file import FILE_BYTES_MAX, ConfigError, load
from campus.config.settings import KafkaConfig, TopicsConfig
from tests.config.kitchen import OPENING_STOCK, ROLES, KitchenSettings

# The file


def refused_file(path):
    with pytest.raises(ConfigError) as refused:
        load(path, roles=ROLES, environ={})
    (fault,) = refused.value.faults
    return fault.removeprefix(f"{path}: ")


def test_a_file_that_is_not_there(tmp_path):
    says = refused_file(tmp_path / "none.yaml")
    assert says == "there is no such file; name another with --config"


def test_a_file_that_is_a_folder(tmp_path):
    assert refused_file(tmp_path) == "is a folder; name the file in it"


def test_a_file_in_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").touch()
    assert refused_file(tmp_path / "file" / "config.yaml") == "cannot be read (Not a directory)"


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(path, mode):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    assert refused_file(tmp_path / "config.yaml") == "cannot be read (Permission denied)"


def test_a_file_that_is_not_utf_8(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes("a: 1\nb: Käse".encode("latin-1"))
    assert refused_file(path) == "line 2: is not UTF-8; save it as UTF-8"


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbftopics: {prefix: x}")
    assert load(path, roles=ROLES, environ={}).topics.prefix == "x"


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"#" * (FILE_BYTES_MAX + 1))
    assert refused_file(path) == "is larger than 1048576 bytes; is it the right file?"
    path.write_bytes(b"#" * FILE_BYTES_MAX)
    assert load(path, roles=ROLES, environ={}).topics == TopicsConfig()


# Overrides


def test_set_wins_over_the_environment_over_the_file_over_the_defaults(read):
    file = "kafka: {bootstrap_servers: 'file:1'}"
    assert read(file).kafka.bootstrap_servers == "file:1"
    assert read(file, KAFKA_BOOTSTRAP_SERVERS="env:1").kafka.bootstrap_servers == "env:1"
    assert (
        read(file, "kafka.bootstrap_servers=set:1", KAFKA_BOOTSTRAP_SERVERS="env:1").kafka.bootstrap_servers
        == "set:1"
    )


def test_processing_delay_is_seconds(read):
    assert read(PROCESSING_DELAY="2").roles["inventory"].processing_delay_s == 2.0
    assert read(PROCESSING_DELAY="0.25").roles["inventory"].processing_delay_s == 0.25


def test_an_empty_variable_overrides_nothing(read):
    assert read(PROCESSING_DELAY="", KAFKA_BOOTSTRAP_SERVERS="").kafka == KafkaConfig()


def test_processing_delay_means_nothing_where_there_is_no_inventory(read):
    config = read(PROCESSING_DELAY="2", roles={"kitchen": KitchenSettings})
    assert list(config.roles) == ["kitchen"]


def test_a_fault_of_the_environment_names_the_variable(faults):
    assert faults(KAFKA_BOOTSTRAP_SERVERS="nowhere:") == [
        'KAFKA_BOOTSTRAP_SERVERS: kafka.bootstrap_servers: "nowhere:" is not allowed: '
        'host:port, several with commas between, such as "a:9092,b:9092"'
    ]


@pytest.mark.parametrize(
    ("override", "setting", "value"),
    [
        ("roles.kitchen.port=9000", "port", 9000),
        ("roles.kitchen.pause_s=1", "pause_s", 1.0),
        ("roles.kitchen.enabled=false", "enabled", False),
        ("roles.kitchen.group=", "group", ""),
        ("roles.kitchen.group=a=b", "group", "a=b"),
        ("roles.kitchen.group='9'", "group", "9"),
        ("roles.kitchen.cooks=null", "cooks", None),
        ("roles.kitchen.stock={soup: 3}", "stock", {"soup": 3}),
        ("roles.kitchen.stock.soup=3", "stock", {"pizza": 100, "salad": 50, "soup": 3}),
        ("roles.kitchen={port: 1}", "port", 1),
    ],
)
def test_any_key_can_be_set(read, override, setting, value):
    assert getattr(read("", override).roles["kitchen"], setting) == value


def test_setting_one_item_keeps_the_stock_of_the_file(read):
    config = read("roles: {kitchen: {stock: {soup: 1, tea: 2}}}", "roles.kitchen.stock.tea=5")
    assert config.roles["kitchen"].stock == {"soup": 1, "tea": 5}


def test_setting_one_item_leaves_the_defaults_as_they_are(read):
    read("", "roles.kitchen.stock.soup=3")
    assert read().roles["kitchen"].stock == {"pizza": 100, "salad": 50}
    assert "soup" not in OPENING_STOCK


def test_the_source_of_each_setting_is_kept(read):
    config = read(
        "{topics: {prefix: a, partitions: 2}, roles: {inventory: }}",
        "topics.prefix=b",
        "roles.kitchen.stock.soup=3",
        PROCESSING_DELAY="2",
    )
    assert {key: source for key, source in config.sources.items() if source != "default"} == {
        ("topics", "prefix"): "--set",
        ("topics", "partitions"): "file",
        ("roles", "inventory", "processing_delay_s"): "environment",
        ("roles", "kitchen", "stock", "soup"): "--set",
    }


def test_the_last_of_several_counts(read):
    assert read("", "topics.prefix=a", "topics.prefix=b").topics.prefix == "b"


def test_a_stanza_set_as_a_whole_forgets_what_the_environment_said_in_it(faults):
    (fault,) = faults("", "roles.inventory={processing_delay_s: 61}", PROCESSING_DELAY="2")
    assert fault.startswith("--set: roles.inventory.processing_delay_s: 61 is not allowed")


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("topics.partitons=4", 'topics.partitons: unknown key, did you mean "partitions"?'),
        ("topisc.partitions=4", 'topisc: unknown key, did you mean "topics"?'),
        (
            "topics.partitions=x",
            'topics.partitions: "x" is not allowed: a whole number from 1 to 1000',
        ),
        (
            "topics.partitions.of=4",
            "topics.partitions: a map is not allowed: a whole number from 1 to 1000",
        ),
        (
            "roles.kitchen.stock={soup: 1",
            "roles.kitchen.stock: line 1: while parsing a flow mapping, "
            "expected ',' or '}', but got '<stream end>'",
        ),
        ("topics.partitions", '"topics.partitions": write KEY=VALUE, such as roles.producer.port=9000'),
        ("=4", '"": write KEY=VALUE, such as roles.producer.port=9000'),
        ("topics..x=4", '"topics..x": write KEY=VALUE, such as roles.producer.port=9000'),
    ],
)
def test_a_fault_of_an_override_names_set(faults, override, fault):
    assert faults("", override) == [f"--set: {fault}"]


def test_nothing_can_be_set_under_a_value(faults):
    assert faults("topics: {partitions: 3}", "topics.partitions.of=4") == [
        "--set: topics.partitions.of: topics.partitions has no keys under it"
    ]


def test_an_override_does_not_hide_that_its_stanza_is_none(faults):
    assert faults("roles: 5", "roles.kitchen.port=1") == [
        "config.yaml: roles: a single value is not allowed: keys under it, each with its value",
        "--set: roles.kitchen.port: roles has no keys under it",
    ]
