"""The statistics against a reference in Python's own integers, and the laws they must obey."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hurnet_stream.core import arrays
from hurnet_stream.core.arrays import Backend, backend_of
from hurnet_stream.core.grid import SCALE, snap
from hurnet_stream.core.native import disabled
from hurnet_stream.core.statistics import answer_sums
from hurnet_stream.core.statistics import statistics as module
from hurnet_stream.core.statistics.codec import GRAM_HEADER, SUM_HEADER
from hurnet_stream.core.statistics.gram import MAX_ROWS, paths
from hurnet_stream.core.statistics.statistics import Statistics
from hurnet_stream.core.stored.batch import MAX_COPIES

pytestmark = pytest.mark.usefixtures("each_library")

Pair = tuple[tuple[int, ...], str]

answers = st.sampled_from(["yes", "no", "", "não", "\U0001f600", "yes\0", "ye"])


def pairs_of(dimension: int) -> st.SearchStrategy[list[Pair]]:
    component = st.integers(-SCALE, SCALE) | st.sampled_from([-SCALE, 0, SCALE])
    return st.lists(st.tuples(st.tuples(*[component] * dimension), answers), max_size=24)


streams = st.integers(1, 5).flatmap(lambda d: st.tuples(st.just(d), pairs_of(d)))


def rows_of(pairs: Sequence[Pair], dimension: int) -> NDArray[np.int16]:
    return np.array([row for row, _ in pairs], np.int16).reshape(len(pairs), dimension)


def taught(dimension: int, pairs: Sequence[Pair]) -> Statistics:
    statistics = Statistics(dimension)
    statistics.add(rows_of(pairs, dimension), [answer for _, answer in pairs])
    return statistics


def snapped(count: int, dimension: int, seed: int = 0) -> NDArray[np.int16]:
    rows = np.random.default_rng(seed).standard_normal((count, dimension))
    return snap(rows)


@settings(deadline=None)  # the first call of all measures the paths
@given(streams)
def test_equal_the_sums_of_python_integers(stream: tuple[int, list[Pair]]) -> None:
    d, pairs = stream
    statistics = taught(d, pairs)
    assert statistics.count == len(pairs)
    assert statistics.gram.tolist() == [
        [sum(x[i] * x[j] for x, _ in pairs) for j in range(d)] for i in range(d)
    ]
    for answer in {answer for _, answer in pairs}:
        mine = [row for row, other in pairs if other == answer]
        assert statistics.answer_sums[answer].count == len(mine)
        assert statistics.answer_sums[answer].total.tolist() == [
            sum(row[i] for row in mine) for i in range(d)
        ]
    assert sum(entry.count for entry in statistics.answer_sums.values()) == len(pairs)


@settings(deadline=None)  # the first call of all measures the paths
@given(streams, st.randoms(use_true_random=False))
def test_order_batches_and_merges_leave_no_trace(
    stream: tuple[int, list[Pair]], chance: random.Random
) -> None:
    d, pairs = stream
    shuffled = chance.sample(pairs, len(pairs))
    parts = [Statistics(d)]
    while shuffled:
        size = chance.randint(1, len(shuffled))
        parts.append(taught(d, shuffled[:size]))
        shuffled = shuffled[size:]
    while len(parts) > 1:  # a random tree
        chance.shuffle(parts)
        parts[-1].merge(parts.pop(0))
    assert parts[0].digest() == taught(d, pairs).digest()
    assert parts[0] == taught(d, pairs)


@settings(deadline=None)  # the first call of all measures the paths
@given(streams, st.randoms(use_true_random=False))
def test_what_is_taken_out_was_never_in(stream: tuple[int, list[Pair]], chance: random.Random) -> None:
    d, pairs = stream
    stay = [chance.random() < 0.5 for _ in pairs]
    kept = [pair for pair, stays in zip(pairs, stay, strict=True) if stays]
    gone = [pair for pair, stays in zip(pairs, stay, strict=True) if not stays]
    statistics = taught(d, pairs)
    statistics.cross_gram()  # its upkeep must follow as well
    statistics.subtract(rows_of(gone, d), [answer for _, answer in gone])
    never = taught(d, kept)
    assert statistics.digest() == never.digest()
    assert set(statistics.answer_sums) == {answer for _, answer in kept}
    assert np.array_equal(statistics.cross_gram(), never.cross_gram())


@settings(deadline=None)  # the first call of all measures the paths
@given(streams)
def test_pieces_put_together_again_are_the_same(stream: tuple[int, list[Pair]]) -> None:
    d, pairs = stream
    statistics = taught(d, pairs)
    pieces = [(answer, statistics.encode_sum(answer)) for answer in statistics.answer_sums]
    again = Statistics.decode(statistics.encode_gram(), reversed(pieces))
    assert again == statistics
    assert again.digest() == statistics.digest()
    assert not again.changed
    assert np.array_equal(again.cross_gram(), statistics.cross_gram())


@settings(deadline=None)  # the first call of all measures the paths
@given(streams, streams)
def test_different_pairs_have_different_digests(
    one: tuple[int, list[Pair]], other: tuple[int, list[Pair]]
) -> None:
    left, right = taught(*one), taught(*other)
    assert (left.digest() == right.digest()) == (left == right)


@settings(deadline=None)  # the first call of all measures the paths
@given(streams, st.integers(1, 5))
def test_only_what_changed_since_the_mark_need_be_saved(stream: tuple[int, list[Pair]], cut: int) -> None:
    d, pairs = stream
    statistics = taught(d, pairs[:cut])
    disk = {answer: statistics.encode_sum(answer) for answer in statistics.changed}
    statistics.mark_saved()
    later = pairs[cut:]
    statistics.add(rows_of(later, d), [answer for _, answer in later])
    statistics.subtract(rows_of(pairs[:1], d), [answer for _, answer in pairs[:1]])
    assert statistics.changed == {answer for _, answer in later + pairs[:1]}
    for answer in statistics.changed:
        disk.pop(answer, None)
        if answer in statistics.answer_sums:
            disk[answer] = statistics.encode_sum(answer)
    assert Statistics.decode(statistics.encode_gram(), disk.items()) == statistics


weighted_streams = streams.flatmap(
    lambda stream: st.tuples(
        st.just(stream),
        st.lists(st.integers(1, MAX_COPIES), min_size=len(stream[1]), max_size=len(stream[1])),
    )
)


def of_copies(dimension: int, pairs: Sequence[Pair], weights: Sequence[int]) -> Statistics:
    statistics = Statistics(dimension)
    labels = [answer for _, answer in pairs]
    statistics.add(rows_of(pairs, dimension), labels, np.array(weights, np.int64))
    return statistics


def copies(pairs: Sequence[Pair], weights: Sequence[int]) -> list[Pair]:
    return [pair for pair, weight in zip(pairs, weights, strict=True) for _ in range(weight)]


@settings(deadline=None)  # the first call of all measures the paths
@given(weighted_streams, st.randoms(use_true_random=False))
def test_a_weight_is_so_many_copies_in_any_order_batches_and_merges(
    stream: tuple[tuple[int, list[Pair]], list[int]], chance: random.Random
) -> None:
    (d, pairs), weights = stream
    expected = taught(d, copies(pairs, weights))
    left = list(zip(pairs, weights, strict=True))
    chance.shuffle(left)
    whole, parts = Statistics(d), Statistics(d)
    while left:
        batch = [left.pop() for _ in range(chance.randint(1, len(left)))]
        part = of_copies(d, [pair for pair, _ in batch], [weight for _, weight in batch])
        parts.merge(part)
        for pair, weight in batch:
            whole.add(rows_of([pair], d), [pair[1]], np.array([weight], np.int64))
    for found in (whole, parts, of_copies(d, pairs, weights)):
        assert found.digest() == expected.digest()
        assert found == expected
        assert np.allclose(found.cross_gram(), expected.cross_gram(), rtol=1e-12)


@settings(deadline=None)  # the first call of all measures the paths
@given(weighted_streams, st.randoms(use_true_random=False))
def test_what_is_taken_out_with_its_weight_was_never_in(
    stream: tuple[tuple[int, list[Pair]], list[int]], chance: random.Random
) -> None:
    (d, pairs), weights = stream
    stays = [chance.random() < 0.5 for _ in pairs]
    gone = [i for i, stay in enumerate(stays) if not stay]
    kept = [i for i, stay in enumerate(stays) if stay]
    statistics = of_copies(d, pairs, weights)
    out = [pairs[i] for i in gone]
    statistics.subtract(rows_of(out, d), [a for _, a in out], np.array([weights[i] for i in gone], np.int64))
    expected = of_copies(d, [pairs[i] for i in kept], [weights[i] for i in kept])
    assert statistics.digest() == expected.digest()


@settings(deadline=None)  # the first call of all measures the paths
@given(streams, streams, st.integers(1, 2**20))
def test_merging_several_times_over_is_merging_copies(
    one: tuple[int, list[Pair]], other: tuple[int, list[Pair]], times: int
) -> None:
    d = one[0]
    pairs = [((row * 5)[:d], answer) for row, answer in other[1]]
    statistics = taught(d, one[1])
    statistics.merge(taught(d, pairs), times)
    expected = taught(d, one[1])
    expected.merge(of_copies(d, pairs, [times] * len(pairs)))
    assert statistics.digest() == expected.digest()


@pytest.mark.parametrize("native", [True, False])
def test_weights_of_many_rows_are_copies_on_every_path(native: bool) -> None:
    chance = np.random.default_rng(5)
    rows, labels = snapped(300, 40), [str(i % 7) for i in range(300)]
    weights = chance.integers(1, 40, 300)
    weights[:5] = MAX_COPIES
    with contextlib.nullcontext() if native else disabled():
        statistics = Statistics(40)
        statistics.add(rows, labels, weights)
        expected = Statistics(40)
        expected.add(np.repeat(rows, weights, axis=0), np.repeat(labels, weights).tolist())
        assert statistics.digest() == expected.digest()


def test_weights_of_1_take_the_way_of_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "add_gram_of_copies", None)
    rows = snapped(4, 3)
    statistics = Statistics(3)
    statistics.add(rows, list("abab"), np.ones(4, np.int64))
    assert statistics == taught_rows(rows, list("abab"))


def test_blocks_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = snapped(1000, 8), [str(i % 37) for i in range(1000)]
    whole = Statistics(8)
    whole.add(rows, labels)
    expected = whole.cross_gram()
    monkeypatch.setattr(module, "BLOCK_ANSWERS", 3)
    monkeypatch.setattr(answer_sums, "BLOCK_ANSWERS", 3)
    blocked = Statistics(8)
    blocked.merge(whole)
    assert blocked == whole
    assert np.array_equal(blocked.cross_gram(), expected)


def test_what_one_path_put_in_another_takes_out() -> None:
    """Paths differ in what they leave below the diagonal; nothing may come of that."""
    rows, labels = snapped(200, 40), ["a", "b"] * 100
    one = Statistics(40)
    one.add(rows, labels)
    with disabled():
        other = Statistics(40)
        other.add(rows, labels)
        assert other.path == "float64"
        assert one == other
        one.subtract(rows[:150], labels[:150])
        other.subtract(rows[:150], labels[:150])
    other.add(rows[:150], labels[:150])
    assert one.digest() == taught_rows(rows[150:], labels[150:]).digest()
    assert other.digest() == taught_rows(rows, labels).digest()


def taught_rows(rows: NDArray[np.int16], labels: list[str]) -> Statistics:
    statistics = Statistics(rows.shape[1])
    statistics.add(rows, labels)
    return statistics


@pytest.mark.parametrize("change", ["add", "subtract"])
def test_a_product_that_fails_changes_nothing(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = snapped(4, 3)
    statistics = taught_rows(rows, list("abab"))
    before = statistics.digest()

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "add_gram", fail)
    with pytest.raises(MemoryError):
        getattr(statistics, change)(rows[:2], list("ab"))
    assert statistics.digest() == before


def test_a_copy_goes_its_own_way() -> None:
    statistics = taught(2, [((1, 2), "a")])
    statistics.mark_saved()
    before, twin = statistics.digest(), statistics.copy()
    twin.add(rows_of([((3, 4), "a"), ((5, 6), "b")], 2), ["a", "b"])
    assert statistics.digest() == before
    assert not statistics.changed
    assert twin.changed == {"a", "b"}
    assert np.array_equal(statistics.cross_gram(), [[1, 2], [2, 4]])
    assert np.array_equal(twin.cross_gram(), [[16 + 25, 24 + 30], [24 + 30, 36 + 36]])


def test_merging_with_oneself_doubles() -> None:
    pairs = [((1, -2), "a"), ((3, 4), "b")]
    statistics = taught(2, pairs)
    statistics.merge(statistics)
    assert statistics == taught(2, pairs * 2)


def test_cross_gram_is_kept_up_as_answers_come_change_and_go() -> None:
    rows = snapped(3000, 16)
    labels = [str(i % 1000) for i in range(len(rows))]
    statistics = Statistics(16)
    for start in range(0, 3000, 150):
        statistics.add(rows[start : start + 150], labels[start : start + 150])
        statistics.cross_gram()
    statistics.subtract(rows[:40], labels[:40])
    statistics.subtract(rows[1000:1040], labels[1000:1040])
    statistics.subtract(rows[2000:2040], labels[2000:2040])
    assert "0" not in statistics.answer_sums
    columns = np.array([entry.total for entry in statistics.answer_sums.values()], np.int64)
    assert np.array_equal(statistics.cross_gram(), columns.T @ columns)


def test_cross_gram_beyond_exactness_stays_close() -> None:
    """One answer with far more than 2**12.5 rows, in many updates: figures round, but don't drift away."""
    statistics = Statistics(4)
    rare, often = snapped(64, 4, seed=1), snapped(4096, 4, seed=2)
    often[:, 0] = np.abs(often[:, 0])
    statistics.add(rare, [str(i) for i in range(64)])
    for _ in range(50):
        statistics.add(often, ["often"] * len(often))
        statistics.cross_gram()
    columns = [[int(value) for value in entry.total] for entry in statistics.answer_sums.values()]
    exact = [[float(sum(b[i] * b[j] for b in columns)) for j in range(4)] for i in range(4)]
    assert np.allclose(statistics.cross_gram(), exact, rtol=1e-13, atol=0)


