"""What a question costs a responder, part by part, one question at a time and 64 together, and how many a
process answers in a second: from the bytes of a query to the bytes of its answer, without servers.

CPU time is what is measured, since it depends less on what else the machine does. Of what is asked at once,
the best of all rounds counts. Whether the answers are right is measured by `hurnet evaluate`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import cycle, islice
from typing import Any, Final, NamedTuple, cast
from unittest.mock import patch

from hurnet_schemas import Query, TextEvent
from hurnet_stream.adapters.embedders import load
from hurnet_stream.core.index.index import ContextIndex
from hurnet_stream.core.native import local_solve as kernels
from hurnet_stream.core.rule import comparing, parts, rule
from hurnet_stream.operations.evaluation import CONTEXT, Evaluation, in_blocks
from hurnet_stream.ports import Embedder, Record
from hurnet_stream.responder.pending_queries import PendingQueries
from hurnet_stream.responder.replies import Replies
from hurnet_stream.settings.settings import EmbedderSettings, ResponderSettings, SolveSettings
from tests.benchmarks._report import Report, main, say
from tests.benchmarks._system import pairs, questions

ROWS: Final = 24_000
BATCHES: Final = (1, 64)
ASKED: Final = 192
"""Questions of a round."""
TAUGHT_AT_ONCE: Final = 4096
PARTS: Final = ("embed", "search", "lexical", "products", "solve", "weights", "words", "rest")

Function = Callable[..., Any]


class Costs(NamedTuple):
    """What each batch of a round took, in seconds, (batches,)."""

    cpu: list[float]
    wall: list[float]


def measure(rounds: int) -> Report:
    embedder = load(EmbedderSettings().name)
    say(f"teaching {ROWS:,} entries")
    replies = Replies(_taught(embedder).memory, embedder, ResponderSettings())
    values = [Query(text=text, context=CONTEXT).encode() for text in questions()]
    report, rows, cpu, wall = Report(), [], 0.0, 0.0
    for batch in BATCHES:
        _costs(replies, values, batch)  # a warm-up
        costs = [_costs(replies, values, batch) for _ in range(rounds)]
        cpu, wall = _best([each.cpu for each in costs]), _best([each.wall for each in costs])
        spent = _by_part(replies, embedder, values, batch, rounds)
        spent["rest"] = cpu - sum(spent.values())
        rows.append([batch, f"{cpu * 1e3:.2f}", *(f"{spent[part] * 1e3:.2f}" for part in PARTS)])
        together = "" if batch == 1 else f"_{batch}_together"
        report.figures |= {f"{part}_ms{together}": spent[part] * 1e3 for part in PARTS}
        report.figures[f"question_ms_24k{together}"] = cpu * 1e3
    # These are now the times of the largest batch, which is what a responder has at saturation.
    report.figures |= {"questions_per_s": 1 / wall, "questions_per_cpu_s": 1 / cpu}
    columns = ("together", ">CPU ms a question", *(f">{part}" for part in PARTS))
    report.table(f"a question among {ROWS:,} entries, {embedder.identity.name}", columns, rows)
    report.table(
        "a process, without brokers",
        (">questions/s", ">questions/CPU second"),
        [(f"{1 / wall:,.0f}", f"{1 / cpu:,.0f}")],
    )
    return report


def _taught(embedder: Embedder) -> Evaluation:
    evaluation = Evaluation(embedder, SolveSettings())
    events = [TextEvent(text=pair.text, answer=pair.answer, context=CONTEXT) for pair in pairs(ROWS)]
    for block in in_blocks(events, TAUGHT_AT_ONCE):
        evaluation.teach(block)
    if reasons := evaluation.solve():
        raise RuntimeError(f"no weights: {reasons}")
    return evaluation


def _costs(replies: Replies, values: Sequence[bytes], batch: int) -> Costs:
    """Those of the questions of a round, the same in each, asked so many at once."""
    costs, endless = Costs([], []), cycle(values)
    for _ in range(ASKED // batch):
        asked, cpu, wall = list(islice(endless, batch)), time.process_time(), time.perf_counter()
        _ask(replies, asked)
        costs.cpu.append(time.process_time() - cpu)
        costs.wall.append(time.perf_counter() - wall)
    return costs


def _best(rounds: Sequence[Sequence[float]]) -> float:
    """Seconds a question: of each batch, the best of all rounds."""
    seconds: float = sum(min(of_batch) for of_batch in zip(*rounds, strict=True))
    return seconds / ASKED


def _ask(replies: Replies, values: Sequence[bytes]) -> None:
    pending = PendingQueries(wait_s=0.0)
    records = [Record("-", 0, offset, 0, None, value) for offset, value in enumerate(values)]
    pending.add(records, time.monotonic())
    taken = pending.take({}, time.monotonic(), len(records))
    if any(reply.answer.receipt is None for reply in replies.answer(taken)):
        raise RuntimeError("a question was not scored")


def _by_part(
    replies: Replies, embedder: Embedder, values: Sequence[bytes], batch: int, rounds: int
) -> dict[str, float]:
    """CPU seconds of a question by part, the best of all rounds for each."""
    found = []
    for _ in range(rounds):
        with _timed(embedder) as spent:
            _costs(replies, values, batch)
        found.append(Counter({part: seconds / ASKED for part, seconds in spent.items()}))
    return {part: min(counted[part] for counted in found) for part in PARTS if part != "rest"}


@contextmanager
def _timed(embedder: Embedder) -> Iterator[dict[str, float]]:
    """A block in which the CPU seconds of each part are added up."""
    spent = cast(dict[str, float], Counter())
    timed = (
        ("embed", embedder, "embed_questions"),
        ("search", ContextIndex, "search"),
        ("lexical", ContextIndex, "lexical_search"),
        ("lexical", ContextIndex, "lexical_scores"),
        ("products", parts, "with_question"),
        ("weights", rule, "predict"),
        ("weights", ContextIndex, "predicted"),
        ("words", parts, "similarities"),
    )
    with ExitStack() as stack:
        for part, owner, name in timed:
            stack.enter_context(patch.object(owner, name, _timing(getattr(owner, name), part, spent)))
        stack.enter_context(patch.object(parts, "solve_over", _solve_apart(comparing.solve_over, spent)))
        yield spent


def _timing(function: Function, part: str, spent: dict[str, float]) -> Function:
    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.process_time()
        try:
            return function(*arguments, **named)
        finally:
            spent[part] += time.process_time() - began

    return timed


def _solve_apart(solve_over: Function, spent: dict[str, float]) -> Function:
    """The kernel makes products and solves in one call: what the products alone take is taken off."""

    def timed(index: ContextIndex, rows: Any, halves: Sequence[slice], *others: Any) -> Any:
        began = time.process_time()
        solved = solve_over(index, rows, halves, *others)
        ended = time.process_time()
        addresses = index.addresses(rows)
        for half in halves if addresses is not None else ():
            kernels.row_products(cast(Any, addresses), half)
        products = time.process_time() - ended
        spent["products"] += products
        spent["solve"] += max(0.0, ended - began - products)
        return solved

    return timed


if __name__ == "__main__":
    main(measure, rounds=7)
