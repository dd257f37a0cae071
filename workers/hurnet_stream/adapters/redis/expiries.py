"""What may have left a shard of another topic than texts because it was too old.

In shards of texts a record says so, and in others nothing but the deletion itself, which is compacted away
one day. So it is noted before the deletion is begun, for whoever compares the store with its topics:

    expired/faq   "1732752000000 43007"   entries of faq from before that time, up to that position
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hurnet_stream.adapters.redis.keys import Keys
from hurnet_stream.core.stored.batch import Expiry
from hurnet_stream.errors import StoreError

_FIELD: Final = "expired/"


def note(client: Any, keys: Keys, partition: int, context: str, expiry: Expiry) -> None:
    """Note it with what was noted before: entries that leave later are younger, and stand further behind."""
    before = read(client, keys, partition).get(context, expiry)
    before_ms, through = max(before.before_ms, expiry.before_ms), max(before.through, expiry.through)
    client.hset(keys.shard(partition, "state"), f"{_FIELD}{context}", f"{before_ms} {through}")


def read(client: Any, keys: Keys, partition: int) -> Mapping[str, Expiry]:
    """By context. Raises `StoreError` if it is corrupt."""
    key = keys.shard(partition, "state")
    try:
        fields = {name.decode(): value.decode() for name, value in client.hgetall(key).items()}
        return {
            name.removeprefix(_FIELD): Expiry(*map(int, value.split()))
            for name, value in fields.items()
            if name.startswith(_FIELD)
        }
    except (ValueError, TypeError) as error:
        raise StoreError(f"{key} is corrupt: {error}") from error
