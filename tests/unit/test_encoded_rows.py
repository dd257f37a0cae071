"""Rows as messages: the quick way gives what `TextEvent` gives, or leaves it to that."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from hurnet_schemas import InvalidMessage, TextEvent
from hurnet_stream.operations.files.encoded import Encoder
from hurnet_stream.operations.files.rows import Draft, Reject

WORDS = st.text(max_size=20) | st.sampled_from(
    [
        "",
        " ",
        "\u00a0",
        "hi",
        'a "b" \\',
        "x" * 16_384,
        "x" * 16_385,
        "a\nb",
        "\x00",
        "\ud800",
        "é\u2028",
        "\x7f",
    ]
)
ANYTHING = WORDS | st.none() | st.integers(-2, 1_002) | st.booleans() | st.lists(WORDS, max_size=2)
NAMES = st.sampled_from(["lang", "a.b", "", "ä", "x" * 64, "x" * 65, "a b", 'q"'])
METADATA = st.dictionaries(NAMES, ANYTHING, max_size=4) | ANYTHING
CONTEXTS = st.sampled_from(["faq", "default", "Not", "", "a" * 64, "a" * 65, "faq\n"]) | ANYTHING
FIELDS = st.fixed_dictionaries(
    {"text": ANYTHING},
    optional={
        "answer": ANYTHING,
        "context": CONTEXTS,
        "weight": ANYTHING,
        "metadata": METADATA,
        "refutes": ANYTHING,
        "v": ANYTHING,
        "anwser": WORDS,
    },
)


@given(FIELDS)
@example({"text": "hi", "metadata": {str(number): "x" for number in range(33)}})
@example({"text": "hi", "metadata": {"k": "x" * 1_025}})
@example({"text": "hi", "weight": True})
@example({"text": "hi", "answer": None, "weight": None})
def test_a_quick_verdict_is_the_schemas_verdict(fields: dict[str, Any]) -> None:
    encoder = Encoder("rest")
    encoder.quick({"text": "a", "context": "faq", "metadata": {"lang": "en"}})  # remembers names
    quick = encoder.quick(fields)
    try:
        event = TextEvent.of_fields({"context": "rest", **fields})
    except InvalidMessage:
        assert quick is None
        assert isinstance(encoder.encoded(Draft(1, fields)), Reject)
        return
    assert quick in (None, event.encode())
    assert encoder.encoded(Draft(1, fields, key="k")) == (event.encode(), b"k", None)


@given(st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=40))
def test_ordinary_texts_take_the_quick_way(text: str) -> None:
    fields = {"text": text, "answer": text, "weight": 3, "metadata": {"lang": text}}
    assert Encoder("rest").quick(fields) == TextEvent(**fields, context="rest").encode()  # type: ignore[arg-type]


def test_keys_and_times_are_checked() -> None:
    encoder = Encoder("rest")
    for key in ("", "k" * 1_001, 7):
        assert isinstance(encoder.encoded(Draft(1, {"text": "a"}, key=key)), Reject)
    wrong: list[Any] = ["yesterday", "2999-01-01", -1, True, 1e400, "9" * 30, [], "0001-01-01T00:00:00Z"]
    for at in wrong:
        assert isinstance(encoder.encoded(Draft(1, {"text": "a"}, timestamp=at)), Reject), at
    for at, ms in ((5, 5), ("5", 5), ("2025-11-28T12:00:00Z", 1_764_331_200_000), ("1970-01-02", 86_400_000)):
        record = encoder.encoded(Draft(1, {"text": "a"}, timestamp=at))
        assert not isinstance(record, Reject)
        assert record[2] == ms
