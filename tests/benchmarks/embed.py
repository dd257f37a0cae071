"""Texts to vectors: each embedder on one thread, on short texts and on longer ones, and one question alone.

Every figure is of processor time, so that what else runs on the machine counts little. Embedders take turns,
so that a slow moment meets all of them alike; figures are medians over the rounds. A text is never embedded
twice in a round, and most of the short ones are typed in a hurry, so words are new all the time.

What is timed is checked: some texts must give the same bytes alone, in another order and without kernels.

The limit of `use` is what its products would take if nothing else took any time, and the processor did as
many float64 multiplications with addition a second as it does at best in a matrix product. What depends on
one token alone is kept (embedders/use_kernels.py) and not counted.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

import numpy as np

from hurnet_stream.adapters.embedders import DEFAULT, load
from hurnet_stream.adapters.embedders.tokens import tokenizer
from hurnet_stream.core.native import disabled
from hurnet_stream.core.native import encoder as kernels
from hurnet_stream.errors import ConfigurationError
from hurnet_stream.ports import Embedder
from tests.benchmarks._report import Report, main, say
from tests.benchmarks._system import pairs, questions
from tests.benchmarks._text import sentences

EMBEDDERS: Final = {
    "default": DEFAULT,
    "use": "use",
    "hash512": "hash512",
    "hash256": "hash256",
    "table": "table512",
    "table_joined": "table512+hash256",
}
"""By the name that their figures begin with."""
AT_ONCE: Final = 256
"""Texts in a call, as ingest has them."""
CALLS: Final = 16
"""Calls a round, for each embedder and each kind of text."""
CHECKED: Final = 120
"""Texts whose bytes are compared."""
ALONE: Final = 200
"""Questions that are timed one by one."""

SECOND_CONVOLUTIONS: Final = (2 + 3 + 5) * 256 * 256
"""Products a token."""
DENSE: Final = 1280 * 512 + 512 * 320 * 2 + 320 * 320 + 320 * 512 * 2 + 512 * 512
"""Products a text."""

Texts = dict[str, list[str]]
Samples = defaultdict[str, list[float]]


def measure(rounds: int) -> Report:
    embedders, missing = _loaded()
    texts = _texts(rounds)
    for name, embedder in embedders.items():
        say(f"checking {name}")
        _check(name, embedder, texts["short"][:CHECKED])
    rates: Samples = defaultdict(list)
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for name, embedder in embedders.items():
            _round(name, embedder, texts, number, rates)
    return _report({name: median(values) for name, values in rates.items()}, texts, missing)


def _loaded() -> tuple[dict[str, Embedder], dict[str, str]]:
    """Embedders by name, and why the others can't be measured."""
    loaded, missing = {}, {}
    for name, asked in EMBEDDERS.items():
        try:
            loaded[name] = load(asked)
        except ConfigurationError as error:
            missing[name] = str(error)
    return loaded, missing


def _texts(rounds: int) -> Texts:
    """So many that each round has its own, by kind."""
    count = rounds * CALLS * AT_ONCE
    lines = sentences()
    chosen = np.random.default_rng(0).permutation(len(lines))[:count]
    return {
        "short": [pair.text for pair in pairs(count)],
        "long": [lines[i] for i in chosen],
        "question": questions()[:ALONE],
    }


def _check(name: str, embedder: Embedder, texts: Sequence[str]) -> None:
    """Ends the benchmark if bytes depend on a text's batch, or on the kernels."""
    rows = embedder.embed(texts)
    other_ways = {
        "in another order": embedder.embed(texts[::-1])[::-1],
        "alone": np.vstack([embedder.embed([text]) for text in texts]),
    }
    with disabled():
        other_ways["without kernels"] = embedder.embed(texts)
    for way, others in other_ways.items():
        if not np.array_equal(rows, others):
            sys.exit(f"{name} gives other bytes for the same text {way}")


