"""Generations: the same texts as several embedders see them.

A generation is a store with one embedder. The first one stands under the prefix P, the next ones under P@1,
P@2 and so on. A second one is filled from the texts of the first, and while there are two, one of them
answers and one of them is what ingest fills:

    step           members                  serving   filling
    begun          0 hash512                0         0
    migrate --to   0 hash512, 1 hash1024    0         0         1 is filled from 0, shard by shard
    --cut-over     0 hash512, 1 hash1024    1         0         --back undoes it
    --finish       0 hash512, 1 hash1024    1         1         ingest fills 1 from Kafka
    --drop         1 hash1024               1         1

Each step gives a new value, so that whoever stores it can do so in one atomic step. A store that never had a
second generation has no such value at all: what holds then is `Generations.first`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Final

from hurnet_stream.core.stored.batch import EmbedderIdentity

MOST: Final = 2
"""Generations at one time."""
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Generation:
    """One store. `called` is the name that its embedder was asked for by, which may be short for its own."""

    number: int
    embedder: EmbedderIdentity
    called: str = ""

    @property
    def name(self) -> str:
        """The embedder's own name."""
        return self.embedder.name

    def is_of(self, name: str) -> bool:
        """Whether its embedder goes by this name."""
        return name in (self.embedder.name, self.called)


@dataclass(frozen=True, slots=True)
class Generations:
    """Which generations there are, the number of the one that answers, and of the one that ingest fills."""

    members: tuple[Generation, ...]
    serving: int = 0
    filling: int = 0
    last: int = 0
    """The highest number that was ever given: a number is never given twice."""

    @classmethod
    def first(cls, embedder: EmbedderIdentity) -> Generations:
        """What holds of a store that never had a second generation."""
        return cls((Generation(0, embedder),))

    def of(self, number: int) -> Generation | None:
        """The generation with this number."""
        return next((each for each in self.members if each.number == number), None)

    def named(self, name: str) -> Generation | None:
        """The generation whose embedder goes by this name."""
        return next((each for each in self.members if each.is_of(name)), None)

    def other(self, number: int) -> Generation | None:
        """The generation beside this one."""
        return next((each for each in self.members if each.number != number), None)

    def begun(self, embedder: EmbedderIdentity, called: str = "") -> Generations:
        """With a generation of this embedder; as it is if there is one already. Raises ValueError if there
        are two others."""
        if any(each.embedder.fingerprint == embedder.fingerprint for each in self.members):
            return self
        if len(self.members) >= MOST:
            names = " and ".join(each.name for each in self.members)
            raise ValueError(f"there are two generations, {names}: drop one of them first")
        number = self.last + 1
        members = (*self.members, Generation(number, embedder, called))
        return replace(self, members=members, last=number)

    def cut_over(self, number: int) -> Generations:
        """From now on this generation answers."""
        return replace(self, serving=self._known(number).number)

    def filled(self, number: int) -> Generations:
        """From now on ingest fills this generation. Raises ValueError unless it answers."""
        if self._known(number).number != self.serving:
            raise ValueError(f"{self._known(number).name} does not answer yet: cut over to it first")
        return replace(self, filling=number)

    def without(self, number: int) -> Generations:
        """Without this generation. Raises ValueError if it answers, or if ingest fills it."""
        gone = self._known(number)
        if number == self.serving:
            raise ValueError(f"{gone.name} answers: cut over to another generation first")
        if number == self.filling:
            raise ValueError(f"ingest fills {gone.name}: finish the migration first")
        return replace(self, members=tuple(each for each in self.members if each is not gone))

    def encode(self) -> bytes:
        """As JSON, for a store."""
        return json.dumps({"format": _FORMAT, **asdict(self)}, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Generations:
        """What was encoded. Raises ValueError for anything else."""
        try:
            fields = json.loads(raw)
            if int(fields["format"]) != _FORMAT:
                raise ValueError(f"format {fields['format']}")
            members = tuple(_member(each) for each in fields["members"])
            found = cls(members, int(fields["serving"]), int(fields["filling"]), int(fields["last"]))
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"no generations: {error!r}") from error
        if not (found.of(found.serving) and found.of(found.filling)):
            raise ValueError("the generation that answers, or the one that is filled, is not there")
        return found

    def _known(self, number: int) -> Generation:
        if (known := self.of(number)) is None:
            raise ValueError(f"there is no generation {number}")
        return known


def _member(fields: dict[str, object]) -> Generation:
    embedder = fields["embedder"]
    if not isinstance(embedder, dict):
        raise TypeError("no embedder")
    identity = EmbedderIdentity(
        str(embedder["name"]), str(embedder["fingerprint"]), int(embedder["dimension"])
    )
    return Generation(int(str(fields["number"])), identity, str(fields["called"]))
