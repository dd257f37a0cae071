"""The lexical part of an index: how fast texts come in and go, what a question costs, and what a row takes.

The texts are lines of Debian's package descriptions in five languages, cut to eight words; beyond the
distinct ones they are repeated, so that many rows tie. Questions are other lines. bm25s is the reference:
its scores must be ours but for float32, and it shows what building anew costs, which it needs after every
append and deletion.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

import numpy as np

from hurnet_stream.core.lexical.bm25 import K1, B
from hurnet_stream.core.lexical.lexicon import Lexicon
from hurnet_stream.core.lexical.terms import terms
from hurnet_stream.core.search.block import RowColumns
from hurnet_stream.core.search.blocks import Blocks
from hurnet_stream.core.stored.entries import starts_of
from tests.benchmarks._report import Report, main, quantile, say
from tests.benchmarks._text import sentences

WORDS: Final = 8
QUESTIONS: Final = 300
FOUND: Final = 64
"""The rows that a question asks for, as the rule does."""
NEAREST: Final = 256
"""The rows whose scores are asked for."""
APPENDED_AT_ONCE: Final = 4096
REMOVED: Final = 2000
FREQUENT: Final = 8
COMPARED_ROWS: Final = 24_000
"""Beyond, bm25s takes minutes."""
CLOSE: Final = 1e-3
"""As a share of a score: bm25s sums in float32, and our grid is 2**-16."""

SIZES = argparse.Namespace(rows=[24_000, 1_000_000])


@dataclass(slots=True)
class Filled:
    """A lexicon, what is in it, and the CPU seconds that appending took."""

    lexicon: Lexicon
    texts: Sequence[str]
    rows: int
    seconds: float


def measure(rounds: int) -> Report:
    report, lines = Report(), sentences()
    chosen = [" ".join(lines[i].split()[:WORDS]) for i in np.random.default_rng(0).permutation(len(lines))]
    questions, texts = chosen[:QUESTIONS], chosen[QUESTIONS:]
    ascii_texts = [text for text in texts if text.isascii()]
    shown = []
    for rows in SIZES.rows:
        say(f"{rows:,} rows")
        seconds = min(filled(ascii_texts, rows).seconds for _ in range(rounds))
        every = filled(texts, rows)
        figures = asked(every, questions, rounds) | {
            "append_ascii_texts_per_s": rows / seconds,
            "append_texts_per_s": rows / every.seconds,
            "bytes_a_row": held_bytes(every.lexicon) / rows,
        }
        figures["remove_us"] = removed_us(every)
        report.figures |= {f"{name}_{rows}": value for name, value in figures.items()}
        shown.append((f"{rows:,}", *(f"{figures[name]:,.3g}" for name in TITLES)))
    report.table("The lexical part", ("rows", *(f">{title}" for title in TITLES.values())), shown)
    if find_spec("bm25s"):
        compare(report, texts[:COMPARED_ROWS], questions)
    return report


TITLES = {
    "append_ascii_texts_per_s": "texts/s, ASCII",
    "append_texts_per_s": "texts/s, all",
    "bytes_a_row": "bytes a row",
    "question_ms": "CPU ms a question",
    "question_ms_p99": "p99",
    "frequent_ms": f"of the {FREQUENT} most frequent words",
    "scores_ms": f"CPU ms for {NEAREST} given rows",
    "remove_us": "µs a removal",
}


def filled(texts: Sequence[str], rows: int) -> Filled:
    """A lexicon of so many rows; the texts are repeated if there are fewer."""
    blocks, seconds = Blocks(8), 0.0
    lexicon = Lexicon(blocks)
    for first in range(0, rows, APPENDED_AT_ONCE):
        of_rows = range(first, min(first + APPENDED_AT_ONCE, rows))
        zeros, offsets = np.zeros(len(of_rows), np.int64), np.array(of_rows)
        columns = RowColumns(zeros, offsets, zeros, zeros + 1, zeros, zeros != 0, zeros, zeros)
        numbers = blocks.append(np.ones((len(of_rows), 8), np.int16), columns)
        encoded = [texts[i % len(texts)].encode() for i in of_rows]
        joined, starts = b"".join(encoded), starts_of(np.array(list(map(len, encoded)), np.int64))
        began = time.process_time()
        lexicon.append(numbers, joined, starts)
        seconds += time.process_time() - began
    return Filled(lexicon, texts, rows, seconds)


def asked(every: Filled, questions: Sequence[str], rounds: int) -> dict[str, float]:
    """What questions cost, in ms of CPU time."""
    lexicon = every.lexicon
    vocabulary = lexicon._vocabulary
    frequent = np.argsort(-vocabulary.held[: vocabulary.count])[:FREQUENT]
    words = b" ".join(vocabulary.records[number].tobytes().rstrip(b"\0") for number in frequent).decode()
    some = np.random.default_rng(1).integers(0, every.rows, NEAREST)
    searches = least_ms(lambda question: lexicon.search(question, FOUND), questions, rounds)
    scores = least_ms(lambda question: lexicon.scores(question, some), questions, rounds)
    worst = least_ms(lambda question: lexicon.search(question, FOUND), [words, "other"], rounds)
    return {
        "question_ms": float(np.mean(searches)),
        "question_ms_p99": quantile(searches, 0.99),
        "frequent_ms": worst[0],
        "scores_ms": float(np.mean(scores)),
    }


def least_ms(call: Callable[[str], object], questions: Sequence[str], rounds: int) -> list[float]:
    """The least CPU time that each question took in any round, since the machine is shared. They are asked in
    turn: what is known of the last one doesn't help the next."""
    least = [np.inf] * len(questions)
    for _ in range(rounds):
        for i, question in enumerate(questions):
            began = time.process_time()
            call(question)
            least[i] = min(least[i], time.process_time() - began)
    return [seconds * 1e3 for seconds in least]


