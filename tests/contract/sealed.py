"""A store of which as much is sealed as can be, after each write: whoever reads it must not notice."""

from __future__ import annotations

from pathlib import Path

from typing_extensions import override

from hurnet_stream.adapters.redis import Connection, RedisEntryStore, connect
from hurnet_stream.adapters.redis.sealing import Sealer
from hurnet_stream.adapters.segments import segments_at
from hurnet_stream.core.formats import SEALED_FROM
from hurnet_stream.core.stored.batch import Batch, Deletion
from hurnet_stream.core.stored.segments import Sealing
from hurnet_stream.ports import Appended, Refused, Unfinished
from hurnet_stream.ports.segments import required
from hurnet_stream.settings.segments import SegmentSettings
from tests.contract.stores import RedisStores

ALL = Sealing(rows=1, keep_rows=0, keep_bytes=1 << 50)


def seal_all(store: RedisEntryStore, much: Sealing = ALL) -> int:
    """Seal without being the solver. Returns how many segments were made."""
    sealer, made = Sealer(store._opened), 0
    for partition in store.states():
        while True:
            figures = sealer._figures(partition)
            run = sealer._due(partition, figures, much)
            if run is None:
                break
            store._opened.raise_format(SEALED_FROM)
            sealer._replace(partition, figures, run, required(store.connection.segments))
            made += 1
    return made


class AlwaysSealed(RedisEntryStore):
    """Seals `much` after each write."""

    def __init__(self, connection: Connection, much: Sealing) -> None:
        super().__init__(connection)
        self._much = much

    @override
    def append(self, batch: Batch, expected: int) -> Appended | Unfinished | Refused:
        done = super().append(batch, expected)
        seal_all(self, self._much)
        return done

    @override
    def delete(self, partition: int, deletion: Deletion, expected: int) -> Appended | Unfinished | Refused:
        done = super().delete(partition, deletion, expected)
        seal_all(self, self._much)
        return done

    @override
    def compact(self, most: int, owner: str, stamp: str, keep_s: float) -> int:
        left = super().compact(most, owner, stamp, keep_s)
        seal_all(self, self._much)
        return left


class SealedStores(RedisStores):
    """On a real Valkey, with files in a folder."""

    def __init__(self, url: str, prefix: str, folder: Path, much: Sealing = ALL) -> None:
        super().__init__(url, prefix)
        self.folder = folder
        self.much = much

    def connected(self) -> Connection:
        """A connection that can read what is sealed."""
        connection = connect(self.settings, segments_at(SegmentSettings(url=str(self.folder))))
        self.close.append(connection.close)
        return connection

    @override
    def entry_store(self) -> AlwaysSealed:
        return AlwaysSealed(self.connected(), self.much)
