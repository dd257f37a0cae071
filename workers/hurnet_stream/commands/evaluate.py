"""`hurnet evaluate`: try your own questions before you deploy anything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from hurnet_schemas import TextEvent
    from hurnet_stream.operations.evaluation import Asked, Evaluation, Figures

TIMED = 200
"""How many questions are asked once more, one at a time, for the latencies."""
MISSES_SHOWN = 10
COLUMNS = (
    *("file", ">queries", ">rule", ">meaning", ">spelling", ">nearest"),
    *(">rare words", ">words", ">weights", ">MRR", ">covered", ">right"),
)

CURVE = ("error rate", ">from probability", ">answered", ">wrong", ">95 % interval", ">unrelated")

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_WRITTEN = click.Path(dir_okay=False, writable=True, path_type=Path)


EPILOG = """\b
Examples:
  hurnet evaluate --pairs faq.jsonl --queries asked.jsonl
  hurnet evaluate --pairs faq.jsonl --queries asked.jsonl --unrelated chat.jsonl --plot trust.svg
  hurnet evaluate --pairs faq.jsonl --queries asked.jsonl --embedder hash1024
  HURNET_SOLVE_RIDGE=1 hurnet evaluate --pairs faq.jsonl --queries asked.jsonl --json
"""


@click.command(epilog=EPILOG)
@click.option(
    "--pairs", required=True, multiple=True, type=_FILE, help="File of pairs to teach. May be repeated."
)
@click.option(
    "--queries", required=True, multiple=True, type=_FILE, help="File of questions to ask. May be repeated."
)
@click.option(
    "--unrelated", multiple=True, type=_FILE, help="File of questions that have no answer. May be repeated."
)
@click.option("--embedder", help="Embedder to try. Default: the one of the settings (HURNET_EMBEDDER_NAME).")
@click.option("--plot", type=_WRITTEN, help="SVG file to draw into: how far probabilities can be trusted.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object of shares and milliseconds.")
def evaluate(
    pairs: tuple[Path, ...],
    queries: tuple[Path, ...],
    unrelated: tuple[Path, ...],
    embedder: str | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Try your own pairs and questions, without servers.

    Teaches the pairs and asks the questions in memory, with the code that the workers run, and counts the
    right answers. Files hold one JSON object a line: {"text": ..., "answer": ...}; unrelated questions need
    no answer. All pairs are in one context and have the same age, whatever the settings say.
    """
    from hurnet_stream.adapters.embedders import load
    from hurnet_stream.operations.evaluation import Evaluation, figures
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.screen import hush, say_json

    hush()
    chosen = settings.load()
    evaluation = Evaluation(
        load(embedder or chosen.embedder.name), chosen.solve, chosen.paper.p, chosen.paper.features
    )
    notes = _teach(evaluation, [event for path in pairs for event in _read(path, "pairs")])
    questions = {str(path): list(_read(path, "queries")) for path in queries}
    asked = {name: _ask(evaluation, name, events) for name, events in questions.items()}
    every = [question for group in asked.values() for question in group]
    in_vain = [q for path in unrelated for q in _ask(evaluation, str(path), list(_read(path, "unrelated")))]
    threshold = chosen.responder.threshold
    report = {
        **_shown(figures(every, threshold)),
        "files": {name: _shown(figures(group, threshold)) for name, group in asked.items()},
        "confidence": _confidence(evaluation, every, in_vain, plot),
        "latency_ms": _latencies(evaluation, [q for group in questions.values() for q in group]),
        "rows": evaluation.rows,
        "threshold": threshold,
        "embedder": embedder or chosen.embedder.name,
        "notes": notes,
    }
    if as_json:
        say_json(report)
    else:
        _print(report, every)


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


