"""HURNET_RESPONDER_*: the worker that answers."""

from __future__ import annotations

import socket
from typing import Annotated, Literal

from pydantic import Field

from hurnet_stream.settings.section import Section
from hurnet_stream.settings.types import Duration, Seconds, TopicExpression, Unit


class ResponderSettings(Section):
    """The worker that answers queries."""

    group: str = Field(
        "",
        max_length=200,
        description="The consumer group of all responders, and the first part of the transactional ids. If "
        "it is empty: HURNET_REDIS_PREFIX, then -responder.",
    )
    instance: str = Field(
        default_factory=socket.gethostname,
        pattern=r"^[A-Za-z0-9._-]{1,128}$",
        description="The name of this responder. Each running one needs a name of its own. The default is "
        "the host's name.",
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
    error_rate: float = Field(
        0.5,
        ge=0,
        le=0.5,
        description="What share of the answers may be wrong (0.05: 5 %). A responder answers what is sure "
        "enough for that, by the probabilities that it learns for each context from its taught pairs, and "
        "never what is more probably wrong than right, which is all the default asks. 0: the threshold "
        "decides.",
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
    transaction_deadline: Duration = Field(
        5.0,
        ge=0.1,
        le=900,
        description="Longest time in seconds for one transaction; a responder then gives it up and starts "
        "anew.",
    )
    transaction_timeout: Duration = Field(
        10.0,
        ge=1,
        le=900,
        description="Seconds after which the brokers abort a transaction that nobody ended.",
    )