def test_an_answer_seen_once_costs_two_bytes_a_dimension_and_widens_as_it_must() -> None:
    statistics = Statistics(3)
    top = np.array([[SCALE, -SCALE, 7]], np.int16)
    widths = []
    for rows in (1, 1, 2**17):
        statistics.add(np.repeat(top, rows, axis=0), ["a"] * rows)
        widths.append(len(statistics.encode_sum("a")))
    assert widths == [9 + 2 * 3, 9 + 4 * 3, 9 + 8 * 3]
    statistics.subtract(np.repeat(top, 2**17 + 1, axis=0), ["a"] * (2**17 + 1))
    assert len(statistics.encode_sum("a")) == 9 + 2 * 3


def test_rows_that_can_not_be_written_to_are_read() -> None:
    rows = np.frombuffer(snapped(10, 4).tobytes(), np.int16).reshape(10, 4)[::2, ::-1]
    statistics = Statistics(4)
    statistics.add(rows[:, :4], list("abcab"))
    assert np.array_equal(statistics.gram, rows.astype(np.int64).T @ rows.astype(np.int64))
    with pytest.raises(ValueError, match="read-only"):
        statistics.gram[0, 0] = 1


def test_no_pairs_are_no_change() -> None:
    statistics = Statistics(3)
    statistics.add(np.zeros((0, 3), np.int16), [])
    statistics.subtract(np.zeros((0, 3), np.int16), [])
    assert statistics == Statistics(3)
    assert not statistics.cross_gram().any()