def _latencies(evaluation: Evaluation, questions: Sequence[TextEvent]) -> dict[str, float]:
    import numpy as np

    step = max(1, len(questions) // TIMED)
    seconds = evaluation.time(questions[::step][:TIMED]) or [0.0]
    p50, p99 = np.percentile(np.array(seconds) * 1000, [50, 99])
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2)}


def _shown(figures: Figures) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(figures)


def _confidence(
    evaluation: Evaluation, asked: Sequence[Asked], in_vain: Sequence[Asked], plot: Path | None
) -> dict[str, Any] | None:
    """How far the probabilities can be trusted, drawn into the file `plot` too. None if the pairs are too few
    for any."""
    from dataclasses import asdict

    from hurnet_stream.operations.curves import trust
    from hurnet_stream.operations.plot import picture

    if (calibration := evaluation.calibration) is None:
        return None
    rankings = [(question.ranking, question.right()) for question in asked]
    found = trust(calibration, rankings, [question.ranking for question in in_vain])
    if plot:
        plot.write_text(picture(found), "utf-8")
    return asdict(found)


def _print(report: dict[str, Any], asked: Sequence[Asked]) -> None:
    from hurnet_stream.terminal.screen import console, facts, table

    out = console()
    rows = [(name, *_cells(share)) for name, share in report["files"].items()]
    if len(rows) > 1:
        rows.append(("all", *_cells(report)))
    out.print(table(COLUMNS, rows))
    out.print(facts(_legend(report)))
    if confidence := report["confidence"]:
        out.print(table(CURVE, _curve(confidence), "what an error rate lets through"))
        out.print(facts(_trusted(confidence)))
    misses = sorted((q for q in asked if not q.right()), key=lambda q: -q.score())[:MISSES_SHOWN]
    if misses:
        columns = ("question", "expected", "answered", ">score")
        out.print(table(columns, map(_miss, misses), "wrong answers with the highest scores"))


def _curve(confidence: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for point in confidence["curve"]:
        lowest, answered, wrong = point["lowest_probability"], point["answered"], point["wrong"]
        shares = (point["wrong_low"], point["wrong_high"])
        yield (
            f"{point['error_rate']:.0%}",
            "-" if lowest is None else f"{lowest:.4f}",
            f"{answered / max(confidence['questions'], 1):.1%}",
            f"{wrong} of {answered}",
            "{:.1%} to {:.1%}".format(*shares) if answered else "-",
            f"{point['unrelated_answered']} of {confidence['unrelated']}",
        )


def _trusted(confidence: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "error rate", "HURNET_RESPONDER_ERROR_RATE; -: too few pairs for it, so the threshold decides"
    yield "probabilities", f"learned from {confidence['rehearsed']} questions made of the pairs themselves"
    yield (
        "their error",
        f"{confidence['calibration_error']:.3f} on average; {confidence['by_chance']:.3f} would be chance",
    )


def _legend(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    threshold, latency = report["threshold"], report["latency_ms"]
    yield "rule", "share of right answers; meaning to weights: by each of its parts alone"
    yield "MRR", "mean of 1 / rank of the right answer"
    yield (
        "covered, right",
        f"share with a score of at least {threshold:g}, and the right ones among these",
    )
    yield "context", f"{report['rows']} entries, embedder {report['embedder']}"
    yield "latency", f"p50 {latency['p50']} ms, p99 {latency['p99']} ms, for one question at a time"
    yield from (("note", note) for note in report["notes"])


def _cells(share: dict[str, Any]) -> tuple[str, ...]:
    parts = share["parts"]
    shares = (share["accuracy"], *parts.values())
    right = share["accuracy_covered"]
    return (
        str(share["queries"]),
        *(f"{value:.1%}" for value in shares),
        f"{share['mrr']:.3f}",
        f"{share['coverage']:.1%}",
        "-" if right is None else f"{right:.1%}",
    )


def _miss(question: Asked) -> tuple[str, str, str, str]:
    best = question.ranking.best
    return question.text, question.expected, best.answer if best else "-", f"{question.score():.2f}"
