"""What every verb shares: --home and --json before or after the verb, and the way results reach stdout.

stdout carries the result alone; logs, notes and progress go to stderr, so a script can pipe any verb.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from peerage.errors import UserError

DEFAULT_HOME = "~/.peerage"
DEFAULT_DEVNET_HOME = "~/.peerage-devnet"


class Session:
    """One invocation: where the home is, and whether the result is JSON."""

    def __init__(self) -> None:
        self.json = False
        self.home_option: Path | None = None

    @property
    def home(self) -> Path:
        """--home, else PEERAGE_HOME, else ~/.peerage; always absolute."""
        return self._home(DEFAULT_HOME)

    @property
    def devnet_home(self) -> Path:
        """As home, but a devnet has its own default: ~/.peerage-devnet."""
        return self._home(DEFAULT_DEVNET_HOME)

    def _home(self, default: str) -> Path:
        if self.home_option is not None:
            return Path(os.path.abspath(self.home_option))
        named = os.environ.get("PEERAGE_HOME") or default
        try:
            return Path(os.path.abspath(Path(named).expanduser()))
        except RuntimeError:
            raise UserError("this user has no home directory: name one with --home DIR or PEERAGE_HOME") from None

    def result(self, result: Mapping[str, Any], render: Callable[[Mapping[str, Any]], None]) -> None:
        """Print the verb's result: as one JSON object, or by `render` for people."""
        if self.json:
            print_json(result)
        else:
            render(result)

    def note(self, message: str) -> None:
        """One line for people on stderr."""
        click.echo(message, err=True)


def print_json(value: Mapping[str, Any]) -> None:
    """One line on stdout, whole. Names that are not UTF-8 keep their surrogates as \\udcXX escapes."""
    click.echo(json.dumps(value, default=str, ensure_ascii=True))


def session_of(ctx: click.Context) -> Session:
    return ctx.find_root().ensure_object(Session)


def _keep_home(ctx: click.Context, _param: click.Parameter, value: Path | None) -> None:
    if value is not None:
        session_of(ctx).home_option = value


def _keep_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        session_of(ctx).json = True


def _common_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--home"],
            type=click.Path(path_type=Path),
            metavar="DIR",
            expose_value=False,
            callback=_keep_home,
            help="The node's home (else PEERAGE_HOME, else ~/.peerage).",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_keep_json,
            help="Print the result as one JSON object.",
        ),
    ]


class Verb(click.Command):
    """A command that takes --home and --json."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_common_options())


class VerbGroup(click.Group):
    """A group of verbs; it takes --home and --json itself, so both may stand before the verb."""

    command_class = Verb
    group_class = type

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_common_options())
