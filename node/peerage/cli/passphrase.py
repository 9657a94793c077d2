"""Where a keystore's passphrase comes from: PEERAGE_PASSPHRASE, PEERAGE_PASSPHRASE_FILE, or a question."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from peerage.errors import UserError

LIMIT = 4096  # bytes; a longer file is no passphrase


def new_passphrase() -> str:
    """The passphrase of a keystore that is being made: asked twice when it is asked."""
    return _from_environment() if _given() else _ask("Passphrase for the new keystore", confirm=True)


def passphrase() -> str:
    """The passphrase of an existing keystore."""
    return _from_environment() if _given() else _ask("Passphrase of the keystore", confirm=False)


def _given() -> bool:
    return "PEERAGE_PASSPHRASE" in os.environ or "PEERAGE_PASSPHRASE_FILE" in os.environ


def _from_environment() -> str:
    # An empty PEERAGE_PASSPHRASE is an answer (no passphrase), not an absent one.
    if "PEERAGE_PASSPHRASE" in os.environ:
        return os.environ["PEERAGE_PASSPHRASE"]
    path = Path(os.environ["PEERAGE_PASSPHRASE_FILE"])
    try:
        with path.open("rb") as file:
            raw = file.read(LIMIT + 1)
        if len(raw) > LIMIT:
            raise UserError(f"PEERAGE_PASSPHRASE_FILE {path} is longer than {LIMIT} bytes: it should hold one line")
        return raw.decode().rstrip("\r\n")
    except OSError as error:
        raise UserError(f"cannot read PEERAGE_PASSPHRASE_FILE {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"PEERAGE_PASSPHRASE_FILE {path} is not UTF-8 text") from None


def _ask(question: str, *, confirm: bool) -> str:
    if not sys.stdin.isatty():
        raise UserError(
            "a passphrase is needed and there is no terminal to ask on: "
            "set PEERAGE_PASSPHRASE_FILE or PEERAGE_PASSPHRASE"
        )
    answer = click.prompt(
        question, hide_input=True, confirmation_prompt=confirm, default="", show_default=False, err=True
    )
    return str(answer)