GOOD = np.array([[1, 2]], np.int16)


@pytest.mark.parametrize(
    ("rows", "labels", "reason"),
    [
        (GOOD.astype(np.int32), ["a"], "int16"),
        (GOOD[0], ["a"], "int16"),
        (np.zeros((1, 3), np.int16), ["a"], r"\(n, 2\)"),
        (GOOD, ["a", "b"], "as many answers"),
        (GOOD, "a", "as many answers"),
        (GOOD, [None], "must be a string"),
        (GOOD, ["\ud800"], "surrogates"),
        (np.array([[0, SCALE + 1]], np.int16), ["a"], "leaves the grid"),
        (np.array([[0, -(2**15)]], np.int16), ["a"], "leaves the grid"),
    ],
)
def test_bad_pairs_are_refused_and_change_nothing(
    rows: NDArray[np.int16], labels: list[str], reason: str
) -> None:
    statistics = taught(2, [((1, 2), "a")])
    before = statistics.digest()
    for change in (statistics.add, statistics.subtract):
        with pytest.raises(ValueError, match=reason):
            change(rows, labels)
    assert statistics.digest() == before


@pytest.mark.parametrize(
    "gone",
    [
        [((1, 2), "b")],  # an answer that isn't there
        [((1, 2), "a"), ((3, 4), "a"), ((0, 0), "a")],  # more of it than there are
        [((1, 2), "a"), ((3, 5), "a")],  # all of it, but other rows
        [((-SCALE, 2), "a")],  # leaves a sum that one row can't have
        [((3, 4), "a"), ((1, 2), "c")],  # the first could go, the second not
        [((1, 200), "a")],  # leaves a negative diagonal
    ],
)
def test_what_was_never_in_is_not_taken_out(gone: list[Pair]) -> None:
    statistics = taught(2, [((1, 2), "a"), ((3, 4), "a"), ((SCALE, 0), "c")])
    before, changed = statistics.digest(), statistics.changed
    with pytest.raises(ValueError, match=r"no \d+ rows|no -\d+ rows|can't take"):
        statistics.subtract(rows_of(gone, 2), [answer for _, answer in gone])
    assert (statistics.digest(), statistics.changed) == (before, changed)


