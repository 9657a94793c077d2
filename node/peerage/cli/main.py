"""The entry point: finds the verb, runs it, and turns every failure into one line and a documented exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

import peerage
from peerage.cli.session import Session, VerbGroup, print_json
from peerage.errors import EXIT_CHAIN, EXIT_INTERNAL, EXIT_USAGE, PeerageError

EXIT_INTERRUPTED = 130

# Modules are imported when their verb is asked for: `peerage --help` must not pay for the chain's client.
VERBS = {
    "devnet": "peerage.cli.devnet.commands:devnet",
    "init": "peerage.cli.init:init",
    "up": "peerage.cli.up:up",
    "backup": "peerage.cli.backup:backup",
    "snapshots": "peerage.cli.snapshots:snapshots",
    "ls": "peerage.cli.snapshots:ls",
    "cat": "peerage.cli.cat:cat",
    "find": "peerage.cli.find:find",
    "diff": "peerage.cli.diff:diff",
    "stats": "peerage.cli.stats:stats",
    "restore": "peerage.cli.restore:restore",
    "mount": "peerage.cli.mount.command:mount",
    "forget": "peerage.cli.forget:forget",
    "hold": "peerage.cli.forget:hold",
    "release": "peerage.cli.forget:release",
    "recover": "peerage.cli.recover:recover",
    "status": "peerage.cli.status:status",
    "risk": "peerage.cli.risk:risk",
    "quality": "peerage.cli.quality:quality",
    "account": "peerage.cli.account:account",
    "prune": "peerage.cli.prune:prune",
    "check": "peerage.cli.check:check",
    "rebuild": "peerage.cli.rebuild:rebuild",
    "schedule": "peerage.cli.schedule:schedule",
    "agreements": "peerage.cli.agreements:agreements",
    "demand": "peerage.cli.demand:demand",
    "policy": "peerage.cli.policy:policy",
    "audit": "peerage.cli.audit:audit",
}


class Root(VerbGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        where = VERBS.get(cmd_name)
        if where is None:
            return None
        module, name = where.split(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(peerage.__version__, prog_name="peerage")
def cli() -> None:
    """Mutual off-site backup for organisations, kept honest by a chain that its members run.

    Exit codes: 0 done; 1 internal; 2 usage; 3 done, but some files could not be read; 4 done, but records wait for the
    chain; 5 something for you to change; 6 peers; 7 chain; 8 integrity.
    """


def run(argv: Sequence[str]) -> int:
    """Run one command line and return its exit code. Prints, on failure, one line on stderr (and JSON with --json)."""
    session = Session()
    try:
        code = cli.main(args=list(argv), prog_name="peerage", standalone_mode=False, obj=session)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "peerage"
        message = f"{_one_line(error.format_message())} (see '{where} --help')"
        return _fail(session.json or "--json" in argv, "UsageError", message, EXIT_USAGE)
    except (KeyboardInterrupt, click.Abort):
        return _fail(session.json, "Interrupted", "interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output left (`peerage ls … | head`): nothing failed, and nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except PeerageError as error:
        _debug()
        return _fail(session.json, error.kind, str(error), error.exit_code)
    except Exception as error:
        _debug()
        if _is_chain_fault(error):
            return _fail(session.json, type(error).__name__, str(error), EXIT_CHAIN)
        from peerage.cli.crash import keep_traceback

        message = f"internal error, {type(error).__name__}: {keep_traceback(session, error)}"
        return _fail(session.json, "Internal", message, EXIT_INTERNAL)


def _fail(as_json: bool, kind: str, message: str, exit_code: int) -> int:
    message = _one_line(message)
    click.echo(f"peerage: error: {message}", err=True)
    if as_json:
        print_json({"error": {"kind": kind, "message": message}, "exit_code": exit_code})
    return exit_code


def _one_line(message: str) -> str:
    return " ".join(message.split()) or "no message"


def _debug() -> None:
    if os.environ.get("PEERAGE_DEBUG"):
        import traceback

        traceback.print_exc()


def _is_chain_fault(error: BaseException) -> bool:
    # If the chain's package was never imported, the error cannot come from it.
    errors = sys.modules.get("peerage_chain.errors")
    return errors is not None and isinstance(error, errors.ChainFault)


def main() -> NoReturn:
    # A path or a file name may be any bytes; a terminal that cannot show one must not end the command.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
