"""The optional tables of config.toml: hooks. Spec: home.md."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["Hooks"]

Argv = Annotated[list[Annotated[str, msgspec.Meta(min_length=1)]], msgspec.Meta(min_length=1, max_length=256)]
Argvs = Annotated[list[Argv], msgspec.Meta(max_length=32)]


class Hooks(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Commands around each backup: argument lists, no shell. timeout_s: for each of them."""

    before_backup: Argvs = []
    after_backup: Argvs = []
    timeout_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 600
