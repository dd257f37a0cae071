"""What has changed in a context since a receipt: why today's answer may be another one.

entries    120 came, 3 went
weights    version 7 was in force, now 12
mix        version 2, now 2
new        texts/0/57: an entry that came since, and is among today's candidates
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hurnet_schemas import Receipt
from hurnet_schemas.base import shortened
from hurnet_schemas.places import ShardName
from hurnet_schemas.reply import Reply
from hurnet_stream.core.stored.batch import NOTHING, Batch, Deletion

Versions = tuple[int | None, int | None]
"""Then and now; None: there was none."""


@dataclass(slots=True)
class Newcomers:
    """Counts the entries beyond the offsets that a receipt has `seen`, as they are read (`past.Pupil`)."""

    seen: Mapping[int, int]
    upto: Mapping[int, int]
    count: int = 0

    def learn(self, batch: Batch) -> None:
        self.count += int((batch.columns.offsets > self.seen.get(batch.partition, NOTHING)).sum())

    def unlearn(self, partition: int, deletion: Deletion) -> None:
        """Who went is counted by what is left."""


@dataclass(frozen=True, slots=True)
class Between:
    """`came` and `went` are numbers of entries of the context, `new` are the entries (topic/partition/offset)
    that came since and are among today's candidates, `settings` says what else is other now."""

    came: int
    went: int
    weights: Versions
    mix: Versions
    new: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "came": self.came,
            "went": self.went,
            "weights": dict(zip(("then", "now"), self.weights, strict=True)),
            "mix": dict(zip(("then", "now"), self.mix, strict=True)),
            "new": self.new,
            "settings": self.settings,
        }

    def causes(self) -> dict[str, str]:
        """Why an answer may differ, by kind of cause."""
        causes = {}
        if self.came or self.went:
            new = f" ({', '.join(self.new)} among today's candidates)" if self.new else ""
            causes["entries"] = f"{self.came:,} entries came since{new}, and {self.went:,} went"
        for kind, (then, now) in (("weights", self.weights), ("mix", self.mix)):
            if then != now:
                causes[kind] = f"{kind} {_version(then)} then, {_version(now)} now"
        if self.settings:  # and what is not set, but found
            causes["settings"] = "; ".join(self.settings)
        return causes


def between(receipt: Receipt, now: Reply, came: int, rows: int, texts: str) -> Between:
    """What has changed from the receipt to the answer of today. `came` entries are newer than the receipt,
    and the context has so many `rows` today. `texts` is the name of the topic of texts."""
    current = now.receipt or receipt
    before = receipt.rows_of_context if receipt.rows_of_context is not None else receipt.rows
    return Between(
        came,
        max(0, before + came - rows),
        (
            receipt.weights.version if receipt.weights else None,
            current.weights.version if current.weights else None,
        ),
        (receipt.mix.version if receipt.mix else None, current.mix.version if current.mix else None),
        [
            str(place if place.topic else place._replace(topic=texts))
            for place in (candidate.entry.place for candidate in now.candidates)
            if place.offset > receipt.watermarks.get(place.shard, NOTHING)
        ],
        list(_settings(receipt, current)),
    )


def _settings(then: Receipt, now: Receipt) -> list[str]:
    names = {
        "HURNET_RESPONDER_THRESHOLD": (then.threshold, now.threshold),
        "HURNET_RESPONDER_ERROR_RATE": (then.error_rate_set, now.error_rate_set),
        "HURNET_SOLVE_HALF_LIFE": (then.half_life, now.half_life),
        "HURNET_PAPER_P": (then.p, now.p),
        "the embedder": (then.fingerprint, now.fingerprint),
        "the store": (then.store or now.store, now.store),
        "the arithmetic": (then.arithmetic or now.arithmetic, now.arithmetic),
        "what slices lacked": (_listed(then.missing), _listed(now.missing)),
    }
    return [
        f"{name} was {shortened(str(old), 80)}, and is {new}"
        for name, (old, new) in names.items()
        if old != new
    ]


def _listed(shards: Sequence[ShardName] | None) -> str:
    return ", ".join(map(str, shards or ())) or "nothing"


def _version(version: int | None) -> str:
    return "none" if version is None else str(version)
