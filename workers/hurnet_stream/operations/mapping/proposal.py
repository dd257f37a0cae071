"""The table of a topic as it could stand in the settings file, each line with its reason.

[topics.tickets]
format = "json"              # 100% of the values are JSON objects
text = "value.subject"       # words, 5 in a value (the median); in 100% of records; 98% distinct
answer = "value.resolution"  # words, 14 in a value (the median); in 81% of records; 12% distinct
when = "value.resolution"    # the other 19% of records have no answer yet
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from hurnet_schemas.base import MAX_TEXT
from hurnet_stream.operations.mapping import others
from hurnet_stream.operations.mapping.choosing import Candidate
from hurnet_stream.operations.mapping.fields import Field
from hurnet_stream.operations.mapping.forms import Form
from hurnet_stream.ports import Record

MOSTLY: Final = 0.98
"""A share of records that is as good as all: the others are mistakes, and belong into the dead letters."""
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Line:
    """One setting. If it is only `suggested`, it stands there as a comment."""

    name: str
    value: Any
    reason: str
    suggested: bool = False

    def toml(self) -> str:
        """The line without its reason."""
        return f"{'# ' if self.suggested else ''}{self.name} = {_toml(self.value)}"


@dataclass(frozen=True, slots=True)
class Proposal:
    """The lines of a topic's table."""

    topic: str
    lines: Sequence[Line]
    notes: Sequence[str] = field(default_factory=list)
    """What a person should know of all of it."""

    def settings(self) -> dict[str, Any]:
        """What the table sets, as the settings have it."""
        table: dict[str, Any] = tomllib.loads("\n".join(line.toml() for line in self.lines))
        return table

    def toml(self) -> str:
        """The whole table."""
        name = self.topic if _BARE.fullmatch(self.topic) else json.dumps(self.topic)
        width = max(len(line.toml()) for line in self.lines)
        lines = [f"{line.toml():{width}}  # {line.reason}" for line in self.lines]
        return "\n".join([f"[topics.{name}]", *(f"# {note}" for note in self.notes), *lines]) + "\n"


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a proposal is made from."""

    topic: str
    form: Form
    fields: Sequence[Field]
    records: Sequence[Record]
    """Those that the fields are of."""


def propose(seen: Seen, candidate: Candidate, given: Mapping[str, Any]) -> Proposal:
    """The table for a candidate. What is `given` takes the place of what would be proposed."""
    proposed = [
        *_form(seen.form),
        *_pair(candidate),
        *_place(seen, candidate),
        *_keys(seen, candidate, given),
    ]
    proposed += _more(seen, candidate)
    lines = [
        Line(line.name, given[line.name], "as told") if line.name in given else line
        for line in proposed
        if line.name not in given or not line.suggested
    ]
    names = {line.name for line in lines}
    lines += [Line(name, value, "as told") for name, value in given.items() if name not in names]
    return Proposal(seen.topic, [line for line in lines if line.value not in ("", 0)])


def _form(form: Form) -> list[Line]:
    lines = [Line("format", form.format, form.why_format)]
    return lines + ([Line("envelope", form.envelope, form.why_envelope)] if form.envelope else [])


def _pair(candidate: Candidate) -> list[Line]:
    text, answer = candidate.text, candidate.answer
    lines = [Line("text", text.expression, described(text))]
    if answer is not None:
        lines.append(Line("answer", answer.expression, described(answer)))
    lacking = [f for f in (text, answer) if f is not None and f.filled < MOSTLY]
    if lacking:
        what = "text" if lacking[0] is text else "answer yet"
        condition = " && ".join(f.expression for f in lacking)
        share = 1 - min(f.filled for f in lacking)
        lines.append(Line("when", condition, f"the other {share:.0%} of the records have no {what}"))
    if most := others.chunk(text):
        longest, over = text.lengths[-1], sum(n > others.LONG for n in text.lengths) / len(text.lengths)
        why = f"{over:.0%} of the texts have more than {others.LONG:,} characters, the longest {longest:,}"
        why += f"; a text has at most {MAX_TEXT:,}" if longest > MAX_TEXT else ""
        lines.append(Line("chunk", most, why))
    return lines


def _place(seen: Seen, candidate: Candidate) -> list[Line]:
    name = re.sub(r"[^a-z0-9._-]+", "-", seen.topic.lower().split(".")[-1]).strip("-._")[:64] or "default"
    lines = [
        Line("context", f"'{name}'", "a context of its own, so that its texts answer its questions alone")
    ]
    if found := others.context_field(seen.fields, [candidate.text, candidate.answer]):
        why = f"instead, if each of its {found.distinct} values is to answer apart from the others"
        lines.append(Line("context", f"slug({found.expression})", why, suggested=True))
    return lines


def _keys(seen: Seen, candidate: Candidate, given: Mapping[str, Any]) -> list[Line]:
    """Key and mode. The key is the record's own if nearly all records have one."""
    record_keys = [record.key for record in seen.records]
    own = sum(key is not None for key in record_keys) / max(1, len(record_keys))
    found = None if own >= MOSTLY or "key" in given else others.key_field(seen.fields, candidate.text)
    lines = []
    if found is not None:
        why = (
            f"{own:.0%} of the records have a key; {found.distinct:,} distinct values in {len(found.there):,}"
        )
        lines.append(Line("key", found.expression, why))
    of = found.values if found is not None else record_keys
    keys = others.keys(of, candidate.text.values)
    if not keys.there:
        return [*lines, Line("keys", "append", "no record has a key, so that nothing can be replaced")]
    partitions = len({record.partition for record in seen.records})
    if found is not None and partitions > 1:
        why = f"records without a key are spread over {partitions} partitions, and replace within one alone"
        return [*lines, Line("keys", "append", why)]
    if seen.form.envelope == "debezium":
        return [*lines, Line("keys", "upsert", "a change of a row takes the place of the row before it")]
    return [*lines, Line("keys", "upsert" if keys.upsert else "append", _why_mode(keys))]


