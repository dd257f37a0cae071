"""A sample of records, looked at from their bytes to the accuracy that a table for them would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import ValidationError

from hurnet_schemas import InvalidMessage
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.operations.mapping import trying
from hurnet_stream.operations.mapping.choosing import Candidate, candidates
from hurnet_stream.operations.mapping.fields import Field, fields_of
from hurnet_stream.operations.mapping.forms import Form, envelope_of, format_of
from hurnet_stream.operations.mapping.proposal import Proposal, Seen, propose
from hurnet_stream.operations.mapping.screening import Screen
from hurnet_stream.operations.mapping.trying import Takings, Trial
from hurnet_stream.ports import Embedder, Record, Schemas
from hurnet_stream.readers.expressions import Expression
from hurnet_stream.readers.making import Making
from hurnet_stream.settings.settings import SolveSettings, TopicSettings

CHUNKED: Final = "texts are cut: leaving a piece out would ask it of the rest of its own text"


@dataclass(frozen=True, slots=True)
class Tools:
    """What a survey works with. `quick` embeds for the choice of fields, `embedder` for what is tried."""

    making: Making
    schemas: Schemas | None
    quick: Embedder
    embedder: Embedder
    solve: SolveSettings


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A candidate, the table for it, what that takes of the sample, and how well that answers."""

    candidate: Candidate
    proposal: Proposal
    takings: Takings
    trial: Trial


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """All that was found. `tried` are the candidates, the proposed one first; none if nothing looks like a
    text."""

    form: Form
    fields: Sequence[Field]
    tried: Sequence[Tried] = ()
    notes: Sequence[str] = field(default_factory=list)


def survey(topic: str, records: Sequence[Record], given: Mapping[str, Any], tools: Tools) -> Survey:
    """Look at the records, in the order of their partitions. What is `given`, by the names of the settings,
    is not chosen but taken. Raises `ConfigurationError` if they have no form that hurnet reads or something
    given is wrong, and `TransientError` while the registry does not answer."""
    records = [replace(record, number=1) for record in records]  # as one of a topic beside that of texts
    form = _form(topic, records, given, tools)
    opened = _Opened(topic, records, form, tools.making)
    fields = fields_of(opened.values)
    seen = Seen(topic, form, fields, opened.records)
    found = _candidates(opened, fields, given, Screen(tools.quick))
    tried = [_try(candidate, seen, records, given, tools) for candidate in found]
    tried = sorted(tried, key=lambda each: each.candidate.kind == "alone")
    return Survey(form, fields, _best_first(tried), [] if "answer" in given else _notes(tried))


def _form(topic: str, records: Sequence[Record], given: Mapping[str, Any], tools: Tools) -> Form:
    if "format" in given:
        name, why = given["format"], "as told"
    else:
        name, why = format_of(records, tools.schemas)
    if "envelope" in given:
        return Form(name, given["envelope"], why, "as told")
    bare = _settings(topic, {"format": name, "text": "value"})
    return Form(name, *_swap(why, envelope_of(records, tools.making.opening(bare).value)))


def _swap(why_format: str, envelope: tuple[Any, str]) -> tuple[Any, str, str]:
    return envelope[0], why_format, envelope[1]


class _Opened:
    """Those records that say something to remember, with their values out of their envelopes. Left out are
    records that can't be read, that delete, and that say nothing."""

    def __init__(self, topic: str, records: Sequence[Record], form: Form, making: Making) -> None:
        table = {"format": form.format, "envelope": form.envelope, "text": "value"}
        self._opening = making.opening(_settings(topic, table))
        found = [(record, *self._open(record)) for record in records]
        found = [each for each in found if each[1] is not None]
        self.records = [record for record, _, _ in found]
        self.values = [value for _, value, _ in found]
        self._envelopes = [envelope for _, _, envelope in found]

    def field(self, expression: str, order: int) -> Field:
        """What an expression finds in the records. Raises `ConfigurationError` if it is wrong."""
        try:
            compiled = Expression("given", expression)
        except ValueError as error:
            raise ConfigurationError(f"{expression}: {error}") from None
        values = [self._find(compiled, row) for row in range(len(self.values))]
        return Field(expression, expression.rpartition(".")[2], order, values)

    def _find(self, expression: Expression, row: int) -> Any:
        record = self.records[row]
        try:
            found = expression.find(
                {
                    **{"value": self.values[row], "envelope": self._envelopes[row]},
                    "key": self._opening.key(record.key),
                    "headers": {
                        name: (value or b"").decode(errors="replace") for name, value in record.headers
                    },
                    **{"topic": record.topic, "partition": record.partition, "offset": record.offset},
                    "timestamp": record.timestamp_ms,
                }
            )
        except (ValueError, InvalidMessage):
            return None
        return None if isinstance(found, dict | list) else found

    def _open(self, record: Record) -> tuple[Any, Any]:
        if record.fault or record.value is None:
            return None, None
        try:
            opened = self._opening.envelope(record, record.value, self._opening.value)
        except InvalidMessage:
            return None, None
        return (opened.value, opened.envelope) if opened.says and not opened.deletes else (None, None)


def _candidates(
    opened: _Opened, fields: Sequence[Field], given: Mapping[str, Any], screen: Screen
) -> list[Candidate]:
    """The likeliest first. A text or an answer that is given is that of all."""
    text = opened.field(given["text"], -1) if given.get("text") else None
    answer = opened.field(given["answer"], len(fields)) if given.get("answer") else None
    if text is not None and "answer" in given:
        return [Candidate(text, answer, "alone" if answer is None else "reply", 1.0)]
    if text is not None:
        return candidates(fields, screen.lift, texts=[text])
    if "answer" in given:
        alone = [c for c in candidates(fields, screen.lift) if c.text.expression != given["answer"]][:1]
        return [Candidate(c.text, answer, "alone" if answer is None else "reply", c.score) for c in alone]
    return candidates(fields, screen.lift)


def _try(
    candidate: Candidate, seen: Seen, records: Sequence[Record], given: Mapping[str, Any], tools: Tools
) -> Tried:
    proposal = propose(seen, candidate, given)
    table = _settings(seen.topic, proposal.settings())
    takings = trying.take(records, tools.making.reader(seen.topic, table))
    if takings.chunked * 20 > takings.taken:
        trial = Trial(why_not=CHUNKED)
    else:
        trial = trying.try_out(takings.entries, tools.embedder, tools.solve)
    return Tried(candidate, proposal, takings, trial)


def _best_first(tried: Sequence[Tried]) -> list[Tried]:
    """The likeliest one, unless another text gives the same answer clearly better: beyond both intervals."""
    if not tried:
        return []
    best = tried[0]
    for other in tried[1:]:
        same = other.candidate.answer is not None and other.candidate.answer is best.candidate.answer
        if same and other.trial.interval[0] > best.trial.interval[1] and best.trial.questions:
            best = other
    return [best, *(each for each in tried if each is not best)]


def _notes(tried: Sequence[Tried]) -> list[str]:
    if not tried:
        return ["no field has the look of a text: words that differ from record to record"]
    if tried[0].candidate.answer is None:
        return ["no field has the look of an answer: texts alone, each its own answer"]
    return []


def _settings(topic: str, table: Mapping[str, Any]) -> TopicSettings:
    try:
        return TopicSettings(**table)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"{place} of [topics.{topic}]: {first['msg']}") from None
