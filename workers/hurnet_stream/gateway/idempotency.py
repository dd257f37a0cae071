"""A request that is sent again is not written again: the header Idempotency-Key, as the IETF's draft has it.

    client ── POST, key 7f ──▶ gateway A    claim of 7f: A writes it, from offset 41 on            Redis
                                            records with the header `idempotency: 7f...`            Kafka
                               A is killed  (before, in, or after its transaction: nobody knows)
    client ── POST, key 7f ──▶ gateway B    claim of 7f: A's. It is young: 409, come back later
    client ── POST, key 7f ──▶ gateway B    A's claim is old: B takes over
                                            fence A's name: its transaction is committed now, or never will be
                                            claim of 7f: B writes it
                                            read `texts` from offset 41: are records of 7f there?
                                            they are: B answers with their places, and notes them in the claim
                                            they are not: B writes them

Why nothing is written twice: whoever writes has a claim that names it, and a claim passes on only after the
name in it was fenced. So at most one name of all that were ever in the claim of 7f can still write, and it
has looked for what the others have written. A process that was taken for dead and goes on is refused by
Kafka, not by its own good will. If a claim loses the places of its records, they are looked for.

What is not promised: a request is a new one if its claim is gone. HURNET_GATEWAY_IDEMPOTENCY (24 hours) lets
claims go, and so does a Redis that is emptied, or loses its last writes in a failover. It is a new one, too,
if nobody looked for its records before retention took them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final

import structlog

from hurnet_stream.errors import HurnetError, Undeliverable
from hurnet_stream.gateway.group_commit import GroupCommit, NotWritten, Places
from hurnet_stream.ports import AtomicSink, Claim, Outgoing, Record, RequestClaims

log = structlog.get_logger()

MARK: Final = "idempotency"
"""Header of a record that was written for a request with a key: digests of key and request, number, count."""
STALE_S: Final = 25.0
"""A claim that is older, and not written, is taken over: its owner is dead or hangs. A request waits less for
its transaction and for its end together."""
FIND_S: Final = 15.0
"""How long one try looks for records. The next one goes on where it has ended."""
TAKE_OVERS: Final = 2
"""So many at once in one process: each reads a part of a topic."""
ENDS_S: Final = 5.0
"""How long the ends of a topic are remembered. Older ones are still true, and only make looking longer."""


class OtherRequest(HurnetError):
    """The key was used for another request."""


class UnderWay(HurnetError):
    """The same request is being written. `after_s`: in so many seconds it is worth trying again."""

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request that is to be written once: digests of its key and of all that it asks for, the topic of its
    records, and how many they are. `watched` are topics of which it must be known where they end before it is
    written."""

    key: str
    request: str
    topic: str
    count: int
    watched: tuple[str, ...] = ()

    def marked(self, messages: Sequence[Outgoing]) -> list[Outgoing]:
        """The messages with the header by which they are found."""
        return [
            replace(message, headers=(*message.headers, (MARK, self._mark(number))))
            for number, message in enumerate(messages)
        ]

    def is_mine(self, record: Record) -> bool:
        return (record.header(MARK) or b"").startswith(f"{self.key}/".encode())

    def _mark(self, number: int) -> bytes:
        return f"{self.key}/{self.request}/{number}/{self.count}".encode()


def digest(*parts: bytes) -> str:
    """Of the parts as they follow each other."""
    sums = blake2b(digest_size=16)
    for part in parts:
        sums.update(len(part).to_bytes(8, "big") + part)
    return sums.hexdigest()