def full(count: int) -> Statistics:
    """As if `count` rows of (2**14,) had been added."""
    gram = GRAM_HEADER.pack(1, count) + (count * SCALE**2).to_bytes(8, "little")
    return Statistics.decode(gram, [("a", SUM_HEADER.pack(8, count) + (count * SCALE).to_bytes(8, "little"))])


def test_the_last_row_that_int64_holds_is_taken_and_the_next_refused() -> None:
    statistics = full(MAX_ROWS - 1)
    row = np.array([[-SCALE]], np.int16)
    statistics.add(row, ["b"])
    assert int(statistics.gram[0, 0]) == MAX_ROWS * SCALE**2 < 2**63
    before = statistics.digest()
    with pytest.raises(OverflowError, match=str(MAX_ROWS)):
        statistics.add(row, ["b"])
    with pytest.raises(OverflowError, match=str(MAX_ROWS)):
        statistics.merge(statistics)
    assert statistics.digest() == before


def test_copies_are_bounded_like_rows() -> None:
    statistics, row = full(MAX_ROWS - 5), np.array([[-SCALE]], np.int16)
    before = statistics.digest()
    for weights in ([6], [5, 1], [MAX_ROWS + 1], [2**62, 2**62, 2**62]):
        rows = np.repeat(row, len(weights), axis=0)
        with pytest.raises(OverflowError, match=str(MAX_ROWS)):
            statistics.add(rows, ["b"] * len(rows), np.array(weights, np.int64))
    with pytest.raises(OverflowError, match=str(MAX_ROWS)):
        statistics.merge(taught(1, [((1,), "b")]), times=6)
    assert statistics.digest() == before
    statistics.add(row, ["b"], np.array([5], np.int64))
    assert int(statistics.gram[0, 0]) == MAX_ROWS * SCALE**2
    assert statistics.answer_sums["b"].total.tolist() == [-5 * SCALE]


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (np.array([0]), "from 1 up"),
        (np.array([-3]), "from 1 up"),
        (np.array([1.0]), "float64"),
        (np.array([1, 1]), "as many copies"),
    ],
)
def test_what_is_no_number_of_copies_is_refused(weights: NDArray[np.int64], reason: str) -> None:
    statistics = taught(2, [((1, 2), "a")])
    before = statistics.digest()
    for change in (statistics.add, statistics.subtract):
        with pytest.raises(ValueError, match=reason):
            change(GOOD, ["a"], weights)
    assert statistics.digest() == before


