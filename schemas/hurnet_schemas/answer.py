"""Topic `answers` (or the query's `reply-to`): the answer, its alternatives and its receipt."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hurnet_schemas.base import Coordinates, Explanation, Offset, OwnMessage, Part, Partition

MAX_ANSWER_BYTES = 900_000
"""Of an encoded answer, so that with its key and headers it stays below the 1 MiB that brokers take."""

Seen = dict[Partition, Offset]
Outcome = Literal["answered", "abstained", "timed-out", "rejected"]


class Scores(Part, allow_inf_nan=False):
    """What each part of the rule says of a candidate, and the combined score in [0, 1]."""

    combined: float
    memory: float = Field(description="similarity to its nearest entry (eq. 2, 5)")
    weights: float | None = Field(
        None, description="what the closed form predicts (eq. 3); absent without weights"
    )
    local: float = Field(description="the closed form over the nearest entries alone")
    words: float = Field(description="similarity of the words (eq. 1)")


class Candidate(Part):
    """A candidate answer and the entry that speaks for it most."""

    answer: str
    scores: Scores
    entry: Coordinates
    text: str = Field(description="the entry's text")
    metadata: dict[str, str] = Field(default_factory=dict)


class WeightsReceipt(Part):
    """Which weights took part, and how good they were."""

    version: int
    watermarks: Seen = Field(description="the last offset per partition that they have learned from")
    count: int = Field(description="training pairs, each as often as its weight, less its age")
    ridge: float
    condition_number: float | None = Field(None, description="absent where it is infinite")
    residual: float | None = Field(None, description="absent where it is unknown")
    features: str | None = Field(None, description="the kernel features they work on, with their digest")
    pane: int | None = Field(
        None, description="half-lives since the epoch, as of which their pairs have aged"
    )


class Receipt(Part):
    """All that is needed to explain the answer and to ask again."""

    query: str = Field(description="topic/partition/offset of the query's record")
    context: str
    rows: int = Field(description="entries searched")
    embedder: str
    fingerprint: str
    watermarks: Seen = Field(description="the last offset per partition that had been seen")
    weights: WeightsReceipt | None = None
    threshold: float = Field(description="combined score under which there is no answer")
    p: float | None = Field(None, description="memory is similarity in lp; absent for the cosine")
    half_life: float | None = Field(
        None,
        description="weights and local count an entry half with each such time, in seconds; absent for never",
    )
    margin: float | None = Field(None, description="combined score minus the runner-up's")
    runner_up: str | None = None
    seconds: float = Field(description="from polling the query to having scored it")


class Answer(OwnMessage):
    """The reply to one query."""

    id: str
    outcome: Outcome | str = Field(description="one of these; a newer hurnet may know others")
    answer: str | None = None
    reason: Explanation | None = Field(None, description="why there is no answer")
    candidates: list[Candidate] = Field(
        default_factory=list, description="best first, at most top_k, and as many as fit into a message"
    )
    candidates_dropped: int | None = Field(
        None, description="how many more there were, the worst ones, that did not fit; absent if all did"
    )
    receipt: Receipt | None = Field(
        None, description="absent where the query was rejected, or where it alone would not fit"
    )
