"""The producer alone, in a process of its own, with a file as its log: `python -m tests.attack.endpoint LOG`

So its descriptors, memory and output belong to it alone. As with a broker, an order is acknowledged by
another thread, after it was written to the file. The process prints its port and serves until its standard
input ends.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from campus.book.order_book import OrderBook
from campus.logs import set_up
from tests.api.serving import a_producer
from tests.attack.strict import OrderFields
from tests.support.processes import soon

ROOT = Path(__file__).parents[2]
TIMES_OUT_S = 3.0  # for heads and bodies

WAIT_MAX_S = 1  # for an outcome, which never comes here
ORDERS_KEPT = 1000  # few, so that the book is full before the footprint is first measured


class FileCommit:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken: SimpleQueue[tuple[bytes, Any] | None] = SimpleQueue()

    def submit(self, _tp: Any, record: Any, token: Any) -> None:
        self._taken.put((record[1], token))

    @contextmanager
    def opened(self, report: Any) -> Iterator["FileCommit"]:
        thread = Thread(target=self._commit, args=(report,))
        thread.start()
        try:
            yield self
        finally:
            self._taken.put(None)
            thread.join()

    def _commit(self, report: Any) -> None:
        with self._path.open("ab") as file:
            while entry := self._taken.get():
                record, token = entry
                file.write(record + b"\n")
                file.flush()
                report([token], [])


class Endpoint:
    """The process, controlled from outside."""

    def __init__(self, folder: Path) -> None:
        self._log, self._output = folder / "log.ndjson", folder / "output.txt"
        self._log.touch()
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.attack.endpoint", str(self._log)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
            )
        soon(lambda: "serves on" in self._output.read_text() or not self.runs)
        assert self.runs, self._output.read_text()
        self.port = int(self._output.read_text().split("serves on ")[1].split()[0])

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def output(self) -> list[str]:
        return self._output.read_text(errors="backslashreplace").split("\n")

    def log(self) -> dict[str, OrderFields]:
        records = [json.loads(line) for line in self._log.read_bytes().splitlines()]
        return {
            one["order_id"]: OrderFields(one["user_id"], one["item"], one["quantity"])
            for one in records
            if one["event_type"] == "OrderPlaced"
        }

    def close(self) -> int:
        """Returns its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(15)
        self._process.kill()
        self._process.wait()
        raise AssertionError("it did not stop")


def main(log: Path) -> int:
    set_up("INFO", "text", sys.stdout)
    commit: Any = FileCommit(log)
    book = OrderBook(orders_max=ORDERS_KEPT)
    book.caught_up = True
    limits = {"head_timeout_s": TIMES_OUT_S, "body_timeout_s": TIMES_OUT_S, "wait_max_s": WAIT_MAX_S}
    with a_producer(commit=commit, book=book, **limits) as running:
        print("serves on", running.port, flush=True)
        sys.stdin.read()
    return 0 if running.error is None else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
