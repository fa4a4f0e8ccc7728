"""The program itself: what Ctrl-C does before anything runs, and while what ran is stopping."""

import _thread
import threading
from functools import partial
from pathlib import Path

import pytest

import campuskafka
from campus.config.config_file import load
from campus.startup.system import running
from campus.supervision.lifecycle import Child
from campus.supervision.role import Heartbeat


def test_ctrl_c_while_the_program_is_still_being_read_is_no_traceback(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(campuskafka, "_role_modules", interrupted)
    assert campuskafka.main(["lag"]) == 130


class Slow:
    """Is interrupted when it is told to stop, and takes its time all the same."""

    def __init__(self, ends: threading.Event) -> None:
        self._ends, self._heartbeat = ends, Heartbeat()

    def health(self):
        return self._heartbeat.health()

    def run(self, stop: threading.Event) -> None:
        self._heartbeat.report("works", ready=True)
        stop.wait()
        _thread.interrupt_main()
        threading.Event().wait(0.3)  # what it would still do
        self._ends.set()


def test_ctrl_c_while_roles_are_stopping_lets_them_end_first(tmp_path: Path):
    (tmp_path / "config.yaml").write_text("")
    config = load(tmp_path / "config.yaml", roles={}, environ={})
    ended = threading.Event()
    with (
        pytest.raises(KeyboardInterrupt),
        running([Child("slow", partial(Slow, ended), shutdown_s=5)], config),
    ):
        pass
    assert ended.is_set()
