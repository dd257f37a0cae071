"""Many corrections at once, for `hurnet correct --file`.

how do I get in again?<TAB>reset-password                        the right answer to a question
{"question": "my parcel is late", "verdict": "right", ...}       feedback, as the topic has it
my parcel is late                                                with --retract: a question alone
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hurnet_schemas import Feedback, InvalidMessage
from hurnet_stream.client import Client
from hurnet_stream.terminal.lines import Line, decoded


@dataclass(frozen=True, slots=True)
class Common:
    """What holds for lines that do not say it themselves."""

    context: str
    metadata: Mapping[str, str]
    retract: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """A line, and where its feedback is (topic/partition/offset), or why it was not sent."""

    line: Line
    feedback: str | None
    why_not: str | None = None


def send(client: Client, lines: Iterable[Line], common: Common) -> Iterator[Sent]:
    """Send the feedback in each line. What is no feedback is left out. Raises `ClientError`."""
    for line in lines:
        try:
            feedback = parsed(line, common)
        except InvalidMessage as error:
            yield Sent(line, None, str(error))
        else:
            yield Sent(line, client.correct(feedback, wait=False).feedback)


def parsed(line: Line, common: Common) -> Feedback:
    """The feedback in a line. Raises `InvalidMessage`."""
    if line.raw.startswith(b"{"):
        said = Feedback.decode(line.raw)
        return _completed(said, common)
    fields: dict[str, object] = {"context": common.context}
    if common.retract:
        return _made(fields | {"question": decoded(line), "verdict": "retracted"})
    question, tab, answer = decoded(line).partition("\t")
    if not tab:
        raise InvalidMessage("invalid-message", "it is no question, TAB, right answer, nor a JSON object")
    taught = {"verdict": "wrong", "answer": answer, "metadata": dict(common.metadata)}
    return _made(fields | {"question": question} | taught)


def _completed(said: Feedback, common: Common) -> Feedback:
    fields = said.model_dump(exclude_none=True, exclude_unset=True)
    fields.setdefault("context", common.context)
    if said.verdict != "retracted" and common.metadata:
        fields["metadata"] = {**common.metadata, **said.metadata}
    return _made(fields)


def _made(fields: Mapping[str, object]) -> Feedback:
    return Feedback.decode(json.dumps(fields).encode())
