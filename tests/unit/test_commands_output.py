"""What commands print: tables, receipts, JSON, errors of one line."""

import gc
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, Histogram
from rich.cells import cell_len
from rich.console import Console, RenderableType

from hurnet_schemas import Answer, Candidate, Coordinates, Query, Receipt, Scores, TextEvent, WeightsReceipt
from hurnet_stream.adapters.kafka import TopicFinding
from hurnet_stream.command_line import hurnet
from hurnet_stream.commands import up as up_command
from hurnet_stream.commands.settings import PAPER_TITLE, env_lines, toml_lines
from hurnet_stream.commands.status import shown
from hurnet_stream.commands.topics import state
from hurnet_stream.core.rule.rule import PARTS
from hurnet_stream.demo.story import advice
from hurnet_stream.overview.running import Running, missing
from hurnet_stream.overview.system_status import Shard, Status
from hurnet_stream.overview.worker_pages import quantile
from hurnet_stream.settings import listing
from hurnet_stream.settings.settings import Settings
from hurnet_stream.terminal.answers import explained
from hurnet_stream.terminal.screen import PIPED_WIDTH, console, facts, table

COMMANDS = [
    *(
        "demo",
        "up",
        "topics",
        "map",
        "produce",
        "export",
        "ask",
        "correct",
        "unanswered",
        "forget",
        "list",
        "contexts",
        "dead-letters",
        "status",
        "doctor",
        "replay",
        "verify",
        "repair",
        "backup",
        "restore",
        "compact",
        "migrate",
        "reshard",
        "weights",
        "evaluate",
        "plan",
    ),
    *("ingest", "solver", "responder", "slice", "feedback", "canary", "gateway", "keys"),
    *("settings", "rights", "schemas", "completion"),
]


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("HURNET_"):
            monkeypatch.delenv(name)


def printed(*parts: RenderableType, width: int = 200, encoding: str = "utf-8") -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    screen = Console(file=out, width=width, markup=False, highlight=False)
    for part in parts:
        screen.print(part)
    out.flush()
    return out.buffer.getvalue().decode(encoding)


def candidate(answer: str, combined: float, **scores: float) -> Candidate:
    all_scores = {part: 0.5 for part in PARTS if part != "weights"} | scores
    return Candidate(
        answer=answer,
        scores=Scores(combined=combined, **all_scores),
        entry=Coordinates(partition=2, offset=17),
        text="turn [bold]on[/] the light",
    )


