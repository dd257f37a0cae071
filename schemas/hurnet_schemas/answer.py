"""Topic `answers` (or the query's `reply-to`): the answer, its alternatives and its receipt."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field

from hurnet_schemas.base import Coordinates, Explanation, Offset, OwnMessage, Part, Shard
from hurnet_schemas.detail import MOST, Detail

MAX_ANSWER_BYTES = 900_000
"""An encoded answer is no longer: together with its key and headers it must stay below the 1 MiB that brokers
accept."""

MISSING_KEYS = "; no entry has "
"""Begins what a reason says of the keys that metadata lack. It tells of the context more than the detail
`answer` shows."""

Seen = dict[Shard, Offset]
Outcome = Literal["answered", "abstained", "timed-out", "rejected"]


class Scores(Part, allow_inf_nan=False):
    """How much speaks for a candidate: in all, and by each of the rule's six parts."""

    combined: float = Field(
        description="(evidence + the receipt's nearest) / 2, from 0 to 1: the best one wins. The evidence is "
        "the root of (m meaning² + (1 - m) spelling² + f memory + x lexical² + w words² + v weights²) / "
        "(1 + f + x + w + v), by the factors of the receipt's mix."
    )
    meaning: float = Field(
        description="The closed form solved over the nearest entries alone, by their meaning."
    )
    spelling: float = Field(description="The same by 1/4 of their meaning and 3/4 of their spelling.")
    memory: float = Field(
        description="Cosine of the question and the candidate's nearest entry (equations 2, 5): m of it by "
        "meaning, the rest by spelling."
    )
    lexical: float = Field(
        description="The rarest words shared with one of its entries: BM25, divided by the most that the "
        "question could score."
    )
    words: float = Field(description="Likeness of the words, letter by letter (equation 1).")
    weights: float | None = Field(
        None, description="What the solved weights predict (equation 3). Absent if there are no weights."
    )
    refuted: float | None = Field(
        None,
        description="The share of the question that texts which refute the candidate explain: its evidence "
        "is multiplied by 1 - refuted. Absent if none does.",
    )


class Candidate(Part):
    """A possible answer, and the entry that speaks for it most.

    With the detail `scores` its text is empty, and so are its metadata."""

    answer: str = Field(description="The answer.")
    scores: Scores = Field(description="How much speaks for it.")
    entry: Coordinates = Field(
        description="That entry: `hurnet forget --entry [TOPIC/]PARTITION/OFFSET` deletes it if the answer "
        "is wrong."
    )
    text: str = Field(description="The entry's text.")
    metadata: dict[str, str] = Field(default_factory=dict, description="The entry's metadata.")

    def bare(self) -> Candidate:
        """Without what the entry says."""
        return self.model_copy(update={"text": "", "metadata": {}})


class Neighbour(Part, allow_inf_nan=False):
    """An entry near the question. With the detail `scores` text, answer and metadata are empty."""

    entry: Coordinates = Field(description="The entry.")
    text: str = Field(description="Its text.")
    answer: str = Field(description="Its answer: the text itself, if it was given none.")
    similarity: float = Field(description="The cosine of the question and the entry, from -1 to 1.")
    metadata: dict[str, str] = Field(default_factory=dict, description="Its metadata.")

    def bare(self) -> Neighbour:
        """Without what the entry says."""
        return self.model_copy(update={"text": "", "answer": "", "metadata": {}})


class WeightsReceipt(Part):
    """Which weights took part, and how good they were."""

    version: int = Field(description="Their version. It grows with each publication.")
    watermarks: Seen = Field(description="The last offset of each shard that they have learned from.")
    beyond: dict[Shard, int] | None = Field(
        None, description="As the receipt's `beyond`, for these watermarks. Absent if there are none."
    )
    count: int = Field(
        description="Pairs that they have learned, each as often as its weight says, less what its age "
        "takes off."
    )
    ridge: float = Field(description="Lambda of equation 3.")
    condition_number: float | None = Field(
        None, description="Condition number of the system that was solved. Absent if it is infinite."
    )
    residual: float | None = Field(
        None,
        description="Share of the targets that the weights do not reproduce, from 0 to 1. Absent if it is "
        "unknown.",
    )
    features: str | None = Field(
        None,
        description="The kernel features that they work on, with their digest. Absent if there are none.",
    )
    pane: int | None = Field(
        None,
        description="The half-lives since 1970 up to which their pairs have aged. Absent if pairs do "
        "not age.",
    )
    digest: str | None = Field(
        None, description="A digest of all their numbers: weights that are solved again can be compared."
    )
    threads: int | None = Field(
        None, description="The threads by which they were solved, which may change their last digits."
    )


