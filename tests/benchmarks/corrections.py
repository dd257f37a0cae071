"""What corrections bring: accuracy on other phrasings after 0, 1, 2, 4 and 8 corrections an answer.

Everything is taught in memory, by the workers' own code. Of each answer's questions one half is what people
ask and correct, and the other half is only asked, to be measured:

    answer      asked, and corrected if wrong     only measured
    track       where's my stuff                  has it left yet
    pay         can I use my card                 do you take cards

That is done twice: once all answers are corrected (`all`), and once only every second one. Then the measured
questions of the others tell what corrections cost those who are not corrected (`others`).

One round asks all that may be corrected, and of each answer the first that is answered wrong is corrected; so
nobody corrects what is right already, and an answer gets at most one correction a round. All that was
corrected is then asked again (`again`: right, `same`: the same wrong answer as before). With --start one,
each answer is taught by its first phrasing alone, and the other taught phrasings are asked and corrected as
well: so a new set of questions begins. With --refute nobody says what is right, only that it was wrong.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.embedders import load
from hurnet_stream.demo import data
from hurnet_stream.feedback.lessons import WEIGHT
from hurnet_stream.operations.evaluation import Evaluation, in_blocks
from hurnet_stream.ports import Embedder
from hurnet_stream.settings.settings import Settings
from tests.benchmarks import _report
from tests.benchmarks._report import Report, say

CORRECTIONS: Final = (0, 1, 2, 4, 8)
AT_ONCE: Final = 256
ASKED_MOST: Final = 24
"""Questions of an answer that may be corrected: more would only take longer."""
ORIGINS: Final = ("home en", "home pt-BR")


@dataclass(frozen=True, slots=True)
class Phrasings:
    """A set of questions. `taught` at the start; `asked` and `measured` are by answer."""

    name: str
    taught: list[TextEvent]
    asked: dict[str, list[TextEvent]]
    measured: dict[str, list[TextEvent]]

    @property
    def every_second(self) -> list[str]:
        """The answers that are never corrected in the second run."""
        return sorted(self.measured)[1::2]

    def questions(self, answers: Sequence[str]) -> list[TextEvent]:
        """The questions that are only measured, of these answers."""
        return [event for answer in answers for event in self.measured[answer]]


@dataclass(frozen=True, slots=True)
class Taught:
    """By which embedder, with which weight, and whether only what is wrong is said."""

    embedder: Embedder
    weight: int
    refute: bool

    def said(self, question: str, right: str, given: str) -> TextEvent:
        """What the correction of a wrong answer teaches."""
        if self.refute:
            return TextEvent(text=question, answer=given, refutes=True, weight=self.weight)
        return TextEvent(text=question, answer=right, weight=self.weight)


def phrasings(name: str, pairs: Sequence[TextEvent], questions: Sequence[TextEvent], one: bool) -> Phrasings:
    """`one`: each answer is taught by its first phrasing alone."""
    first, rest = _split(pairs) if one else (list(pairs), [])
    by_answer: defaultdict[str, list[TextEvent]] = defaultdict(list)
    for question in questions:
        by_answer[question.answer or ""].append(question)
    measured = {answer: own[: (len(own) + 1) // 2] for answer, own in by_answer.items()}
    asked = {answer: own[len(measured[answer]) :] for answer, own in by_answer.items()}
    for event in rest:
        if event.answer in asked:
            asked[event.answer].append(event)
    return Phrasings(name, first, {answer: own[:ASKED_MOST] for answer, own in asked.items()}, measured)


def _split(pairs: Sequence[TextEvent]) -> tuple[list[TextEvent], list[TextEvent]]:
    first = {event.answer: event for event in reversed(pairs)}
    return list(first.values()), [event for event in pairs if first[event.answer] is not event]


@dataclass(frozen=True, slots=True)
class Measured:
    """Shares of questions: right ones of the measured, and of those that were corrected, the right ones and
    those that still have the same wrong answer."""

    right: float
    again: float
    same: float


@dataclass(slots=True)
class Round:
    """One run: what may still be asked, by answer, and what was wrong, by text, with its wrong answer."""

    evaluation: Evaluation
    taught: Taught
    left: dict[str, list[TextEvent]]
    wrong: dict[str, tuple[TextEvent, str]]

    def correct(self) -> None:
        """Of each answer, correct the first question that is answered wrong."""
        said: dict[str, TextEvent] = {}
        for asked in self.evaluation.ask([event for events in self.left.values() for event in events]):
            if asked.expected not in said and not asked.right() and asked.ranking.best:
                given = asked.ranking.best.answer
                said[asked.expected] = self.taught.said(asked.text, asked.expected, given)
                self.wrong[asked.text] = TextEvent(text=asked.text, answer=asked.expected), given
        for answer, event in said.items():
            self.left[answer] = [other for other in self.left[answer] if other.text != event.text]
        if said:
            self.evaluation.teach(list(said.values()))
            self.evaluation.solve()

    def measured(self, questions: Sequence[TextEvent]) -> Measured:
        again = self.evaluation.ask([event for event, _ in self.wrong.values()]) if self.wrong else []
        same = [asked.ranking.by("combined") for asked in again]
        kept = [
            best and best.answer == self.wrong[each.text][1] for best, each in zip(same, again, strict=True)
        ]
        right = [asked.right() for asked in self.evaluation.ask(questions)]
        return Measured(_share(right), _share([asked.right() for asked in again]), _share(kept))


def measure(
    phrased: Phrasings, corrected: Sequence[str], measured: Sequence[str], taught: Taught
) -> list[Measured]:
    """The figures on the questions to the answers `measured`, after each number of corrections of each of
    the answers `corrected`."""
    evaluation = Evaluation(taught.embedder, Settings().solve)
    for block in in_blocks(phrased.taught, AT_ONCE):
        evaluation.teach(block)
    evaluation.solve()
    run = Round(evaluation, taught, {answer: list(phrased.asked[answer]) for answer in corrected}, {})
    questions = phrased.questions(measured)
    figures: list[Measured] = []
    for corrections in range(CORRECTIONS[-1] + 1):
        if corrections:
            run.correct()
        if corrections in CORRECTIONS:
            figures.append(run.measured(questions))
    return figures


def _share(truths: Sequence[object]) -> float:
    return sum(map(bool, truths)) / len(truths) if truths else float("nan")


def packaged(one: bool) -> Iterator[Phrasings]:
    """The sets of the demo's smart home, whose data a package ships."""
    loaded = data.load()
    for origin in ORIGINS:
        pairs, questions = (
            [TextEvent(text=pair.text, answer=pair.answer) for pair in half if pair.origin == origin]
            for half in (loaded.stream, loaded.questions)
        )
        yield phrasings(origin, pairs, questions, one)


