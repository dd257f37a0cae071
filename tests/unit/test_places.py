"""The place of a record, as paths and parameters name it."""

from __future__ import annotations

import pytest

from hurnet_stream.gateway.places import place_in


@pytest.mark.parametrize(
    ("partition", "offset"), [("0", "41"), ("2147483647", "9" * 18), ("007", "0")], ids=str
)
def test_numbers_that_a_record_can_have_are_taken(partition: str, offset: str) -> None:
    assert place_in(partition, offset) == (int(partition), int(offset))


@pytest.mark.parametrize("wrong", ["", "-1", "+1", " 1", "1_0", "1.0", "٣", "0x1", "1e3", "9" * 19])
def test_anything_else_is_none(wrong: str) -> None:
    assert place_in(wrong, "0") is place_in("0", wrong) is None


def test_no_partition_is_beyond_kafkas() -> None:
    assert place_in("2147483648", "0") is None