BREAKS: dict[str, Callable[[bytes, bytes], tuple[bytes, list[tuple[str, bytes]]]]] = {
    "gram empty": lambda _, a: (b"", [("a", a)]),
    "gram cut": lambda gram, a: (gram[:-1], [("a", a)]),
    "gram too long": lambda gram, a: (gram + b"\0", [("a", a)]),
    "no dimension": lambda *_: (GRAM_HEADER.pack(0, 0), []),
    "huge dimension": lambda gram, a: (GRAM_HEADER.pack(2**32 - 1, 1) + gram[12:], [("a", a)]),
    "too many rows": lambda gram, a: (GRAM_HEADER.pack(2, MAX_ROWS + 1) + gram[12:], [("a", a)]),
    "other count": lambda gram, a: (GRAM_HEADER.pack(2, 3) + gram[12:], [("a", a)]),
    "negative diagonal": lambda gram, a: (gram[:12] + b"\xff" * 8 + gram[20:], [("a", a)]),
    "gram too large": lambda gram, a: (gram[:-1] + b"\x7f", [("a", a)]),
    "answer missing": lambda gram, _: (gram, []),
    "answer twice": lambda gram, a: (gram, [("a", a), ("a", a)]),
    "answer empty": lambda gram, _: (gram, [("a", b"")]),
    "answer cut": lambda gram, a: (gram, [("a", a[:-1])]),
    "width unknown": lambda gram, a: (gram, [("a", b"\x03" + a[1:])]),
    "width wrong": lambda gram, a: (gram, [("a", b"\x04" + a[1:])]),
    "wider than need be": lambda gram, a: (gram, [("a", b"\x04" + a[1:9] + b"\x02\0\0\0" * 2)]),
    "no rows": lambda gram, a: (gram, [("a", a[:1] + bytes(8) + a[9:])]),
    "sum too large": lambda gram, a: (gram, [("a", a[:1] + b"\x01" + a[2:-1] + b"\x7f")]),
}


