"""`hurnet weights`: the columns of W (equation 3), for a classifier that runs without hurnet."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from hurnet_stream.exit_codes import NOT_THERE

if TYPE_CHECKING:
    from hurnet_stream.core.statistics.statistics import Statistics
    from hurnet_stream.settings.settings import SolveSettings

AT_ONCE = 1_024
"""How many columns are solved and printed together, which limits the memory that they take."""
EPILOG = """\b
Examples:
  hurnet weights --context faq > weights.jsonl
  hurnet weights --context faq --answer opening-hours
"""


@click.command(epilog=EPILOG)
@click.option(
    "--context",
    default="default",
    show_default=True,
    metavar="NAME",
    help="The context whose weights to print.",
)
@click.option(
    "--answer",
    "answers",
    multiple=True,
    metavar="ANSWER",
    help="Only the weights of this answer. May be repeated.",
)
@click.option("--json", is_flag=True, expose_value=False, help="Notes and errors as JSON, too.")
def weights(context: str, answers: tuple[str, ...]) -> None:
    """Print the weights of each answer.

    One JSON object a line: {"answer": ..., "weights": [...]}. The score of an answer for a text is the inner
    product of these weights and the text's embedding, a vector of length 1. They are solved from the solver's
    last checkpoint with the solver's settings, and refined until they are right to about the last bit.
    Responders do not need them: they are for a classifier elsewhere. Exit code 3: no pairs have been learned
    for the context.
    """
    from hurnet_stream.adapters.redis import connect_serving
    from hurnet_stream.core.solve.window import Window
    from hurnet_stream.settings import settings
    from hurnet_stream.terminal.learned import learned
    from hurnet_stream.terminal.screen import hush, say

    hush()
    chosen = settings.load()
    connection = connect_serving(chosen.redis)
    try:
        features, checkpoint = learned(chosen, connection)
    finally:
        connection.close()
    window = Window(chosen.solve.half_life_ms, checkpoint.pane)
    statistics = window.combined(checkpoint.statistics, context)
    if statistics is None:
        say(f"no pairs have been learned for the context {context!r}", err=True)
        sys.exit(NOT_THERE)
    if unknown := [answer for answer in answers if answer not in statistics.answer_sums]:
        raise click.BadParameter(f"no pair has the answer {unknown[0]!r}", param_hint="--answer")
    wanted = list(dict.fromkeys(answers)) or sorted(statistics.answer_sums)
    ridge, correction = _print(statistics, wanted, chosen.solve, window.unit)
    say(
        f"{len(wanted):,} answers from {statistics.count / window.unit:,.0f} pairs, features"
        f" {features.identity}, ridge {ridge:g}, last correction {correction:.1e}",
        err=True,
    )


def _print(
    statistics: Statistics, answers: list[str], chosen: SolveSettings, unit: int
) -> tuple[float, float]:
    """Print all columns; returns λ, and the largest relative correction of the last refinement."""
    from hurnet_stream.core.paper.gcv import solve_by_gcv
    from hurnet_stream.core.solve.solve import solve_weights
    from hurnet_stream.terminal.screen import say_json

    ridge = chosen.ridge
    if ridge == "gcv":
        ridge = solve_by_gcv(statistics, chosen.device).certificate.ridge
    correction = 0.0
    for first in range(0, len(answers), AT_ONCE):
        part = answers[first : first + AT_ONCE]
        columns = solve_weights(statistics, part, ridge * unit, chosen.device)
        correction = max(correction, columns.correction)
        for i, answer in enumerate(part):
            say_json({"answer": answer, "weights": columns.weights[:, i].tolist()})
    return ridge, correction
