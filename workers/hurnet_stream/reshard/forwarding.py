"""A stretch of the old topic as messages for the new one.

    Kafka     10 "a" key k   11 tombstone   12 "b"         14 "d"
    store     held 10, 12, 13 and 14; deleted 7, by 11
    sent      "a" key k, forget 7 where it stands now, "b", (13: Kafka no longer has it), "d"

Each message says which record of the old topic it is for, and they are in the order of these. What is sent in
one transaction is a portion: its messages, and up to where the old topic is done with it. A deletion of very
many entries takes several; a portion that does not end it leaves it to be done again, and to forget twice
what is forgotten is to forget it once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import Outgoing, Record
from hurnet_stream.reshard.moved import Moved
from hurnet_stream.reshard.routing import Route
from hurnet_stream.reshard.stretch import Stretch

MOST = 2_000
"""Messages in one transaction."""


@dataclass(frozen=True, slots=True)
class Portion:
    """What goes together. `origins` are the offsets in the old topic, in the order of the messages, and
    `next` is the first one there that is not done with it."""

    partition: int
    next: int
    messages: Sequence[Outgoing] = ()
    origins: Sequence[int] = ()


class Forwarding:
    """Makes messages of stretches. Texts that only the store has are sent if `from_store`."""

    def __init__(self, route: Route, moved: Moved, from_store: bool) -> None:
        self._route = route
        self._moved = moved
        self._from_store = from_store
        self._refused: set[tuple[int, int]] = set()
        self._most = MOST

    def refused(self, partition: int, offsets: Iterable[int]) -> None:
        """The new topic refuses the texts at these offsets: from now on they are left out."""
        self._refused |= {(partition, offset) for offset in offsets}

    def in_doubt(self) -> None:
        """One of several messages is refused, and it is not known which: from now on each goes alone."""
        self._most = 1

    def accepted(self) -> None:
        """A portion was delivered: the next ones may be larger again."""
        self._most = min(2 * self._most, MOST)

    def portions(self, partition: int, stretch: Stretch, records: Sequence[Record]) -> Iterator[Portion]:
        """Of the stretch, whose records Kafka gave. Raises `ConfigurationError` for a text that Kafka no
        longer holds, unless those are taken from the store."""
        by_offset = {record.offset: record for record in records}
        messages, origins = list[Outgoing](), list[int]()
        for offset, message in self._messages(partition, stretch, by_offset):
            if len(messages) >= self._most:
                yield Portion(partition, origins[-1] + (origins[-1] != offset), messages, origins)
                messages, origins = [], []
            messages.append(message)
            origins.append(offset)
        yield Portion(partition, stretch.upto + 1, messages, origins)

    def _messages(
        self, partition: int, stretch: Stretch, records: Mapping[int, Record]
    ) -> Iterator[tuple[int, Outgoing]]:
        texts = ((offset, None) for offset in stretch.held if (partition, offset) not in self._refused)
        pages = ((offset, page) for offset, page in stretch.deletions)
        for offset, page in sorted((*texts, *pages), key=lambda each: each[0]):
            if page is None:
                yield offset, self._text(partition, offset, stretch, records.get(offset))
            else:
                yield from self._forgotten(partition, offset, page)

    def _text(self, partition: int, offset: int, stretch: Stretch, record: Record | None) -> Outgoing:
        if record is not None and record.value is not None:
            return self._route.forwarded(record)
        if not self._from_store:
            raise ConfigurationError(
                f"Kafka no longer holds {self._route.origin}/{partition}/{offset}, whose text the store has:"
                " start it with --from-store to take such texts from there, without their keys"
            )
        return self._route.rewritten(partition, stretch.entry(offset))

    def _forgotten(self, partition: int, offset: int, page: Sequence[int]) -> Iterator[tuple[int, Outgoing]]:
        for target in page:
            place = self._moved.find(partition, target)
            if place is not None:
                yield offset, self._route.forgetting(partition, offset, place)
