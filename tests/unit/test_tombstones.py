"""What a record without a value deletes: its key, one entry, or a context; and what is put aside instead."""

from __future__ import annotations

import pytest

from hurnet.core.stored.batch import Deletion, key_digest
from hurnet.ports import Record
from hurnet.records import asked_of, deletion_of, entry_of
from hurnet_schemas import InvalidMessage

OFFSET = 50


def tombstone(key: bytes | None, *headers: tuple[str, bytes | None]) -> Record:
    return Record("texts", 0, OFFSET, 7, key, None, headers)


@pytest.mark.parametrize(
    ("key", "headers", "targets", "context"),
    [
        (b"k", (), (), None),
        (b"", (), (), None),
        (b"k" * (1 << 20), (), (), None),
        (b"\xff\x00", (), (), None),
        (b"k", (("context", b"faq"),), (), "faq"),
        (b"k", (("context", b"*"),), (), None),
        (b"k", (("context", b"faq"), ("context", b"other")), (), "other"),
        (b"k", (("forget", b"49"),), (49,), None),
        (b"k", (("forget", b"0"), ("context", b"\xff")), (0,), None),
        (None, (("forget", b"007"),), (7,), None),
        (b"k", (("drop-context", b"faq"),), (), "faq"),
        (None, (("drop-context", b"faq"), ("context", b"other")), (), "faq"),
        (b"k", (("somebody's", None),), (), None),
    ],
)
def test_what_is_asked(
    key: bytes | None,
    headers: tuple[tuple[str, bytes | None], ...],
    targets: tuple[int, ...],
    context: str | None,
) -> None:
    named = key if key is not None and not any(n in ("forget", "drop-context") for n, _ in headers) else None
    digest = None if named is None else key_digest(named)
    assert deletion_of(tombstone(key, *headers)) == Deletion(OFFSET, 7, digest, targets, context)


BAD_OFFSETS = [
    b"", b"-1", b"+5", b" 5", b"5 ", b"5.0", b"0x5", b"1e1", b"50", b"51", b"9" * 19, b"9" * 20, b"9" * 5_000,
    "٣".encode(), "５".encode(), b"\xff", b"\x005", None,
]  # fmt: skip
BAD_NAMES = [b"", b"*", b"FAQ", b"faq\n", b" faq", b"f" * 65, b"-faq", "é".encode(), b"\xff", b"a b", None]


@pytest.mark.parametrize(
    "headers",
    [
        *((("forget", value),) for value in BAD_OFFSETS),
        *((("drop-context", value),) for value in BAD_NAMES),
        *((("context", value),) for value in BAD_NAMES if value != b"*"),
        (("forget", b"1"), ("drop-context", b"faq")),
        (("forget", b"1"), ("forget", None)),
    ],
)
def test_what_can_not_be_told_is_put_aside_and_deletes_nothing_not_even_its_key(
    headers: tuple[tuple[str, bytes | None], ...],
) -> None:
    record = tombstone(b"k", *headers)
    assert deletion_of(record) is None
    with pytest.raises(InvalidMessage) as caught:
        entry_of(record)
    assert caught.value.reason == "tombstone"
    assert len(caught.value.detail) <= 500


def test_without_key_and_header_nothing_is_asked() -> None:
    assert deletion_of(tombstone(None)) is None
    with pytest.raises(InvalidMessage, match="no value and no key"):
        asked_of(tombstone(None, ("context", b"faq")))


def test_a_record_with_a_value_is_a_text_whatever_its_headers() -> None:
    record = Record("texts", 0, OFFSET, 7, b"k", b'{"text": "t"}', (("forget", b"1"), ("drop-context", b"x")))
    assert deletion_of(record) is None
    assert entry_of(record).text == "t"
