"""Topic `dead-letters`: records that could not be processed, with the reason and where to find them."""

from __future__ import annotations

from typing import Literal, get_args

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
    "ends-the-worker",
]
REASONS: tuple[str, ...] = get_args(Reason)
MAX_EXCERPT = 4_096


class DeadLetter(OwnMessage):
    """Why a record was put aside. The record itself stays in its topic, at these coordinates.

    Delivered at least once; the record's coordinates are the message key, so that a reader can
    drop the second copy that a crash may leave.
    """

    reason: Reason | str = Field(description="one of these; a newer hurnet may know others")
    detail: Explanation
    worker: str
    topic: str
    partition: int
    offset: int
    first_offset: int | None = Field(
        None, description="if it is a range of offsets that can't be told apart: its first, `offset` its last"
    )
    timestamp_ms: int
    key: str | None = Field(None, description="base64 of the record's key, as much as fits")
    excerpt: str | None = Field(None, description="base64 of the first bytes of its value")
    size: int = Field(description="bytes of its value, or of what can't be unpacked")
    sha256: str | None = Field(None, description="of its value")
