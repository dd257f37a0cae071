"""What stands beside a committed offset: it comes back as it was, and nothing else is taken for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hurnet_stream.core.offsets import MAX_NOTE, Done, read
from hurnet_stream.responder.parking import MOST_PARKED

LOGS = st.sampled_from(["", "0qOW4vxFTKS6Hu2xIQyVkA"])


@given(st.lists(st.integers(0, 2**62), unique=True, max_size=MOST_PARKED), st.integers(1, 2**20), LOGS)
def test_a_note_says_what_is_done(open_offsets: list[int], beyond: int, log: str) -> None:
    ascending = tuple(sorted(open_offsets))
    done = Done((ascending[-1] if ascending else 0) + beyond, ascending, log)
    assert read(done.next, done.note()) == done
    assert all(done.covers(o) is (o not in ascending) for o in range(max(0, done.end - 5), done.end))
    assert not done.covers(done.end)


def test_as_many_as_may_wait_fit_beside_an_offset() -> None:
    apart = 2**34
    done = Done(2**62, tuple(range(2**61, 2**61 + apart * MOST_PARKED, apart)), "0" * 22)
    assert len(done.note()) < MAX_NOTE


@pytest.mark.parametrize("note", ["", None])
def test_without_a_note_all_before_the_offset_is_done(note: str | None) -> None:
    assert read(7, note) == Done(7)
    assert Done(7).note() == ""


@pytest.mark.parametrize(
    "note",
    [
        "garbage",
        '{"offset": 3}',
        "hurnet1 log !!!",
        "hurnet1 log AA",
        "hurnet1  gA",
        "hurnet1  ////////////////",
        "hurnet2 log BwE",
        Done(9, (5,)).note(),  # of another offset: some tool moved it
        "\x00" * 10,
        "hurnet1 log " + "A" * MAX_NOTE,
    ],
)
def test_what_another_tool_wrote_is_refused(note: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(7, note)


@given(st.text(max_size=60))
def test_no_string_does_any_harm(note: str) -> None:
    for text in (note, f"hurnet1 log {note}"):
        try:
            done = read(7, text)
        except ValueError:
            continue
        assert done.next == 7


def test_a_log_that_was_cut_or_has_lost_its_beginning() -> None:
    done = Done(20, (5, 9, 15))
    assert done.until(10) == Done(10, (5, 9))
    assert done.until(5) == Done(5)
    assert done.since(9) == Done(20, (9, 15))
    assert done.since(16) == Done(20)
    assert done.since(30) == Done(30)