class Once:
    """Claims requests, and takes over what others have left. Its methods block, and any thread may call
    them."""

    def __init__(self, claims: RequestClaims, sink: AtomicSink, group: GroupCommit) -> None:
        self._claims = claims
        self._sink = sink
        self._group = group
        self._ends: dict[str, tuple[float, dict[str, int]]] = {}
        self._taking_over = threading.BoundedSemaphore(TAKE_OVERS)

    def begin(self, wanted: Wanted) -> Claim:
        """The claim of this request. If it has records, they were written. If not, the caller is to write
        them under the name `owner`, and then to call `written` or `failed`.

        Raises `OtherRequest`, `UnderWay`, `NotWritten`, and what the store or Kafka raise.
        """
        claim = Claim(self._group.name, wanted.request, self._noted(wanted))
        standing = self._claims.put(wanted.key, claim, None)
        if standing.done:
            return claim
        held = standing.claim
        if held is None:  # it was forgotten just now
            raise UnderWay("try again", 1)
        if held.request != wanted.request:
            raise OtherRequest("this key was used for another request")
        if held.records:
            return held
        if not held.left and standing.age_s < STALE_S:
            raise UnderWay("the same request is being written", min(STALE_S - standing.age_s, 2))
        return self._taken_over(wanted, held)

    def written(self, wanted: Wanted, claim: Claim, places: Places) -> None:
        """Note where the records are. If that fails, the next try finds them."""
        self._put(wanted, replace(claim, records=tuple(places)), claim)

    def failed(self, wanted: Wanted, claim: Claim, error: Exception) -> None:
        """Writing it has failed. If nobody knows whether it was written, the next try finds out at once."""
        if not isinstance(error, NotWritten | Undeliverable):
            self._put(wanted, replace(claim, left=True), claim)
            return
        with suppress(HurnetError):
            self._claims.drop(wanted.key, claim)

    def _taken_over(self, wanted: Wanted, held: Claim) -> Claim:
        if not self._taking_over.acquire(blocking=False):
            raise UnderWay("others are being taken over", 1)
        try:
            self._sink.fence(held.owner)  # first: afterwards nobody in this claim can write any more
            mine = replace(held, owner=self._group.name, left=False)
            standing = self._claims.put(wanted.key, mine, held)
            if not standing.done:
                raise UnderWay("another gateway takes it over", 1)
            return self._looked_for(wanted, mine, held)
        finally:
            self._taking_over.release()

    def _looked_for(self, wanted: Wanted, mine: Claim, held: Claim) -> Claim:
        """The claim with what was written of it already. If that can't be told yet, it stays with `held`,
        which is fenced: we have written nothing."""
        since = held.since
        try:
            found = self._sink.find(wanted.topic, wanted.is_mine, of_topic(since, wanted.topic), FIND_S)
            if found.complete:
                return self._settled(wanted, mine, found.records)
            if not found.records:  # the next try need not read that again
                since = {**since, **_at(wanted.topic, found.positions)}
        except HurnetError:
            self._put(wanted, replace(held, left=True), mine)
            raise
        self._put(wanted, replace(held, since=since, left=True), mine)
        raise UnderWay("it is not known yet whether an earlier try has written it", 1)

    def _settled(self, wanted: Wanted, mine: Claim, records: Sequence[Record]) -> Claim:
        if not records:
            return mine
        places = tuple((r.partition, r.offset) for r in sorted(records, key=_number))
        log.info("an earlier try has written a request", records=len(places))
        self.written(wanted, mine, places)
        return replace(mine, records=places)

    def _noted(self, wanted: Wanted) -> dict[str, int]:
        """Where the topics end, or ended a while ago."""
        noted: dict[str, int] = {}
        for topic in (wanted.topic, *wanted.watched):
            at, ends = self._ends.get(topic, (float("-inf"), {}))
            if (now := time.monotonic()) - at > ENDS_S:
                if ends:  # those who come meanwhile need not ask, too
                    self._ends[topic] = now, ends
                ends = _at(topic, self._sink.ends(topic))
                self._ends[topic] = now, ends
            noted |= ends
        return noted

    def _put(self, wanted: Wanted, claim: Claim, held: Claim) -> None:
        try:
            self._claims.put(wanted.key, claim, held)
        except HurnetError as error:  # the claim stays as it is, and the next try finds what is there
            log.warning("can't note what became of a request", error=str(error))


def _at(topic: str, offsets: Mapping[int, int]) -> dict[str, int]:
    return {f"{topic}/{partition}": offset for partition, offset in offsets.items()}


def of_topic(since: Mapping[str, int], topic: str) -> dict[int, int]:
    """The offsets of this topic, by partition."""
    split = ((at.rpartition("/"), offset) for at, offset in since.items())
    return {int(partition): offset for (name, _, partition), offset in split if name == topic}


def _number(record: Record) -> int:
    """Which of its request's records this is."""
    parts = (record.header(MARK) or b"").split(b"/")
    return int(parts[2]) if len(parts) == 4 and parts[2].isdigit() else 0
