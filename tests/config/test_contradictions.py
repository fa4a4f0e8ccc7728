"""Settings that are valid one by one and contradict each other are refused, with one line."""

from collections.abc import Iterator

import pytest

from campus.config.config_file import ConfigError
from campus.config.settings import RoleSettings
from campus.config.stanza import ConfigIssue
from roles import inventory, producer


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        (
            "kafka: {consumer: {heartbeat_interval_ms: 6000}}",
            "kafka.consumer.heartbeat_interval_ms: 6000 is not allowed: "
            "at most a third of session_timeout_ms, which is 6000",
        ),
        (
            "kafka: {consumer: {heartbeat_interval_ms: 2001}}",
            "kafka.consumer.heartbeat_interval_ms: 2001 is not allowed: "
            "at most a third of session_timeout_ms, which is 6000",
        ),
        (
            "{kafka: {request_timeout_s: 20}, supervisor: {stuck_s: 20}}",
            "kafka.request_timeout_s: 20 is not allowed: less than supervisor.stuck_s, which is 20, "
            "or a role that waits for a slow request counts as stuck",
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


def test_what_is_just_within_the_other_setting_is_taken(read):
    kafka = "{request_timeout_s: 19.9, consumer: {heartbeat_interval_ms: 2000}}"
    config = read(f"{{kafka: {kafka}, supervisor: {{stuck_s: 20}}}}")
    assert config.kafka.consumer.heartbeat_interval_ms * 3 == config.kafka.consumer.session_timeout_ms


INVENTORY_AND_PRODUCER = {"inventory": inventory.Settings, "producer": producer.Settings}


def overrides(window_orders, ack_timeout_s):
    yield f"roles.inventory.window_orders={window_orders}"
    yield f"roles.producer.ack_timeout_s={ack_timeout_s}"


@pytest.mark.parametrize(
    ("window_orders", "ack_timeout_s", "least"),
    [(99_999, 10, 100_000), (100_000, 10.00001, 100_001), (1, 0.1, 1000), (300_000, 31, 310_000)],
)
def test_the_dedupe_window_covers_the_acknowledgement_timeout(read, window_orders, ack_timeout_s, least):
    with pytest.raises(ConfigError) as refused:
        read("", *overrides(window_orders, ack_timeout_s), roles=INVENTORY_AND_PRODUCER)
    assert refused.value.faults == (
        f"--set: roles.inventory.window_orders: {window_orders} is not allowed: at least {least}, "
        f"which a partition may decide within roles.producer.ack_timeout_s ({ack_timeout_s:g}); "
        "raise it, or lower the timeout",
    )


@pytest.mark.parametrize(("window_orders", "ack_timeout_s"), [(100_000, 10), (1000, 0.1), (300_000, 30)])
def test_a_window_that_just_covers_it_is_taken(read, window_orders, ack_timeout_s):
    read("", *overrides(window_orders, ack_timeout_s), roles=INVENTORY_AND_PRODUCER)


def test_without_a_producer_any_window_will_do(read):
    config = read("roles: {inventory: {window_orders: 1}}", roles={"inventory": inventory.Settings})
    assert config.roles["inventory"].window_orders == 1


def test_a_fault_beside_it_does_not_hide_a_contradiction(faults):
    assert faults("supervisor: {backoff_first_s: 6, max_restarts: many}") == [
        'config.yaml: supervisor.max_restarts: "many" is not allowed: a whole number from 0 to 1000',
        "config.yaml: supervisor.backoff_first_s: 6 is not allowed: at most backoff_most_s, which is 5",
    ]


def test_a_role_may_refuse_settings_that_contradict_each_other(read):
    class Settings(RoleSettings):
        least: int = 1
        most: int = 2

        def issues(self) -> Iterator[ConfigIssue]:
            if self.least > self.most:
                yield ConfigIssue(("least", "most"), "is more than most")

    with pytest.raises(ConfigError) as refused:
        read("roles: {fourth: {least: 3}}", roles={"fourth": Settings})
    assert refused.value.faults == ("config.yaml: roles.fourth.least: is more than most",)
