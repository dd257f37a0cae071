"""Generations: the same texts as several embedders see them, or from several topics.

A generation is a store with one embedder and one topic of texts. The first one stands under the prefix P, the
next ones under P@1, P@2 and so on. A second one is filled from the texts of the first, and while there are
two, one of them answers and one of them is what ingest fills:

    step           members                  serving   filling
    begun          0 hash512                0         0
    migrate --to   0 hash512, 1 hash1024    0         0         1 is filled from 0, shard by shard
    --cut-over     0 hash512, 1 hash1024    1         0         --back undoes it
    --finish       0 hash512, 1 hash1024    1         1         ingest fills 1 from Kafka
    --drop         1 hash1024               1         1

Another number of partitions (`hurnet reshard`) is a generation too, of the same embedder and another topic of
texts, which an ingest of its own fills:

    step           members                  serving   filling
    begun          0 texts                  0         0
    reshard        0 texts, 1 texts-7       0         0         texts is forwarded to texts-7
    --cut-over     0 texts, 1 texts-7       1         1         --back undoes it
    --drop         1 texts-7                1         1

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
_WITH_TOPICS: Final = 2
"""The format as soon as a generation names its topic: older programs would take any topic for its own."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One store. `called` is the name that its embedder was asked for by, which may be short for its own.

    `topic` is the topic of texts that it is filled from, "" for the one of the settings. `origin` is the
    topic whose records are forwarded to that one, "" if none are."""

    number: int
    embedder: EmbedderIdentity
    called: str = ""
    topic: str = ""
    origin: str = ""

    @property
    def name(self) -> str:
        """The embedder's own name."""
        return self.embedder.name

    def is_of(self, name: str) -> bool:
        """Whether its embedder goes by this name."""
        return name in (self.embedder.name, self.called)

    def reads(self, topic: str) -> bool:
        """Whether it is filled from this topic of texts."""
        return self.topic in ("", topic)


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
        """The generation whose embedder goes by this name, or that is filled from the topic of this name."""
        of_topic = (each for each in self.members if each.topic and each.topic == name)
        return next(of_topic, None) or next((each for each in self.members if each.is_of(name)), None)

    def other(self, number: int) -> Generation | None:
        """The generation beside this one."""
        return next((each for each in self.members if each.number != number), None)

    def begun(self, embedder: EmbedderIdentity, called: str = "") -> Generations:
        """With a generation of this embedder; as it is if there is one already. Raises ValueError if there
        are two others."""
        if any(each.embedder.fingerprint == embedder.fingerprint for each in self.members):
            return self
        if len(self.members) >= MOST:
            raise ValueError(f"there are two generations, {self._named()}: drop one of them first")
        filled = self._known(self.filling)
        return self._with(Generation(0, embedder, called, filled.topic))

    def resharded(self, topic: str, texts: str) -> Generations:
        """With a generation of this topic, to which `texts` is forwarded, the topic that ingest reads now; as
        it is if there is one already. Raises ValueError if there are two others, or if no generation is
        filled from `texts`."""
        if any(each.topic == topic and each.origin == texts for each in self.members):
            return self
        filled = self._known(self.filling)
        if topic == texts:
            raise ValueError(f"{topic} is the topic of texts itself, and nothing is forwarded to it")
        if not filled.reads(texts):
            raise ValueError(f"ingest fills the generation of the topic {filled.topic or texts}, not {texts}")
        if len(self.members) >= MOST:
            raise ValueError(f"there are two generations, {self._named()}: drop one of them first")
        named = tuple(each if each.topic else replace(each, topic=texts) for each in self.members)
        begun = replace(self, members=named)
        return begun._with(Generation(0, filled.embedder, filled.called, topic, texts))

    def _with(self, generation: Generation) -> Generations:
        number = self.last + 1
        members = (*self.members, replace(generation, number=number))
        return replace(self, members=members, last=number)

    def _named(self) -> str:
        return " and ".join(self.label(each) for each in self.members)

    def label(self, generation: Generation) -> str:
        """What people call one of them: by its embedder or, if another has the same, by its topic."""
        same = [each for each in self.members if each.embedder.fingerprint == generation.embedder.fingerprint]
        return generation.topic if len(same) > 1 else generation.name

    def cut_over(self, number: int) -> Generations:
        """From now on this generation answers. Of two topics it is then the one that ingest fills, too: each
        has an ingest of its own."""
        chosen = self._known(number)
        filled = self._known(self.filling)
        filling = self.filling if chosen.topic == filled.topic else number
        return replace(self, serving=number, filling=filling)

    def filled(self, number: int) -> Generations:
        """From now on ingest fills this generation. Raises ValueError unless it answers."""
        if self._known(number).number != self.serving:
            raise ValueError(f"{self.label(self._known(number))} does not answer yet: cut over to it first")
        return replace(self, filling=number)

    def without(self, number: int) -> Generations:
        """Without this generation. Raises ValueError if it answers, or if ingest fills it."""
        gone = self._known(number)
        if number == self.serving:
            raise ValueError(f"{self.label(gone)} answers: cut over to another generation first")
        if number == self.filling:
            raise ValueError(f"ingest fills {self.label(gone)}: finish the migration first")
        return replace(self, members=tuple(each for each in self.members if each is not gone))

    def encode(self) -> bytes:
        """As JSON, for a store."""
        members = [_fields(each) for each in self.members]
        named = any(each.topic for each in self.members)
        fields = {"format": _WITH_TOPICS if named else _FORMAT, **asdict(self), "members": members}
        return json.dumps(fields, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Generations:
        """What was encoded. Raises ValueError for anything else."""
        try:
            fields = json.loads(raw)
            if int(fields["format"]) not in (_FORMAT, _WITH_TOPICS):
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


def _fields(generation: Generation) -> dict[str, object]:
    """As JSON has it: what says nothing is left out."""
    fields = asdict(generation)
    return {name: value for name, value in fields.items() if value != "" or name == "called"}


def _member(fields: dict[str, object]) -> Generation:
    embedder = fields["embedder"]
    if not isinstance(embedder, dict):
        raise TypeError("no embedder")
    identity = EmbedderIdentity(
        str(embedder["name"]), str(embedder["fingerprint"]), int(embedder["dimension"])
    )
    topics = str(fields.get("topic", "")), str(fields.get("origin", ""))
    return Generation(int(str(fields["number"])), identity, str(fields["called"]), *topics)
