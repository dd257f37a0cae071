"""`hurnet evaluate`: try your own questions before you deploy anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hurnet_schemas import TextEvent
    from hurnet_stream.operations.evaluation import Asked, Evaluation
    from hurnet_stream.operations.evaluation_report import Outcome
    from hurnet_stream.ports import Embedder
    from hurnet_stream.settings.settings import Settings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_WRITTEN = click.Path(dir_okay=False, writable=True, path_type=Path)


EPILOG = """\b
Examples:
  hurnet evaluate --pairs faq.jsonl                # each pair left out, and asked of the others
  hurnet evaluate --pairs faq.jsonl --queries asked.jsonl
  hurnet evaluate --pairs faq.jsonl --queries asked.jsonl --unrelated chat.jsonl --plot trust.svg
  hurnet evaluate --pairs faq.jsonl --queries asked.jsonl --embedder use+hash512 --embedder use
  HURNET_SOLVE_RIDGE=1 hurnet evaluate --pairs faq.jsonl --queries asked.jsonl --json
"""


@click.command(epilog=EPILOG)
@click.option(
    "--pairs", required=True, multiple=True, type=_FILE, help="File of pairs to teach. May be repeated."
)
@click.option(
    "--queries",
    multiple=True,
    type=_FILE,
    help="File of questions to ask. May be repeated. Without one, pairs are left out and asked.",
)
@click.option(
    "--unrelated", multiple=True, type=_FILE, help="File of questions that have no answer. May be repeated."
)
@click.option(
    "--embedder",
    multiple=True,
    help="Embedder to try. Default: the one of the settings (HURNET_EMBEDDER_NAME). If it is repeated, a "
    "table compares them with the first one.",
)
@click.option(
    "--plot",
    type=_WRITTEN,
    help="SVG file to draw into: how far probabilities can be trusted, those of the first embedder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object of shares and milliseconds.")
def evaluate(
    pairs: tuple[Path, ...],
    queries: tuple[Path, ...],
    unrelated: tuple[Path, ...],
    embedder: tuple[str, ...],
    plot: Path | None,
    as_json: bool,
) -> None:
    """Try your own pairs and questions, without servers.

    Teaches the pairs and asks the questions in memory, with the code that the workers run, and counts the
    right answers. Files hold one JSON object a line: {"text": ..., "answer": ...}; unrelated questions need
    no answer. All pairs are in one context and have the same age, whatever the settings say.
    """
    from hurnet_stream.adapters.embedders import load
    from hurnet_stream.operations.evaluation_report import compared, report
    from hurnet_stream.operations.plot import picture
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.evaluation_tables import show, show_side_by_side
    from hurnet_stream.terminal.screen import hush, say_json

    hush()
    chosen = settings.load()
    files = _Files(
        [event for path in pairs for event in _read(path, "pairs")],
        {str(path): list(_read(path, "queries")) for path in queries},
        {str(path): list(_read(path, "unrelated")) for path in unrelated},
    )
    embedders = {name: load(name) for name in embedder or (chosen.embedder.name,)}
    base, *others = (_try(name, embedders[name], files, chosen) for name in embedders)
    if plot and (trust := base.trust):
        plot.write_text(picture(trust), "utf-8")
    reports = [report(base, chosen.responder)]
    for other in others:
        reports.append({**report(other, chosen.responder), "against_first": compared(base, other)})
    if as_json:
        say_json({"embedders": reports} if others else reports[0])
    elif others:
        show_side_by_side(reports)
    else:
        show(reports[0])


@dataclass(frozen=True, slots=True)
class _Files:
    """What the files hold: pairs, and by file the questions and the unrelated ones."""

    pairs: Sequence[TextEvent]
    questions: Mapping[str, Sequence[TextEvent]]
    unrelated: Mapping[str, Sequence[TextEvent]]


def _try(name: str, embedder: Embedder, files: _Files, chosen: Settings) -> Outcome:
    """Teach and ask all of it with one embedder."""
    from hurnet_stream.operations.evaluation import Evaluation
    from hurnet_stream.operations.evaluation_report import Outcome

    evaluation = Evaluation(embedder, chosen.solve, chosen.paper.p, chosen.paper.features)
    notes = _teach(evaluation, files.pairs)
    asked = {file: _ask(evaluation, file, events) for file, events in files.questions.items()}
    in_vain = [q for file, events in files.unrelated.items() for q in _ask(evaluation, file, events)]
    return Outcome(name, evaluation, asked, in_vain, notes)


def _read(path: Path, what: str) -> Iterator[TextEvent]:
    """The events of a file. A wrong line ends the command, since figures over fewer events would mislead."""
    from hurnet_schemas import InvalidMessage, TextEvent
    from hurnet_stream.terminal.lines import read_lines

    with path.open("rb") as file:
        for line in read_lines(file):
            try:
                event = TextEvent.decode(_without_answer(line.raw) if what == "unrelated" else line.raw)
            except InvalidMessage as error:
                raise click.ClickException(f"{path}, line {line.number}: {error}") from None
            if what == "queries" and event.answer is None:
                raise click.ClickException(
                    f'{path}, line {line.number}: a question needs the expected "answer"'
                )
            yield event


def _without_answer(raw: bytes) -> bytes:
    """An event without its answer: an unrelated question has none, or an empty one."""
    import json

    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        return raw  # what is wrong with it is said where it is decoded
    if isinstance(fields, dict):
        fields.pop("answer", None)
    return json.dumps(fields).encode()


def _teach(evaluation: Evaluation, events: Sequence[TextEvent]) -> list[str]:
    from hurnet_stream.core.rule.confidence import ANSWERABLE_MIN
    from hurnet_stream.operations.evaluation import TAUGHT_AT_ONCE, in_blocks
    from hurnet_stream.terminal.screen import progress

    with progress("teaching", len(events)) as advance:
        for block in in_blocks(events, TAUGHT_AT_ONCE):
            evaluation.teach(block)
            advance(len(block))
    notes = [f"weights not used: {reason}" for reason in evaluation.solve()]
    evaluation.rehearse()
    if evaluation.calibration is None:
        notes.append(f"no probabilities: fewer than {ANSWERABLE_MIN} pairs share their answer with others")
    if evaluation.put_aside:
        notes.append(f"{len(evaluation.put_aside)} texts embed to zero and were not taught")
    return notes


def _ask(evaluation: Evaluation, name: str, events: Sequence[TextEvent]) -> list[Asked]:
    from hurnet_stream.operations.evaluation import ASKED_AT_ONCE, in_blocks
    from hurnet_stream.terminal.screen import progress
    from hurnet_stream.visible import visible

    asked: list[Asked] = []
    with progress(f"asking {visible(Path(name).name)}", len(events)) as advance:
        for block in in_blocks(events, ASKED_AT_ONCE):
            asked += evaluation.ask(block)
            advance(len(block))
    return asked
