"""Answers as a person reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hurnet_schemas import Answer, Coordinates, Receipt

TOSS_UP = 0.02
"""If the runner-up is less than this behind, it might as well have been the answer."""
METADATA_MOST = 200
"""Characters of metadata that are shown of an entry."""


def looked_into(answer: Answer) -> bool:
    """Whether the question was looked into. To abstain counts as that."""
    return answer.outcome in ("answered", "abstained")


def named(entry: Coordinates) -> str:
    """An entry by its topic and its name: texts 2/89, or tickets/3/41."""
    return f"texts {entry.place}" if entry.topic is None else str(entry.place)


def brief(answer: Answer) -> str:
    """The answer alone, on one line; blank if there is none."""
    from hurnet_stream.visible import visible

    return visible(answer.answer or "")


def explained(answer: Answer, advise: bool = True) -> RenderableType:
    """The answer and why it is this one and, if `advise`, how to correct it."""
    from rich.console import Group
    from rich.text import Text

    from hurnet_stream.terminal.screen import facts, isolated
    from hurnet_stream.visible import visible

    if answer.outcome == "answered":
        head = Text(isolated(visible(answer.answer or "")), style="bold")
    else:
        reason = visible(answer.reason or "no reason given")
        head = Text(f"no answer ({answer.outcome}): {reason}", style="yellow")
    return Group(head, facts((*_why(answer), *(_correction(answer) if advise else ()))))


def _why(answer: Answer) -> Iterator[tuple[str, str]]:
    if answer.candidates:
        yield from _candidates(answer)
    elif answer.receipt and answer.receipt.entry:
        yield "  from", named(answer.receipt.entry)
    if answer.candidates_dropped:
        yield "  and", f"{answer.candidates_dropped:,} more that did not fit into the answer"
    if answer.receipt:
        yield from _receipt(answer.receipt)
    yield from _neighbours(answer)


def _candidates(answer: Answer) -> Iterator[tuple[str, str]]:
    """The best one and why, and the others; if there is no answer, first all of them to choose from."""
    if answer.outcome == "answered":
        yield from _best(answer, "score")
        for rank, other in enumerate(answer.candidates[1:], start=2):
            yield f"  {rank}.", f"{other.scores.combined:.2f} {other.answer}"
        return
    for rank, candidate in enumerate(answer.candidates, start=1):
        yield "  choose from" if rank == 1 else "", f"{rank}. {candidate.answer}"
    yield from _best(answer, "best was")


def _best(answer: Answer, label: str) -> Iterator[tuple[str, str]]:
    """What speaks for the best candidate, whether it was good enough or not."""
    from hurnet_stream.visible import below

    best, receipt = answer.candidates[0], answer.receipt
    signals = best.scores.model_dump(exclude_none=True)
    combined = signals.pop("combined")
    shown = ", ".join(f"{name} {value:.2f}" for name, value in signals.items())
    if receipt and receipt.nearest is not None:
        # Half of the score. It is the same for all candidates, so it stands apart from what orders them.
        shown += f"; nearest entry {receipt.nearest:.2f}"
    # A score below the threshold gets as many decimals as show that it is below.
    threshold = receipt.threshold if receipt and combined < receipt.threshold else math.inf
    yield f"  {label}", f"{below(combined, threshold)} ({shown})"
    yield "  from", f"“{best.text}” ({named(best.entry)})" if best.text else named(best.entry)
    if best.metadata:
        yield "  metadata", _metadata(best.metadata)


def _receipt(receipt: Receipt) -> Iterator[tuple[str, str]]:
    from hurnet_schemas.places import watermarks_text

    if receipt.probability is not None:
        yield "  probability", _probability(receipt)
    if receipt.runner_up is not None and receipt.margin is not None:
        if receipt.margin < TOSS_UP:
            yield "  a toss-up", f"with {receipt.runner_up}, which is only {receipt.margin:.2g} behind"
        else:
            yield "  ahead of", f"{receipt.runner_up} by {receipt.margin:.2g}"
    if weights := receipt.weights:
        yield (
            "  weights",
            f"version {weights.version} of {weights.count:,} pairs: λ {weights.ridge:.3g},"
            f" condition {_figure(weights.condition_number)}, residual {_figure(weights.residual)}",
        )
    # If an error rate decided, the line of the probability says so.
    threshold = "" if receipt.decided_by == "error-rate" else f" threshold {receipt.threshold:g},"
    yield (
        "  searched",
        f"{_rows(receipt)} entries of context {receipt.context!r} in {1000 * receipt.seconds:.1f} ms,"
        f"{threshold} {receipt.embedder}",
    )
    if receipt.filter:
        yield "  filter", receipt.filter
    yield "  seen up to", watermarks_text(receipt.watermarks) or "nothing"


def _rows(receipt: Receipt) -> str:
    """How many entries were searched, and of how many if that was not all."""
    of_all = f" of {receipt.rows_of_context:,}" if receipt.filter and receipt.rows_of_context else ""
    return f"{receipt.rows:,}{of_all}"


def _metadata(metadata: Mapping[str, str]) -> str:
    told = ", ".join(f"{key}={value}" for key, value in sorted(metadata.items()))
    return told if len(told) <= METADATA_MOST else told[: METADATA_MOST - 1] + "…"


def _neighbours(answer: Answer) -> Iterator[tuple[str, str]]:
    for rank, near in enumerate(answer.neighbours):
        place = named(near.entry)
        says = "" if near.answer == near.text else f" → {near.answer}"
        metadata = f" {{{_metadata(near.metadata)}}}" if near.metadata else ""
        label = "" if rank else "  neighbours"
        said = f"“{near.text}”{says} ({place}){metadata}" if near.text else place
        yield label, f"{near.similarity:.2f} {said}"


def _probability(receipt: Receipt) -> str:
    """That the best candidate is right, and what it had to be."""
    from hurnet_stream.visible import below

    probability, lowest = receipt.probability or 0.0, receipt.lowest_probability
    learned = f"learned from {receipt.rehearsed or 0:,} rehearsed questions"
    if lowest is None or receipt.error_rate is None:
        return f"{probability:.2f}, {learned}"
    shown = below(probability, lowest if probability < lowest else math.inf)
    wanted = f"{lowest:.4g} or more for an error rate of {100 * receipt.error_rate:g} %"
    return f"{shown}, {learned}; {wanted}"


def _correction(answer: Answer) -> Iterator[tuple[str, str]]:
    entry = answer.receipt.entry if answer.receipt else None
    entry = answer.candidates[0].entry if answer.candidates else entry
    if answer.outcome == "answered" and entry:
        record = entry.place._replace(chunk=0)
        yield (
            "  wrong?",
            "`hurnet correct QUESTION ANSWER` teaches the right answer;"
            f" `hurnet forget --entry {record}` deletes that entry",
        )


def _figure(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"