@pytest.mark.parametrize("name", BREAKS)
def test_corrupt_pieces_are_refused(name: str) -> None:
    statistics = taught(2, [((1, 2), "a"), ((3, 4), "a")])
    gram, sums = BREAKS[name](statistics.encode_gram(), statistics.encode_sum("a"))
    with pytest.raises(ValueError, match=r"corrupt|no \d+ rows|twice|add up"):
        Statistics.decode(gram, sums)


@settings(deadline=None)  # the first call of all measures the paths
@given(streams.filter(lambda stream: bool(stream[1])), st.data())
def test_a_damaged_byte_is_refused_or_was_another_valid_state(
    stream: tuple[int, list[Pair]], data: st.DataObject
) -> None:
    statistics = taught(*stream)
    pieces = [statistics.encode_gram(), *map(statistics.encode_sum, statistics.answer_sums)]
    piece = data.draw(st.integers(0, len(pieces) - 1))
    place = data.draw(st.integers(0, len(pieces[piece]) - 1))
    damaged = bytearray(pieces[piece])
    damaged[place] ^= data.draw(st.integers(1, 255))
    pieces[piece] = bytes(damaged)
    try:
        read = Statistics.decode(pieces[0], zip(statistics.answer_sums, pieces[1:], strict=True))
    except ValueError:
        return
    assert [read.encode_gram(), *map(read.encode_sum, read.answer_sums)] == pieces


def test_other_dimensions_do_not_merge() -> None:
    with pytest.raises(ValueError, match="dimension 3"):
        Statistics(2).merge(Statistics(3))
    with pytest.raises(ValueError, match="at least 1"):
        Statistics(0)


@pytest.mark.parametrize("name", ["tpu", "", "cuda:99", "meta"])
def test_a_device_that_is_not_here_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="device"):
        backend_of(name)


def test_float64_is_not_asked_of_mps() -> None:
    assert backend_of("mps").device == "cpu"
    gpu = torch.cuda.is_available() and arrays.installed_torch() is not None
    assert backend_of("auto").device == ("cuda" if gpu else "cpu")


@pytest.mark.parametrize("device", ["auto", "mps", *(["cuda"] if torch.cuda.is_available() else [])])
def test_every_device_gives_the_same_bytes(device: str) -> None:
    if device.startswith("cuda") and arrays.installed_torch() is None:
        pytest.skip("a GPU needs torch")
    rows, labels = snapped(5000, 33), [str(i % 11) for i in range(5000)]
    here, there = Statistics(33), Statistics(33, device)
    for statistics in (here, there):
        statistics.add(rows, labels)
    assert there.digest() == here.digest()
    assert np.array_equal(there.cross_gram(), here.cross_gram())


@pytest.mark.usefixtures("exact_int8")
def test_the_way_of_a_gpu_gives_the_same_bytes() -> None:
    """On the CPU, by what nothing but "cpu" takes."""
    rows, labels = snapped(3000, 33), [str(i % 11) for i in range(3000)]
    here, there = Statistics(33), Statistics(33)
    there._backend = Backend(torch, "cpu:0")
    for statistics in (here, there):
        statistics.add(rows, labels)
    assert {"cuda float64", "cuda int8"} <= paths(there._backend).keys()
    assert there.digest() == here.digest()
    assert np.array_equal(there.cross_gram(), here.cross_gram())