RECEIPT = Receipt(
    query="queries/0/1", context="default", rows=4321, embedder="hash512", fingerprint="ff",
    threshold=0.35, nearest=0.81,
    watermarks={1: 20, 0: 19}, margin=0.21, runner_up="HassTurnOff", seconds=0.0123,
    weights=WeightsReceipt(
        version=3, watermarks={0: 19, 1: 20}, count=3120, ridge=0.1, condition_number=41.2, residual=0.118
    ),
)  # fmt: skip


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(hurnet, ["--help"])
    assert result.exit_code == 0
    summaries = [line for line in result.output.split("Commands:\n")[1].split("\n\n")[0].splitlines()]
    assert [line.split()[0] for line in summaries] == COMMANDS
    assert not [line for line in summaries if line.endswith("...")], "cut off: make it shorter"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_gives_examples(command: str) -> None:
    result = CliRunner().invoke(hurnet, [command, "--help"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 4
    examples = result.output.split("Examples:\n")[1].splitlines()
    assert all(re.search(rf"\bhurnet\b.* {command}\b|\bhurnet {command}\b", line) for line in examples)
    assert max(map(len, examples)) <= 100


@pytest.mark.parametrize("command", [[], ["ask"], ["status"], ["weights"]], ids=" ".join)
def test_help_is_quick_because_nothing_heavy_is_imported_for_it(command: list[str]) -> None:
    told = "import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
    run = f"{told}; from hurnet_stream.__main__ import main; sys.argv = sys.argv[1:]; main()"
    done = subprocess.run(
        [sys.executable, "-c", run, "hurnet", *command, "--help"], capture_output=True, text=True, check=True
    )
    assert not {"pydantic", "numpy", "rich", "kafka", "redis", "hurnet_schemas"} & set(done.stderr.split())


def test_options_in_examples_exist() -> None:
    for name, command in hurnet.commands.items():
        below = command.commands.values() if isinstance(command, click.Group) else ()
        parameters = [parameter for each in (command, *below) for parameter in each.params]
        known = {option for parameter in parameters for option in parameter.opts}
        for option in re.findall(rf"hurnet {name} [^|#&\n]*", command.epilog or ""):
            assert set(re.findall(r"--[a-z0-9-]+", option)) <= known


def test_every_option_is_explained() -> None:
    for name, command in hurnet.commands.items():
        below = command.commands.values() if isinstance(command, click.Group) else ()
        for each in (command, *below):
            options = {p.opts[0]: p for p in each.params if isinstance(p, click.Option)}
            assert [option for option, p in options.items() if not p.help] == [], name
            assert "--no-color" in options, name


def test_help_says_where_to_report_a_bug() -> None:
    assert "issue tracker" in CliRunner().invoke(hurnet, ["--help"]).output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_shell_s_script(shell: str) -> None:
    result = CliRunner().invoke(hurnet, ["completion", shell])
    assert result.exit_code == 0
    assert "_HURNET_COMPLETE" in result.output
    assert "\\x" not in result.output


def test_the_script_of_completion_is_answered() -> None:
    asked = {"_HURNET_COMPLETE": "bash_complete", "COMP_WORDS": "hurnet dem", "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "hurnet_stream"]
    environment = {**os.environ, **asked}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["plain,demo"]


ARGUMENTS = {
    "backup": ["no-such.hurnet"],
    "restore": ["no-such.hurnet"],
    "ask": ["hi"],
    "contexts": [],
    "correct": ["hi", "hello"],
    "evaluate": ["--pairs", __file__, "--queries", __file__],
    "export": ["no-such.jsonl"],
    "forget": ["--entry", "0/1"],
    "keys": ["list"],
    "map": ["tickets"],
    "replay": ["answers/0/1"],
    "weights": ["--answer", "a"],
}
NEED_SETTINGS = sorted(hurnet.commands.keys() - {"completion", "demo", "plan", "schemas", "settings"})


@pytest.mark.parametrize("command", NEED_SETTINGS)
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "HURNET_KAFKA_BOOTSTRAPS",
            "x",
            "HURNET_KAFKA_BOOTSTRAPS is no setting; did you mean HURNET_KAFKA_BOOTSTRAP?",
        ),
        ("HURNET_RESPONDER_REPLY_TOPICS", "(", "HURNET_RESPONDER_REPLY_TOPICS: is no regular expression"),
        ("HURNET_CONFIG", "/no/such.toml", "HURNET_CONFIG"),
    ],
)
def test_a_wrong_setting_is_one_line_from_every_command(
    command: str, name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    result = CliRunner().invoke(hurnet, [command, *ARGUMENTS.get(command, [])], input="text\n")
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_settings_are_listed_whatever_is_wrong_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HURNET_RESPONDER_REPLY_TOPICS", "(")
    monkeypatch.setenv("HURNET_NONSENSE", "1")
    result = CliRunner().invoke(hurnet, ["settings"])
    assert (result.exit_code, "HURNET_RESPONDER_REPLY_TOPICS" in result.stdout) == (0, True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets of kafka-python's
@pytest.mark.parametrize("command", [["topics"], ["ask", "hi"], ["produce"]])
def test_a_broker_that_is_not_there_is_one_clear_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HURNET_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("HURNET_KAFKA_REQUEST_TIMEOUT", "0.3")
    result = CliRunner().invoke(hurnet, command, input="text\n")
    assert result.exit_code == 2
    assert re.match(r"Error: (reading answers: )?no Kafka broker at 127\.0\.0\.1:1", result.stderr)
    assert len(result.stderr.splitlines()) == 1
    gc.collect()


def test_a_config_file_is_read_and_its_errors_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HURNET_CONFIG", "restored by monkeypatch")
    file = tmp_path / "hurnet.toml"
    file.write_text("[kafka]\nbootstrap = 7\n")
    result = CliRunner().invoke(hurnet, ["--config", str(file), "topics"])
    assert (result.exit_code, "HURNET_KAFKA_BOOTSTRAP" in result.stderr) == (2, True)


@pytest.mark.parametrize("option", [[], ["--all"], ["--json"], ["--format", "env"]], ids=" ".join)
def test_settings_lists_every_variable(option: list[str]) -> None:
    result = CliRunner().invoke(hurnet, ["settings", *option])
    known = [setting.variable for setting in listing.settings()[0]]
    assert result.exit_code == 0
    assert [name for name in known if name not in result.output] == []


def test_settings_show_first_what_one_needs_first_and_last_the_paper_s_chapters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HURNET_SOLVE_INTERVAL", "2.50")
    for option in ([], ["--all"]):
        output = CliRunner().invoke(hurnet, ["settings", *option]).output
        named = list(dict.fromkeys(re.findall(r"HURNET_[A-Z_]+", output)))
        assert tuple(named[: len(listing.FIRST)]) == listing.FIRST
        assert [name.startswith("HURNET_PAPER_") for name in named[-2:]] == [True, True]
        assert PAPER_TITLE in output
        assert "HURNET_SOLVE_INTERVAL = 2.5 seconds  (environment)" in output
        assert "Longest time from a new pair" in output
        assert "HURNET_METRICS_PORT = 0  (default)" in output


def test_each_setting_has_the_value_in_force_and_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hurnet.toml"
    file.write_text('[kafka]\nbootstrap = "file:1"\ntexts = "from-file"\n[redis]\nprefix = "blue"\n')
    monkeypatch.setenv("HURNET_CONFIG", "restored by monkeypatch")
    monkeypatch.setenv("HURNET_KAFKA_BOOTSTRAP", "environment:1")
    result = CliRunner().invoke(hurnet, ["--config", str(file), "settings", "--json"])
    known = {setting["variable"]: setting for setting in json.loads(result.output)}

    def said(name: str) -> tuple[str, str]:
        return known[name]["value"], known[name]["source"]

    assert said("HURNET_KAFKA_BOOTSTRAP") == ("environment:1", "environment")
    assert said("HURNET_KAFKA_TEXTS") == ("from-file", f"file {file}")
    assert said("HURNET_KAFKA_QUERIES") == ("queries", "default")
    assert said("HURNET_INGEST_GROUP") == ("blue-ingest", "default")
    assert known["HURNET_KAFKA_BOOTSTRAP"]["needed_first"]
    assert known["HURNET_REDIS_TIMEOUT"]["unit"] == "seconds"


@pytest.mark.parametrize("option", [[], ["--all"], ["--json"], ["--format", "toml"]], ids=" ".join)
@pytest.mark.parametrize("wrong", [False, True])
def test_settings_hide_secrets_from_wherever_they_are(
    option: list[str], wrong: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hurnet.toml"
    file.write_text('[redis]\nurl = "redis://me:pw1@h/0"\n[kafka]\nkey_password = "pw2"\n')
    monkeypatch.setenv("HURNET_CONFIG", "restored by monkeypatch")
    monkeypatch.setenv("HURNET_REDIS_PASSWORD", "pw3")
    if wrong:
        monkeypatch.setenv("HURNET_KAFKA_PARTITIONS", "many")
    result = CliRunner().invoke(hurnet, ["--config", str(file), "settings", *option])
    assert result.exit_code == 0
    assert not re.search(r"pw\d", result.output)
    assert ("HURNET_KAFKA_PARTITIONS: " in result.stderr) == wrong
    assert "redis://me:(hidden)@h/0" in result.output or "--format" in option


def test_what_to_try_next_is_three_commands_that_exist() -> None:
    for text in (up_command.advice(workers=True), up_command.advice(workers=False), advice()):
        lines = [line for line in text.splitlines() if line.startswith("  ")]
        assert len(lines) == 3
        for line in lines:
            assert set(re.findall(r"hurnet(?: -m hurnet_stream)? ([a-z]+)", line)) <= set(COMMANDS)


def test_settings_as_toml_are_the_defaults() -> None:
    sections = tomllib.loads("\n".join(toml_lines(listing.settings()[0])))
    assert Settings(**sections) == Settings()
    assert set(sections) == set(Settings.model_fields) - {"topics", "contexts"}  # tables of a file's own


def test_settings_as_environment_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = Settings().model_dump()
    given = [line for line in env_lines(listing.settings()[0]) if not line.startswith("#")]
    for assignment in shlex.split("\n".join(given)):
        name, _, value = assignment.partition("=")
        monkeypatch.setenv(name, value)
    assert len(given) > 40
    assert Settings().model_dump() == defaults


def test_schemas_are_one_object_or_a_file_each(tmp_path: Path) -> None:
    known = json.loads(CliRunner().invoke(hurnet, ["schemas"]).output)
    assert set(known) == {"TextEvent", "Query", "Answer", "Feedback", "DeadLetter", "Asked"}
    assert known["Query"] == Query.model_json_schema()
    CliRunner().invoke(hurnet, ["schemas", "--out", str(tmp_path / "new")])
    written = json.loads((tmp_path / "new" / "TextEvent.json").read_text("utf-8"))
    assert written == TextEvent.model_json_schema()


def test_an_answer_is_explained() -> None:
    answer = Answer(
        id="q", outcome="answered", answer="HassTurnOn", receipt=RECEIPT,
        candidates=[candidate("HassTurnOn", 0.93, weights=0.91), candidate("HassTurnOff", 0.72)],
    )  # fmt: skip
    text = printed(explained(answer))
    for expected in (
        "HassTurnOn", "0.93 (meaning 0.50, spelling 0.50, memory 0.50, lexical 0.50, ",
        "words 0.50, weights 0.91; nearest entry 0.81)",
        "texts 2/17", "2.",
        "“turn [bold]on[/] the light”", "HassTurnOff by 0.21", "version 3 of 3,120 pairs", "condition 41.2",
        "4,321 entries", "12.3 ms", "0=19,1=20",
        "wrong?", "`hurnet forget --entry 2/17`", "`hurnet correct QUESTION ANSWER`",
    ):  # fmt: skip
        assert expected in text
    assert "wrong?" not in printed(explained(answer, advise=False))


def test_an_abstention_says_why_and_what_was_best() -> None:
    answer = Answer(
        id="q",
        outcome="abstained",
        reason="best was 0.31",
        receipt=RECEIPT,
        candidates=[candidate("X", 0.31), candidate("Y", 0.3), candidate("Z", 0.2)],
    )
    text = printed(explained(answer))
    assert "no answer (abstained): best was 0.31" in text
    assert "best was     0.31 (" in text
    assert [line.strip().removeprefix("choose from").strip() for line in text.splitlines()[1:4]] == [
        "1. X", "2. Y", "3. Z",
    ]  # fmt: skip
    assert "no answer (rejected): blank text" in printed(
        explained(Answer(id="q", outcome="rejected", reason="blank text"))
    )


def test_how_sure_an_answer_is_is_said_with_what_decided() -> None:
    def said(**receipt: float | str | None) -> str:
        told = RECEIPT.model_copy(update={"rehearsed": 1224, **receipt})
        return printed(explained(Answer(id="q", outcome="answered", answer="X", receipt=told)))

    assert "0.91, learned from 1,224 rehearsed questions\n" in said(probability=0.912)
    decided = said(probability=0.912, error_rate=0.05, lowest_probability=0.8749)
    assert "questions; 0.8749 or more for an error rate of 5 %" in decided
    assert "0.8699, learned" in said(probability=0.8699, error_rate=0.05, lowest_probability=0.87)
    assert "probability" not in said()
    assert "threshold" in said(decided_by="threshold")
    assert "threshold" not in said(decided_by="error-rate")


def test_narrow_or_plain_terminals_get_the_same_words() -> None:
    rows = [("a long name of a topic", "ação"), ("x" * 60, "ok")]
    narrow = printed(table(("topic", "state"), rows), width=30)
    assert max(map(len, narrow.splitlines())) <= 30
    assert narrow.replace("\n", "").count("x") == 60
    assert "a??o" in printed(table(("topic", "state"), rows), encoding="ascii")


@pytest.mark.parametrize("width", [8, 20, 40, 80, 400])
def test_nothing_is_left_out_in_any_width(width: int) -> None:
    columns = ("entry", "written", "text", "answer", ">weight", "metadata")
    row = ("texts 2/17", "2026-11-28", "how do I log in?", "日本語です", "7", "lang=en, price=50")
    made = (
        printed(table(columns, [row], "\x1b[31mtitle"), width=width),
        printed(facts(zip(columns, row, strict=True)), width=width),
    )
    for text in made:
        assert max(cell_len(line) for line in text.splitlines()) <= width
        letters = re.sub(r"\s", "", text)
        for cell in row:
            assert sorted(letter for letter in cell if letter.strip() and letter not in letters) == []
            if width >= 40:
                assert all(word in text for word in cell.split())
    assert "\\x1b" in made[0]


def test_the_width_is_that_of_columns_if_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for named in ("20", "400", "", "0", "-5", "²", "wide", "9" * 5_000):
        monkeypatch.setenv("COLUMNS", named)
        found[named[:5]] = console().width
    assert (found.pop("20"), found.pop("400")) == (20, 400)
    assert set(found.values()) == {PIPED_WIDTH}


@pytest.mark.parametrize("terminal", [True, False])
def test_columns_are_aligned_in_any_script(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    texts = [
        "plain",
        "日本語です",
        "שכחתי סיסמה 42",
        "نسيت",
        "e\u0301te\u0301",
        "👩‍👩‍👧 👋🏽 🇵🇹",
        "\u202eevil\x1b[31m",
    ]
    lines = printed(table(("text", "mark"), [(text, "|") for text in texts])).splitlines()
    marks = [cell_len(line[: line.rindex("|")]) for line in lines if "|" in line]
    assert len(marks) == len(texts)
    assert len(set(marks)) == 1
    everything = "".join(lines)
    assert ("\u2068שכחתי סיסמה 42\u2069" in everything) == terminal
    assert "\\u202eevil\\x1b[31m" in everything
    assert not {"\u202e", "\x1b"} & set(everything)


def test_the_state_of_a_topic_is_in_words() -> None:
    assert state(TopicFinding("texts", True, False, 4)) == "ok"
    assert state(TopicFinding("texts", True, True, 4)) == "created"
    assert "--create" in state(TopicFinding("texts", False, False, 0, ("missing",)))
    assert state(TopicFinding("texts", True, False, 1, ("too few", "no leader"))) == "too few; no leader"


def test_status_shows_what_it_knows() -> None:
    where = {"logs": "each worker's standard error", "metrics": "port 9100 of each worker's host"}
    found = Status(store_read=True, shards=[Shard(0, 10, 12, 15), Shard(1, 5, 5, None)], where=where)
    text = printed(*shown(found))
    assert all(place in text for place in where.values())
    assert [shard.lag_records for shard in found.shards] == [3, None]
    assert "none yet" in text
    assert [line.split() for line in text.splitlines() if " all " in line] == [["all", "15", "?"]]
    assert found.as_dict()["shards"][0]["lag_records"] == 3


def test_status_lists_who_runs_and_warns_of_every_role_that_nobody_fills() -> None:
    member = {"worker": "hurnet-7@host", "host": "10.0.0.7", "partitions": [0, 2]}
    workers = {"ingest": Running("h-ingest", (member,), 12), "responder": Running("h-responder", (), None)}
    text = printed(*shown(Status(store_read=True, workers=workers)))
    assert "hurnet-7@host" in text
    assert "0, 2" in text
    assert "none in group h-responder" in text
    assert [line.split(",")[0] for line in missing(workers, None, store_read=True)] == [
        "no responder is running",
        "no solver is running",
    ]
    assert list(missing(None, None, store_read=False)) == []  # nothing is known


def test_status_of_nothing_reachable_shows_no_table() -> None:
    assert list(shown(Status(problems=["away"]))) == []


@pytest.mark.parametrize(
    ("values", "expected"), [([], None), ([0.5] * 4, 0.5), ([0.5, 1.5, 1.6, 1.7], 1.0 + 1 / 3)]
)
def test_the_median_of_a_histogram(values: list[float], expected: float | None) -> None:
    registry = CollectorRegistry()
    histogram = Histogram("h", "test", buckets=(1.0, 2.0), registry=registry)
    for value in values:
        histogram.observe(value)
    samples = [s for family in registry.collect() for s in family.samples if s.name == "h_bucket"]
    buckets = {float(sample.labels["le"]): sample.value for sample in samples}
    assert quantile(buckets, 0.5) == (None if expected is None else pytest.approx(expected))
