"""One probe: a text that is sent, the question that must be answered with it, and what its answer says.

    began             acknowledged          asked                               replied
      │ text ──▶ Kafka     │ partition, offset │ question, min_watermarks ──▶ …     │
      ├────────────────────────────── freshness ───────────────────────────────────┤
                                               ├───────────── answer time ─────────┤

An answer is `ok` only if all of it is right: it repeats the text, names the text's own partition and offset
as its entry, and its receipt has seen that offset. A probe ends in one outcome:

    ok               the right answer within the time-out
    wrong            answered, but with something else
    abstained        there was no answer sure enough, although the very text must be there
    rejected         the responder put the question aside
    timed-out        the responder waited for the text in vain
    no-reply         the question is in Kafka, and nobody answered within the time-out
    produce-failed   Kafka took the text or the question not, or not within the time-out
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hurnet_schemas import Answer, InvalidMessage, Query, TextEvent
from hurnet_stream.metrics.canary import ProbeOutcome
from hurnet_stream.ports import TraceContext, new_trace


@dataclass(slots=True)
class Probe:
    """Times are monotonic seconds. Its text and its question are of one trace. `offset` is the text's, once
    it is acknowledged, `asked` is when the question was sent, and `question_kept` whether Kafka has
    acknowledged it."""

    id: str
    partition: int
    text: str
    began: float
    deadline: float
    trace: TraceContext = field(default_factory=new_trace)
    offset: int | None = None
    asked: float | None = None
    question_kept: bool = False

    def event(self, context: str) -> TextEvent:
        """Its text. There is no answer in it, so it teaches nothing and the solver has no work with it."""
        return TextEvent(text=self.text, context=context)

    def question(self, context: str, timeout_s: float) -> Query:
        """What is asked once the text's offset is known."""
        return Query(
            text=self.text,
            id=self.id,
            context=context,
            min_watermarks={self.partition: self.offset or 0},
            timeout_ms=max(1, round(timeout_s * 1000)),
        )

    def outcome_in_vain(self) -> ProbeOutcome:
        """What to call it if its time is over."""
        return "no-reply" if self.question_kept else "produce-failed"


def decoded(value: bytes | None) -> Answer | InvalidMessage:
    """The answer in a reply, or what is wrong with it."""
    try:
        return Answer.decode(value)
    except InvalidMessage as error:
        return error


def verdict(probe: Probe, answer: Answer | InvalidMessage) -> tuple[ProbeOutcome, str]:
    """The outcome, and why it is not ok: "" if it is."""
    if isinstance(answer, InvalidMessage):
        return "wrong", f"the answer can't be read: {answer}"
    for outcome in ("abstained", "rejected", "timed-out"):
        if answer.outcome == outcome:
            return outcome, answer.reason or ""
    if answer.outcome != "answered":
        return "wrong", f"the outcome {answer.outcome} is unknown"
    problem = _problem(probe, answer)
    return ("wrong", problem) if problem else ("ok", "")


def _problem(probe: Probe, answer: Answer) -> str:
    """What of the answer is not as it must be, "" if all is."""
    receipt, candidates = answer.receipt, answer.candidates
    if answer.answer != probe.text:
        return f"the answer is another text: {answer.answer!r}"
    if not candidates or receipt is None:
        return "the answer has no candidate or no receipt"
    entry = candidates[0].entry
    if (entry.partition, entry.offset) != (probe.partition, probe.offset):
        told = f"{entry.partition}/{entry.offset}"
        return f"the entry is {told}, and the text was put at {probe.partition}/{probe.offset}"
    seen = receipt.watermarks.get(probe.partition, -1)
    if seen < (probe.offset or 0):
        return f"the receipt has seen partition {probe.partition} up to {seen}, not {probe.offset}"
    return ""
