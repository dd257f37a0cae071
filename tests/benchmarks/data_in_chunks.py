"""Long pages whole and in chunks: how often the right page is found, and the right place in it.

Questions are sentences held out of the pages (see `_pages`), asked in memory by the code that the workers
run. Chunks are taught twice: with the name of their page as the answer, and without an answer, so that each
is its own. Then a question is right about the page if the chunk is of it, and about the place if the sentence
that stood before the question is in the chunk.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.embedders import load
from hurnet_stream.operations.evaluation import ASKED_AT_ONCE, TAUGHT_AT_ONCE, Asked, Evaluation, in_blocks
from hurnet_stream.ports import Embedder
from hurnet_stream.readers.chunking import Chunking
from hurnet_stream.settings.settings import SolveSettings
from tests.benchmarks._pages import Pages, Question, pages
from tests.benchmarks._report import Report, main, say

WHOLE: Final = (8_192, 16_384)
"""Characters at which a page that is not in chunks is cut off: 16,384 are the most that a text may have."""
SIZES: Final = (4_000, 2_000, 1_000, 500, 250)
OPTIONS: Final = argparse.Namespace(embedder=["hash512", "use+hash512"])

Chunks = Mapping[str, Sequence[str]]
"""By page."""


class Found(NamedTuple):
    """Shares of the questions."""

    page: float
    place: float


def measure(rounds: int) -> Report:
    report, found = Report(), pages()
    for _ in range(rounds):
        _cutting(report, found)
    for name in OPTIONS.embedder:
        embedder, rows = load(name), []
        for most in WHOLE:
            whole = {page: [text[:most]] for page, text in found.texts.items()}
            (page, _) = _found(embedder, whole, found.questions, own_answers=False)
            rows.append([f"whole, cut off at {most:,}", len(whole), f"{page:.1%}", "-", "-"])
            report.figures[f"page_right_{name}_whole_{most}"] = page
        for most in SIZES:
            say(f"{name}: chunks of {most}")
            chunks = {page: Chunking(most)(text) for page, text in found.texts.items()}
            (page, _) = _found(embedder, chunks, found.questions, own_answers=False)
            own = _found(embedder, chunks, found.questions, own_answers=True)
            entries = sum(map(len, chunks.values()))
            rows.append(
                [f"chunks of {most:,}", entries, f"{page:.1%}", f"{own.page:.1%}", f"{own.place:.1%}"]
            )
            report.figures[f"page_right_{name}_{most}"] = page
            report.figures[f"place_right_{name}_{most}"] = own.place
        columns = ("texts", ">entries", ">right page", ">right page, own answers", ">right place")
        title = f"{len(found.questions)} questions to {len(found.texts)} pages, {name}"
        report.table(title, columns, rows)
    return report


def _cutting(report: Report, found: Pages) -> None:
    """How fast texts are cut, in CPU time."""
    before = time.process_time()
    for text in found.texts.values():
        Chunking(1_000)(text)
    letters = sum(map(len, found.texts.values()))
    rate = letters / (time.process_time() - before)
    report.figures["cut_letters_per_s"] = max(rate, report.figures.get("cut_letters_per_s", 0.0))


def _found(embedder: Embedder, chunks: Chunks, questions: Sequence[Question], own_answers: bool) -> Found:
    evaluation = Evaluation(embedder, SolveSettings())
    events = [
        TextEvent(text=chunk, answer=None if own_answers else page)
        for page, of_page in chunks.items()
        for chunk in of_page
        if chunk.strip()
    ]
    for block in in_blocks(events, TAUGHT_AT_ONCE):
        evaluation.teach(block)
    evaluation.solve()
    evaluation.rehearse()
    asked: list[Asked] = []
    for few in in_blocks([TextEvent(text=q.text, answer=q.page) for q in questions], ASKED_AT_ONCE):
        asked += evaluation.ask(few)
    pages_of = {chunk: page for page, of_page in chunks.items() for chunk in of_page}
    rights = [_right(a, q, pages_of) for a, q in zip(asked, questions, strict=True)]
    return Found(*map(_share, zip(*rights, strict=True)))


def _right(asked: Asked, question: Question, pages_of: Mapping[str, str]) -> tuple[bool, bool]:
    best = asked.ranking.best
    answer = best.answer if best else ""
    return pages_of.get(answer, answer) == question.page, question.place in answer


def _share(truths: Sequence[bool]) -> float:
    return sum(truths) / len(truths)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embedder", nargs="+")
    main(measure, 3, parser, OPTIONS)
