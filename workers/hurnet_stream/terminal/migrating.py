"""What `hurnet migrate` shows to people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from hurnet_stream.terminal.screen import console, say, table

if TYPE_CHECKING:
    from hurnet_stream.operations.shadow import Question, Side

SHOWN: Final = 50
"""Questions that are shown, at most."""


def show(generations: Sequence[Mapping[str, Any]]) -> None:
    """A line for each generation."""
    rows = [
        (
            each["embedder"],
            each.get("topic", ""),
            "answers" if each["answers"] else "",
            each["filled_by"],
            f"{each['rows']:,}",
            f"{each['left_out']:,}",
            len(each["weights"]),
            len(each["responders"]),
        )
        for each in generations
    ]
    heads = ("embedder", "topic", "", "filled by", "rows", "left out", "contexts with weights", "responders")
    console().print(table(heads, rows))
    for each in generations:
        if each.get("behind"):
            lacking = ", ".join(f"partition {name} by {count:,}" for name, count in each["behind"].items())
            say(f"{each['topic']} is behind the old topic, in offsets: {lacking}")


def described(questions: Sequence[Question], one: Side, two: Side) -> dict[str, Any]:
    """As one JSON object: both sides in figures, and every question with what both answer."""
    return {
        "questions": len(questions),
        "same": sum(_same(question, one, two) for question in questions),
        "generations": [_figures(side) for side in (one, two)],
        "answers": [
            {
                "query": question.record.coordinates,
                "context": question.query.context,
                "text": question.query.text,
                "same": _same(question, one, two),
                **{side.embedder: _given(question, side) for side in (one, two)},
            }
            for question in questions
        ],
    }


def compared(questions: Sequence[Question], one: Side, two: Side) -> None:
    """For a person: where they differ, then the figures."""
    differ = [question for question in questions if not _same(question, one, two)]
    rows = [
        (question.query.context, question.query.text, *(_shown(question, side) for side in (one, two)))
        for question in differ
    ]
    if rows:
        console().print(table(("context", "question", one.embedder, two.embedder), rows[:SHOWN]))
    if len(rows) > SHOWN:
        say(f"... and {len(rows) - SHOWN:,} more (--json shows all)")
    say(f"{len(questions):,} questions: {len(questions) - len(differ):,} answered alike, {len(differ):,} not")
    figures = [
        (
            side.embedder,
            "" if side.accuracy is None else f"{side.accuracy:.1%} of {sum(side.asked.values()):,}",
            sum(shadow.given is not None for shadow in side.shadows.values()),
            f"{1000 * side.seconds(0.5):.1f}",
            f"{1000 * side.seconds(0.99):.1f}",
        )
        for side in (one, two)
    ]
    heads = ("embedder", ">right, each taught pair left out", ">answered", ">ms, p50", ">ms, p99")
    console().print(table(heads, figures))


def _same(question: Question, one: Side, two: Side) -> bool:
    at = question.record.coordinates
    return one.shadows[at].given == two.shadows[at].given


def _given(question: Question, side: Side) -> dict[str, Any]:
    shadow = side.shadows[question.record.coordinates]
    best = shadow.answer.candidates[0] if shadow.answer.candidates else None
    return {
        "outcome": shadow.answer.outcome,
        "answer": shadow.given,
        "best": best.answer if best else None,
        "score": best.scores.combined if best else None,
        "seconds": round(shadow.seconds, 6),
    }


def _shown(question: Question, side: Side) -> str:
    given = _given(question, side)
    if given["answer"] is not None:
        return str(given["answer"])
    return f"({given['outcome']}; {given['best']})" if given["best"] else f"({given['outcome']})"


def _figures(side: Side) -> dict[str, Any]:
    return {
        "embedder": side.embedder,
        "accuracy": side.accuracy,
        "right": side.right,
        "pairs": side.asked,
        "answered": sum(shadow.given is not None for shadow in side.shadows.values()),
        "p50_s": round(side.seconds(0.5), 6),
        "p99_s": round(side.seconds(0.99), 6),
    }
