"""Segments in an object store: a server that speaks S3."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import numpy as np
import pytest

from hurnet_stream.adapters.segments import SegmentStore, segments_at
from hurnet_stream.adapters.segments.object_store import AHEAD_BYTES, ObjectFiles
from hurnet_stream.core.stored.batch import Batch, EmbedderIdentity, Entry
from hurnet_stream.errors import ConfigurationError, SegmentMissing, Unreadable
from hurnet_stream.settings.segments import SegmentSettings
from tests.s3 import s3

IDENTITY = EmbedderIdentity("e", "f", 8)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patched, s3() as (_, where):
        patched.setenv("AWS_ACCESS_KEY_ID", "tests")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "tests")
        yield where


def pieces(count: int, rows: int = 3) -> list[Batch]:
    made = []
    for first in range(0, count * rows, rows):
        numbers = range(first, first + rows)
        entries = [Entry(n, n, "faq", f"text {n}", f"answer {n}", {"n": str(n)}) for n in numbers]
        vectors = np.array([[n + 1, *range(7)] for n in numbers], np.int16)
        made.append(Batch(0, numbers[-1], entries, vectors))
    return made


def test_what_was_written_is_read_listed_and_removed(url: str) -> None:
    store, epoch = segments_at(SegmentSettings(url=url)), secrets.token_hex(8)
    assert isinstance(store, SegmentStore)
    assert list(store.listed(epoch)) == []
    written = pieces(5)
    segment = store.write(epoch, 1, written, IDENTITY)
    other = store.write("another", 1, written, IDENTITY)
    assert segment.name != other.name  # not even with the same content
    for batch, piece in zip(written, segment.pieces, strict=True):
        entries, vectors = store.read(segment.name, piece, 8)
        assert [*entries] == [*batch.entries]
        assert (vectors == batch.vectors).all()
    (listed,) = store.listed(epoch)
    assert listed.name == segment.name
    assert listed.written_s > 1.6e9
    store.remove(segment.name)
    store.remove(segment.name)
    assert list(store.listed(epoch)) == []
    with pytest.raises(SegmentMissing):
        store.read(segment.name, segment.pieces[0], 8)
    with pytest.raises(Unreadable):
        store.read(other.name, segment.pieces[0]._replace(start=1), 8)


def test_pieces_in_a_row_take_few_requests(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files, content = ObjectFiles(url), secrets.token_bytes(3 * AHEAD_BYTES // 2)
    files.put("large", memoryview(content))
    asked, path = [], files._path

    def counted(name: str) -> str:
        asked.append(name)
        return path(name)

    monkeypatch.setattr(files, "_path", counted)
    length = len(content) // 12
    for start in range(0, 12 * length, length):
        assert files.get("large", start, length) == content[start : start + length]
    assert len(asked) <= 3
    assert files.get("large", len(content) - 5, 100) == content[-5:]


def test_a_wrong_address_is_told() -> None:
    with pytest.raises(ConfigurationError, match="HURNET_SEGMENTS_URL"):
        segments_at(SegmentSettings(url="nothing://known"))
    with pytest.raises(ValueError, match="credentials"):
        SegmentSettings(url="s3://key:secret@bucket")