def _why_mode(keys: others.Keys) -> str:
    if keys.alike is None:
        return f"{keys.distinct:,} keys, none of them twice in the sample"
    share, what = (keys.alike, "versions of one text") if keys.upsert else (1 - keys.alike, "different texts")
    return f"{keys.repeated:,} of {keys.distinct:,} keys came again, {share:.0%} of them with {what}"


def _more(seen: Seen, candidate: Candidate) -> list[Line]:
    lines = []
    if when := others.time_field(seen.fields):
        lines.append(Line("timestamp", when.expression, f"a time in {when.filled:.0%} of the records"))
    if weight := others.weight_field(seen.fields):
        why = f"{min(weight.there)} to {max(weight.there)}: if that says how much a text counts"
        lines.append(Line("weight", f"clamp({weight.expression}, `1`, `1000`)", why, suggested=True))
    for each in others.metadata_fields(seen.fields, [candidate.text, candidate.answer]):
        why = f"{each.distinct} values, to be filtered by"
        lines.append(Line(f"metadata.{others.metadata_name(each)}", each.expression, why))
    return lines


def described(field: Field) -> str:
    """What a field holds, in figures."""
    kind = "labels" if field.look == "label" else "words" if field.look == "text" else f"{field.look}s"
    parts = [f"{kind}, {field.words:g} words in the median", f"in {field.filled:.0%} of the records"]
    parts.append(f"{field.distinct / max(1, len(field.there)):.0%} of them different")
    if field.questions >= 0.1:
        parts.append(f"{field.questions:.0%} ask")
    if field.hint in ("text", "words", "answer"):
        parts.append(f"the name hints at {'an answer' if field.hint == 'answer' else 'a text'}")
    return "; ".join([*parts, *([", ".join(field.scripts)] if field.scripts else [])])


def _toml(value: Any) -> str:
    """A number or a text as TOML has it: as JSON has it, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