class MixReceipt(Part, allow_inf_nan=False):
    """How much each part counted for this question, and what that was learned from."""

    version: int = Field(
        description="The version of the context's mix. It grows with each publication. 0: nothing was "
        "learned yet, and the built-in factors count."
    )
    meaning: float = Field(description="The share of meaning, from 0 to 1. Spelling has the rest.")
    memory: float = Field(description="The factor of memory.")
    lexical: float = Field(description="The factor of the rare words.")
    words: float = Field(description="The factor of the words' likeness.")
    weights: float = Field(description="The factor of the weights.")


class Receipt(Part):
    """All that is needed to explain an answer, and to ask again under the same conditions."""

    query: str = Field(description="topic/partition/offset of the query's record.")
    context: str = Field(description="The name of the context that was asked.")
    store: str | None = Field(
        None, description="The epoch of the store: a name that it got when it was begun. Absent before that."
    )
    arithmetic: str | None = Field(
        None,
        description="What the responder's program and machine make of a fixed example, as a digest. Where it "
        "is the same, an answer that is asked again has the same bytes.",
    )
    vector: str | None = Field(None, description="A digest of the question's vector.")
    detail: Detail | str | None = Field(
        None,
        description="How much the answer shows, by the query and HURNET_RESPONDER_DETAIL: answer or scores. "
        "Absent if it shows all.",
    )
    entry: Coordinates | None = Field(
        None,
        description="The entry that the answer is from, if the detail is answer: else the first candidate "
        "has it. Absent if there is no answer.",
    )
    exclude: Coordinates | None = Field(
        None, description="The query's `exclude`, an entry that was left out. Absent if there was none."
    )
    deleting: dict[Shard, int] | None = Field(
        None,
        description="By shard, how many entries of the deletion that follows the watermark were left out "
        "already: a deletion of many entries takes effect bit by bit. Absent if none was under way.",
    )
    beyond: dict[Shard, int] | None = Field(
        None,
        description="By shard, how many deletions of what had become too old, which no record says, had "
        "come after the record of its watermark. Absent if there were none.",
    )
    missing: list[Shard] | None = Field(
        None,
        description="Shards that could not be searched, since the slices that hold them were away "
        "(HURNET_SLICES_AWAY is partial): with them the answer may be another one. Absent if there are none.",
    )
    rows: int = Field(
        description="How many entries were searched: those that meet the filter, if there is one."
    )
    rows_of_context: int | None = Field(
        None, description="How many entries the context has. A hurnet without filters leaves it out."
    )
    filter: str | None = Field(
        None,
        description="The query's filter as JSON. Absent if there was none, and all entries were searched.",
    )
    embedder: str = Field(description="The name of the embedder.")
    fingerprint: str = Field(description="What tells this embedder from all others: a digest of its vectors.")
    watermarks: Seen = Field(
        description="The last offset of each shard that could be found: 2 is a partition of the topic of "
        "texts, tickets/3 one of another topic."
    )
    weights: WeightsReceipt | None = Field(None, description="Absent if there are no weights.")
    mix: MixReceipt | None = Field(
        None, description="Absent if the question had nothing to be compared with."
    )
    threshold: float = Field(
        description="Lowest combined score that is answered, unless an error rate decided."
    )
    probability: float | None = Field(
        None,
        description="How probable it is, from 0 to 1, that the best candidate is right if the context can "
        "answer the question: learned by leaving taught pairs out and asking them. Absent if there are too "
        "few pairs for that.",
    )
    rehearsed: int | None = Field(
        None, description="How many questions so rehearsed the probability was learned from. Absent with it."
    )
    decided_by: Literal["threshold", "error-rate"] | str | None = Field(
        None,
        description="What decided whether there is an answer: error-rate, if it is above 0 and enough was "
        "rehearsed for it; else threshold. Absent if the question had nothing to be compared with.",
    )
    error_rate: float | None = Field(
        None,
        description="The share of the answers that may be wrong, from 0 to 1. Absent if the threshold "
        "decided.",
    )
    error_rate_set: float | None = Field(
        None, description="The responder's HURNET_RESPONDER_ERROR_RATE, whatever decided."
    )
    lowest_probability: float | None = Field(
        None,
        description="The lowest probability that is answered, so that the error rate is kept. 1: no answer "
        "of the context is sure enough. Absent if the threshold decided.",
    )
    nearest: float | None = Field(
        None,
        description="Cosine of the question and the nearest entry of all, from 0 to 1, by the mix. It is "
        "half of each combined score. Absent if the question had nothing to be compared with.",
    )
    p: float | None = Field(
        None,
        description="`memory` and `nearest` are similarities in the space lp. Absent for the cosine, which "
        "is p = 2.",
    )
    half_life: float | None = Field(
        None,
        description="Age in seconds at which an entry counts half in `weights`, `meaning` and `spelling`. "
        "Absent if entries do not age.",
    )
    margin: float | None = Field(
        None, description="Combined score of the answer minus that of the runner-up."
    )
    runner_up: str | None = Field(None, description="The second best answer. Absent if the detail is answer.")
    trace_id: str | None = Field(
        None,
        description="The trace that the query belongs to, 32 hexadecimal digits, from its header "
        "traceparent. Absent if it has none.",
    )
    seconds: float = Field(description="Seconds from reading the query until it was scored.")


