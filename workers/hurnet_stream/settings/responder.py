"""HURNET_RESPONDER_*: the worker that answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from hurnet_schemas.detail import MOST, Detail
from hurnet_stream.settings.transactions import TransactionSettings
from hurnet_stream.settings.types import Duration, Seconds, TopicExpression, Unit

LOWEST_ERROR_RATE = 0.005
"""No lower rate can be kept to (core/rule/confidence.py): it would never be met."""


def _checked_error_rate(rate: float) -> float:
    if 0 < rate < LOWEST_ERROR_RATE:
        raise ValueError(f"must be 0, or from {LOWEST_ERROR_RATE:g} to 0.5")
    return rate


class ResponderSettings(TransactionSettings):
    """The worker that answers queries."""

    group: str = Field(
        "",
        max_length=200,
        description="The consumer group of all responders, and the first part of the transactional ids. If "
        "it is empty: HURNET_REDIS_PREFIX, then -responder.",
    )
    exactly_once: bool = Field(
        True,
        description="Whether answers are written in Kafka transactions, so that each is seen once. If not, a "
        "crash may repeat answers, and each answer is faster by some milliseconds.",
    )
    batch: Annotated[int, Unit("queries")] = Field(
        64, ge=1, le=1_000, description="Most queries that are answered together."
    )
    threads: Annotated[int, Unit("threads")] = Field(
        1,
        ge=1,
        le=256,
        description="Threads that share one search over many rows. Measured with 2: for 64 "
        "queries 1.9 times as fast, for one query 1.1 times.",
    )
    device: Literal["cpu", "cuda", "auto"] = Field(
        "cpu",
        description="Where to search. A GPU needs torch (the extra torch), and 1 byte of its memory for "
        "each dimension of each row; 'auto' takes it if there is one.",
    )
    folder: str = Field(
        "",
        max_length=1_000,
        description="A folder on a disk of this machine, for this process alone, in which vectors and texts "
        "lie so that they need no memory, and the index is saved so that the next start is quick. It is a "
        "cache: what is missing or damaged is read from the store again. Empty: all is in memory.",
    )
    save_interval: Duration = Field(
        60,
        ge=1,
        le=86_400,
        description="How often the index is saved in the folder, in seconds. What was deleted leaves the "
        "files then. While it is saved nobody is answered, so very large ones are saved less often: that "
        "takes half a percent of the time at most.",
    )
    poll: Duration = Field(
        0.02, ge=0, le=5, description="Longest wait for queries before looking for new entries, in seconds."
    )
    threshold: float = Field(
        0.35,
        ge=0,
        le=1,
        description="Lowest combined score (0 to 1) that is answered while a context has taught too little "
        "for an error rate, or if that is 0. If the best answer scores less, the reply says that there is no "
        "answer, and offers the nearest ones.",
    )
    error_rate: Annotated[float, AfterValidator(_checked_error_rate)] = Field(
        0.5,
        ge=0,
        le=0.5,
        description="What share of the answers may be wrong (0.05: 5 %). A responder answers what is sure "
        "enough for that, by the probabilities that it learns for each context from its taught pairs, and "
        "never what is more probably wrong than right, which is all the default asks. 0: the threshold "
        "decides.",
    )
    detail: Detail = Field(
        MOST,
        description="The most that answers show: 'answer', the answer alone and which entry it is from; "
        "'scores', the other candidates with their scores and entries, too; 'texts', their texts and "
        "metadata, too. A query may ask for less.",
    )
    wait: Seconds = Field(
        5.0,
        description="Longest time in seconds that a query waits for its min_watermarks, even if its "
        "timeout_ms is longer.",
    )
    reply_topics: TopicExpression = Field(
        r"answers([._-].*)?",
        min_length=1,
        description="Regular expression (without look-around) that describes the topics that a query may "
        "name in its reply-to header.",
    )
