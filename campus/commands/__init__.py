"""What a person calls by name, one file each: `HELP`, `add_arguments(parser)`, `run(args, context)`.

A command parses, does and prints; its exit code is what `run` returns.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from campus.runtime.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """`system()` starts every role in this process, for as long as its block lasts."""

    config: Config
    system: Callable[[], AbstractContextManager[None]]
