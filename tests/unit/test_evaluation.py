"""`hurnet evaluate`: right figures from a set small enough to count by hand, and clear errors."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from hurnet_schemas import TextEvent
from hurnet_stream.__main__ import hurnet
from hurnet_stream.adapters.embedders import load
from hurnet_stream.core.rule.confidence import ERROR_RATES, NEVER, Calibration
from hurnet_stream.operations.evaluation import Evaluation, figures
from hurnet_stream.settings.settings import SolveSettings

PAIRS = [
    ("turn on the kitchen light", "on"),
    ("switch the lamp on please", "on"),
    ("turn off the kitchen light", "off"),
    ("switch the lamp off please", "off"),
    ("what is the weather tomorrow", "weather"),
    ("will it rain tomorrow", "weather"),
]


def write(path: Path, pairs: list[tuple[str, str]]) -> Path:
    path.write_text("".join(json.dumps({"text": t, "answer": a}) + "\n" for t, a in pairs), "utf-8")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(hurnet, ["evaluate", "--embedder", "hash256", *map(str, arguments)])


def test_figures_are_those_counted_by_hand() -> None:
    evaluation = Evaluation(load("hash256"), SolveSettings(device="cpu"))
    evaluation.teach([TextEvent(text=text, answer=answer) for text, answer in PAIRS])
    assert evaluation.solve() == []
    asked = evaluation.ask(
        [
            TextEvent(text="turn on the kitchen light", answer="on"),
            TextEvent(text="will it rain tomorrow", answer="weather"),
            TextEvent(text="will it rain tomorrow", answer="off"),  # the wrong one is expected
            TextEvent(text="will it rain tomorrow", answer="never taught"),
        ]
    )
    found = figures(asked, threshold=0.0)
    assert found.accuracy == 0.5
    assert found.parts["memory"] == 0.5
    places = [candidate.answer for candidate in asked[2].ranking.candidates].index("off") + 1
    assert found.mrr == pytest.approx((1 + 1 + 1 / places + 0) / 4)
    assert found.coverage == 1.0
    assert figures(asked, threshold=1.1).coverage == 0.0
    assert figures(asked, threshold=1.1).accuracy_covered is None


@pytest.mark.parametrize("heavy", ["closed", "open"])
def test_a_weight_decides_where_texts_contradict_each_other(heavy: str) -> None:
    evaluation = Evaluation(load("hash256"), SolveSettings(device="cpu"))
    text, answers = "is the office open on friday", ("closed", "open")
    evaluation.teach([TextEvent(text=text, answer=a, weight=5 if a == heavy else None) for a in answers])
    assert evaluation.solve() == []
    (asked,) = evaluation.ask([TextEvent(text="office open friday", answer=heavy)])
    assert asked.right("weights")
    assert asked.right("meaning")


def test_json_is_one_object_with_figures_per_file(tmp_path: Path) -> None:
    one = write(tmp_path / "one.jsonl", PAIRS[:4])
    two = write(tmp_path / "two.jsonl", PAIRS[4:])
    result = run("--pairs", one, "--pairs", two, "--queries", one, "--queries", two, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["accuracy"] == 1.0
    assert set(report["parts"]) == {"meaning", "spelling", "memory", "lexical", "words", "weights"}
    assert report["rows"] == len(PAIRS)
    assert {name: figures["queries"] for name, figures in report["files"].items()} == {
        str(one): 4,
        str(two): 2,
    }
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]


def test_the_table_shows_the_surest_misses(tmp_path: Path) -> None:
    pairs = write(tmp_path / "pairs.jsonl", PAIRS)
    queries = write(tmp_path / "queries.jsonl", [("will it rain tomorrow", "something else")])
    result = run("--pairs", pairs, "--queries", queries)
    assert result.exit_code == 0, result.output
    assert "wrong answers with the highest scores" in result.stdout
    assert "something else" in result.stdout


def test_without_pairs_there_are_no_weights_and_it_says_so(tmp_path: Path) -> None:
    plain = tmp_path / "plain.jsonl"
    plain.write_text('{"text": "turn on the light"}\n', "utf-8")
    queries = write(tmp_path / "queries.jsonl", [("turn on the light", "turn on the light")])
    report = json.loads(run("--pairs", plain, "--queries", queries, "--json").stdout)
    assert report["accuracy"] == 1.0
    assert "weights not used" in report["notes"][0]


def test_what_an_error_rate_lets_through_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thresholds = tuple(0.8 if rate >= 0.05 else NEVER for rate in ERROR_RATES)
    learned = Calibration((2.2, 0.0, 0.0, 0.0), thresholds, 0.0, 720)  # 0.9 for every answer
    monkeypatch.setattr(Evaluation, "calibration", learned)  # six pairs would give none
    pairs = write(tmp_path / "pairs.jsonl", PAIRS)
    queries = write(tmp_path / "queries.jsonl", [(PAIRS[0][0], "on"), (PAIRS[5][0], "something else")])
    unrelated = tmp_path / "unrelated.jsonl"
    unrelated.write_text('{"text": "who won"}\n{"text": "who lost", "answer": ""}\n', "utf-8")
    given = ("--pairs", pairs, "--queries", queries, "--unrelated", unrelated)
    report = json.loads(run(*given, "--json").stdout)["confidence"]
    by_rate = {point["error_rate"]: point for point in report["curve"]}
    assert (by_rate[0.01]["answered"], by_rate[0.01]["unrelated_answered"]) == (0, 0)
    point = by_rate[0.05]
    assert (point["answered"], point["wrong"], point["unrelated_answered"]) == (2, 1, 2)
    assert report["calibration_error"] == pytest.approx(0.4, abs=0.01)
    assert not list(tmp_path.glob("*.svg"))
    text = run(*given, "--plot", tmp_path / "trust.svg").stdout
    drawing = ElementTree.parse(tmp_path / "trust.svg").getroot()  # noqa: S314 -- it is our own
    assert drawing.tag.endswith("svg")
    assert "what an error rate lets through" in text
    assert "1 of 2" in text
    assert "0.400 on average" in text


def test_without_a_calibration_there_is_no_curve(tmp_path: Path) -> None:
    pairs = write(tmp_path / "pairs.jsonl", PAIRS)
    result = run("--pairs", pairs, "--queries", pairs, "--plot", tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()
    assert "what an error rate" not in result.stdout
    assert "no probabilities: fewer than 60 pairs" in result.stdout
    assert json.loads(run("--pairs", pairs, "--queries", pairs, "--json").stdout)["confidence"] is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense", "line 1: not-json"),
        ('{"text": "hi"}', 'a question needs the expected "answer"'),
        ('{"text": " ", "answer": "x"}', "line 1: blank-text"),
    ],
)
def test_a_bad_line_is_told_with_its_number(tmp_path: Path, line: str, said: str) -> None:
    pairs = write(tmp_path / "pairs.jsonl", PAIRS)
    queries = tmp_path / "queries.jsonl"
    queries.write_text(line + "\n", "utf-8")
    result = run("--pairs", pairs, "--queries", queries)
    assert result.exit_code != 0
    assert said in result.output


def test_an_unknown_embedder_is_told(tmp_path: Path) -> None:
    pairs = write(tmp_path / "pairs.jsonl", PAIRS)
    result = CliRunner().invoke(
        hurnet, ["evaluate", "--pairs", str(pairs), "--queries", str(pairs), "--embedder", "no-such"]
    )
    assert result.exit_code == 2
    assert "no-such" in result.output
