"""What asking again needs, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from hurnet_schemas.reply import Reply
from hurnet_stream.operations.again.asked import Missing
from hurnet_stream.operations.again.comparing import Difference
from hurnet_stream.operations.again.since import Between
from hurnet_stream.places import Places
from hurnet_stream.ports import Embedder, EntryStore, WeightsStore
from hurnet_stream.settings.settings import Settings

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of asking again. `now` is None if it could not be asked, for what is `missing`. `between` is
    what has changed since, if it was asked as of today."""

    then: Reply | None
    now: Reply | None
    differences: list[Difference] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    between: Between | None = None

    @property
    def same(self) -> bool:
        """Whether the answer is the same to the bit, and nothing of it was taken from the receipt, as what a
        mix had said is that is gone."""
        trusted = any(missing.what == "mix" for missing in self.missing)
        return self.now is not None and not self.differences and not trusted

    def as_dict(self, record: str) -> dict[str, Any]:
        """For JSON. `record` is what the receipt was asked for by."""
        then = self.then
        return {
            "record": (then.record if then else None) or record,
            "question": then.question if then else None,
            "as_of": "today" if self.between else "then",
            "same": self.same,
            "differences": [difference.as_dict() for difference in self.differences],
            "missing": [missing.as_dict() for missing in self.missing],
            "between": self.between.as_dict() if self.between else None,
            "then": _plain(then),
            "now": _plain(self.now),
        }


@dataclass(frozen=True)
class World:
    """What asking again works with. The store is one that was opened with this embedder."""

    store: EntryStore
    weights: WeightsStore
    embedder: Embedder
    settings: Settings
    advance: Advance = lambda _rows: None
    topic: str = ""
    """The topic of texts that the store is filled from, if it is another one than that of the settings."""
    home: str = ""
    """The topic of names without one as the receipt has them, if that is another one."""

    @property
    def texts(self) -> str:
        """The topic of texts of this store."""
        return self.topic or self.settings.kafka.texts

    @cached_property
    def places(self) -> Places:
        """What its entries and shards are called."""
        return Places.of(self.store.topics(), self.texts, self.home)


def _plain(reply: Reply | None) -> dict[str, Any] | None:
    return reply.model_dump(mode="json", exclude_none=True) if reply else None
