"""From what came back of a walk to what is broken, and what to do about it.

    no reply, nobody is in the responders' group                        responder: none is running
    no reply, responders are there, and ingest passes the text          responder: it does not answer
    no reply, responders are there, and ingest is stuck, too            store: both need it
    the text is waited for in vain, and ingest passes it                store: responders do not follow it
    the text is waited for in vain, and ingest does not pass it         ingest

Ingest commits a text's offset only after the store has it: so its group says whether it has passed the text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from hurnet_schemas import Answer
from hurnet_stream.ports import Acknowledged

EDGES: Final[Mapping[str, str]] = {
    "kafka": "client → Kafka",
    "answers": "answers → client",
    "queries": "client → queries",
    "responder": "queries → responder",
    "store": "responder → store",
    "ingest": "texts → ingest → store",
    "texts": "client → texts",
}
"""The edges in the order in which they are told, by the part that is to be looked at."""


@dataclass(frozen=True, slots=True)
class Group:
    """What is seen of a consumer group: how many are in it, and the next offset by partition."""

    members: int
    committed: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Check:
    """What is known of an edge. `well` is None if nothing could be found out."""

    part: str
    well: bool | None
    said: str
    seconds: float | None = None

    @property
    def edge(self) -> str:
        return EDGES[self.part]


@dataclass(frozen=True, slots=True)
class Report:
    """All checks, in order. `advice` is what to do about the first broken edge, "" if none is."""

    checks: tuple[Check, ...]
    advice: str = ""

    @property
    def broken(self) -> Check | None:
        """The first edge that does not hold."""
        return next((check for check in self.checks if check.well is False), None)


@dataclass(slots=True)
class Probe:
    """A message, and what came of it. Times are monotonic seconds."""

    sent: float
    kept: Acknowledged | None = None
    refused: str = ""
    reply: Answer | None = None
    replied: float = 0.0


@dataclass(slots=True)
class Evidence:
    """What came of a walk. `groups` are those of ingest and responder, as far as they can be seen."""

    question: Probe
    text: Probe
    insisting: Probe | None = None
    groups: Mapping[str, Group] = field(default_factory=dict)
    groups_unseen: str = ""

    def passed_by_ingest(self) -> bool | None:
        """Whether ingest has taken the text in; None if that can't be seen."""
        if self.text.kept is None or "ingest" not in self.groups:
            return None
        return self.groups["ingest"].committed.get(self.text.kept.partition, -1) > self.text.kept.offset

    def members(self, role: str) -> int | None:
        """How many workers of the role are running; None if that can't be seen."""
        return self.groups[role].members if role in self.groups else None


def checks_of(evidence: Evidence) -> tuple[Check, ...]:
    """What the evidence says of each edge, in order."""
    reached = Check("kafka", True, "a broker answers"), Check("answers", True, "answers can be read")
    return (
        *reached,
        _sent("queries", evidence.question, "the question"),
        _responder(evidence),
        _store(evidence),
        _ingest(evidence),
        _sent("texts", evidence.text, "the text"),
    )


def _sent(part: str, probe: Probe, what: str) -> Check:
    if kept := probe.kept:
        where = f"{what} is in {part}/{kept.partition}/{kept.offset}"
        return Check(part, True, where, kept.at - probe.sent)
    return Check(part, False, f"{what} was not taken: {probe.refused or 'no acknowledgement in time'}")


def _responder(evidence: Evidence) -> Check:
    probe = evidence.question
    if probe.kept is None:
        return Check("responder", None, "nothing could be asked")
    if probe.reply is None:
        return _no_reply(evidence)
    said = f"{probe.reply.outcome}{': ' + probe.reply.reason if probe.reply.reason else ''}"
    well = probe.reply.outcome in ("answered", "abstained")
    return Check("responder", well, said, probe.replied - probe.sent)


def _no_reply(evidence: Evidence) -> Check:
    if evidence.members("responder") == 0:
        return Check("responder", False, "no reply, and no responder is running")
    stuck = evidence.passed_by_ingest() is False and bool(evidence.members("ingest"))
    if evidence.members("responder") and stuck:
        return Check("responder", None, "no reply, although a responder is running: see below")
    return Check("responder", False, "no reply")


def _store(evidence: Evidence) -> Check:
    passed, insisting = evidence.passed_by_ingest(), evidence.insisting
    if evidence.question.reply is None:
        if passed is False and evidence.members("ingest") and evidence.members("responder"):
            return Check("store", False, "neither the responder nor ingest gets on, and both need the store")
        return Check("store", None, "no responder has said what it sees")
    if insisting is None or insisting.reply is None:
        return Check("store", None, "there is no text to be seen in it")
    if insisting.reply.outcome != "timed-out":
        return Check("store", True, "the responder follows it")
    if passed:
        return Check("store", False, f"ingest has stored the text, but {insisting.reply.reason}")
    return Check("store", None, "it lacks the text, which may not be there")


def _found(evidence: Evidence) -> bool:
    """Whether the second question was answered with the text that it insisted on."""
    insisting, kept = evidence.insisting, evidence.text.kept
    if insisting is None or insisting.reply is None or kept is None or not insisting.reply.candidates:
        return False
    entry = insisting.reply.candidates[0].entry
    return (entry.partition, entry.offset) == (kept.partition, kept.offset)


def _ingest(evidence: Evidence) -> Check:
    insisting = evidence.insisting
    if insisting is None:
        return Check("ingest", None, "no text could be sent")
    if _found(evidence):
        return Check("ingest", True, "the text is answered with", insisting.replied - evidence.text.sent)
    if insisting.reply is not None and insisting.reply.outcome != "timed-out":
        return Check("ingest", False, "the text was read and is no entry: it was put aside")
    if evidence.passed_by_ingest():
        return Check("ingest", True, "it has taken the text in")
    members = evidence.members("ingest")
    if insisting.reply is None and members is None:
        return Check("ingest", None, "no responder has said what it sees")
    return Check("ingest", False, "no ingest is running" if members == 0 else "the text is not taken in")


def concluded(checks: tuple[Check, ...], evidence: Evidence | None = None) -> Report:
    """The checks, and what to do about the first edge that does not hold."""
    report = Report(checks)
    if (broken := report.broken) is None:
        return report
    unseen = evidence.groups_unseen if evidence else ""
    note = f" (Who is running could not be seen: {unseen})" if unseen else ""
    return Report(checks, _advice(broken, evidence) + note)


def _advice(broken: Check, evidence: Evidence | None) -> str:
    """What a person should do first."""
    running = evidence.members(broken.part) if evidence else None
    if running == 0:
        return f"start one: `hurnet {broken.part}`"
    if broken.part == "ingest" and "aside" in broken.said:
        return "`hurnet dead-letters` says why: too many contexts, for example"
    if broken.part == "responder" and "slices" in broken.said:
        return "start the slices that are away (`hurnet slice`); `hurnet status` shows those that are there"
    return {
        "kafka": "start Kafka, or correct HURNET_KAFKA_BOOTSTRAP and the settings beside it",
        "answers": "`hurnet topics` says if the topic is there; this client needs the right to read it",
        "queries": "`hurnet topics` says if the topic is there; this client needs the right to write to it",
        "responder": "look at the responder's log and /readyz; start one (`hurnet responder`) if none runs",
        "store": "look if Redis runs and takes writes, then at the logs and /readyz of responder and ingest",
        "ingest": "look at ingest's log and /readyz; start one (`hurnet ingest`) if none runs",
        "texts": "`hurnet topics` says if the topic is there; this client needs the right to write to it",
    }[broken.part]
