"""`${NAME}` is replaced from the environment, and no secret is ever shown."""

import copy
import traceback

import pytest
from pydantic import ValidationError

from campus.config.config_file import ConfigError
from campus.config.settings import (
    RoleSettings,
    SecurityConfig,
)


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


def test_an_unset_name_is_a_fault_whatever_the_setting_is(faults):
    for setting in ("port", "pause_s", "enabled", "cooks", "ack", "menu", "stock"):
        assert faults(f"roles: {{kitchen: {{{setting}: '${{GONE}}'}}}}") == [
            f"config.yaml: roles.kitchen.{setting}: ${{GONE}} is not set in the environment; export GONE"
        ]


def test_a_variable_with_a_control_character_is_refused_whatever_the_setting_is(faults):
    for setting in ("port", "pause_s", "enabled", "cooks", "group", "ack", "menu"):
        (fault,) = faults(f"roles: {{kitchen: {{{setting}: '${{BAD}}'}}}}", BAD="1\n")
        assert fault.startswith(f'config.yaml: roles.kitchen.{setting}: "${{BAD}}" is not allowed: ')
        assert fault.endswith(", without control characters")


def test_a_variable_cannot_stand_for_null(read, faults):
    assert faults("roles: {kitchen: {cooks: '${COOKS}'}}", COOKS="null") == [
        'config.yaml: roles.kitchen.cooks: "${COOKS}" is not allowed: a whole number from 1 to 9 or null'
    ]
    assert read("roles: {kitchen: {group: '${GROUP}'}}", GROUP="null").roles["kitchen"].group == "null"


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


def test_a_secret_shows_in_no_traceback(read):
    with pytest.raises(ConfigError) as refused:
        read(
            "roles: {kitchen: {token: '${TOKEN}', port: 1.5}, inventory: {enabled: '${TOKEN}'}}",
            TOKEN="hunter2",
        )
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


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
