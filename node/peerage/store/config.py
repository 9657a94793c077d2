"""The node's configuration: `config.toml` in its home, read into one typed value and written back. Spec: home.md."""

from __future__ import annotations

import json
import tomllib
from typing import Any
from urllib.parse import urlsplit

import msgspec

from peerage.errors import UserError
from peerage.store.config_tables import Hooks, Job, Limit

__all__ = ["Config"]


class Config(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a node needs to know besides its secrets (keystore.bin) and its policy (policy.toml).

    rpc: endpoints of the chain, tried in order. directory: address of the Directory contract. chain_id, genesis: which
    chain it must be (genesis: block 0's hash, hex). account: the member's account. name: shown to people only.
    listen: where the peer interface listens, host:port. endpoint: where peers reach it, as announced on chain.
    site: declared failure domain, may be empty. hooks: commands around backups. schedule: what is done by itself.
    limits: of bandwidth.
    """

    rpc: list[str]
    directory: str
    chain_id: int
    genesis: str
    account: str
    name: str = ""
    listen: str = "127.0.0.1:0"
    endpoint: str = ""
    site: str = ""
    hooks: Hooks = Hooks()
    schedule: list[Job] = []
    limits: list[Limit] = []

    def __post_init__(self) -> None:
        for url in self.rpc:
            if urlsplit(url).scheme not in ("http", "https"):
                raise ValueError(f"rpc {url!r} is not an http(s) address")
        self.listen_address()
        if self.endpoint and (urlsplit(self.endpoint).scheme != "https" or not urlsplit(self.endpoint).hostname):
            raise ValueError(f"endpoint {self.endpoint!r} is not https://host:port")
        for field, value, digits in (
            ("directory", self.directory, 40),
            ("account", self.account, 40),
            ("genesis", self.genesis, 64),
        ):
            if not _is_hex(value, digits):
                raise ValueError(f"{field} {value!r} is not 0x and {digits} hexadecimal digits")
        names = [job.called for job in self.schedule]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"schedule has two entries called {name}: give each a name")

    def listen_address(self) -> tuple[str, int]:
        """(host, port); IPv6 hosts without their brackets. Port 0: any free one."""
        try:
            parts = urlsplit(f"//{self.listen}")
            if parts.hostname and parts.port is not None and not parts.path and parts.username is None:
                return parts.hostname, parts.port
        except ValueError:  # a port out of range, an unclosed bracket
            pass
        raise ValueError(f"listen {self.listen!r} is not host:port")

    @classmethod
    def from_toml(cls, text: str, source: str = "config.toml") -> Config:
        """Raises UserError naming `source` and what is wrong there."""
        try:
            return msgspec.convert(tomllib.loads(text), cls)
        except (ValueError, RecursionError) as error:  # tomllib has more than its own: 1,000 brackets
            raise UserError(f"{source}: {error}") from error

    def to_toml(self) -> str:
        lines = ["# Peerage node configuration; what each key means: node/spec/home.md"]
        # A table that is not there can be appended by hand; one that is there empty could not.
        values = {key: value for key, value in msgspec.to_builtins(self).items() if value not in ({}, [])}
        lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
        return "\n".join(lines) + "\n"


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits + 2 and text.startswith("0x") and all(c in "0123456789abcdefABCDEF" for c in text[2:])


def _toml(value: Any) -> str:
    """A TOML value; a TOML basic string is a JSON string whose DEL is escaped too."""
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
