"""`dead-letters` on a real Kafka: letters are listed, shown, and redriven once, if they can be read."""

from argparse import ArgumentParser
from contextlib import closing

import pytest

from campus.commands import Context, dead_letters
from campus.commands.dead_letters import CannotRedrive, NoSuchLetter
from campus.config.settings import BrokerConfig, Config, TopicsConfig
from campus.domain.codec import encode
from campus.inventory.ledger import DeadLetter
from campus.kafka.log_reader import LogReader
from campus.kafka.producer.writer import Writer
from campus.kafka.records import TopicPartition
from campus.startup.topics import ensure_topics
from tests.builders import ALedger, a_ledger, an_order

GOOD = encode(an_order("corrected"))
PIZZA = ALedger("pizza").ledger.partition


@pytest.fixture
def config(kafka, unique_prefix):
    """A campus whose inventory has met rubbish, an order of nothing, and a record that was cut."""
    config = Config(
        kafka=kafka.kafka, broker=BrokerConfig(mode="external"), topics=TopicsConfig(prefix=unique_prefix)
    )
    ensure_topics(config.kafka, config.topics, {})
    ledger = a_ledger(pizza=5)
    ledger.takes(b"rub\x1bbish", b'{"event_type":"OrderPlaced"}', b"x" * 70_000)
    letters = [letter for letter in ledger.side_outputs if isinstance(letter, DeadLetter)]
    assert len(letters) == 3
    with closing(Writer(config.kafka, client_id="test")) as writer:
        tp = TopicPartition(config.topics.dead_letters_topic, PIZZA)
        writer.append({tp: [(one.key, one.value, one.headers) for one in letters]})
    return config


def dead_letters_says(config, capsys, *words):
    parser = ArgumentParser()
    dead_letters.add_arguments(parser)
    context = Context(config=config, system=lambda: pytest.fail("no system is needed"))
    assert dead_letters.run(parser.parse_args(words), context) == 0
    return capsys.readouterr().out


def orders_in(config):
    tp = TopicPartition(config.topics.orders_topic, PIZZA)
    with closing(LogReader(config.kafka, client_id="test")) as history:
        return [record for _, batch in history.read(history.bounds([tp])) for record in batch]


def test_the_letters_are_listed_with_their_reason_and_no_raw_control_character(config, capsys):
    text = dead_letters_says(config, capsys, "list")
    assert "3 of 3 dead letters" in text
    for reason in ("not_json", "wrong_shape", "too_large"):
        assert reason in text
    assert "rub\\x1bbish" in text
    assert "\x1b" not in text


def test_only_the_letters_of_one_reason_are_listed_when_asked(config, capsys):
    assert "1 of 1 dead letters" in dead_letters_says(config, capsys, "list", "--reason", "too_large")


def test_a_letter_that_was_cut_says_how_much_was_kept(config, capsys):
    text = dead_letters_says(config, capsys, "show", f"{PIZZA}:2")
    assert "70000 bytes, of which the first 65536 were kept" in text


def test_a_letter_that_still_cannot_be_read_is_not_redriven(config, capsys):
    assert "0 would be redriven" in dead_letters_says(config, capsys, "redrive")
    with pytest.raises(CannotRedrive, match="still cannot be read"):
        dead_letters_says(config, capsys, "redrive", f"{PIZZA}:0", "--yes")
    with pytest.raises(CannotRedrive, match="was cut"):
        dead_letters_says(config, capsys, "redrive", f"{PIZZA}:2", "--yes")
    assert orders_in(config) == []


def test_without_yes_nothing_is_sent(config, capsys):
    text = dead_letters_says(config, capsys, "redrive", f"{PIZZA}:1", "--value", GOOD.decode())
    assert "1 would be redriven" in text
    assert orders_in(config) == []


def test_a_corrected_letter_is_redriven_once_and_says_where_it_came_from(config, capsys):
    words = ("redrive", f"{PIZZA}:1", "--value", GOOD.decode(), "--yes")
    assert "1 redriven" in dead_letters_says(config, capsys, *words)
    (record,) = orders_in(config)
    assert record.value == GOOD
    came_from = f"{config.topics.dead_letters_topic} {PIZZA}:1".encode()
    assert dict(record.headers) == {"redriven-from": came_from}
    with pytest.raises(CannotRedrive, match="was redriven before"):
        dead_letters_says(config, capsys, *words)
    assert "(redriven)" in dead_letters_says(config, capsys, "list")


def test_an_unknown_letter_is_an_error(config, capsys):
    with pytest.raises(NoSuchLetter, match="there is no dead letter 0:99"):
        dead_letters_says(config, capsys, "show", "0:99")
