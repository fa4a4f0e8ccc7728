"""A fake Java with a fake Kafka in one small script, for tests without a JVM.

It prints a version, "formats" a data folder, and as `kafka.Kafka` answers ApiVersions at its address and
holds Kafka's own lock. FAKE_KAFKA in the environment selects another behaviour.
"""

import fcntl
import os
import signal
import socketserver
import struct
import sys
from pathlib import Path


def install(folder: Path, *, version: str = "21.0.1") -> Path:
    """Create an executable that acts as Java."""
    program = folder / "java"
    folder.mkdir(parents=True, exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{__file__}" {version} "$@"\n')
    program.chmod(0o755)
    return program


def main(version: str, arguments: list[str]) -> int:
    if arguments == ["-version"]:
        print(f'openjdk version "{version}" 2026-01-20', file=sys.stderr)
        return 0
    settings = dict(
        line.split(" = ", 1) for line in Path(arguments[-1]).read_text().splitlines() if " = " in line
    )
    if "kafka.tools.StorageTool" in arguments:
        return _format(Path(settings["log.dirs"]), arguments[arguments.index("-t") + 1])
    return _serve(settings)


def _format(log_dir: Path, cluster_id: str) -> int:
    if os.environ.get("FAKE_KAFKA") == "cannot format":
        print("the reason of the tool")
        return 1
    log_dir.mkdir()
    (log_dir / "meta.properties").write_text(f"#\nnode.id=1\nversion=1\ncluster.id={cluster_id}\n")
    return 0


def _serve(settings: dict[str, str]) -> int:
    behaviour = os.environ.get("FAKE_KAFKA", "")
    if behaviour == "silent":
        signal.pause()
    if behaviour.startswith("dies:"):
        Path("broker.log").write_text(behaviour.removeprefix("dies:"))
        return 1
    lock = (Path(settings["log.dirs"]) / ".lock").open("wb")
    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    host, _, port = settings["advertised.listeners"].removeprefix("CLIENT://").rpartition(":")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    with FakeKafka((host, int(port)), Answer) as server:
        server.serve_forever()
    return 0


class FakeKafka(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class Answer(socketserver.StreamRequestHandler):
    """Answers ApiVersions with the correlation id alone."""

    def handle(self) -> None:
        head = self.rfile.read(12)
        if len(head) == 12:
            (correlation_id,) = struct.unpack_from(">i", head, 8)
            self.wfile.write(struct.pack(">ii", 4, correlation_id))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
