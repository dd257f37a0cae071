"""Who asked: a header of a question that says so, which nobody can forge without the secret.

Whoever may write to the topic of questions may set any header, and Kafka does not tell readers who has
written a record. So the gateway signs what it says, and responders believe nothing else:

    asked-by: shop                                       the name of the key by which somebody asked
    asked-by-signature: 9f2c...                          keyed BLAKE2b over name, correlation id and value

    the same name on another question, or another name   not believed
    the whole record, sent again                         believed: that question did come by that key
"""

from __future__ import annotations

from hashlib import blake2b
from hmac import compare_digest
from typing import Final

from hurnet_stream.ports import CORRELATION_ID, Headers, Record

ASKED_BY: Final = "asked-by"
SIGNATURE: Final = "asked-by-signature"
NAME_BYTES_MAX: Final = 256


def signed(secret: str, name: str, correlation: bytes, value: bytes) -> Headers:
    """The headers that say who asks."""
    return (
        (ASKED_BY, name.encode()),
        (SIGNATURE, _signature(secret, name.encode(), correlation, value).encode()),
    )


def who_asked(secret: str, record: Record) -> str | None:
    """The name that the question's headers say, if they are signed for this very question."""
    name, signature = record.header(ASKED_BY), record.header(SIGNATURE)
    if not secret or not name or not signature or len(name) > NAME_BYTES_MAX:
        return None
    right = _signature(secret, name, record.header(CORRELATION_ID) or b"", record.value or b"")
    return name.decode("utf-8", "replace") if compare_digest(signature, right.encode()) else None


def question_digest(secret: str, question: str) -> str:
    """What tells a question from others to whoever has the secret, and to nobody else."""
    return blake2b(question.encode(), key=_key(secret, b"hurnet-question"), digest_size=16).hexdigest()


def _signature(secret: str, name: bytes, correlation: bytes, value: bytes) -> str:
    sums = blake2b(key=_key(secret, b"hurnet-asker"), digest_size=32)
    for part in (name, correlation, value):
        sums.update(len(part).to_bytes(8, "big") + part)  # so that no two splits are the same bytes
    return sums.hexdigest()


def _key(secret: str, purpose: bytes) -> bytes:
    """A key of its own for each purpose, whatever the secret's length."""
    return blake2b(secret.encode(), digest_size=32, person=purpose.ljust(16)[:16]).digest()
