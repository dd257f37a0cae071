"""What a table would make of the sample: what is taken and rejected, and how well what is taken answers.

The accuracy is that of `hurnet evaluate --pairs` alone: each pair is left out and asked of all others, by the
code that answers questions. An answer that is there once can't be asked for: nothing is left that could give
it.

    pair left out                       the others answer       right
    "turn on the lights" -> on          on                      yes
    "make it dark" -> off               on                      no
    accuracy 50.0 %, of 2 questions; with 95 % certainty between 9 % and 91 % (Wilson's interval)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hurnet_schemas import InvalidMessage, TextEvent
from hurnet_stream.core.stored.batch import Deletion, Entry, key_digest
from hurnet_stream.operations.evaluation import TAUGHT_AT_ONCE, Evaluation, in_blocks
from hurnet_stream.ports import Embedder, Reader, Record
from hurnet_stream.settings.settings import SolveSettings

EXAMPLES_MOST: Final = 3
LETTERS_MOST: Final = 250_000
"""Characters that are embedded for one candidate, so that it takes seconds."""
_CERTAINTY: Final = 1.96
"""Standard errors, for 95 %."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One record that would become a dead letter."""

    place: str
    reason: str
    detail: str


@dataclass(slots=True)
class Takings:
    """What a reader makes of some records."""

    records: int = 0
    entries: list[Entry] = field(default_factory=list)
    """Those of the records that are taken, of the records that none replaces later."""
    taken: int = 0
    nothing: int = 0
    """Records that say nothing to remember."""
    deletions: int = 0
    replaced: int = 0
    """Records whose key a later one has."""
    deleted: int = 0
    """Records whose key a later one deletes."""
    chunked: int = 0
    """Records that became several entries."""
    rejected: list[Rejected] = field(default_factory=list)
    keys: list[tuple[bytes | None, str]] = field(default_factory=list)
    """The key and the first text of each record that was taken."""

    @property
    def reasons(self) -> Mapping[str, int]:
        """How many are rejected for each reason."""
        return dict(Counter(each.reason for each in self.rejected).most_common())

    def examples(self, reason: str) -> list[Rejected]:
        """Some that are rejected for this reason, with different explanations."""
        details = {each.detail: each for each in self.rejected if each.reason == reason}
        return list(details.values())[:EXAMPLES_MOST]

    @property
    def contexts(self) -> Mapping[str, int]:
        """How many entries each context has."""
        return dict(Counter(entry.context for entry in self.entries).most_common())

    @property
    def answers(self) -> Mapping[str, int]:
        """How many entries each answer has."""
        return dict(Counter(entry.answer for entry in self.entries if entry.answer is not None).most_common())


def take(records: Iterable[Record], reader: Reader) -> Takings:
    """Read all records, which must be in the order of their partitions. Raises `TransientError`."""
    took = Takings()
    held: dict[tuple[int, bytes, str], list[Entry]] = {}  # by partition, key and context
    unkeyed: list[Entry] = []
    for record in records:
        took.records += 1
        try:
            said = reader.read(record)
        except InvalidMessage as error:
            took.rejected.append(Rejected(record.coordinates, error.reason, error.detail))
            continue
        if isinstance(said, Deletion):
            _delete(took, held, record.partition, said)
        elif not said.entries:
            took.nothing += 1
        else:
            _note(took, said.entries, said.key)
            if not said.replaces or said.key is None:
                unkeyed += said.entries
            else:
                place = (record.partition, key_digest(said.key), said.entries[0].context)
                took.replaced += place in held
                held[place] = list(said.entries)
    took.entries = [*unkeyed, *(entry for entries in held.values() for entry in entries)]
    return took


@dataclass(frozen=True, slots=True)
class Trial:
    """How well pairs answer that were left out one by one. If `why_not`, that can't be told."""

    questions: int = 0
    accuracy: float = 0.0
    majority: float = 0.0
    """The share that is right if the most frequent answer is always given."""
    pairs: int = 0
    """Those that were taught."""
    once: int = 0
    """Of these, the pairs whose answer no other has."""
    why_not: str = ""

    @property
    def interval(self) -> tuple[float, float]:
        """In which the accuracy is with 95 % certainty."""
        return wilson(self.accuracy, self.questions)

    @property
    def lift(self) -> float:
        """By how much better than the most frequent answer they do."""
        return self.accuracy - self.majority if self.questions else 0.0


def try_out(entries: Sequence[Entry], embedder: Embedder, settings: SolveSettings) -> Trial:
    """Teach the pairs among the entries, copies of a text once, and leave each out."""
    pairs = [entry for entry in entries if entry.answer is not None and entry.copies > 0]
    if not pairs:
        return Trial(why_not="there are no pairs: each text is its own answer")
    different = list({(entry.text, entry.answer): entry for entry in pairs}.values())
    chosen = _within(different, LETTERS_MOST)
    counts = Counter(entry.answer for entry in chosen)
    once = sum(counts[entry.answer] == 1 for entry in chosen)
    if once == len(chosen):
        return Trial(
            pairs=len(chosen), once=once, why_not="each answer is there once: no pair can be left out"
        )
    evaluation = Evaluation(embedder, settings)
    events = [TextEvent(text=entry.text, answer=entry.answer, weight=entry.copies) for entry in chosen]
    for block in in_blocks(events, TAUGHT_AT_ONCE):
        evaluation.teach(block)
    evaluation.solve()
    mix = evaluation.rehearse()
    questions = sum(mix.rehearsed.values())
    right = sum(share * mix.rehearsed.get(kind, 0) for kind, share in mix.right.items())
    majority = max(counts.values()) / max(1, len(chosen) - once)
    accuracy = right / questions if questions else 0.0
    return Trial(
        questions, accuracy, majority, len(chosen), once, "" if questions else "nothing could be asked"
    )


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's interval of a share that was seen in `count` trials, for 95 %."""
    if not count:
        return 0.0, 1.0
    square = _CERTAINTY**2 / count
    middle = share + square / 2
    half = _CERTAINTY * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(0.0, (middle - half) / (1 + square)), min(1.0, (middle + half) / (1 + square))


def _within(entries: Sequence[Entry], letters_most: int) -> Sequence[Entry]:
    """As many entries, evenly spread, as have so many letters together."""
    letters = sum(len(entry.text) for entry in entries)
    step = max(1, math.ceil(letters / letters_most))
    return entries[::step]


def _note(took: Takings, entries: Sequence[Entry], key: bytes | None) -> None:
    took.taken += 1
    took.chunked += len(entries) > 1
    took.keys.append((key, entries[0].text))


def _delete(
    took: Takings, held: dict[tuple[int, bytes, str], list[Entry]], partition: int, said: Deletion
) -> None:
    took.deletions += 1
    for place in [p for p in held if p[0] == partition and p[1] == said.key and said.context in (None, p[2])]:
        del held[place]
        took.deleted += 1
