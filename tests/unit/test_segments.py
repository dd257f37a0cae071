"""What an item says of a file, and a file's pieces: back as they were, or refused in words."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.adapters.redis.redaction import decode_member, pieces_as_items, sealed_member
from hurnet_stream.adapters.segments import arrow_file
from hurnet_stream.adapters.segments.folder import FolderFiles
from hurnet_stream.core.shares import MAX_BATCH_BYTES
from hurnet_stream.core.stored.batch import Batch, EmbedderIdentity, Entry
from hurnet_stream.core.stored.segments import (
    PIECE_ROWS,
    Piece,
    Segment,
    bytes_of,
    decode_segment,
    encode_segment,
    pieces_of,
)
from hurnet_stream.errors import SegmentMissing, Unreadable
from hurnet_stream.settings.segments import SegmentSettings

D = 4
IDENTITY = EmbedderIdentity("e", "f", D)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    watermark = start = 0
    pieces = []
    for _ in range(draw(st.integers(1, 6))):
        watermark += draw(st.integers(1, 1 << 40))
        entries, gone = draw(st.integers(0, 2_000)), draw(st.integers(0, 9))
        length = draw(st.integers(1, 1 << 21)) if entries else 0
        removed = tuple(draw(st.sets(st.integers(0, watermark), max_size=3)))
        checksum = draw(st.integers(0, 2**32 - 1)) if entries else 0
        pieces.append(Piece(watermark, entries, removed, gone, start, length, checksum))
        start += length
    return Segment("a/name.arrow" if start else "", pieces)


@given(segments())
def test_a_segment_comes_back_as_it_was(segment: Segment) -> None:
    assert decode_segment(encode_segment(segment)) == segment


@given(segments(), st.data())
def test_whatever_a_disk_makes_of_it_is_refused(segment: Segment, data: st.DataObject) -> None:
    encoded = bytearray(encode_segment(segment))
    place = data.draw(st.integers(0, len(encoded) - 1))
    encoded[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ValueError):  # noqa: PT011 whatever it says
        decode_segment(bytes(encoded))
    member = sealed_member(b"0", b"epoch", 1, segment)
    with pytest.raises(Unreadable):
        list(pieces_as_items(*decode_member(member.replace(encode_segment(segment), bytes(encoded)))))


@given(segments(), st.integers(0, 99))
def test_pieces_are_items_that_lie_one_behind_the_other(segment: Segment, row: int) -> None:
    member = sealed_member(b"%d" % row, b"epoch", 1, segment)
    items = list(pieces_as_items(*decode_member(member)))
    assert [name for name, _ in items] == [b"%d-0" % (piece.watermark + 1) for piece in segment.pieces]
    since = 1
    for (_, fields), piece in zip(items, segment.pieces, strict=True):
        assert (int(fields[b"since"]), int(fields[b"row"])) == (since, row)
        (alone,) = decode_segment(fields[b"piece"]).pieces
        assert alone == (piece if piece.length else piece._replace(start=0))
        since, row = piece.watermark + 2, row + piece.rows


def batch(first: int, rows: int, text: str = "text") -> Batch:
    entries = [Entry(first + i, 0, "faq", text) for i in range(rows)]
    return Batch(0, first + max(rows, 1) - 1, entries, np.ones((rows, D), np.int16), gone=1)


@given(st.lists(st.integers(0, 700), min_size=1, max_size=9))
def test_batches_are_joined_as_far_as_a_reader_may_be_given(sizes: list[int]) -> None:
    firsts = np.cumsum([0, *(max(1, size) for size in sizes)]).tolist()
    batches = [batch(first, size) for first, size in zip(firsts, sizes, strict=False)]
    pieces = pieces_of(batches)
    assert [e.offset for p in pieces for e in p.entries] == [e.offset for b in batches for e in b.entries]
    assert sum(p.rows for p in pieces) == sum(b.rows for b in batches)
    assert pieces[-1].watermark == batches[-1].watermark
    assert all(len(p.entries) <= PIECE_ROWS for p in pieces)
    assert all(len(a.entries) + len(b.entries) > PIECE_ROWS - 700 for a, b in pairwise(pieces))


def test_a_batch_that_is_larger_than_a_piece_stays_one() -> None:
    large, small = batch(0, 2, "x" * MAX_BATCH_BYTES), batch(2, 3)
    assert [bytes_of(piece) for piece in pieces_of([large, small])] == [bytes_of(large), bytes_of(small)]


@given(
    st.lists(
        st.tuples(WORDS, st.none() | WORDS, st.dictionaries(WORDS, WORDS, max_size=2), st.integers(1, 9)),
        min_size=1,
        max_size=7,
    )
)
def test_any_entry_comes_back_from_a_file(rows: list[tuple[str, str | None, dict[str, str], int]]) -> None:
    entries = [
        Entry(i, i - 3, f"c{i % 2}", text, answer, metadata, copies)
        for i, (text, answer, metadata, copies) in enumerate(rows)
    ]
    vectors = np.arange(1, 1 + D * len(rows), dtype=np.int16).reshape(-1, D)
    content, (empty, piece) = arrow_file.encode(
        [batch(0, 0), Batch(0, len(rows), entries, vectors, removed=(len(rows),))], IDENTITY
    )
    assert (empty.length, empty.gone, piece.removed) == (0, 1, (len(rows),))
    part = bytes(content[piece.start : piece.start + piece.length])
    read, found = arrow_file.decode(part, piece, D)
    assert [*read] == entries
    assert (found == vectors).all()
    with pytest.raises(ValueError, match="checksum"):
        arrow_file.decode(part[:-1] + bytes([part[-1] ^ 1]), piece, D)


def test_a_file_is_there_whole_and_others_may_read_it(tmp_path: Path) -> None:
    files = FolderFiles(tmp_path / "not" / "there")
    before = os.umask(0o022)
    try:
        files.put("epoch/0/a.arrow", memoryview(b"content"))
    finally:
        os.umask(before)
    (path,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"content", 0o644)
    assert [file.name for file in files.listed("epoch")] == ["epoch/0/a.arrow"]
    assert files.get("epoch/0/a.arrow", 3, 99) == b"tent"
    files.remove("epoch/0/a.arrow")
    files.remove("epoch/0/a.arrow")
    assert list(files.listed("epoch")) == []
    with pytest.raises(SegmentMissing):
        files.get("epoch/0/a.arrow", 0, 1)


def test_a_url_holds_no_credentials_and_says_all() -> None:
    assert SegmentSettings(url="abfs://container@account.dfs.core.windows.net/a").url
    with pytest.raises(ValueError, match="credentials"):
        SegmentSettings(url="s3://key:secret@bucket/path")
    with pytest.raises(ValueError, match="absolute"):
        SegmentSettings(url="a/folder")
