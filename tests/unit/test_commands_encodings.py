"""Input in any encoding, output to any terminal: a clear line each, and never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import pytest
from click.testing import CliRunner

from hurnet_schemas import Query, Reply
from hurnet_stream import client
from hurnet_stream.client import over_kafka
from hurnet_stream.command_line import hurnet

ROOT = Path(__file__).parents[2]
PAIRS = "\n".join(
    json.dumps({"text": t, "answer": a}, ensure_ascii=False) for t, a in [("olá", "é"), ("日本", "本")]
)


class Echo:
    """A client that answers each question with itself."""

    asked: list[str]

    def __init__(self, *_: object) -> None:
        Echo.asked = []

    def __enter__(self) -> Echo:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def ask(self, query: Query, timeout: float) -> Reply:
        Echo.asked.append(query.text)
        if query.text == "nobody":
            raise client.NoReply("no reply")
        if query.text in ("rejected", "timed-out"):
            return Reply(id="1", outcome=query.text, reason="\x9b31m because", question=query.text)
        return Reply(id="1", outcome="answered", answer=query.text, question=query.text)

    def submit(self, query: Query, timeout: float) -> Future[Reply]:
        future = Future[Reply]()
        try:
            future.set_result(self.ask(query, timeout))
        except client.NoReply as error:
            future.set_exception(error)
        return future


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name in os.environ:
        if name.startswith("HURNET_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(client, "Client", Echo)
    monkeypatch.setattr(over_kafka, "OverKafka", lambda *_, **_tables: None)
    return CliRunner()


@pytest.mark.parametrize(
    ("data", "asked", "code"),
    [
        ("olá\n日本\n".encode(), ["olá", "日本"], 0),
        ("olá\r日本\r".encode(), ["olá", "日本"], 0),
        ("\ufeffolá\r\n\r\n日本".encode(), ["olá", "日本"], 0),
        ("olá\n日本\n".encode("utf-16"), ["olá", "日本"], 0),
        ("olá\nok\n".encode("latin-1"), ["ok"], 1),
        (b"a\x00b\nok\n", ["ok"], 1),
        (b"\xff\xfeo\x00k", [], 1),  # the mark of UTF-16, and half a character at the end
        (b"\x1b[2J\nok\n", ["ok"], 1),
        (b"x" * 20_000 + b"\nok\n", ["ok"], 1),
        (b"", [], 0),
    ],
)
def test_each_line_is_asked_or_refused_by_itself(
    runner: CliRunner, data: bytes, asked: list[str], code: int
) -> None:
    result = runner.invoke(hurnet, ["ask"], input=data)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code == code
    assert Echo.asked == asked
    assert result.stderr.count("Error: line ") == (code == 1)
    assert not set(result.output) & set(map(chr, [*range(10), *range(11, 32), *range(127, 160)]))


@pytest.mark.parametrize("text", ["nobody", "rejected", "timed-out"])
def test_a_question_without_an_answer_is_exit_code_1(runner: CliRunner, text: str) -> None:
    for arguments, data in ((["ask", text], ""), (["ask"], text + "\n"), (["ask", "--json", text], "")):
        result = runner.invoke(hurnet, arguments, input=data)
        assert result.exit_code == 1
        assert "\x9b" not in result.output


def test_a_question_that_is_none_is_wrong_usage(runner: CliRunner) -> None:
    for text in ("", " ", "\udcff", "a\x07", "x" * 20_000):
        result = runner.invoke(hurnet, ["ask", text])
        assert result.exit_code == 2, text
        assert "\x07" not in result.output


@pytest.mark.parametrize(
    "arguments", [["\x1b[31m"], ["--\u202e"], ["ask", "--top-k", "\x9b"], ["--config", "\x1b]0;"]]
)
def test_wrong_usage_is_told_without_what_a_terminal_obeys(runner: CliRunner, arguments: list[str]) -> None:
    result = runner.invoke(hurnet, arguments)
    assert result.exit_code == 2
    assert not set(result.output) & set("\x1b\x9b\u202e\x07")


def run(*arguments: str | bytes, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("HURNET_")}
    command = [sys.executable, "-m", "hurnet_stream", *arguments]
    here = {"PYTHONPATH": str(ROOT), "HURNET_EMBEDDER_NAME": "hash64"}
    return subprocess.run(
        command, env=outside | here | environment, cwd=folder, capture_output=True, check=False, timeout=120
    )


def test_a_locale_that_has_no_letters_loses_none_in_json(tmp_path: Path) -> None:
    name = b"caf\xe9.jsonl"  # a name that is no UTF-8
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text(PAIRS, "utf-8")
    plain = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = run("evaluate", "--json", "--pairs", name, "--queries", name, folder=tmp_path, **plain)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.decode("ascii"))
    assert (report["accuracy"], list(report["files"])) == (1.0, ["caf\udce9.jsonl"])
    shown = run("evaluate", "--pairs", name, "--queries", name, folder=tmp_path, **plain)
    assert (shown.returncode, b"Traceback" in shown.stderr) == (0, False)
    assert shown.stdout.isascii()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_evaluate_reads_other_encodings_of_unicode(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(PAIRS.replace("\n", "\r").encode(encoding))
    result = CliRunner().invoke(
        hurnet, ["evaluate", "--json", "--embedder", "hash64", "--pairs", str(file), "--queries", str(file)]
    )
    assert json.loads(result.stdout)["accuracy"] == 1


def test_evaluate_names_the_line_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_bytes(PAIRS.encode() + b'\n{"text": "caf\xe9"}\n')
    result = CliRunner().invoke(
        hurnet, ["evaluate", "--embedder", "hash64", "--pairs", str(file), "--queries", str(file)]
    )
    assert (result.exit_code, "line 3: not-utf8" in result.stderr) == (2, True)
