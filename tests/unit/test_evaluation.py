"""`hurnet evaluate`: right figures from a set small enough to count by hand, and clear errors."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from hurnet_schemas import TextEvent
from hurnet_stream.adapters.embedders import load
from hurnet_stream.command_line import hurnet
from hurnet_stream.core.rule.confidence import ERROR_RATES, NEVER, Calibration
from hurnet_stream.core.rule.mix import PRIOR
from hurnet_stream.operations.evaluation import Evaluation, figures
from hurnet_stream.operations.evaluation_report import Outcome, compared, mixed
from hurnet_stream.settings.settings import ResponderSettings, SolveSettings

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
    found = figures(asked, ResponderSettings(threshold=0.0))
    assert found.accuracy == 0.5
    assert found.parts["memory"] == 0.5
    places = [candidate.answer for candidate in asked[2].ranking.candidates].index("off") + 1
    assert found.mrr == pytest.approx((1 + 1 + 1 / places + 0) / 4)
    assert found.coverage == 1.0
    strict = figures(asked[1:], ResponderSettings(threshold=1.0))
    assert (strict.coverage, strict.accuracy_covered) == (0.0, None)


def test_what_a_responder_would_answer_is_covered() -> None:
    evaluation = Evaluation(load("hash256"), SolveSettings(device="cpu"))
    evaluation.teach([TextEvent(text=text, answer=answer) for text, answer in PAIRS])
    asked = evaluation.ask([TextEvent(text="will it rain tomorrow", answer="weather")])
    unsure = Calibration((-2.2, 0.0, 0.0, 0.0), (0.5,) * len(ERROR_RATES), 0.0, 720)  # 0.1 for every answer
    assert figures(asked, ResponderSettings()).coverage == 1.0
    assert figures(asked, ResponderSettings(), unsure).coverage == 0.0
    assert figures(asked, ResponderSettings(error_rate=0), unsure).coverage == 1.0


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
    assert "the surest of the wrong answers" in result.stdout
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
    assert by_rate[0.01]["lowest_probability"] == NEVER
    assert (by_rate[0.01]["answered"], by_rate[0.01]["unrelated_answered"]) == (0, 0)
    point = by_rate[0.05]
    assert (point["answered"], point["wrong"], point["unrelated_answered"]) == (2, 1, 2)
    assert report["calibration_error"] == pytest.approx(0.4, abs=0.01)
    assert not list(tmp_path.glob("*.svg"))
    text = run(*given, "--plot", tmp_path / "trust.svg").stdout
    drawing = ElementTree.parse(tmp_path / "trust.svg").getroot()  # noqa: S314 -- it is our own
    assert drawing.tag.endswith("svg")
    assert "what an error rate lets through" in text
    assert "none" in next(line for line in text.splitlines() if line.strip().startswith("1% "))
    assert "1 of 2" in text
    assert "0.400 on average" in text


def support(count: int) -> list[tuple[str, str]]:
    """Pairs of three answers, each taught `count` times, with a word of its own in each text."""
    words = ("invoice", "parcel", "password")
    return [(f"{word} question number {i}", f"about {word}") for word in words for i in range(count)]


def test_the_mix_says_what_was_rehearsed_and_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = write(tmp_path / "pairs.jsonl", support(20))
    given = ("--pairs", pairs, "--queries", pairs)
    mix = json.loads(run(*given, "--json").stdout)["mix"]
    assert {kind: learned["rehearsed"] for kind, learned in mix.items()} == {"once": 0, "few": 0, "many": 60}
    assert mix["once"]["right"] is None
    assert 0.9 <= mix["many"]["right"] <= 1.0
    changed = replace(PRIOR, many=replace(PRIOR.many, lexical=1.5), rehearsed={"many": 60})
    assert mixed(changed)["many"]["learned"] == ["lexical"]
    assert mixed(changed)["few"]["learned"] == []
    monkeypatch.setattr(Evaluation, "mix", changed)
    text = run(*given).stdout
    assert "1.5*" in text
    assert "learned: it gave clearly more right answers than the prior" in text
    assert "for answers taught once, 2 to 7 times: fewer than 30 rehearsed" in text


def test_embedders_stand_side_by_side(tmp_path: Path) -> None:
    pairs = write(tmp_path / "pairs.jsonl", PAIRS)
    queries = write(tmp_path / "queries.jsonl", [(PAIRS[0][0], "on"), (PAIRS[5][0], "weather")])
    unrelated = write(tmp_path / "unrelated.jsonl", [("zzz qqq xxx", "")])
    given = ("--pairs", pairs, "--queries", queries, "--unrelated", unrelated, "--embedder", "hash64")
    first, second = json.loads(run(*given, "--json").stdout)["embedders"]
    assert (first["embedder"], second["embedder"]) == ("hash256", "hash64")
    assert "against_first" not in first
    assert second["against_first"] == {"gained": 0, "lost": 0}
    assert first["accuracy"] == second["accuracy"] == 1.0
    assert first["unrelated"] == {"queries": 1, "answered": 0}
    text = run(*given).stdout
    rows = [line.split() for line in text.splitlines() if line.strip().startswith("hash")]
    assert [row[:2] for row in rows[:2]] == [["hash256", "100.0%"], ["hash64", "100.0%"]]
    assert rows[1][2:4] == ["+0", "-0"]
    assert "the surest of the wrong answers" not in text


def test_what_only_one_embedder_has_right_is_counted() -> None:
    def outcome(answers: list[str]) -> Outcome:
        evaluation = Evaluation(load("hash64"), SolveSettings(device="cpu"))
        evaluation.teach([TextEvent(text=text, answer=answer) for text, answer in PAIRS])
        asked = evaluation.ask([TextEvent(text="will it rain tomorrow", answer=answer) for answer in answers])
        return Outcome("hash64", evaluation, {"file": asked}, [], [])

    base, other = outcome(["weather", "weather", "on"]), outcome(["off", "off", "weather"])
    assert compared(base, other) == {"gained": 1, "lost": 2}


def test_an_unknown_embedder_is_told_before_any_is_tried(tmp_path: Path) -> None:
    pairs = write(tmp_path / "pairs.jsonl", PAIRS)
    result = run("--pairs", pairs, "--queries", pairs, "--embedder", "no-such")
    assert (result.exit_code, result.stdout) == (2, "")


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
