"""`RequestClaims` in Redis: a key per request that holds its claim as JSON, and expires.

How long ago a claim was put follows from the time until it expires, so the clock is the server's:

    put with 24 h to live, 23 h 59 min 48 s are left    ->    it was put 12 s ago
"""

from __future__ import annotations

import json
from typing import Any, Final

from hurnet_stream.adapters.redis import stored_json
from hurnet_stream.adapters.redis.connection import Connection, guarded
from hurnet_stream.adapters.redis.scripts import PUT_CLAIM
from hurnet_stream.errors import Unreadable
from hurnet_stream.ports import Claim, Standing

NOTHING: Final = b""


class RedisRequestClaims:
    """`RequestClaims` (see hurnet_stream/ports/request_claims.py) in Redis. Threads may share it."""

    def __init__(self, connection: Connection, keep_s: float) -> None:
        """Claims are forgotten `keep_s` seconds after they were put."""
        self.connection = connection
        self._client = connection.client
        self._keys = connection.keys
        self._keep_ms = max(1, round(keep_s * 1000))

    @guarded
    def put(self, key: str, claim: Claim, instead_of: Claim | None) -> Standing:
        done, held, left_ms = self._exchange(key, encoded(claim), encoded(instead_of))
        found = decoded(held, self._keys.request(key))
        return Standing(bool(done), found, max(0, self._keep_ms - left_ms) / 1000)

    @guarded
    def drop(self, key: str, claim: Claim) -> None:
        self._exchange(key, NOTHING, encoded(claim))

    def _exchange(self, key: str, new: bytes, held: bytes) -> Any:
        return self._client.eval(PUT_CLAIM, 1, self._keys.request(key), new, held, self._keep_ms)


def encoded(claim: Claim | None) -> bytes:
    """A claim as it is stored; b"" for none. Equal claims give equal bytes."""
    if claim is None:
        return NOTHING
    fields = {
        "owner": claim.owner,
        "request": claim.request,
        "since": dict(sorted(claim.since.items())),
        "records": [list(place) for place in claim.records],
        "left": claim.left,
    }
    return json.dumps(fields, separators=(",", ":")).encode()


def decoded(raw: bytes, name: str) -> Claim | None:
    """The claim in `raw`, the value of the key `name`. Raises `Unreadable`."""
    if raw == NOTHING:
        return None
    try:
        fields = stored_json.loads(raw)
        return Claim(
            str(fields["owner"]),
            str(fields["request"]),
            {str(at): int(offset) for at, offset in fields["since"].items()},
            tuple((int(partition), int(offset)) for partition, offset in fields["records"]),
            bool(fields["left"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unreadable(f"{name} is not readable: {error!r}") from error
