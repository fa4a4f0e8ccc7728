"""What the command line accepts, and Ctrl-C while the program starts and while its roles are stopping."""

import _thread
import threading
from functools import partial
from pathlib import Path

import pytest

import campus.commands.lag
import campuskafka
from campus.config.config_file import load
from campus.startup.system import running
from campus.supervision.lifecycle import Child
from campus.supervision.role import Heartbeat


def test_ctrl_c_during_the_start_gives_exit_code_130_without_a_traceback(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(campuskafka, "_role_modules", interrupted)
    assert campuskafka.main(["lag"]) == 130


@pytest.mark.parametrize(
    "command_line",
    [
        ["--set", "topics.partitions=3", "lag", "--set", "topics.prefix=a-"],
        ["--set", "topics.partitions=3", "--set", "topics.prefix=a-", "lag"],
        ["lag", "--set", "topics.partitions=3", "--set", "topics.prefix=a-"],
        ["--set", "topics.partitions=9", "--set", "topics.prefix=a-", "lag", "--set", "topics.partitions=3"],
    ],
)
def test_overrides_before_and_after_the_command_all_count_and_the_last_wins(monkeypatch, command_line):
    seen = []
    monkeypatch.setattr(campus.commands.lag, "run", lambda _args, context: seen.append(context.config) or 0)
    assert campuskafka.main(command_line) == 0
    assert [(config.topics.partitions, config.topics.prefix) for config in seen] == [(3, "a-")]


class SlowToStop:
    """A role that gets a Ctrl-C while it stops, and needs a moment more."""

    def __init__(self, ended: threading.Event) -> None:
        self._ended, self._heartbeat = ended, Heartbeat()

    def health(self):
        return self._heartbeat.health()

    def run(self, stop: threading.Event) -> None:
        self._heartbeat.report("works", ready=True)
        stop.wait()
        _thread.interrupt_main()
        threading.Event().wait(0.3)  # its remaining work
        self._ended.set()


def test_ctrl_c_while_roles_are_stopping_lets_them_end_first(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("")
    config = load(tmp_path / "config.yaml", roles={}, environ={})
    ended = threading.Event()
    with (
        pytest.raises(KeyboardInterrupt),
        running([Child("slow", partial(SlowToStop, ended), shutdown_s=5)], config),
    ):
        pass
    assert ended.is_set()
