"""Topic `dead-letters`: records that could not be processed, with the reason and where to find them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hurnet_schemas.base import Explanation, InvalidReason, OwnMessage

Reason = Literal[
    InvalidReason,
    "zero-vector",
    "embedder-failed",
    "too-many-contexts",
    "reply-topic-refused",
    "reply-topic-missing",
    "reply-topic-unwritable",
    "correlation-id-too-long",
    "key-too-long",
    "scoring-failed",
    "answer-undeliverable",
    "feedback-undeliverable",
    "ends-the-worker",
]
MAX_EXCERPT = 4_096
"""Bytes of a key or a value that are quoted."""


class DeadLetter(OwnMessage):
    """Why a record was put aside. The record itself stays in its topic, at these coordinates.

    The message key is topic/partition/offset of the record. A crash may leave a second copy of a dead letter;
    a reader recognises it by that key.
    """

    reason: Reason | str = Field(
        description="Why the record could not be processed. A newer hurnet may have more reasons than these."
    )
    detail: Explanation = Field(description="The same in words, for a person to read.")
    worker: str = Field(
        description="The role of the worker that put the record aside: ingest, responder or feedback."
    )
    topic: str = Field(description="The record's topic.")
    partition: int = Field(description="The record's partition.")
    offset: int = Field(description="The record's offset, or the last offset of a range.")
    first_offset: int | None = Field(
        None,
        description="The first offset of a range of records that can't be told apart. Absent for a single "
        "record.",
    )
    timestamp_ms: int = Field(description="The record's timestamp, in milliseconds since 1970.")
    key: str | None = Field(
        None,
        description="The first 4,096 bytes of the record's key, in base64. Absent if excerpts are off.",
    )
    excerpt: str | None = Field(
        None,
        description="The first 4,096 bytes of the record's value, in base64. Absent if excerpts are off.",
    )
    size: int = Field(description="Bytes of the record's value, or of the batch that can't be unpacked.")
    sha256: str | None = Field(None, description="SHA-256 of those bytes, in hexadecimal.")
