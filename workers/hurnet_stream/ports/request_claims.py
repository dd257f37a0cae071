"""Who writes what a request asks for, so that the same request is not written twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that is being written, or was.

    owner      the name of the `AtomicSink` that writes it, or wrote it
    request    digest of what it asks for: another request under its key is told from it
    since      by "topic/partition" an offset before which nothing of it was written
    records    (partition, offset) of what was written; empty as long as that is not known
    left       its owner has given it up, and does not know whether it was written
    """

    owner: str
    request: str
    since: Mapping[str, int]
    records: tuple[tuple[int, int], ...] = ()
    left: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds after a `put`: `done` if it is what was put, and else the claim that is there, which is None
    if there is none. `age_s` is how long ago that claim was put."""

    done: bool
    claim: Claim | None
    age_s: float = 0.0


class RequestClaims(Protocol):
    """Claims by the digest of a request's key. Each is forgotten some time after it was last put."""

    def put(self, key: str, claim: Claim, instead_of: Claim | None) -> Standing:
        """In one atomic step: put the claim if what is there is `instead_of`. None stands for nothing."""

    def drop(self, key: str, claim: Claim) -> None:
        """Forget this claim, unless another one is there by now."""
