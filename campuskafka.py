#!/usr/bin/env python3
"""CampusKafka's command line: read it, load the config, build what was asked for, run it, say how it ended.

Exit codes: 0 stopped as asked, or the command did what it was asked; 1 the supervisor gave up (which
role, and why), or the command failed; 2 the command line or the config is wrong; 3 no broker, or nothing
to look at; 130 stopped at once by a second signal, or a command by Ctrl-C.
"""

import signal
import sys

if __name__ == "__main__":
    # Importing takes half a second; until main can answer Ctrl-C it just ends, without a traceback.
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:  # not where it is ignored, as in a script's background
        signal.signal(signal.SIGINT, signal.SIG_DFL)

try:
    import bottle  # noqa: F401  (any of the libraries: they come together)
except ModuleNotFoundError:
    sys.exit(
        f"campuskafka: the libraries are not installed for {sys.executable}. "
        "Run `make setup` and use .venv/bin/python, or `pip install -e .`"
    )

import argparse
import importlib
import os
import pkgutil
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import campus.commands
import roles
from campus import logs
from campus.commands import Context
from campus.config.config_file import load
from campus.config.settings import Config
from campus.errors import CampusError
from campus.startup.system import SystemDidNotStart, broker_only, run_until_stopped, running, system, welcome

VERSION = "0.1.0"
# Between asking for the interpreter and being given it. With Python's own 5 ms, while the other roles are
# busy, one customer at a time gets a third less, though 32 get a quarter more: who is alone would notice.
SWITCH_INTERVAL_S = 0.0005
CONFIG_FILE = Path(__file__).resolve().parent / "config.yaml"


def main(argv: Sequence[str] | None = None) -> int:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        role_modules, command_modules = _role_modules(), _modules_of(campus.commands)
        args = _parser(role_modules, command_modules).parse_args(argv)
        config = load(
            args.config,
            roles={name: module.Settings for name, module in role_modules.items()},
            overrides=args.set,
            environ=os.environ,
        )
        return int(args.does(args, config, role_modules))
    except SystemDidNotStart as ending:
        return ending.exit_code or 1  # its supervisor has said why
    except CampusError as error:
        print(f"campuskafka: {error}", file=sys.stderr)
        return error.exit_code or 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read what we print has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that flushing it at the end works
        return 0


# The command line


def _parser(role_modules: Mapping[str, Any], command_modules: Mapping[str, Any]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="campuskafka.py",
        description="A campus food-ordering system on Apache Kafka: producer → inventory → analytics.",
        epilog="Exit codes: 0 stopped as asked · 1 gave up, or a command failed · 2 wrong command line or "
        "config · 3 no broker, or nothing to look at · 130 stopped by a second signal.",
    )
    parser.add_argument("--version", action="version", version=f"CampusKafka {VERSION}")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="run every role, whatever config.yaml enables")
    which.add_argument(
        "--role",
        action="append",
        choices=sorted(role_modules),
        metavar="NAME",
        help=f"run one role; repeat it for more ({', '.join(sorted(role_modules))})",
    )
    _add_config_options(parser, config=CONFIG_FILE, overrides=[])
    parser.set_defaults(does=_run_roles)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", description="without one, the roles run until Ctrl-C"
    )
    broker = commands.add_parser(
        "broker", help="run only the embedded broker, for several processes to share"
    )
    broker.set_defaults(does=_run_broker)
    _add_config_options(broker)
    for name, module in command_modules.items():
        command = commands.add_parser(name, help=module.HELP, description=module.__doc__)
        module.add_arguments(command)
        _add_config_options(command)
        command.set_defaults(does=partial(_run_command, module))
    return parser


def _add_config_options(
    parser: argparse.ArgumentParser, config: Any = argparse.SUPPRESS, overrides: Any = argparse.SUPPRESS
) -> None:
    """The same before and after the command's name; a default there would undo what stood before it."""
    parser.add_argument(
        "--config", type=Path, default=config, metavar="FILE", help="default: config.yaml beside the program"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=overrides,
        metavar="KEY=VALUE",
        help="override any setting, e.g. --set roles.producer.port=9000; repeat it for more",
    )


def _modules_of(package: Any) -> dict[str, Any]:
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return {name.replace("_", "-"): importlib.import_module(f"{package.__name__}.{name}") for name in names}


def _role_modules() -> dict[str, Any]:
    """The roles that can be asked for, in the order they start: the sinks first, the door last."""
    found = {name: module for name, module in _modules_of(roles).items() if hasattr(module, "Settings")}
    return dict(sorted(found.items(), key=lambda role: getattr(role[1], "START_ORDER", 50)))


# What each way of calling it does


def _run_roles(args: argparse.Namespace, config: Config, role_modules: Mapping[str, Any]) -> int:
    names = [
        name
        for name in role_modules
        if args.all or (name in args.role if args.role else config.roles[name].enabled)
    ]
    logs.set_up(config.logging.level, config.logging.format)
    children = system(config, names, role_modules)
    return run_until_stopped([*children, welcome(config, names, _this_program())], config)


def _run_broker(args: argparse.Namespace, config: Config, role_modules: Mapping[str, Any]) -> int:
    logs.set_up(config.logging.level, config.logging.format)
    return run_until_stopped(broker_only(config), config)


def _run_command(
    module: Any, args: argparse.Namespace, config: Config, role_modules: Mapping[str, Any]
) -> int:
    logs.set_up("WARNING" if config.logging.level == "INFO" else config.logging.level, config.logging.format)

    def system_of(*names: str, config: Config = config) -> AbstractContextManager[None]:
        return running(system(config, names, role_modules), config)

    return int(module.run(args, Context(config=config, system=system_of)))


def _this_program() -> str:
    """How to call this program from the current folder, for copying from the screen."""
    python = Path(sys.executable)
    shown = python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else Path("python")
    return shlex.join([str(shown), os.path.relpath(__file__)])


if __name__ == "__main__":
    signal.signal(signal.SIGINT, on_interrupt)
    sys.exit(main())
