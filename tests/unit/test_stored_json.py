"""What stands in the store is JSON, or a ValueError that every reader expects."""

from __future__ import annotations

import pytest

from hurnet_stream.adapters.redis import published, stored_json
from hurnet_stream.adapters.redis.audit import decode_audit
from hurnet_stream.adapters.redis.meta import Meta
from hurnet_stream.errors import Unreadable

DEEP = b"[" * 100_000
INFINITE = b'{"min_reader": 1e999, "format": 1e999, "0": 1e999}'


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"\xff", DEEP, DEEP + b"]" * 100_000, INFINITE, b"NaN", b"[Infinity]", b"[-1e999]"],
    ids=["empty", "cut", "no text", "deep", "deep and whole", "too large", "NaN", "infinite", "below all"],
)
def test_what_is_no_json_or_can_not_be_counted_with_is_a_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        stored_json.loads(raw)


def test_json_is_read_as_it_is() -> None:
    assert stored_json.loads('{"a": [1, 2.5, null, "ção"]}') == {"a": [1, 2.5, None, "ção"]}


@pytest.mark.parametrize("raw", [DEEP, INFINITE], ids=["deep", "too large"])
def test_readers_call_it_damage(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        Meta.parse(raw, "meta")
    with pytest.raises(ValueError, match=r".+"):
        decode_audit(raw)
    assert published.decode_watermarks(raw) == {}
