"""Each setting is taken as it is written, or refused with what is allowed."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from campus.addresses import Address
from campus.config.config_file import ConfigError, load
from campus.config.settings import BrokerConfig, KafkaConfig
from tests.config.kitchen import ROLES, InventorySettings, KitchenSettings


def test_an_empty_file_is_all_defaults(read, tmp_path):
    config = read("# nothing set\n")
    assert config.kafka == KafkaConfig()
    assert config.broker == BrokerConfig(data_dir=tmp_path / ".campuskafka")
    assert config.roles["inventory"] == InventorySettings()


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
