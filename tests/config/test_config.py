"""The configuration is taken whole, or refused with every fault on a line of its own."""

import copy
import errno
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, SecretStr, ValidationError

import roles
from campus.addresses import Address
from campus.config.config_file import FILE_BYTES_MAX, ConfigError, load
from campus.config.settings import (
    BrokerConfig,
    Config,
    ConfigIssue,
    ConsumerConfig,
    KafkaConfig,
    LocalPath,
    Name,
    RoleSettings,
    SecurityConfig,
    TopicsConfig,
)
from campus.config.strict_yaml import parse

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "config.yaml"


OPENING_STOCK = {"pizza": 100, "salad": 50}


class KitchenSettings(RoleSettings):
    port: int = Field(8000, ge=0, le=65535)
    ack: Literal["broker", "none"] = "broker"
    pause_s: float = Field(0.0, ge=0, le=60)
    cooks: int | None = Field(None, ge=1, le=9)
    waiting_max: int = Field(100, ge=1)
    rest_s: float = Field(0.0, ge=0)
    group: str = "kitchen"
    stock: dict[Name, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(
        default_factory=lambda: OPENING_STOCK
    )
    token: SecretStr | None = Field(None, min_length=1)
    menu: LocalPath = Path("menu.txt")


class InventorySettings(RoleSettings):
    processing_delay_s: float = Field(0.0, ge=0, le=60)


ROLES: dict[str, type[RoleSettings]] = {"kitchen": KitchenSettings, "inventory": InventorySettings}


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Loads a config.yaml with this text, from the folder that it is in."""
    monkeypatch.chdir(tmp_path)

    def read_text(text="", *overrides, roles=ROLES, **environ):
        Path("config.yaml").write_text(text, "utf-8")
        return load(Path("config.yaml"), roles=roles, overrides=overrides, environ=environ)

    return read_text


@pytest.fixture
def faults(read):
    def faults_of(text="", *overrides, **environ):
        with pytest.raises(ConfigError) as refused:
            read(text, *overrides, **environ)
        return list(refused.value.faults)

    return faults_of


# What is taken


def test_an_empty_file_is_all_defaults(read, tmp_path):
    config = read("# nothing set\n")
    assert config.kafka == KafkaConfig()
    assert config.broker == BrokerConfig(data_dir=tmp_path / ".campuskafka")
    assert config.roles["inventory"] == InventorySettings()
    assert config.folder == tmp_path


def test_without_a_file_there_are_the_defaults_and_what_overrides_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load(None, roles=ROLES, overrides=["topics.partitions=2"], environ={})
    assert config.topics == TopicsConfig(partitions=2)
    assert config.folder == tmp_path


def test_an_empty_stanza_is_its_defaults(read):
    assert read("kafka:\nroles:\n  kitchen:\n").roles["kitchen"].group == "kitchen"


def test_every_type_of_setting_is_taken(read, tmp_path):
    kitchen = read(
        """
        roles:
          kitchen:
            enabled: false
            port: 0
            ack: none
            pause_s: 2
            cooks: 3
            group: "42"
            stock: {veggie burger: 3, "on": 0, 7up: 1}
            token: hunter2
            menu: /etc/menu
        """
    ).roles["kitchen"]
    assert kitchen == KitchenSettings(
        enabled=False,
        port=0,
        ack="none",
        pause_s=2.0,
        cooks=3,
        group="42",
        stock={"veggie burger": 3, "on": 0, "7up": 1},
        token=SecretStr("hunter2"),
        menu=Path("/etc/menu"),
    )
    assert type(kitchen.pause_s) is float


def test_a_whole_number_will_do_for_any_number_and_not_the_other_way_round(read, faults):
    assert read("{supervisor: {shutdown_s: 3}}").supervisor.shutdown_s == 3.0
    assert faults("{topics: {partitions: 4.0}}") == [
        "config.yaml: topics.partitions: 4.0 is not allowed: a whole number from 1 to 1000"
    ]


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path, monkeypatch):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "my.yaml").write_text("broker: {jars: jars}")
    monkeypatch.chdir(tmp_path)
    config = load(Path("etc/my.yaml"), roles=ROLES, environ={})
    assert config.broker.jars == tmp_path / "etc" / "jars"
    assert config.broker.data_dir == tmp_path / "etc" / ".campuskafka"


def test_a_path_may_begin_in_the_home_folder(read):
    assert read("broker: {data_dir: ~/kafka}").broker.data_dir == Path.home() / "kafka"


def test_a_home_that_nobody_has_is_refused(faults):
    assert faults("broker: {data_dir: ~nobody.of.this.name/kafka}") == [
        'config.yaml: broker.data_dir: "~nobody.of.this.name/kafka" is not allowed: a path'
    ]


def test_the_addresses_of_the_brokers_are_parsed(read):
    kafka = read("kafka: {bootstrap_servers: 'a:1, [::1]:2'}").kafka
    assert kafka.addresses == (Address("a", 1), Address("::1", 2))


def test_topics_carry_the_prefix(read):
    topics = read("topics: {prefix: north-}").topics
    assert topics.orders_topic == "north-order-events"
    assert topics.journal_topic == "north-inventory-events"
    assert topics.dead_letters_topic == "north-order-events.dlq"


# Faults


def test_an_unknown_key_gets_its_nearest_neighbour(faults):
    assert faults("topics: {partitons: 4}") == [
        'config.yaml: topics.partitons: unknown key, did you mean "partitions"?'
    ]


def test_an_unknown_key_without_a_neighbour_gets_the_keys_that_there_are(faults):
    assert faults("logging: {colour: red}") == [
        "config.yaml: logging.colour: unknown key; the keys here are level, format"
    ]


def test_a_stanza_of_no_role_is_an_unknown_key(faults):
    assert faults("roles: {kitchn: {enabled: true}}") == [
        'config.yaml: roles.kitchn: unknown key, did you mean "kitchen"?'
    ]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("topics: {partitions: four}", '"four" is not allowed: a whole number from 1 to 1000'),
        ("topics: {partitions: 0}", "0 is not allowed: a whole number from 1 to 1000"),
        ("topics: {partitions: 1001}", "1001 is not allowed: a whole number from 1 to 1000"),
        ("topics: {partitions: true}", "true is not allowed: a whole number from 1 to 1000"),
        ("topics: {partitions: null}", "null is not allowed: a whole number from 1 to 1000"),
        ("topics: {partitions: [4]}", "a list is not allowed: a whole number from 1 to 1000"),
        ("topics: {partitions: {a: 4}}", "a map is not allowed: a whole number from 1 to 1000"),
        (
            'topics: {partitions: "4"}',
            '"4" is not allowed: a whole number from 1 to 1000; write it without quotes',
        ),
        (
            "topics: {partitions: 1_0}",
            '"1_0" is not allowed: a whole number from 1 to 1000; write 10',
        ),
        ("topics: {partitions: 010}", '"010" is not allowed: a whole number from 1 to 1000'),
        ("topics: {partitions: 0x10}", '"0x10" is not allowed: a whole number from 1 to 1000'),
        ("topics: {orders: 7}", "7 is not allowed: a text; put it in quotes"),
        ("topics: {orders: false}", "false is not allowed: a text; put it in quotes"),
        (
            'topics: {orders: "a\\nb"}',
            '"a\\u000ab" is not allowed: a text, without control characters',
        ),
        ("roles: {kitchen: {enabled: on}}", '"on" is not allowed: true or false'),
        ("roles: {kitchen: {enabled: 1}}", "1 is not allowed: true or false"),
        ("roles: {kitchen: {pause_s: 1:30}}", '"1:30" is not allowed: a number from 0 to 60'),
        (
            "roles: {kitchen: {pause_s: 2024-01-01}}",
            '"2024-01-01" is not allowed: a number from 0 to 60',
        ),
        ("roles: {kitchen: {pause_s: .inf}}", '".inf" is not allowed: a number from 0 to 60'),
        ("roles: {kitchen: {pause_s: .nan}}", '".nan" is not allowed: a number from 0 to 60'),
        ("roles: {kitchen: {pause_s: 1e999}}", "Infinity is not allowed: a number from 0 to 60"),
        ("roles: {kitchen: {rest_s: 1e999}}", "Infinity is not allowed: a number, at least 0"),
        ("roles: {kitchen: {pause_s: true}}", "true is not allowed: a number from 0 to 60"),
        ("roles: {kitchen: {token: ''}}", "********** is not allowed: a text that is not empty or null"),
        ("roles: {kitchen: {pause_s: 60.01}}", "60.01 is not allowed: a number from 0 to 60"),
        ("roles: {kitchen: {pause_s: -0.1}}", "-0.1 is not allowed: a number from 0 to 60"),
        ("roles: {kitchen: {port: 65536}}", "65536 is not allowed: a whole number from 0 to 65535"),
        ("roles: {kitchen: {cooks: 0}}", "0 is not allowed: a whole number from 1 to 9 or null"),
        ("roles: {kitchen: {waiting_max: 0}}", "0 is not allowed: a whole number, at least 1"),
        ("roles: {kitchen: {ack: all}}", '"all" is not allowed: one of broker, none'),
        ("roles: {kitchen: {menu: ''}}", '"" is not allowed: a path'),
        (
            "roles: {kitchen: {stock: 5}}",
            "a single value is not allowed: names under it, each with a whole number from 0 to 1000000",
        ),
        ("broker: {heap: 1t}", '"1t" is not allowed: a text such as "256m" or "1g"'),
        ("broker: external", "a single value is not allowed: keys under it, each with its value"),
    ],
)
def test_a_value_that_does_not_fit_is_told_what_does(faults, setting, says):
    (fault,) = faults(setting)
    assert fault.removeprefix("config.yaml: ").partition(": ")[2] == says


def test_the_stock_is_names_with_portions(faults):
    assert faults("roles: {kitchen: {stock: {'': 1, pizza: -1, salad: 1000001, soup: true}}}") == [
        "config.yaml: roles.kitchen.stock.: the name is not allowed: 1 to 256 characters, "
        "none of them a control character",
        "config.yaml: roles.kitchen.stock.pizza: -1 is not allowed: a whole number from 0 to 1000000",
        "config.yaml: roles.kitchen.stock.salad: 1000001 is not allowed: a whole number from 0 to 1000000",
        "config.yaml: roles.kitchen.stock.soup: true is not allowed: a whole number from 0 to 1000000",
    ]


def test_a_name_in_the_stock_has_at_most_256_characters(read, faults):
    longest = "x" * 256
    assert read(f"roles: {{kitchen: {{stock: {{{longest}: 1}}}}}}").roles["kitchen"].stock == {longest: 1}
    assert len(faults(f"roles: {{kitchen: {{stock: {{{longest}x: 1}}}}}}")) == 1


def test_all_faults_are_told_at_once(faults):
    assert faults(
        "topics: {partitons: 4, replication: none}\nlogging: {level: LOUD}",
        "roles.kitchen.prt=1",
        PROCESSING_DELAY="long",
    ) == [
        'config.yaml: topics.replication: "none" is not allowed: a whole number from 1 to 100',
        'config.yaml: topics.partitons: unknown key, did you mean "partitions"?',
        'config.yaml: logging.level: "LOUD" is not allowed: one of DEBUG, INFO, WARNING, ERROR',
        'PROCESSING_DELAY: roles.inventory.processing_delay_s: "long" is not allowed: a number from 0 to 60',
        '--set: roles.kitchen.prt: unknown key, did you mean "port"?',
    ]


def test_the_error_ends_the_process_with_2_and_has_a_line_for_each_fault(read):
    with pytest.raises(ConfigError) as refused:
        read("{a: 1, b: 2}")
    assert refused.value.exit_code == 2
    assert str(refused.value).splitlines() == list(refused.value.faults)


def test_very_many_faults_are_counted_and_not_all_shown(read):
    with pytest.raises(ConfigError) as refused:
        read("\n".join(f"key{n}: 1" for n in range(1000)))
    lines = str(refused.value).splitlines()
    assert len(lines) == 51
    assert lines[-1] == "and 950 more"


def test_the_name_of_an_item_is_shown_so_that_it_cannot_break_the_line(faults):
    (fault,) = faults('roles: {kitchen: {stock: {"a\\u2028b": -1}}}')
    assert fault.startswith("config.yaml: roles.kitchen.stock.a\\u2028b: -1 is not allowed")


def test_of_an_unknown_key_only_the_first_word_is_shown(faults):
    assert faults("roles: {kitchen: {token:hunter2}}") == [
        'config.yaml: roles.kitchen.token…: unknown key, did you mean "token"?'
    ]


def test_a_fault_stays_one_short_line_whatever_the_key_and_the_value(faults):
    text = '"a\\u2028b\\x1b[31m": 1\nlogging: {level: "' + "x" * 5000 + '\\n\\x1b"}'
    for fault in faults(text):
        assert fault.isprintable()
        assert len(fault) < 300


# Settings that are wrong together


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        (
            "kafka: {consumer: {heartbeat_interval_ms: 6000}}",
            "kafka.consumer.heartbeat_interval_ms: 6000 is not allowed: "
            "at most a third of session_timeout_ms, which is 6000",
        ),
        (
            "kafka: {request_timeout_s: 0.1}",
            "kafka.request_timeout_s: 0.1 is not allowed: more than consumer.fetch_max_wait_ms, which is 100",
        ),
        (
            "kafka: {bootstrap_servers: 'localhost:x'}",
            'kafka.bootstrap_servers: "localhost:x" is not allowed: '
            'host:port, several with commas between, such as "a:9092,b:9092"',
        ),
        (
            "topics: {orders: 'what a name'}",
            "topics.orders: the topic would be 'what a name'; "
            "with its prefix it is 1 to 249 of a-z A-Z 0-9 . _ -",
        ),
        (
            "topics: {journal: order-events}",
            "topics.journal: is the same to Kafka as orders; give each topic its own name",
        ),
        (
            "topics: {dead_letters: a.b, orders: a_b}",
            "topics.dead_letters: is the same to Kafka as orders; give each topic its own name",
        ),
        (
            "supervisor: {backoff_first_s: 6}",
            "supervisor.backoff_first_s: 6 is not allowed: at most backoff_most_s, which is 5",
        ),
        (
            "kafka: {security: {sasl_username: ana}}",
            "kafka.security.sasl_username: has no effect with protocol PLAINTEXT; "
            "choose one with SASL in it, or leave sasl_username out",
        ),
        (
            "kafka: {security: {protocol: SASL_PLAINTEXT, ssl_check_hostname: false, "
            "sasl_mechanism: PLAIN, sasl_username: a, sasl_password: b}}",
            "kafka.security.ssl_check_hostname: has no effect with protocol SASL_PLAINTEXT; "
            "choose one with SSL in it, or leave ssl_check_hostname out",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_one_fault(faults, setting, fault):
    assert faults(setting) == [f"config.yaml: {fault}"]


def test_the_prefix_counts_in_the_length_of_a_topic(read, faults):
    prefix, longest = "x" * 200, "o" * 49
    assert read(f"topics: {{prefix: {prefix}, orders: {longest}}}").topics.orders_topic == prefix + longest
    (fault,) = faults(f"topics: {{prefix: {prefix}, orders: {longest}o}}")
    assert fault.startswith("config.yaml: topics.orders: the topic would be ")


@pytest.mark.parametrize("name", [".", "..", ""])
def test_a_name_that_no_topic_can_have_is_refused(faults, name):
    (fault,) = faults(f"topics: {{orders: '{name}'}}")
    assert fault.startswith(f"config.yaml: topics.orders: the topic would be '{name}'; ")


def test_sasl_needs_its_three_settings(faults):
    assert faults("kafka: {security: {protocol: SASL_SSL}}") == [
        f"config.yaml: kafka.security.{key}: is missing: SASL_SSL needs it"
        for key in ("sasl_mechanism", "sasl_username", "sasl_password")
    ]


def test_a_key_needs_its_certificate(faults, tmp_path):
    (tmp_path / "our.key").touch()
    assert faults("kafka: {security: {protocol: SSL, ssl_keyfile: our.key}}") == [
        "config.yaml: kafka.security.ssl_certfile: is missing: ssl_keyfile needs it"
    ]


def test_a_password_needs_its_key(faults):
    assert faults("kafka: {security: {protocol: SSL, ssl_password: hunter2}}") == [
        "config.yaml: kafka.security.ssl_keyfile: is missing: ssl_password is for it"
    ]


def test_a_certificate_that_is_not_there_is_a_fault(faults, tmp_path):
    assert faults("kafka: {security: {protocol: SSL, ssl_cafile: ca.pem}}") == [
        f'config.yaml: kafka.security.ssl_cafile: there is no file "{tmp_path / "ca.pem"}"'
    ]


def test_what_is_wrong_by_itself_is_not_called_a_contradiction_too(faults):
    assert faults("kafka: {consumer: {heartbeat_interval_ms: often, session_timeout_ms: 1}}") == [
        'config.yaml: kafka.consumer.heartbeat_interval_ms: "often" is not allowed: '
        "a whole number from 1 to 3600000"
    ]


def test_a_contradiction_names_the_stronger_of_its_two_sources(faults):
    (fault,) = faults(
        "kafka: {consumer: {heartbeat_interval_ms: 2000}}", "kafka.consumer.session_timeout_ms=1500"
    )
    assert fault.startswith("--set: kafka.consumer.heartbeat_interval_ms: 2000 is not allowed")


def test_a_role_may_complain_too(read):
    class Settings(RoleSettings):
        least: int = 1
        most: int = 2

        def issues(self) -> Iterator[ConfigIssue]:
            if self.least > self.most:
                yield ConfigIssue(("least", "most"), "is more than most")

    with pytest.raises(ConfigError) as refused:
        read("roles: {fourth: {least: 3}}", roles={"fourth": Settings})
    assert refused.value.faults == ("config.yaml: roles.fourth.least: is more than most",)


# YAML


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("topics:\n  partitions: 4: 5", "line 2: mapping values are not allowed here"),
        (
            "topics:\n\tpartitions: 4",
            "line 2: while scanning for the next token, found character '\\t' "
            "that cannot start any token; indent with spaces, not with a tab",
        ),
        (
            "topics: {prefix: a",
            "line 1: while parsing a flow mapping, expected ',' or '}', but got '<stream end>'",
        ),
        (
            "a: 1\n---\nb: 2",
            "line 2: expected a single document in the stream, but found another document",
        ),
        ("a: \x07", "line 1: the character U+0007 is not allowed"),
        ("? [a]\n: 1", "line 1: a key must be a text"),
        ("[" * 100_000, "line 1: nested more than 16 deep"),
        (
            "a: &many [x, x]\nb: [*many, *many]",
            'line 1: an anchor ("&") is not allowed; put a text that begins with & in quotes',
        ),
        (
            "a: *many",
            'line 1: an alias ("*") is not allowed; put a text that begins with * in quotes',
        ),
        (
            "a: !!python/object:os.system x",
            'line 1: a tag ("!") is not allowed; put a text that begins with ! in quotes',
        ),
        (
            "%TAG ! x\n---\na: 1",
            'line 1: a directive ("%") is not allowed; put a text that begins with % in quotes',
        ),
        ("just words", "the file must be keys with values, such as topics: {…}"),
        ("- a", "the file must be keys with values, such as topics: {…}"),
    ],
)
def test_what_is_no_plain_yaml_is_told_with_its_line(faults, text, says):
    assert faults(text) == [f"config.yaml: {says}"]


def test_each_key_that_stands_twice_is_a_fault(faults):
    text = "topics:\n  prefix: a\n  prefix: b\nlogging: {level: INFO, level: INFO}\n"
    assert faults(text) == [
        "config.yaml: topics.prefix: twice, on line 2 and on line 3; keep one",
        "config.yaml: logging.level: twice, on line 4 and on line 4; keep one",
    ]


def test_words_that_yaml_takes_for_something_else_stay_words():
    text = "[on, yes, 1:30, 1_000, 010, 0x1F, 2024-01-01, .inf, .nan, ., -, <<]".replace("-,", "'-',")
    assert parse(text) == [
        *("on", "yes", "1:30", "1_000", "010", "0x1F", "2024-01-01", ".inf", ".nan", ".", "-", "<<")
    ]


def test_numbers_booleans_and_null_are_what_they_look_like():
    assert parse("[0, -1, +2, 1.5, .5, 2., 1e3, -1E-2, true, false, null, ~]") == [
        *(0, -1, 2, 1.5, 0.5, 2.0, 1000.0, -0.01, True, False, None, None)
    ]


def test_a_number_of_very_many_digits_is_refused(faults):
    (fault,) = faults("topics: {partitions: " + "9" * 10_000 + "}")
    assert fault.endswith("is not allowed: a whole number from 1 to 1000")
    assert len(fault) < 200


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


# The environment in values, and secrets


def test_a_name_in_a_value_is_replaced_from_the_environment(read):
    config = read("topics: {prefix: '${SITE}-${TERM}-'}", SITE="north", TERM="2024")
    assert config.topics.prefix == "north-2024-"


def test_the_setting_decides_what_a_replaced_name_is(read):
    kitchen = read(
        "roles: {kitchen: {port: '${PORT}', group: '${PORT}', pause_s: '${PORT}', enabled: '${ON}'}}",
        PORT="30",
        ON="false",
    ).roles["kitchen"]
    assert (kitchen.port, kitchen.group, kitchen.pause_s, kitchen.enabled) == (30, "30", 30.0, False)


def test_an_unset_name_is_a_fault_that_says_which(faults):
    assert faults("roles: {kitchen: {token: '${TOKEN}', group: '${GROUP}'}}", TOKEN="x") == [
        "config.yaml: roles.kitchen.group: ${GROUP} is not set in the environment; export GROUP"
    ]


def test_two_dollars_escape(read, faults):
    assert read("roles: {kitchen: {group: '$${SITE}, $5 and $$'}}").roles["kitchen"].group == (
        "${SITE}, $5 and $$"
    )
    assert faults("roles: {kitchen: {group: 'a${b'}}") == [
        'config.yaml: roles.kitchen.group: a "${" without a NAME and a "}" behind it; '
        "write $${ for the characters"
    ]


def test_what_was_replaced_is_not_replaced_again(read):
    group = read("roles: {kitchen: {group: '${A}'}}", A="${B}", B="b").roles["kitchen"].group
    assert group == "${B}"


def test_a_variable_that_overrides_is_taken_as_it_is(read):
    class Settings(RoleSettings):
        processing_delay_s: str = ""

    config = read(roles={"inventory": Settings}, PROCESSING_DELAY="${A}", A="1")
    assert config.roles["inventory"].processing_delay_s == "${A}"


def test_a_replaced_value_that_does_not_fit_is_shown_as_it_was_written(faults):
    assert faults("topics: {partitions: '${PASSWORD}'}", PASSWORD="hunter2") == [
        'config.yaml: topics.partitions: "${PASSWORD}" is not allowed: a whole number from 1 to 1000'
    ]


def test_a_secret_shows_in_no_form_of_the_config(read):
    config = read("roles: {kitchen: {token: '${TOKEN}'}}", TOKEN="hunter2")
    token = config.roles["kitchen"].token
    assert token.get_secret_value() == "hunter2"
    for shown in (repr(config), str(token), f"{token}", str(config.model_dump(mode="json"))):
        assert "hunter2" not in shown
        assert "***" in shown
    assert copy.copy(config) == config


def test_a_model_built_by_hand_does_not_show_a_secret_that_it_refuses():
    with pytest.raises(ValidationError) as refused:
        SecurityConfig(sasl_password="hunter2", sasl_username=20071979)
    assert "hunter2" not in str(refused.value)
    assert "20071979" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "override"),
    [
        ("roles: {kitchen: {token: 20071979}}", ""),
        ("roles: {kitchen: {token: [hunter2]}}", ""),
        ("roles: {kitchen: {token: {hunter2: hunter2}}}", ""),
        ('roles: {kitchen: {token: "hunter2\\n"}}', ""),
        ("roles: {kitchen: {token: 'hunter2${x'}}", ""),
        ("roles: {kitchen: {token: !hunter2 x}}", ""),
        ("roles: {kitchen: {token: !hunter2!x}}", ""),
        ("roles: {kitchen: {token: &hunter2}}", ""),
        ("roles: {kitchen: {token: *hunter2}}", ""),
        ("roles: {kitchen: {token: @hunter2}}", ""),
        ("roles: {kitchen: {token:hunter2}}", ""),
        ("roles: {kitchen: token:hunter2}", ""),
        ("roles: {kitchen: [token, hunter2]}", ""),
        ("roles:\n  kitchen:\n    token: a: hunter2", ""),
        ("roles:\n  kitchen:\n    token:hunter2\n    port: 1", ""),
        ("", "roles.kitchen.token=20071979"),
        ("", "roles.kitchen.token=[hunter2"),
        ("", "roles.kitchen.token=!hunter2!"),
        ("", "roles.kitchen.token hunter2"),
        ("", "roles.kitchen.token:hunter2"),
        ("", "roles.kitchen={token:hunter2}"),
    ],
)
def test_no_fault_ever_shows_a_secret(faults, text, override):
    for fault in faults(text, *filter(None, [override])):
        assert "hunter2" not in fault
        assert "20071979" not in fault


# config.yaml as shipped


def settings_of_the_roles() -> dict[str, Any]:
    modules = {
        info.name: import_module(f"roles.{info.name}") for info in pkgutil.iter_modules(roles.__path__)
    }
    return {name: module.Settings for name, module in modules.items() if hasattr(module, "Settings")}


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


def test_every_role_can_be_disabled():
    for name, cls in settings_of_the_roles().items():
        assert cls.model_fields["enabled"].default is True, name
