from __future__ import annotations

import dataclasses
from typing import Any, Final

import msgpack
import numpy as np
import pytest
from crc32c import crc32c
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hurnet_stream.core.formats import BATCH, NewerFormat
from hurnet_stream.core.grid import SCALE
from hurnet_stream.core.stored.batch import MAX_COPIES, NOTHING, Batch, Deletion, Entry, Expiry
from hurnet_stream.core.stored.codec import (
    EncodedBatch,
    bare,
    beyond,
    check,
    decode_batch,
    decode_deletion,
    encode_batch,
    encode_deletion,
    encode_offsets,
    seal,
    unseal,
)
from hurnet_stream.core.stored.entries_codec import MAX_ROWS

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
entries = st.builds(
    Entry,
    offset=st.just(0),
    timestamp_ms=st.integers(-(2**63), 2**63 - 1),
    context=text,
    text=text,
    answer=st.none() | text,
    metadata=st.dictionaries(text, text, max_size=3),
    copies=st.integers(1, MAX_COPIES),
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
    back = decode_batch(batch.partition, batch.watermark, encode_batch(batch), batch.vectors.shape[1])
    assert same(back, batch)


@given(batches().filter(lambda batch: len(batch.entries) > 0), st.data())
def test_no_flipped_bit_goes_unnoticed(batch: Batch, data: st.DataObject) -> None:
    packed = list(encode_batch(batch))
    piece = data.draw(st.integers(0, 1))
    damaged = bytearray(packed[piece])
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    packed[piece] = bytes(damaged)
    with pytest.raises(ValueError, match=r"checksum|format"):
        decode_batch(batch.partition, batch.watermark, EncodedBatch(*packed), batch.vectors.shape[1])


@given(batches(), st.integers(0, 200), st.integers(0, 1))
def test_no_truncation_goes_unnoticed(batch: Batch, keep: int, piece: int) -> None:
    packed = list(encode_batch(batch))
    if keep < len(packed[piece]):
        packed[piece] = packed[piece][:keep]
        with pytest.raises(ValueError, match=r"checksum|bytes of entries"):
            decode_batch(batch.partition, batch.watermark, EncodedBatch(*packed), batch.vectors.shape[1])


def forged(content: Any, vectors: bytes = b"\1\0\1\0", version: int = BATCH) -> EncodedBatch:
    """A batch whose checksum is right and whose content need not be."""
    body = content if isinstance(content, bytes) else msgpack.packb(content)
    checksum = crc32c(vectors, crc32c(body)).to_bytes(4, "little")
    return EncodedBatch(bytes([version]) + checksum + body, vectors)


GOLDEN: Final = (
    b"\x01\x06\xe1\xf4J\x9b\x03\xc4\x0ebom diaa\xc3\xa7\xc3\xa3ox\x92"
    b"\x01\xc4\x03\x06\x05\x00\x92\x03\xc4\x18\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    b"\x00\x00\xfd\xff\xff\xff\xff\x00\x00\x00\x92\xfb\xc4\x18\x05h\xe5\xcf\x8b\x01\x00\x00\x00\x00"
    b"\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x92\x01\xc4\x03\x00\x00\x02\x92\xa7d"
    b"efault\xa5other\x92\x00\xc4\x03\x00\x01\x00\x91\xa4ol\xc3"
    b"\xa1\x92\xff\xc4\x03\x01\x00\x01\x93\x81\xa1k\xa1v\x80\x80"
)


def test_what_was_written_once_is_read_for_ever() -> None:
    vectors = np.array([[1, 0], [0, -2], [SCALE, -SCALE]], np.int16)
    back = decode_batch(0, 2**40, EncodedBatch(GOLDEN, vectors.tobytes()), 2)
    assert list(back.entries) == [
        Entry(3, 1_700_000_000_000, "default", "bom dia", "olá", {"k": "v"}),
        Entry(7, -5, "other", "ação"),
        Entry(2**40, 0, "default", "x", "olá", copies=3),
    ]


GOOD: list[Any] = [1, b"text", [4, b""], [3, b""], [0, b""], [1, b""], ["c"], [0, b""], [], [-1, b""], []]


@pytest.mark.parametrize(
    "content",
    [
        {"a": 1},
        GOOD[:-1],
        [*GOOD, 2],
        [[3, 0, "c", "text", None, {}]],  # an entry, not columns
        [],
        7,
        b"\xc1",
        b"",
        msgpack.packb(GOOD) + b"more",
        msgpack.packb(GOOD)[:-1],
        msgpack.packb([*GOOD[:6], ["\ud800"], *GOOD[7:]], unicode_errors="surrogatepass"),
    ],
)
def test_content_that_was_never_packed_is_refused(content: Any) -> None:
    assert list(decode_batch(0, 5, forged(GOOD), 2).entries) == [Entry(3, 0, "c", "text")]
    with pytest.raises(ValueError, match=r"."):
        decode_batch(0, 5, forged(content), 2)


COLUMNS: dict[str, Any] = {
    "rows": 2,
    "texts": "é".encode() + b"b",
    "lengths": [1, b"\1\0"],
    "offsets": [3, b"\0\2"],
    "timestamps": [0, b""],
    "copies": [1, b""],
    "contexts": ["c"],
    "context_of": [0, b""],
    "answers": ["x"],
    "answer_of": [-1, b"\0\1"],
    "metadata": [],
}
TWO = b"\1\0\1\0" * 2


def columns(**changes: Any) -> EncodedBatch:
    return forged([*{**COLUMNS, **changes}.values()], TWO)


@pytest.mark.parametrize(
    "changes",
    [
        *[{name: None} for name in COLUMNS],
        *[{name: [[0, b""]]} for name in COLUMNS],
        *[{name: [0, ""]} for name in COLUMNS],
        *[{name: [0.0, b""]} for name in COLUMNS],
        *[{name: [0, b"", 0]} for name in COLUMNS],
        *[{name: [0, b"\0\0\0"]} for name in COLUMNS],
        *[{name: [0, b"\0" * 6]} for name in COLUMNS],
        *[{"rows": rows} for rows in (-1, 0, 1, 3, 2.0, True, MAX_ROWS + 1, 2**63)],
        {"texts": "éb"},
        {"texts": b"\xc3b\xa9"},
        {"texts": b"a\xffb"},
        {"texts": b"ab"},
        {"lengths": [0, b"\1\2"]},  # within a character
        {"lengths": [1, b"\1\1"]},
        {"lengths": [-1, b"\0\5"]},
        {"lengths": [2, b"\1\0\0\0\0\0\0\0" + b"\xff" * 8]},
        {"offsets": [3, b"\0\0"]},
        {"offsets": [3, b"\2\0"]},
        {"offsets": [3, b"\0\3"]},  # beyond the watermark
        {"offsets": [-1, b"\0\1"]},
        {"offsets": [2**63, b"\0\1"]},
        {"offsets": [3, bytes(8) + b"\xff" * 8]},
        {"timestamps": [2**63, b""]},
        {"copies": [0, b""]},
        {"copies": [1, b"\xe8\3\0\0"]},  # MAX_COPIES + 1
        {"copies": [1, bytes(8) + b"\xff" * 8]},  # 1 and 0
        {"contexts": []},
        {"contexts": ["c", "c"], "context_of": [0, b"\0\1"]},
        {"contexts": ["c", "d"]},
        {"contexts": [b"c"]},
        {"context_of": [-1, b""]},
        {"context_of": [1, b""]},
        {"answers": ["x", "y"]},
        {"answers": ["x", "x"], "answer_of": [0, b"\0\1"]},
        {"answers": ["x", ["y"]], "answer_of": [0, b"\0\1"]},
        {"answers": []},
        {"answer_of": [-1, b""]},
        {"answer_of": [-2, b"\0\2"]},
        {"answer_of": [0, b"\0\1"]},
        {"metadata": [{}]},
        {"metadata": [{}, {}, {}]},
        {"metadata": [{}, {"k": 1}]},
        {"metadata": [{}, {"k": None}]},
        {"metadata": [{}, []]},
        {"more": 1},
    ],
)
def test_columns_that_were_never_packed_are_refused(changes: dict[str, Any]) -> None:
    good = [Entry(3, 0, "c", "é"), Entry(5, 0, "c", "b", "x")]
    assert list(decode_batch(0, 5, columns(), 2).entries) == good
    assert list(decode_batch(0, 5, columns(metadata=[{}, {"k": "v"}]), 2).entries)[1].metadata == {"k": "v"}
    with pytest.raises(ValueError, match=r"."):
        decode_batch(0, 5, columns(**changes), 2)


scalars = st.none() | st.booleans() | st.integers(-3, 300) | st.floats() | st.binary(max_size=20) | text
damage: st.SearchStrategy[Any] = st.one_of(scalars, st.lists(scalars, max_size=3))


@given(batches(), st.data())
def test_whatever_is_in_its_place_is_refused_or_a_batch_that_may_be_in(
    batch: Batch, data: st.DataObject
) -> None:
    """Parts of a batch replaced by anything: what is read can be appended, and comes back the same."""
    packed, dimension = encode_batch(batch), batch.vectors.shape[1]
    content = msgpack.unpackb(packed.entries[5:])
    for _ in range(data.draw(st.integers(1, 2))):
        place = content
        at = data.draw(st.integers(0, len(place) - 1))
        while isinstance(place[at], list) and place[at] and data.draw(st.booleans()):
            place, at = place[at], data.draw(st.integers(0, len(place[at]) - 1))
        place[at] = data.draw(damage)
    try:
        back = decode_batch(0, batch.watermark, forged(content, packed.vectors), dimension)
    except ValueError:
        return
    check(back, dimension, NOTHING)
    assert same(decode_batch(0, batch.watermark, encode_batch(back), dimension), back)


@pytest.mark.parametrize("vectors", [b"", b"\1\0", b"\0\0\0\0", b"\1\x50\0\0", b"\1\0\1\0\1\0"])
def test_vectors_off_the_grid_or_of_the_wrong_shape_are_refused(vectors: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_batch(0, 5, forged(GOOD, vectors), 2)


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
        encode_batch(Batch(0, 1, [Entry(1, 0, "c", "\ud800")], np.ones((1, 2), np.int16)))


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


def test_what_a_newer_program_wrote_asks_for_an_upgrade_and_is_not_called_corrupt() -> None:
    newer = forged([], version=BATCH + 1)
    with pytest.raises(NewerFormat, match=r"upgrade \(it needs format 2, this one speaks 1\)"):
        decode_batch(0, 9, newer, 2)
    deletion = seal(msgpack.packb((2, 5, 6, None, "what it adds")))
    with pytest.raises(NewerFormat, match=r"upgrade \(it needs format 2, this one speaks 1\)"):
        decode_deletion(0, deletion, b"", 2)


def test_a_deletion_of_what_is_too_old_comes_back_as_it_was() -> None:
    deletion = Deletion(5, 6, None, (3,), "faq", expiry=Expiry(1_000, 4))
    decoded = decode_deletion(0, encode_deletion(deletion), encode_offsets([3]), 2)
    assert decoded.deletion == deletion
    beyond = seal(msgpack.packb((1, 5, 6, None, "faq", False, [1_000, 5])))
    with pytest.raises(ValueError, match="can't reach through 5"):
        decode_deletion(0, beyond, b"", 2)


def test_what_a_newer_program_added_to_a_deletion_is_left_aside() -> None:
    added = seal(msgpack.packb((1, 5, 6, None, None, False, None, "something more")))
    assert decode_deletion(0, added, encode_offsets([3]), 2).deletion == Deletion(5, 6, None, (3,))


@pytest.mark.parametrize(
    "content",
    [
        (),
        (1,),
        (1, 5),
        (1, 5, 6, None),
        ("x", 5, 6, None, None),
        (0, 5, 6, None, None),
        7,
        (None, 5, 6, None, None),
    ],
)
def test_what_is_no_deletion_is_refused(content: Any) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        decode_deletion(0, seal(msgpack.packb(content)), b"", 2)
    assert not isinstance(caught.value, NewerFormat)
