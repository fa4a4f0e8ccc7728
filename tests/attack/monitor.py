"""Measures a process from outside: its descriptors, threads and memory, from Linux' /proc."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Footprint:
    descriptors: int
    threads: int
    rss_mb: float

    def __str__(self) -> str:
        return f"{self.descriptors} descriptors, {self.threads} threads, {self.rss_mb:.1f} MB"


def footprint(pid: int) -> Footprint:
    process = Path(f"/proc/{pid}")
    return Footprint(
        descriptors=len(list((process / "fd").iterdir())),
        threads=len(list((process / "task").iterdir())),
        rss_mb=int((process / "statm").read_text().split()[1]) * PAGE_BYTES / 2**20,
    )


def pid_of(*words: str) -> int:
    """The pid of the process that has all of these arguments. Raises LookupError if there is none."""
    wanted = {word.encode() for word in words}
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with suppress(OSError):  # it has just ended
            if wanted <= set((process / "cmdline").read_bytes().split(b"\0")):
                return int(process.name)
    raise LookupError(f"no process has {words} among its arguments")
