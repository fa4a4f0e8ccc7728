#!/usr/bin/env python3
"""CampusKafka's command line: parses it, loads the config, and dispatches to the roles or to a command.

Exit codes: 0 stopped as asked, or the command succeeded; 1 the supervisor gave up (it logs which role and
why), or the command failed; 2 wrong command line or config; 3 no broker, or no data to work on; 130 stopped
by a second signal, or a command by Ctrl-C.
"""

import signal
import sys

if __name__ == "__main__":
    # The imports take half a second. Until `main` handles Ctrl-C, let it end the process without a traceback.
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:  # else it is ignored, as in a script's background job
        signal.signal(signal.SIGINT, signal.SIG_DFL)

try:
    import bottle  # noqa: F401  (stands for all libraries, which are installed together)
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
# How long a thread may hold the interpreter lock while others want it. With Python's default of 5 ms and busy
# other roles, 32 clients get a quarter more orders through, but a single client, which notices, a third less.
SWITCH_INTERVAL_S = 0.0005
CONFIG_FILE = Path(__file__).resolve().parent / "config.yaml"


def main(argv: Sequence[str] | None = None) -> int:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        role_modules = _role_modules()
        defaults = argparse.Namespace(config=CONFIG_FILE, set=[], set_after_command=[])
        args = _parser(role_modules).parse_args(argv, defaults)
        config = load(
            args.config,
            roles={name: module.Settings for name, module in role_modules.items()},
            overrides=[*args.set, *args.set_after_command],
            environ=os.environ,
        )
        return int(args.function(args, config, role_modules))
    except SystemDidNotStart as error:
        return error.exit_code or 1  # the supervisor has logged the reason
    except CampusError as error:
        print(f"campuskafka: {error}", file=sys.stderr)
        return error.exit_code or 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit succeeds
        return 0


# The command line


def _parser(role_modules: Mapping[str, Any]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        parents=[_options("set")],
        prog="campuskafka.py",
        description="A campus food-ordering system on Apache Kafka: producer → inventory → analytics.",
        epilog="Exit codes: 0 stopped as asked · 1 gave up, or a command failed · 2 wrong command line or "
        "config · 3 no broker, or no data to work on · 130 stopped by a second signal.",
    )
    parser.add_argument("--version", action="version", version=f"CampusKafka {VERSION}")
    selection = parser.add_mutually_exclusive_group()
    selection.add_argument(
        "--all", action="store_true", help="run every role, also those disabled in config.yaml"
    )
    selection.add_argument(
        "--role",
        action="append",
        choices=sorted(role_modules),
        metavar="NAME",
        help=f"run one role; repeat for more ({', '.join(sorted(role_modules))})",
    )
    parser.set_defaults(function=_run_roles)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", description="without a command, the roles run until Ctrl-C"
    )
    broker_help = "run only the embedded broker, for several processes to share"
    command_options = _options("set_after_command")
    broker = commands.add_parser("broker", parents=[command_options], help=broker_help)
    broker.set_defaults(function=_run_broker)
    for name, module in _modules_of(campus.commands).items():
        command = commands.add_parser(
            name, parents=[command_options], help=module.HELP, description=module.__doc__
        )
        module.add_arguments(command)
        command.set_defaults(function=partial(_run_command, module))
    return parser


def _options(overrides: str) -> argparse.ArgumentParser:
    """The options that may come before and after the command. `overrides`: the attribute of --set's values.

    argparse lets each value that is given after the command, and each default there, overwrite the value that
    was given before it. So there are no defaults, and the two lists of --set have different names.
    """
    options = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    config_help = "default: config.yaml next to this program"
    options.add_argument("--config", type=Path, metavar="FILE", help=config_help)
    set_help = "override a setting, e.g. --set roles.producer.port=9000; repeat for more"
    options.add_argument("--set", action="append", dest=overrides, metavar="KEY=VALUE", help=set_help)
    return options


def _modules_of(package: Any) -> dict[str, Any]:
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    return {name.replace("_", "-"): importlib.import_module(f"{package.__name__}.{name}") for name in names}


def _role_modules() -> dict[str, Any]:
    """The roles by name, in start order."""
    found = {name: module for name, module in _modules_of(roles).items() if hasattr(module, "Settings")}
    return dict(sorted(found.items(), key=lambda role: getattr(role[1], "START_ORDER", 50)))


# One function per kind of call


def _run_roles(args: argparse.Namespace, config: Config, role_modules: Mapping[str, Any]) -> int:
    names = [
        name
        for name in role_modules
        if args.all or (name in args.role if args.role else config.roles[name].enabled)
    ]
    logs.set_up(config.logging.level, config.logging.format)
    children = system(config, names, role_modules)
    return run_until_stopped([*children, welcome(config, names, _this_program())], config)


def _run_broker(_args: argparse.Namespace, config: Config, _role_modules: Mapping[str, Any]) -> int:
    logs.set_up(config.logging.level, config.logging.format)
    return run_until_stopped(broker_only(config), config)


def _run_command(
    module: Any, args: argparse.Namespace, config: Config, role_modules: Mapping[str, Any]
) -> int:
    # The default INFO would mix log lines into the output of a command.
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
