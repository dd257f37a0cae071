"""How `hurnet map` shows what it found: the form, the table, what that takes and rejects, how well it
answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from hurnet_stream.terminal.screen import console, facts, table
from hurnet_stream.visible import visible

if TYPE_CHECKING:
    from hurnet_stream.core.stored.entries import Entry
    from hurnet_stream.operations.mapping.fields import Field
    from hurnet_stream.operations.mapping.survey import Survey, Tried
    from hurnet_stream.operations.mapping.trying import Takings, Trial

EXAMPLES_MOST: Final = 5
LETTERS_SHOWN: Final = 60
"""Of an example, since texts may be private."""
CONTEXTS_SHOWN: Final = 5


def show(found: Survey, examples: bool) -> None:
    """Tables of all but the proposal itself. Without `examples` nothing that a record holds is shown."""
    out = console(stderr=True)
    out.print(table(_FIELDS, (_field(f, examples) for f in found.fields), "fields"))
    if not found.tried:
        return
    best = found.tried[0]
    rows = [_candidate(tried, number == 0) for number, tried in enumerate(found.tried)]
    out.print(table(("text", "answer", ">right if left out", "95 %", ">questions", ">most frequent"), rows))
    out.print(facts(list(_taken(best.takings))))
    if best.takings.rejected:
        out.print(table(("reason", ">records", "for example", "why"), _rejected(best.takings, examples)))
    if examples:
        out.print(table(("text", "answer", "context"), map(_entry, best.takings.entries[:EXAMPLES_MOST])))


def described(found: Survey, examples: bool) -> dict[str, Any]:
    """All of it in plain types, for --json."""
    best = found.tried[0] if found.tried else None
    return {
        "format": found.form.format,
        "envelope": found.form.envelope,
        "fields": [_described(f, examples) for f in found.fields],
        "table": best and best.proposal.settings(),
        "toml": best and best.proposal.toml(),
        "reasons": best and {line.name: line.reason for line in best.proposal.lines if not line.suggested},
        "candidates": [_plain(tried) for tried in found.tried],
        "notes": list(found.notes),
    }


_FIELDS: Final = ("field", "looks like", ">filled", ">different", ">words", ">letters", "for example")


def _field(field: Field, examples: bool) -> Sequence[object]:
    example = _short(field.there[0]) if examples and field.there else ""
    return (
        field.expression,
        field.look,
        f"{field.filled:.0%}",
        f"{field.distinct:,}",
        f"{field.words:g}",
        f"{field.length:,}",
        example,
    )


def _described(field: Field, examples: bool) -> dict[str, Any]:
    return {
        "expression": field.expression,
        "look": field.look,
        "filled": round(field.filled, 4),
        "distinct": field.distinct,
        "words": field.words,
        "letters": field.length,
        "letters_most": field.lengths[-1] if field.lengths else 0,
        **({"example": _short(field.there[0])} if examples and field.there else {}),
    }


def _candidate(tried: Tried, proposed: bool) -> Sequence[object]:
    answer, trial = tried.candidate.answer, tried.trial
    mark = " (proposed)" if proposed else ""
    names = (f"{tried.candidate.text.expression}{mark}", answer.expression if answer else "(itself)")
    if trial.why_not:
        return (*names, "-", trial.why_not, "", "")
    low, high = trial.interval
    interval = f"{low:.0%} to {high:.0%}"
    return (*names, f"{trial.accuracy:.1%}", interval, f"{trial.questions:,}", f"{trial.majority:.1%}")


def _plain(tried: Tried) -> dict[str, Any]:
    trial, took = tried.trial, tried.takings
    answer = tried.candidate.answer
    return {
        "text": tried.candidate.text.expression,
        "answer": answer and answer.expression,
        "left_out": _plain_trial(trial),
        "taken": took.taken,
        "nothing": took.nothing,
        "deletions": took.deletions,
        "replaced": took.replaced,
        "rejected": dict(took.reasons),
        "entries": len(took.entries),
        "contexts": dict(list(took.contexts.items())[:CONTEXTS_SHOWN]),
    }


def _plain_trial(trial: Trial) -> dict[str, Any]:
    if trial.why_not:
        return {"questions": 0, "accuracy": None, "why_not": trial.why_not}
    return {
        "questions": trial.questions,
        "accuracy": round(trial.accuracy, 4),
        "interval": [round(bound, 4) for bound in trial.interval],
        "most_frequent": round(trial.majority, 4),
        "answers_there_once": trial.once,
    }


def _taken(took: Takings) -> Iterator[tuple[str, object]]:
    yield "taken", f"{took.taken:,} of {took.records:,} records"
    for name, count in (
        ("say nothing to remember", took.nothing),
        ("delete what came before", took.deletions),
        ("replaced by a later record of their key", took.replaced),
        ("cut into chunks", took.chunked),
        ("rejected", len(took.rejected)),
    ):
        if count:
            yield name, f"{count:,}"
    yield "entries", f"{len(took.entries):,}"
    answers = took.answers
    if answers:
        once = sum(count == 1 for count in answers.values())
        yield "different answers", f"{len(answers):,}, of which {once:,} are there once"
    contexts = [f"{name} ({count:,})" for name, count in list(took.contexts.items())[:CONTEXTS_SHOWN]]
    yield "contexts", f"{len(took.contexts):,}: {', '.join(contexts)}" if contexts else "0"
    if lengths := sorted(len(entry.text) for entry in took.entries):
        yield "letters of a text", f"{lengths[len(lengths) // 2]:,} in the median, {lengths[-1]:,} at most"


def _rejected(took: Takings, examples: bool) -> Iterator[Sequence[object]]:
    for reason, count in took.reasons.items():
        for number, each in enumerate(took.examples(reason)):
            why = each.detail if examples else ""
            yield (reason if number == 0 else "", f"{count:,}" if number == 0 else "", each.place, why)


def _entry(entry: Entry) -> Sequence[object]:
    return _short(entry.text), "" if entry.answer is None else _short(entry.answer), entry.context


def _short(value: object) -> str:
    text = visible(str(value)[: LETTERS_SHOWN + 1])
    return text if len(text) <= LETTERS_SHOWN else text[:LETTERS_SHOWN] + "…"
