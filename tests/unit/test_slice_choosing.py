"""Which shard is whose, which slices are asked, and when a slice holds still."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.core.places import shard_of
from hurnet_stream.ports.slices import SliceHolding, SliceMember
from hurnet_stream.responder.slices.choosing import Chosen, choose, holding_of
from hurnet_stream.responder.slices.sharing import shards_of, slice_of
from hurnet_stream.responder.slices.stillness import JOINING, Stillness


def member(
    number: int, count: int, watermark: int = 0, at: str = "h:1", caught_up: bool = True
) -> SliceMember:
    return SliceMember(number, count, at, {0: SliceHolding("e", caught_up, {number: watermark})})


def chosen(present: dict[str, SliceMember], before: Chosen) -> Chosen:
    return choose(present, lambda _, each: holding_of(each, 0, "e") is not None, before)


def names(found: Chosen) -> dict[int, str]:
    return {number: name for number, (name, _) in found.asked.items()}


@given(st.integers(0, 100), st.integers(0, 9), st.integers(1, 9))
def test_every_shard_belongs_to_one_slice_and_goes_by_its_partition(
    partition: int, topic: int, count: int
) -> None:
    shard = shard_of(topic, partition)
    holders = [number for number in range(count) if shards_of([number], count, [shard])]
    assert holders == [slice_of(shard, count)] == [partition % count]


def test_the_largest_count_of_which_all_are_there_is_asked() -> None:
    two = {"a": member(0, 2), "b": member(1, 2)}
    four = {f"{n}": member(n, 4) for n in range(4)}
    begun = chosen(two, Chosen(2))
    assert (begun.count, begun.away, names(begun)) == (2, (), {0: "a", 1: "b"})
    grown = {**two, **{name: four[name] for name in "012"}}
    assert chosen(grown, begun).count == 2, "3/4 is not there yet"
    late = {**two, **four, "3": member(3, 4, caught_up=False)}
    assert chosen(late, begun).count == 2, "3/4 has not caught up"
    switched = chosen({**two, **four}, begun)
    assert (switched.count, switched.away) == (4, ())
    alone = chosen({name: four[name] for name in "013"}, switched)
    assert (alone.count, alone.away, alone.is_complete) == (4, (2,), False)
    assert chosen({**two, "0": four["0"]}, alone).count == 2, "back to those that are complete"


def test_nobody_there_is_waited_for_by_the_count_of_the_settings() -> None:
    nobody = chosen({}, Chosen(3))
    assert (nobody.away, nobody.is_complete) == ((0, 1, 2), False)
    assert not Chosen(0).is_complete


def test_of_two_that_hold_a_slice_the_one_asked_before_goes_on() -> None:
    both = {"a": member(0, 1, 5), "b": member(0, 1, 9)}
    first = chosen(both, Chosen(1))
    assert names(first) == {0: "b"}, "it has come further"
    both["a"] = member(0, 1, 20)
    assert names(chosen(both, first)) == {0: "b"}
    del both["b"]
    assert names(chosen(both, first)) == {0: "a"}


def test_what_a_slice_holds_counts_only_for_its_store_and_its_generation() -> None:
    held = member(0, 1)
    assert holding_of(held, 0, "e") is not None
    assert holding_of(held, 0, "another") is None
    assert holding_of(held, 1, "e") is None
    nothing_yet = SliceMember(0, 1, "h:1", {0: SliceHolding("", True)})
    assert holding_of(nothing_yet, 0, "e") is not None, "no shard of it has entries"


def test_a_slice_holds_still_for_conversations_and_not_for_ever() -> None:
    still = Stillness(hold_s=1.0)
    assert still.left_s(0.0) == 0.0
    assert still.joins("a", 10.0)
    still.began("a", 10.0)
    assert still.left_s(10.0) == 1.0
    assert still.joins("b", 10.0 + JOINING / 2)
    assert not still.joins("c", 10.0 + 2 * JOINING), "others have begun too long ago"
    assert still.joins("a", 10.9), "it goes on"
    still.ended("a")
    assert still.left_s(10.9) == 0.0
    still.began("d", 20.0)
    assert still.left_s(21.0) == 0.0, "its coordinator may be dead"
    assert still.moved() == 1
    assert len(still) == 0
    assert still.joins("c", 21.0)