def held_bytes(lexicon: Lexicon) -> int:
    """Bytes of all arrays."""
    runs = [run for postings in lexicon._postings.values() for run in postings.runs]
    names = ("terms", "starts", "slots", "times", "most_times", "shortest", "struct")
    vocabulary = lexicon._vocabulary
    arrays = [getattr(run, name) for run in runs for name in names]
    arrays += [postings.rows.lengths for postings in lexicon._postings.values()]
    arrays += [vocabulary.records, vocabulary.tags, vocabulary.held, vocabulary.slots.table]
    return sum(array.nbytes for array in arrays)


def removed_us(every: Filled) -> float:
    """CPU µs that a removal takes. It changes the lexicon, so it comes last."""
    gone = np.random.default_rng(2).choice(every.rows, REMOVED, replace=False).tolist()
    began = time.process_time()
    for row in gone:
        every.lexicon.remove(row, every.texts[row % len(every.texts)])
    return (time.process_time() - began) / REMOVED * 1e6


def compare(report: Report, texts: Sequence[str], questions: Sequence[str]) -> None:
    """bm25s over the same terms: the same scores, and what it takes."""
    import bm25s

    say("bm25s")
    lexicon = filled(texts, len(texts)).lexicon
    began = time.process_time()
    theirs = bm25s.BM25(k1=K1, b=B, method="lucene")
    theirs.index(
        [[term.decode(errors="replace") for term in terms(text)] for text in texts], show_progress=False
    )
    building = time.process_time() - began
    every, worst, searches = np.arange(len(texts)), 0.0, []
    for question in questions:
        words = [term.decode(errors="replace") for term in dict.fromkeys(terms(question))]
        began = time.process_time()
        expected = theirs.get_scores(words) * (K1 + 1)
        searches.append(time.process_time() - began)
        asked_for = lexicon._question(question)
        ours = lexicon.scores(question, every) * asked_for.whole / 2**16
        worst = max(worst, float(np.abs(ours - expected).max() / max(1.0, expected.max())))
    if worst > CLOSE:
        raise SystemExit(f"bm25s scores a row otherwise: {worst:.1e} apart")
    report.figures |= {"bm25s_build_s": building, "bm25s_question_ms": float(np.mean(searches)) * 1e3}
    report.figures |= {"bm25s_largest_difference": worst}
    row = (f"{len(texts):,}", f"{building:.2f}", f"{np.mean(searches) * 1e3:.2f}", f"{worst:.1e}")
    columns = (">rows", ">CPU s to build anew", ">CPU ms a question, all scores", ">largest difference")
    report.table("bm25s, which takes no appends and deletions", columns, [row])


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", help="how many (default: %(default)s)")
    return parser


if __name__ == "__main__":
    main(measure, rounds=3, parser=options(), into=SIZES)