def of_files(names: Sequence[str], one: bool) -> Iterator[Phrasings]:
    """PREFIX.pairs.jsonl and PREFIX.queries.jsonl of each prefix."""
    for name in names:
        pairs, questions = (
            [TextEvent.decode(line) for line in Path(f"{name}.{kind}.jsonl").read_bytes().splitlines()]
            for kind in ("pairs", "queries")
        )
        yield phrasings(Path(name).name, pairs, questions, one)


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--set", action="append", dest="sets", metavar="PREFIX", help="PREFIX.pairs.jsonl ..."
    )
    parser.add_argument("--start", choices=["all", "one"], default="one", help="what is taught at the start")
    parser.add_argument("--weights", type=int, nargs="+", default=[WEIGHT], help="copies of a correction")
    parser.add_argument("--refute", action="store_true", help="say what is wrong, and not what is right")
    parser.add_argument("--embedder", default=Settings().embedder.name)
    return parser


def report(arguments: argparse.Namespace) -> Report:
    made, embedder = Report(), load(arguments.embedder)
    one = arguments.start == "one"
    sets = list(of_files(arguments.sets, one) if arguments.sets else packaged(one))
    for weight in arguments.weights:
        rows: list[list[object]] = []
        for phrased in sets:
            say(f"{phrased.name}, weight {weight}")
            answers, others = sorted(phrased.measured), phrased.every_second
            taught = Taught(embedder, weight, arguments.refute)
            corrected = [answer for answer in answers if answer not in others]
            both = (measure(phrased, answers, answers, taught), measure(phrased, corrected, others, taught))
            for corrections, everyone, uncorrected in zip(CORRECTIONS, *both, strict=True):
                shares = everyone.right, uncorrected.right, everyone.again, everyone.same
                rows.append([phrased.name, corrections, *(f"{100 * share:.1f}" for share in shares)])
                name = f"{phrased.name.replace(' ', '_')}_weight{weight}_after{corrections}"
                made.figures |= {
                    f"{name}_all": everyone.right,
                    f"{name}_others": uncorrected.right,
                    f"{name}_again": everyone.again,
                    f"{name}_same": everyone.same,
                }
        told = "refuted" if arguments.refute else "corrected"
        columns = ("set", ">corrections an answer", ">all", ">others", ">again", ">same")
        made.table(f"{told}, %, weight {weight}, start {arguments.start}", columns, rows)
    return made


if __name__ == "__main__":
    chosen = argparse.Namespace()
    _report.main(lambda _rounds: report(chosen), rounds=1, parser=options(), into=chosen)
