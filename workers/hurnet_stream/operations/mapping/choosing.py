"""Which field is the text and which the answer, by what the fields hold; their names only add to it.

    field              filled  distinct  words  hint     as text   as answer
    value.subject      1.00    1.00      5      text     1.35      -
    value.resolution   0.80    0.30      14     answer   0.29      0.91
    value.status       1.00    0.00      1               -         0.15

A text is in people's words, is there in most records, differs from record to record, and often asks. An
answer is either a **reply**, in people's words too: it repeats more than the text, is longer, comes after it,
and shares words with its own text more than with others'; or it is a **label**, one of some values that
repeat, of which the text says which. Whether it does is told by the most alike of the other texts: if that
has the same label far more often than the most frequent label would be right, the text says it (`lift`). A
priority is no answer, and an intent is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal

from hurnet_stream.operations.mapping.fields import Field, says

CANDIDATES_MOST: Final = 3
TEXT_LEAST: Final = 0.35
REPLY_LEAST: Final = 0.45
LABEL_LEAST: Final = 0.45
HINT: Final = 0.35
"""What a name that hints at the part adds, and one that hints at another takes away."""
LABELS_LEAST: Final = 3
"""Values that a label has at least. With two, such as open and closed, a label says too little to be an
answer."""
_SAMPLED: Final = 200
_WORD: Final = re.compile(r"\w{3,}")


@dataclass(frozen=True, eq=False)
class Candidate:
    """A text, and what it may be answered with; None: with itself."""

    text: Field
    answer: Field | None
    kind: Literal["reply", "label", "alone"]
    score: float
    """How much speaks for it, before anything was asked."""


Lift = Callable[[Field, Field], float]
"""Of a text and a label: by how much more texts the most alike one tells the label of than the most frequent
label is right for. Both are shares."""


def candidates(fields: Sequence[Field], lift: Lift, texts: Sequence[Field] | None = None) -> list[Candidate]:
    """The best of them, the likeliest first; none if no field has the look of a text. `texts` are those that
    it is already known to be."""
    if texts is None:
        fits = [f for f in fields if as_text(f) >= TEXT_LEAST]
        texts = sorted(fits, key=lambda f: (-as_text(f), f.order))[:2]
    pairs = [pair for text, answer in product(texts, fields) if (pair := _pair(text, answer, lift))]
    best = sorted(pairs, key=lambda pair: -pair.score)[:CANDIDATES_MOST]
    if texts and len(best) < CANDIDATES_MOST:
        best.append(Candidate(texts[0], None, "alone", as_text(texts[0])))
    return best


def as_text(field: Field) -> float:
    """How much speaks for it as the text that is asked for; 0 if nothing."""
    worded = field.share("text") + 0.5 * field.share("label")
    if not field.there or field.share("text") < 0.2 or worded < 0.5:
        return 0.0
    length = 0.4 if field.words < 3 else 1.0 if field.words <= 40 else 0.8 if field.words <= 300 else 0.6
    score = field.filled * worded * length * (0.3 + 0.7 * (1 - field.repeats)) + 0.4 * field.questions
    return score + _hinted(field, "text")


def _pair(text: Field, answer: Field, lift: Lift) -> Candidate | None:
    if answer is text or same(text, answer) > 0.3:
        return None
    reply = as_reply(text, answer)
    if reply >= REPLY_LEAST:
        return Candidate(text, answer, "reply", 1 + as_text(text) / 2 + reply)
    if is_label(answer) and (label := as_label(answer, lift(text, answer))) >= LABEL_LEAST:
        return Candidate(text, answer, "label", as_text(text) / 2 + label)
    return None


def as_reply(text: Field, answer: Field) -> float:
    """How much speaks for it as a reply in words to a text."""
    if answer.share("text", "label") < 0.7 or answer.share("text") < 0.3:
        return 0.0
    score = 0.15 + 0.25 * min(1.0, 2 * max(0.0, answer.repeats - text.repeats))
    score += 0.15 * (answer.length > 1.3 * text.length) + 0.1 * (answer.order > text.order)
    score += 0.2 * min(1.0, 5 * related(text, answer)) - 0.35 * answer.questions + _hinted(answer, "answer")
    return score * (0.5 + 0.5 * answer.filled)


def is_label(field: Field) -> bool:
    """Whether its values are short, some, and each there more than once on average."""
    fits = field.share("label", "id", "text") >= 0.9 and field.words <= 4 and field.length <= 64
    return fits and field.filled >= 0.2 and LABELS_LEAST <= field.distinct <= len(field.there) / 2


def as_label(field: Field, lift: float) -> float:
    """How much speaks for it as an answer that is a label."""
    return 0.05 + 0.8 * max(lift, 0.0) + _hinted(field, "answer")


def related(text: Field, answer: Field) -> float:
    """By how much more of an answer's words are in its own text than in another record's."""
    rows = [
        (words_of(a), words_of(b))
        for a, b in zip(text.values, answer.values, strict=True)
        if says(a) and says(b)
    ][:_SAMPLED]
    if len(rows) < 2:
        return 0.0
    others = rows[1:] + rows[:1]
    own = sum(overlap(a, b) for a, b in rows)
    return (own - sum(overlap(a, b) for (a, _), (_, b) in zip(rows, others, strict=True))) / len(rows)


def same(one: Field, other: Field) -> float:
    """The share of records in which one of the two is the other, or is within it."""
    rows = [(str(a), str(b)) for a, b in zip(one.values, other.values, strict=True) if says(a) and says(b)]
    rows = rows[:_SAMPLED]
    within = [len(a) > 12 and len(b) > 12 and (a in b or b in a) for a, b in rows]
    return sum(a == b or inside for (a, b), inside in zip(rows, within, strict=True)) / max(1, len(rows))


def _hinted(field: Field, role: Literal["text", "answer"]) -> float:
    if field.hint is None:
        return 0.0
    return HINT if field.hint == role or (field.hint, role) == ("words", "text") else -HINT


def words_of(text: object) -> frozenset[str]:
    return frozenset(word[:6] for word in _WORD.findall(str(text)[:2_000].lower()))


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, min(len(one), len(other)))
