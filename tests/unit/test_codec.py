from __future__ import annotations

import dataclasses
from typing import Any

import msgpack
import numpy as np
import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workers.core.codec import MAX_ROWS, Packed, bare, beyond, check, pack, seal, unpack, unseal
from workers.core.context import MAX_WEIGHT, NOTHING, Batch, Entry
from workers.core.grid import SCALE

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
entries = st.builds(
    Entry,
    offset=st.just(0),
    timestamp_ms=st.integers(-(2**63), 2**63 - 1),
    context=text,
    text=text,
    answer=st.none() | text,
    metadata=st.dictionaries(text, text, max_size=3),
    weight=st.integers(1, MAX_WEIGHT),
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    offsets = sorted(draw(st.sets(st.integers(0, 2**63 - 2), max_size=6)))
    items = [dataclasses.replace(draw(entries), offset=offset) for offset in offsets]
    dimension = draw(st.integers(1, 5))
    vectors = draw(arrays(np.int16, (len(items), dimension), elements=st.integers(-SCALE, SCALE)))
    vectors[:, 0] = np.where(vectors.any(axis=1), vectors[:, 0], 1)
    watermark = (offsets[-1] if offsets else 0) + draw(st.integers(0, 1))
    return Batch(draw(st.integers(0, 2**31 - 1)), watermark, items, vectors)


def same(one: Batch, other: Batch) -> bool:
    return (
        (one.partition, one.watermark, list(one.entries))
        == (other.partition, other.watermark, list(other.entries))
        and one.vectors.dtype == other.vectors.dtype == np.int16
        and np.array_equal(one.vectors, other.vectors)
    )


def sample(*offsets: int, dimension: int = 2, watermark: int | None = None) -> Batch:
    items = [Entry(offset, 0, "c", f"text {offset}") for offset in offsets]
    vectors = np.ones((len(items), dimension), np.int16)
    return Batch(0, offsets[-1] if watermark is None else watermark, items, vectors)


@given(batches())
def test_a_batch_comes_back_as_it_was(batch: Batch) -> None:
    check(batch, batch.vectors.shape[1], NOTHING)
    back = unpack(batch.partition, batch.watermark, pack(batch), batch.vectors.shape[1])
    assert same(back, batch)


@given(batches().filter(lambda batch: len(batch.entries) > 0), st.data())
def test_no_flipped_bit_goes_unnoticed(batch: Batch, data: st.DataObject) -> None:
    packed = list(pack(batch))
    piece = data.draw(st.integers(0, 1))
    damaged = bytearray(packed[piece])
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    packed[piece] = bytes(damaged)
    with pytest.raises(ValueError, match=r"checksum|format"):
        unpack(batch.partition, batch.watermark, Packed(*packed), batch.vectors.shape[1])


@given(batches(), st.integers(0, 200), st.integers(0, 1))
def test_no_truncation_goes_unnoticed(batch: Batch, keep: int, piece: int) -> None:
    packed = list(pack(batch))
    if keep < len(packed[piece]):
        packed[piece] = packed[piece][:keep]
        with pytest.raises(ValueError, match=r"checksum|bytes of entries"):
            unpack(batch.partition, batch.watermark, Packed(*packed), batch.vectors.shape[1])


def forged(rows: Any, vectors: bytes = b"\1\0\1\0") -> Packed:
    """A batch whose checksum is right and whose content need not be."""
    body = rows if isinstance(rows, bytes) else msgpack.packb(rows)
    return Packed(b"\1" + crc32c(vectors, crc32c(body)).to_bytes(4, "little") + body, vectors)


GOOD: list[Any] = [3, 0, "c", "text", None, {}]


@pytest.mark.parametrize(
    "rows",
    [
        {"a": 1},
        [GOOD[:-1]],
        [["3", *GOOD[1:]]],
        [[3, 0, b"c", "text", None, {}]],
        [[3, 0, "c", None, None, {}]],
        [[3, 0, "c", "text", 7, {}]],
        [[3, 0, "c", "text", None, {"k": 1}]],
        [[True, 0, "c", "text", None, {}]],
        *[[[*GOOD, weight]] for weight in (0, -1, MAX_WEIGHT + 1, True, 1.0, None, "2")],
        [[*GOOD, 2, 2]],
        [[9, 0, "c", "text", None, {}]],  # beyond the watermark
        [[-2, 0, "c", "text", None, {}]],
        [GOOD, GOOD],
        [],
        7,
        b"\xc1",
        b"",
        msgpack.packb([GOOD]) + b"more",
        msgpack.packb([GOOD])[:-1],
        msgpack.packb([[3, 0, "c", "\ud800", None, {}]], unicode_errors="surrogatepass"),
    ],
)
def test_content_that_was_never_packed_is_refused(rows: Any) -> None:
    assert unpack(0, 5, forged([GOOD]), 2).entries == [Entry(3, 0, "c", "text")]
    with pytest.raises(ValueError, match=r"."):
        unpack(0, 5, forged(rows), 2)


@pytest.mark.parametrize("vectors", [b"", b"\1\0", b"\0\0\0\0", b"\1\x50\0\0", b"\1\0\1\0\1\0"])
def test_vectors_off_the_grid_or_of_the_wrong_shape_are_refused(vectors: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(0, 5, forged([GOOD], vectors), 2)


@pytest.mark.parametrize(
    ("batch", "expected", "words"),
    [
        (sample(3, 3), NOTHING, "must increase"),
        (sample(4, 3), NOTHING, "must increase"),
        (sample(3, 4), 3, "must increase"),
        (sample(3, 4, watermark=3), NOTHING, "beyond the batch's watermark"),
        (sample(3, watermark=9), 9, "must increase"),
        (bare(0, 9, 2), 9, "can't go from watermark 9 to 9"),
        (bare(-1, 9, 2), 3, "shard -1"),
        (bare(0, 2**63, 2), 3, "can't go"),
        (bare(0, 3, 2), -2, "can't go"),
        (sample(3, dimension=3), NOTHING, r"int16 \(1, 2\), not int16 \(1, 3\)"),
        (Batch(0, 3, sample(3).entries, np.ones((1, 2), np.float32)), NOTHING, "float32"),
        (Batch(0, 3, sample(3).entries, np.array([[1, SCALE + 1]], np.int16)), NOTHING, "leaves the grid"),
        (Batch(0, 3, sample(3).entries, np.zeros((1, 2), np.int16)), NOTHING, "zero"),
        (sample(*range(MAX_ROWS + 1)), NOTHING, f"at most {MAX_ROWS}"),
    ],
)
def test_batches_that_cannot_follow_are_refused(batch: Batch, expected: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(batch, 2, expected)


def test_lone_surrogates_are_refused() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        pack(Batch(0, 1, [Entry(1, 0, "c", "\ud800")], np.ones((1, 2), np.int16)))


@given(st.binary(), st.data())
def test_a_seal_shows_damage(content: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(content))
    assert unseal(bytes(sealed)) == content
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match="checksum"):
        unseal(bytes(sealed))


def test_a_reader_is_given_what_lies_beyond_its_position_once() -> None:
    first, second = sample(1, 3, 5, watermark=6), sample(8, 9)
    assert [b.watermark for b in beyond(NOTHING, [first, second], bare(0, 9, 2))] == [6, 9]
    cut = beyond(3, [first, second], None)
    assert [e.offset for b in cut for e in b.entries] == [5, 8, 9]
    assert len(cut[0].vectors) == 1
    assert [b.watermark for b in beyond(NOTHING, [first], bare(0, 7, 2))] == [6, 7]
    assert beyond(7, [], bare(0, 7, 2)) == []
    assert beyond(7, [], bare(0, 4, 2)) == []  # the store lost its tail
    assert beyond(7, [], None) == []
