"""The policy in force, and the file that it is read from: an edit counts at once, and a wrong one never."""

from __future__ import annotations

import structlog

from peerage.deal.policy import Policy
from peerage.errors import PeerageError
from peerage.flow.context import NodeContext
from peerage.flow.feasible import feasible
from peerage.store.home import Home

log = structlog.get_logger()
_Stamp = tuple[int, int, int]


class Policies:
    """trouble: why the file as it is now is not in force, or "". Raises UserError when it is wrong at the start."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.trouble = ""
        self._seen = self._stamp()
        self._policy = Policy.parse(home.read_text(home.policy))

    def current(self) -> Policy:
        return self._policy

    async def change(self, policy: Policy, context: NodeContext | None) -> None:
        """Take into force and write down. Raises TooFewProviders, with the numbers, if the network cannot meet it."""
        if context is not None:
            await feasible(context, policy)
        self._home.write_file(self._home.policy, policy.dump().encode())
        self._policy, self.trouble, self._seen = policy, "", self._stamp()

    async def reload(self, context: NodeContext) -> bool:
        """Whether an edit of the file was just taken into force. Raises ChainUnavailable; then it is tried again."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        try:
            policy = Policy.parse(self._home.read_text(self._home.policy))
            if policy != self._policy:
                await feasible(context, policy)
        except PeerageError as error:
            self.trouble, self._seen = str(error), stamp
            log.error("the edited policy is refused: the one before stays in force", reason=str(error))
            return False
        log.info("the policy was edited: it is in force")
        changed, self._policy, self.trouble, self._seen = policy != self._policy, policy, "", stamp
        return changed

    def _stamp(self) -> _Stamp:
        """Tells one state of the file from another; zeros while it is not there."""
        try:
            found = self._home.policy.stat()
        except OSError:
            return (0, 0, 0)
        return (found.st_mtime_ns, found.st_ino, found.st_size)
