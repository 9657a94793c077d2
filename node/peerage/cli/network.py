"""Options that say which chain: shared by init, recover and audit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

RPC_ENV = "PEERAGE_RPC"


def _address(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    from peerage_chain.typed import parse_address

    try:
        return parse_address(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _url(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.startswith(("http://", "https://")):
        raise click.BadParameter("it must be an http or https URL, as in http://127.0.0.1:8545")
    return value


def rpc_option(function: F) -> F:
    """--rpc URL, required (PEERAGE_RPC counts)."""
    return click.option(
        "--rpc",
        required=True,
        envvar=RPC_ENV,
        metavar="URL",
        callback=_url,
        help="The chain's JSON-RPC endpoint (or PEERAGE_RPC).",
    )(function)


def optional_rpc_option(function: F) -> F:
    """--rpc URL, where a recovery sheet may name it."""
    return click.option(
        "--rpc", envvar=RPC_ENV, metavar="URL", callback=_url, help="The chain's JSON-RPC endpoint (else the sheet's)."
    )(function)


def directory_option(function: F) -> F:
    return click.option(
        "--directory", metavar="ADDRESS", callback=_address, help="The Directory contract, if not at its usual address."
    )(function)
