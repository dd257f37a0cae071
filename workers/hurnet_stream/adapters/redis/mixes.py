"""The published mixes of all contexts: two hashes, versions and JSON, and a hash of old ones each.

mix-versions    faq -> 3        small, so that every responder can look twice a second
mixes           faq -> {"format": 1, "mix": {...}, "rows": 576, "watermarks": {...}, "published_ms": ...}
mixes-before:faq  2 -> the same, as it was in force before; so an answer can be asked again as it was given

An entry that is forgotten takes all old mixes of its context along (checkpoint.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from hurnet_stream.adapters.redis import stored_json
from hurnet_stream.adapters.redis.connection import Connection
from hurnet_stream.adapters.redis.published import decode_number
from hurnet_stream.adapters.redis.scripts import PUBLISH_MIX
from hurnet_stream.core.formats import MIX, NewerFormat, check_format
from hurnet_stream.core.rule import mix as mixes
from hurnet_stream.errors import StoreReplaced, Superseded, Unreadable, UpgradeNeeded
from hurnet_stream.ports import MIXES_KEPT, PublishedMix

_VERSIONS_END: Final = 2**53
"""From here on Lua, whose numbers are float64, can't tell versions apart."""


class Mixes:
    """What `WeightsStore` (hurnet_stream/ports/weights_store.py) says of mixes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client = connection.client
        self._versions, self._mixes = (connection.keys.solver(name) for name in ("mix-versions", "mixes"))

    def publish(self, published: PublishedMix) -> None:
        self._replace(published.context, published.mix.version, _encoded(published))

    def withdraw(self, context: str, version: int) -> None:
        self._replace(context, version, "")

    def _replace(self, context: str, version: int, encoded: str) -> None:
        keys = self._versions, self._mixes, self._connection.keys.meta, self._before(context)
        arguments = context, version, encoded, self._connection.bound.epoch, MIXES_KEPT
        last = self._client.eval(PUBLISH_MIX, len(keys), *keys, *arguments)
        if last is None:
            raise StoreReplaced(f"{self._connection.server_name} no longer holds the store that was read")
        if last != version - 1:
            raise Superseded(f"mix {version} of context {context!r} can't follow {last}")

    def versions(self) -> Mapping[str, int]:
        stored = self._client.hgetall(self._versions)
        return {name.decode(errors="replace"): _version(raw) for name, raw in stored.items()}

    def read(self, context: str) -> PublishedMix | None:
        return self._read(context, self._client.hget(self._mixes, context))

    def read_version(self, context: str, version: int) -> PublishedMix | None:
        in_force = self.read(context)
        if in_force and in_force.mix.version == version:
            return in_force
        return self._read(context, self._client.hget(self._before(context), str(version)))

    def _before(self, context: str) -> str:
        return self._connection.keys.solver("mixes-before", context)

    def _read(self, context: str, raw: bytes | None) -> PublishedMix | None:
        try:
            return None if raw is None else _decoded(context, raw)
        except NewerFormat as error:
            raise UpgradeNeeded(f"the mix of context {context!r}: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise Unreadable(
                f"the stored mix of context {context!r} is damaged ({error!r}): the next one replaces it"
            ) from error


def _version(raw: bytes) -> int:
    """As the script reads it: 0 for what is no version, so that the next mix can follow it."""
    version = decode_number(raw)
    return version if version < _VERSIONS_END else 0


def _encoded(published: PublishedMix) -> str:
    fields = {
        "format": MIX,
        "mix": published.mix.as_dict(),
        "rows": published.rows,
        "watermarks": dict(published.watermarks),
        "published_ms": published.published_ms,
    }
    return json.dumps(fields, allow_nan=False)


def _decoded(context: str, raw: bytes) -> PublishedMix:
    fields = stored_json.loads(raw)
    check_format("this mix", int(fields["format"]), MIX)
    watermarks = {int(partition): int(offset) for partition, offset in fields["watermarks"].items()}
    mix = mixes.decode(fields["mix"])
    return PublishedMix(context, mix, int(fields["rows"]), watermarks, int(fields["published_ms"]))
