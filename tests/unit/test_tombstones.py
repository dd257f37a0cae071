"""What a record without a value deletes: its key, one entry, or a context; and what is put aside instead."""

from __future__ import annotations

import pytest

from hurnet_schemas import InvalidMessage
from hurnet_stream.core.stored.batch import Deletion, Entry, Expiry, key_digest
from hurnet_stream.ports import Record
from hurnet_stream.records import parse_record

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
    assert parse_record(tombstone(key, *headers)) == Deletion(OFFSET, 7, digest, targets, context)


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
    with pytest.raises(InvalidMessage) as caught:
        parse_record(record)
    assert caught.value.reason == "tombstone"
    assert len(caught.value.detail) <= 500


def test_without_key_and_header_nothing_is_asked() -> None:
    for headers in ((), (("context", b"faq"),)):
        with pytest.raises(InvalidMessage, match="no value and no key"):
            parse_record(tombstone(None, *headers))


def test_a_record_with_a_value_is_a_text_whatever_its_headers() -> None:
    record = Record("texts", 0, OFFSET, 7, b"k", b'{"text": "t"}', (("forget", b"1"), ("drop-context", b"x")))
    assert parse_record(record) == Entry(OFFSET, 7, "default", "t")


def test_what_is_too_old() -> None:
    headers = ("expire-context", b"faq"), ("before", b"1000"), ("through", b"49")
    assert parse_record(tombstone(b"k", *headers)) == Deletion(
        OFFSET, 7, context="faq", expiry=Expiry(1000, 49)
    )


@pytest.mark.parametrize(
    "headers",
    [
        (("expire-context", b"faq"),),
        (("expire-context", b"faq"), ("before", b"1000")),
        (("expire-context", b"faq"), ("before", b"1000"), ("through", b"50")),
        (("expire-context", b"faq"), ("before", b"-1"), ("through", b"4")),
        (("expire-context", b"faq"), ("before", b"9" * 19), ("through", b"4")),
        (("expire-context", b"faq"), ("before", None), ("through", b"4")),
        (("expire-context", b"F A Q"), ("before", b"1000"), ("through", b"4")),
        (("expire-context", b"faq"), ("drop-context", b"faq"), ("before", b"1000"), ("through", b"4")),
    ],
)
def test_what_does_not_say_what_is_too_old(headers: tuple[tuple[str, bytes | None], ...]) -> None:
    with pytest.raises(InvalidMessage, match="tombstone"):
        parse_record(tombstone(b"k", *headers))
