"""The solver's role: only the process that claimed it last may write.

Every write of the solver is a transaction that watches the owner's key. If another solver claims in between,
the transaction does nothing (WATCH, MULTI, EXEC): a solver that was stopped for an hour and wakes up in the
middle of a write can't overwrite its successor's work.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from hurnet_stream.adapters.redis.connection import Connection
from hurnet_stream.adapters.redis.scripts import CLAIM_SOLVER
from hurnet_stream.errors import StoreReplaced, Superseded, TransientError


class Fence:
    """Lets writes through as long as `owner` holds the role."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = connection.client
        self._owner_key = connection.keys.solver("owner")
        self._owner = ""

    def claim(self, owner: str) -> None:
        """Take the role. Raises `StoreReplaced` if the store that this process opened is no longer there."""
        keys = self._owner_key, self._connection.keys.meta
        if not self._client.eval(CLAIM_SOLVER, len(keys), *keys, owner, self._connection.bound.epoch):
            server_name = self._connection.server_name
            raise StoreReplaced(f"{server_name} no longer holds the store whose solver this is")
        self._owner = owner

    @contextmanager
    def transaction(self, *watched: str) -> Iterator[Any]:
        """A pipeline that watches the owner and the `watched` keys; the caller reads, then MULTI and EXEC.

        Raises `Superseded` if another has claimed the role, `StoreReplaced` if nobody has it any more, and
        `TransientError` if a watched key changed in between.
        """
        with self._client.pipeline() as pipe:
            try:
                pipe.watch(self._owner_key, *watched)
                self._check_owner(pipe.get(self._owner_key))
                yield pipe
            except redis.WatchError as error:
                raise TransientError(
                    f"{self._connection.server_name}: another write, or a lost connection, came in between"
                ) from error

    def _check_owner(self, holder: bytes | None) -> None:
        if holder is None:
            server_name = self._connection.server_name
            raise StoreReplaced(f"{server_name} knows no solver any more: it was restored or emptied")
        if holder != self._owner.encode():
            now = holder.decode(errors="replace")
            raise Superseded(f"the solver's role belongs to {now!r}, no longer to {self._owner!r}")