def _round(name: str, embedder: Embedder, texts: Texts, number: int, rates: Samples) -> None:
    first = number * CALLS * AT_ONCE
    for kind in ("short", "long"):
        mine = texts[kind][first : first + CALLS * AT_ONCE]
        parts = [mine[i : i + AT_ONCE] for i in range(0, len(mine), AT_ONCE)]
        rates[f"{name} {kind}"].append(len(mine) / sum(_spent(embedder.embed, part) for part in parts))
    alone = [_spent(embedder.embed_questions, [text]) for text in texts["question"]]
    rates[f"{name} question"].append(median(alone))
    if name == "use":
        with disabled():
            few = texts["short"][first : first + AT_ONCE]
            rates["use without kernels"].append(AT_ONCE / _spent(embedder.embed, few))
        rates["products"].append(_products_a_second())


def _spent(call: Callable[..., object], *arguments: object) -> float:
    """Seconds of this process's processor time."""
    began = time.process_time()
    call(*arguments)
    return time.process_time() - began


def _products_a_second() -> float:
    """Of float64 with addition, by the kernel or by BLAS, with a matrix that stays in the nearest cache."""
    x, matrix = np.ones((960, 96)), np.ones((96, 32), np.float32)
    packed = kernels.pack(matrix) if kernels.available() else None

    def several() -> None:
        for _ in range(50):
            _ = kernels.product(x, packed) if packed else x @ matrix

    return 50 * x.size * matrix.shape[1] / min(_spent(several) for _ in range(9))


def _report(rates: dict[str, float], texts: Texts, missing: dict[str, str]) -> Report:
    measured = [name for name in EMBEDDERS if name not in missing]
    report = Report()
    for name in measured:
        report.figures |= {
            f"{name}_texts_per_s": rates[f"{name} short"],
            f"{name}_long_texts_per_s": rates[f"{name} long"],
            f"{name}_question_ms": rates[f"{name} question"] * 1e3,
        }
    report.figures["use_without_kernels_texts_per_s"] = rates["use without kernels"]
    report.figures["checked"] = CHECKED
    letters = {kind: f"{median(map(len, texts[kind])):.0f} letters" for kind in texts}
    report.table(
        "Embedding on one thread; equal bytes were checked alone, in another order and without kernels",
        ("embedder", *(f">texts/s ({letters[kind]})" for kind in ("short", "long")), ">ms a question alone"),
        [
            (
                EMBEDDERS[name],
                f"{rates[f'{name} short']:,.0f}",
                f"{rates[f'{name} long']:,.0f}",
                f"{rates[f'{name} question'] * 1e3:.2f}",
            )
            for name in measured
        ],
    )
    _limit(report, rates, texts)
    if missing:
        report.table(
            "Not measured", ("embedder", "why"), [(EMBEDDERS[name], missing[name]) for name in missing]
        )
    return report


def _limit(report: Report, rates: dict[str, float], texts: Texts) -> None:
    """How near `use` is to what its products alone would take."""
    rows = []
    for kind in ("short", "long"):
        tokens = [len(tokenizer().tokens(text)) + 2 for text in texts[kind][: CALLS * AT_ONCE]]
        products = sum(tokens) / len(tokens) * SECOND_CONVOLUTIONS + DENSE
        limit = rates["products"] / products
        share = rates[f"use {kind}"] / limit
        report.figures |= {f"use_{kind}_limit_texts_per_s": limit, f"use_{kind}_of_limit": share}
        rows.append((kind, f"{median(tokens):.0f}", f"{products / 1e6:.1f}", f"{limit:,.0f}", f"{share:.2f}"))
    report.figures |= {"products_g_per_s": rates["products"] / 1e9}
    report.table(
        f"What the products of use allow, at {rates['products'] / 1e9:.0f} billion a second",
        ("texts", ">tokens, median", ">million products a text", ">limit, texts/s", ">use reaches"),
        rows,
    )


if __name__ == "__main__":
    main(measure, rounds=3)
