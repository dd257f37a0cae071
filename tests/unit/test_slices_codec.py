"""Messages of slices survive the wire, and nothing else passes for one."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hurnet_stream.core.index.conditions import All, AnyOf, Between, Has, Not, OneOf
from hurnet_stream.core.slices.codec import MOST_DEPTH, VERSION, decode, encode
from hurnet_stream.core.slices.columns import NOBODY
from hurnet_stream.core.slices.messages import (
    AskTaught,
    Count,
    CountHolding,
    Counts,
    Describe,
    Descriptions,
    Find,
    Holding,
    Near,
    NearByWords,
    ReadTexts,
    ReadVectors,
    Reply,
    Request,
    Sample,
    Search,
    SearchWords,
    Stand,
    Standing,
    Sums,
    SumUp,
    Taught,
    TextsOf,
    VectorsOf,
)

CONDITION = All(
    (
        OneOf("lang", ("en", "pt")),
        AnyOf((Between("price", at_least=1.5, below=20.0), Between("day", above="2024", at_most="2025"))),
        Not(Has("draft")),
    )
)


def integers(*values: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(values, np.int64)


def descriptions(rows: int = 2) -> Descriptions:
    column = np.arange(rows)
    return Descriptions(
        column, column % 2, column * 7, column * 1000, column + 1, column > 0, column * 0, ("sim", "não")
    )


def request() -> Request:
    vectors = np.arange(12, dtype=np.int16).reshape(3, 4)
    terms = np.arange(8, dtype=np.uint64).reshape(2, 4)
    own = np.full((3, 2), NOBODY)
    asked = (
        Stand(),
        Count((CONDITION,)),
        Find(np.array([[0, 4], [1, 2**40]])),
        Describe(integers(5, 1)),
        Sample(30),
        ReadVectors(integers()),
        ReadTexts(integers(3), 1 << 20),
        Search(vectors, 128, 256, own, (CONDITION,), integers(0, NOBODY, 0), ("off",)),
        Search(vectors, 128, 256, own),
        CountHolding(terms),
        SearchWords(
            terms, integers(9, 3), integers(0, 1, 1, 2), 3, 10, 5, 64, own, integers(1), integers(0, 0, 1, 1)
        ),
        AskTaught(("on",), np.ones((1, 4)), integers(0), integers(0, 1), 86_400_000, 19_000),
        SumUp(("on", "off"), 0, 0),
    )
    return Request("c7", "contexto", "s1", asked, last=True)


def reply() -> Reply:
    given = (
        Standing("epoch", {0: 12, 65_536: -1}, {}, 2, 2**28, True, 2, 9, 5),
        Counts(integers(4), (("draft",),), ("",)),
        descriptions(),
        VectorsOf(np.full((2, 4), -3, np.int16)),
        TextsOf(("olá", ""), ({"lang": "pt"}, {})),
        Near(integers(0, 1, 1), integers(3), integers(0), integers(9), integers(2**40), integers(2**30)),
        Holding(integers(1, 0)),
        NearByWords(integers(0, 0, 2), integers(8, 7), descriptions(), integers(0)),
        Taught(
            integers(3), integers(5), np.array([0.5, -0.25]), integers(0, 2), integers(), np.empty((0, 4))
        ),
        Sums(np.array([[1.0, 2.0]])),
    )
    return Reply("s2", given)


def same(a: Any, b: Any) -> bool:
    """Whether two messages are equal, arrays included, and of the same types."""
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and (a == b).all())
    if is_dataclass(a):
        return type(a) is type(b) and all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple):
        return type(b) is tuple and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) and (isinstance(a, Mapping) or type(a) is type(b))


def test_messages_come_back_as_they_were() -> None:
    assert same(request(), decode(Request, encode(request())))
    assert same(reply(), decode(Reply, encode(reply())))


def test_arrays_are_read_where_they_lie() -> None:
    (vectors,) = decode(Reply, encode(Reply("s", (VectorsOf(np.ones((64, 8), np.int16)),)))).given
    assert isinstance(vectors, VectorsOf)
    assert vectors.vectors.flags.aligned
    assert not vectors.vectors.flags.owndata


def test_a_reply_is_no_request() -> None:
    with pytest.raises(ValueError, match="a Reply, not a Request"):
        decode(Request, encode(reply()))


def test_another_version_is_refused() -> None:
    encoded = bytearray(encode(request()))
    encoded[3] = VERSION + 1
    with pytest.raises(ValueError, match=f"not a message of version {VERSION}"):
        decode(Request, bytes(encoded))


@pytest.mark.parametrize("cut", [0, 3, 8, 20, 300, -64, -1])
def test_what_is_cut_off_or_has_more_is_refused(cut: int) -> None:
    encoded = encode(request())
    with pytest.raises(ValueError, match=r"."):
        decode(Request, encoded[:cut])
    with pytest.raises(ValueError, match="of which"):
        decode(Request, encoded + b"\0" * 64)


@given(st.data())
@settings(max_examples=200)
def test_damaged_bytes_never_do_more_than_raise(data: st.DataObject) -> None:
    encoded = bytearray(encode(request() if data.draw(st.booleans()) else reply()))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        decode(Request, bytes(encoded))


def test_conditions_can_be_nested_only_so_deep() -> None:
    condition: Any = Has("a")
    for _ in range(2 * MOST_DEPTH):
        condition = Not(condition)
    with pytest.raises(ValueError, match="no message where one should be"):
        decode(Request, encode(Request("c", "x", "", (Count((condition,)),))))


def test_columns_of_a_message_have_the_same_length() -> None:
    with pytest.raises(ValueError, match="columns"):
        Near(integers(0, 1), integers(3), integers(0), integers(9), integers(), integers(2))
    with pytest.raises(ValueError, match="starts"):
        Near(integers(0, 2), integers(3), integers(0), integers(9), integers(1), integers(2))
    with pytest.raises(ValueError, match="beyond"):
        AskTaught(("on",), np.ones((1, 4)), integers(1), integers(0, 1), 0, 0)