class Answer(OwnMessage):
    """The reply to one query."""

    id: str = Field(description="The query's id; if it has none, topic/partition/offset of its record.")
    outcome: Outcome | str = Field(
        description="What became of the query: answered; abstained, if nothing is sure enough; timed-out, if "
        "min_watermarks were not reached in time, can't be reached, or too many queries wait already; "
        "rejected, if it can't be answered. A newer hurnet may have more outcomes than these."
    )
    answer: str | None = Field(None, description="The answer, if the outcome is answered.")
    reason: Explanation | None = Field(None, description="Why there is no answer, for a person to read.")
    candidates: list[Candidate] = Field(
        default_factory=list,
        description="Possible answers, best first: at most top_k, or 3 if that is more and the outcome is "
        "abstained, to choose from; and as many as fit into a message.",
    )
    neighbours: list[Neighbour] = Field(
        default_factory=list,
        description="The entries nearest to the question, as many as the query asked for, nearest first; "
        "with a filter the nearest of those that meet it. Only as many as fit into a message.",
    )
    candidates_dropped: int | None = Field(
        None, description="How many of the worst candidates did not fit into the message. Absent if all did."
    )
    receipt: Receipt | None = Field(
        None,
        description="Absent if the query was rejected, or if not even the receipt would fit into the "
        "message.",
    )

    def limited(self, detail: Detail) -> Self:
        """The same with no more detail than this."""
        if detail == MOST:
            return self
        shown: dict[str, object] = {}
        if detail == "answer":  # older responders named keys in spite of this detail
            shown["reason"] = self.reason and self.reason.partition(MISSING_KEYS)[0]
        if not (self.receipt and self.receipt.detail == "answer"):
            shown |= self._less(detail)
        return self.model_copy(update=shown)

    def _less(self, detail: Detail) -> dict[str, object]:
        bare = detail == "scores"
        return {
            "candidates": [candidate.bare() for candidate in self.candidates] if bare else [],
            "candidates_dropped": self.candidates_dropped if bare else None,
            "neighbours": [neighbour.bare() for neighbour in self.neighbours] if bare else [],
            "receipt": self._limited_receipt(detail),
        }

    def _limited_receipt(self, detail: Detail) -> Receipt | None:
        shown: dict[str, object] = {"detail": detail}
        if detail == "answer":
            entry = self.candidates[0].entry if self.candidates and self.answer is not None else None
            shown |= {"entry": entry, "runner_up": None}
        return self.receipt.model_copy(update=shown) if self.receipt else None
