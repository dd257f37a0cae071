"""The tables of `hurnet evaluate`: one embedder in detail, or several side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_FIGURES = (
    *("file", ">queries", ">rule", ">meaning", ">spelling", ">nearest"),
    *(">rare words", ">words", ">weights", ">MRR", ">answered", ">right"),
)
_MIX = ("answers taught", ">rehearsed", ">right", ">meaning", ">memory", ">rare words", ">words", ">weights")
_KINDS = {"once": "once", "few": "2 to 7 times", "many": "8 times or more"}
_CURVE = ("error rate", ">from probability", ">answered", ">wrong", ">95 % interval", ">unrelated")
_MISSES = ("question", "expected", "answered", ">probability", ">score")
_EMBEDDERS = (
    *("embedder", ">right", ">gained", ">lost", ">MRR", ">answered", ">right of these"),
    *(">unrelated", ">p50 ms"),
)


def show(report: Mapping[str, Any]) -> None:
    """Print the report of one embedder (operations/evaluation_report.py)."""
    from hurnet_stream.terminal.screen import console, facts, table

    out = console()
    rows = [(name, *_shares(share)) for name, share in report["files"].items()]
    if len(rows) > 1:
        rows.append(("all", *_shares(report)))
    if rows:
        out.print(table(_FIGURES, rows))
    out.print(facts(_legend(report)))
    out.print(table(_MIX, _mix(report["mix"]), "how much each part counts, as the pairs have shown"))
    out.print(facts(_learned(report["mix"])))
    if confidence := report["confidence"]:
        out.print(table(_CURVE, _curve(confidence), "what an error rate lets through"))
        out.print(facts(_trusted(confidence)))
    if misses := report["misses"]:
        out.print(table(_MISSES, map(_miss, misses), "the surest of the wrong answers"))


def show_side_by_side(reports: Sequence[Mapping[str, Any]]) -> None:
    """Print one row for each embedder; the first is what the others are compared with."""
    from hurnet_stream.terminal.screen import console, facts, table

    out = console()
    out.print(table(_EMBEDDERS, map(_embedder, reports)))
    legend = [
        ("right", f"share of right answers to {reports[0]['queries']} questions, given or not"),
        ("gained, lost", "questions that only this embedder has right, and that only the first one has"),
        ("MRR", "mean of 1 / rank of the right answer"),
        ("answered", f"share that is {_answered(reports[0])}"),
        ("p50 ms", "half of the questions took less, asked one at a time"),
    ]
    out.print(facts([*legend, *((each["embedder"], note) for each in reports for note in each["notes"])]))


def _embedder(report: Mapping[str, Any]) -> tuple[str, ...]:
    against, unrelated = report.get("against_first"), report["unrelated"]
    return (
        report["embedder"],
        f"{report['accuracy']:.1%}",
        *((f"+{against['gained']}", f"-{against['lost']}") if against else ("", "")),
        f"{report['mrr']:.3f}",
        f"{report['coverage']:.1%}",
        _percent(report["accuracy_covered"]),
        f"{unrelated['answered']} of {unrelated['queries']}",
        f"{report['latency_ms']['p50']:.2f}",
    )


def _shares(share: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        str(share["queries"]),
        *(f"{value:.1%}" for value in (share["accuracy"], *share["parts"].values())),
        f"{share['mrr']:.3f}",
        f"{share['coverage']:.1%}",
        _percent(share["accuracy_covered"]),
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _legend(report: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    latency, unrelated = report["latency_ms"], report["unrelated"]
    if report["files"]:
        yield "rule", "share of right answers, given or not; meaning to weights: by each part alone"
        yield "MRR", "mean of 1 / rank of the right answer"
        yield "answered, right", f"share that is {_answered(report)}, and the share of these that is right"
    if unrelated["queries"]:
        yield "unrelated", f"{unrelated['answered']} of {unrelated['queries']} unrelated questions answered"
    left_out = report["left_out"]
    yield (
        "left out",
        f"{left_out['questions']:,} pairs, {_percent(left_out['accuracy'])} answered by the others",
    )
    yield "context", f"{report['rows']} entries, embedder {report['embedder']}"
    yield "latency", f"p50 {latency['p50']} ms, p99 {latency['p99']} ms, for one question at a time"
    yield from (("note", note) for note in report["notes"])


def _answered(report: Mapping[str, Any]) -> str:
    """What a responder with these settings answers."""
    from hurnet_stream.responder.deciding import MOST_ERRORS

    threshold, rate = report["threshold"], report["error_rate"]
    by_score = f"scored at least {threshold:g}"
    if not rate:
        return by_score
    by_rate = f"sure enough for an error rate of {100 * rate:g} %"
    if rate == MOST_ERRORS:
        by_rate = "more probably right than wrong"
    return f"{by_rate} ({by_score} if too few pairs were taught to tell)"


def _mix(mix: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for kind, learned in mix.items():
        factors = learned["factors"].items()
        marked = (f"{value:g}{'*' if name in learned['learned'] else ''}" for name, value in factors)
        yield _KINDS[kind], str(learned["rehearsed"]), _percent(learned["right"]), *marked


def _learned(mix: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    from hurnet_stream.core.rule.rehearsal import ENOUGH

    yield "rehearsed", "pairs that were left out and asked; right: the share that the others answered rightly"
    if any(learned["learned"] for learned in mix.values()):
        yield "*", "learned: it gave clearly more right answers than the prior, which holds for the others"
    else:
        yield "learned", "nothing: no factor gave clearly more right answers than the prior"
    few = [_KINDS[kind] for kind, learned in mix.items() if learned["rehearsed"] < ENOUGH]
    if few:
        yield "prior", f"for answers taught {', '.join(few)}: fewer than {ENOUGH} rehearsed"


def _curve(confidence: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for point in confidence["curve"]:
        lowest, answered, wrong = point["lowest_probability"], point["answered"], point["wrong"]
        shares = (point["wrong_low"], point["wrong_high"])
        yield (
            f"{point['error_rate']:.0%}",
            _lowest(lowest),
            f"{answered / max(confidence['questions'], 1):.1%}",
            f"{wrong} of {answered}",
            "{:.1%} to {:.1%}".format(*shares) if answered else "-",
            f"{point['unrelated_answered']} of {confidence['unrelated']}",
        )


def _lowest(probability: float | None) -> str:
    from hurnet_stream.core.rule.confidence import NEVER

    if probability is None:
        return "-"
    return "none" if probability == NEVER else f"{probability:.4f}"


def _trusted(confidence: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    error, by_chance = confidence["calibration_error"], confidence["by_chance"]
    yield "error rate", "HURNET_RESPONDER_ERROR_RATE, 50% by default"
    yield "from", "none: no probability is high enough; -: too few pairs for it, so the threshold decides"
    yield "probabilities", f"learned from {confidence['rehearsed']} questions made of the pairs themselves"
    yield "their error", f"{error:.3f} on average; {by_chance:.3f} would be chance"


def _miss(miss: Mapping[str, Any]) -> tuple[str, ...]:
    probability = miss["probability"]
    sure = "-" if probability is None else f"{probability:.2f}"
    return miss["text"], miss["expected"], miss["answered"], sure, f"{miss['score']:.2f}"
