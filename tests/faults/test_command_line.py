"""The command line on a real system: a terminal, pipes, and JSON from every command."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest

from hurnet_schemas import TextEvent
from hurnet_stream.exit_codes import HUNG_UP, TERMINATED
from tests.acceptance.system import System, metric, wait_for

PAIRS = [
    ("I forgot my password", "reset-password", {"lang": "en", "price": "5"}),
    ("how do I reset my password?", "reset-password", {"lang": "en", "price": "50"}),
    ("esqueci minha senha", "redefinir-senha", {"lang": "pt"}),
    ("where is my invoice", "open-billing", {"lang": "en"}),
    ("שכחתי סיסמה", "איפוס סיסמה", {"lang": "he"}),
]


@pytest.fixture(scope="module")
def system(
    kafka_bootstrap: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """One for all tests here: workers, five texts, and one record that is no text."""
    folder = tmp_path_factory.mktemp("command-line")
    history = {
        "XDG_STATE_HOME": str(folder),
        "HURNET_RESPONDER_THRESHOLD": "0",
        "HURNET_RESPONDER_WAIT": "60",
    }
    with System(kafka_bootstrap, valkey_url, f"cli{os.getpid()}", folder, **history) as system:
        system.create_topics()
        workers = [system.start(role) for role in ("ingest", "solver", "responder", "feedback")]
        events = [TextEvent(text=t, answer=a, metadata=m) for t, a, m in PAIRS]
        system.teach([*events, b"\x1b[31mno json"])
        for worker in workers:
            worker.wait_ready()
        wait_for(lambda: len(system.texts_in_store()) == len(PAIRS), what="all taken in")
        wait_for(lambda: system.rows_folded() == len(PAIRS), what="all learned")
        followed = partial(metric, name="hurnet_context_rows")
        wait_for(lambda: followed(workers[2].get("/metrics")[1]) == len(PAIRS), what="all followed")
        yield system


HURNET = (sys.executable, "-m", "hurnet_stream")
PATIENT = ("--timeout", "60")
READS = "\x1b[?2004h"
"""What readline writes when it begins to read a line: from now on pastes come in brackets."""


def _owns_its_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which tests that were started by nohup ignore


class Terminal:
    """A command on a terminal of its own, into which one can type."""

    def __init__(
        self, system: System, *arguments: str, program: Sequence[str] = HURNET, **variables: str
    ) -> None:
        environment = {**os.environ, **system.variables, "TERM": "xterm", "NO_COLOR": "1", **variables}
        self._master, slave = pty.openpty()
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            [*program, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            start_new_session=True,
            preexec_fn=_owns_its_terminal,  # noqa: PLW1509 - no thread holds a lock
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        self.seen = ""

    def type(self, text: str) -> None:
        """Type once readline reads: what is typed before is not its own."""
        self.expect(READS)
        self.write(text)

    def write(self, text: str) -> None:
        """Type now."""
        os.write(self._master, text.encode())

    def echoes(self) -> bool:
        """Whether the terminal shows what is typed, as it should when nothing runs on it."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def expect(self, text: str, seconds: float = 120.0) -> str:
        """Wait until this is on the screen; returns what came up to it."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} is not in {self.seen!r}"
            try:
                self.seen += os.read(self._master, 65_536).decode(errors="replace")
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:  # the other side has ended
                assert text in self.seen, self.seen
        before, self.seen = self.seen.split(text, 1)
        return before + text

    def press_until(self, key: str, text: str) -> None:
        """Press a key until this is on the screen: readline misses a signal as `end_by` says."""
        for _ in range(60):
            self.write(key)
            with contextlib.suppress(AssertionError):
                self.expect(text, 2)
                return
        raise AssertionError(f"{text!r} is not in {self.seen!r}")

    def end(self) -> int:
        return self.process.wait(120)

    def end_by(self, number: int) -> int:
        """Send a signal until it ends, as an operator would: readline misses one that comes in the instant
        between its prompt and its waiting for a key."""
        for _ in range(6):
            self.process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(20)
        return self.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)


def listed_as_json(system: System, *options: str) -> str:
    done = system.run("list", *options, "--json")
    assert done.returncode in (0, 3), done.stderr
    return done.stdout


def test_a_person_asks_corrects_and_forgets_at_the_prompt(system: System) -> None:
    history = system.folder / "hurnet" / "history"
    with Terminal(system, "ask", *PATIENT) as terminal:
        terminal.type("I lost my passwort\x7fd\n")  # a letter is taken back
        assert "reset-password" in terminal.expect("wrong?")
        terminal.type("/why\n")
        assert "evidence" in terminal.expect("with half for the nearest entry of all")
        terminal.type("/wrong call-us\n")
        terminal.expect("answered from now on: call-us")
        terminal.type("/where lang=pt\n")
        terminal.type("password\n")
        terminal.expect("redefinir-senha")
        terminal.expect("wrong?")
        terminal.type("/where\n")
        terminal.type("\x1b[200~where is\nmy invoice\x1b[201~\n")  # pasted: one question
        terminal.expect("open-billing")
        terminal.expect("wrong?")
        terminal.type("/nonsense\n")
        terminal.expect("/help lists them")
        terminal.type("\x1b[A\x1b[A\n")  # the one before the last, out of the history
        terminal.expect("open-billing")
        terminal.expect("wrong?")
        terminal.type("\x04")
        assert terminal.end() == 0
    kept = history.read_text("utf-8").splitlines()
    assert kept[0] == "I lost my password"
    assert kept.count("where is my invoice") == 2
    assert history.stat().st_mode & 0o777 == 0o600
    with Terminal(system, "ask", *PATIENT) as again:
        again.type("\x1b[A\n")
        again.expect("open-billing")
        again.type("\n")
        assert again.end() == 0


def test_an_entry_is_forgotten_at_the_prompt(system: System) -> None:
    system.teach([TextEvent(text="forget me now please", answer="soon gone", context="passing")])
    wait_for(lambda: "forget me now please" in system.texts_in_store(), what="it is taken in")
    with Terminal(system, "ask", *PATIENT, "--context", "passing") as terminal:
        terminal.type("forget me now please\n")
        terminal.expect("soon gone")
        terminal.type("/forget\n")
        terminal.expect("answered from now on: nothing (abstained)")
        terminal.type("\n")
        assert terminal.end() == 0
    assert listed_as_json(system, "--context", "passing") == ""


def test_without_a_history_nothing_is_kept(system: System, tmp_path: Path) -> None:
    off = {"HURNET_TERMINAL_HISTORY": "0", "XDG_STATE_HOME": str(tmp_path)}
    with Terminal(system, "ask", *PATIENT, "--quiet", **off) as terminal:
        terminal.type("where is my invoice\n")
        terminal.expect("open-billing\r\n")
        terminal.type("\x04")
        assert terminal.end() == 0
    assert list(tmp_path.iterdir()) == []


def test_the_line_is_there_again_after_ctrl_z_and_fg(system: System) -> None:
    with Terminal(system, program=("bash", "--norc", "--noediting"), PS1="$ ") as shell:
        shell.expect("$ ")
        shell.write(f"{shlex.join(HURNET)} ask --quiet --timeout 60\n")
        shell.type("where is my")
        shell.expect("where is my")
        shell.press_until("\x1a", "Stopped")
        shell.expect("$ ")
        assert shell.echoes()
        shell.write("fg\n")
        shell.expect("? where is my")
        shell.write(" bi\x7f\x7finvoice\n")
        shell.expect("open-billing\r\n")
        shell.type("\x04")
        shell.expect("$ ")
        shell.write("exit\n")
        assert shell.end() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, TERMINATED), (signal.SIGHUP, HUNG_UP)])
def test_a_terminal_is_as_it_was_after_a_signal(system: System, number: int, code: int) -> None:
    with Terminal(system, "ask", *PATIENT) as terminal:
        terminal.expect(READS)
        assert terminal.end_by(number) == code
        assert terminal.echoes()


def test_a_terminal_that_knows_no_escape_sequences_gets_none(system: System) -> None:
    with Terminal(system, "ask", *PATIENT, "--quiet", TERM="dumb") as terminal:
        terminal.expect("? ")
        terminal.write("where is my invoice\n")
        assert "\x1b" not in terminal.expect("open-billing\r\n")
        terminal.write("\x04")
        assert terminal.end() == 0


def test_answers_of_a_pipe_are_one_line_each_in_order(system: System) -> None:
    texts = [text for text, _, _ in PAIRS] * 20
    quiet = system.run("ask", *PATIENT, "--quiet", stdin="\n".join(texts) + "\n")
    assert quiet.returncode == 0, quiet.stderr
    assert quiet.stdout.splitlines() == [answer for _, answer, _ in PAIRS] * 20
    as_json = system.run("ask", *PATIENT, "--json", "--neighbours", "2", stdin="\n".join(texts[:5]))
    replies = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert [reply["question"] for reply in replies] == texts[:5]
    assert all(re.fullmatch(r".*-answers/\d+/\d+", reply["record"]) for reply in replies)
    assert all(reply["neighbours"] for reply in replies)
    echoed = system.run("ask", *PATIENT, "--explain", stdin="where is my invoice\n")
    assert "? where is my invoice" in echoed.stdout
    assert "how the score of" in echoed.stdout
    wrong = system.run("ask", *PATIENT, "--quiet", stdin="where is my invoice\n\0\nwhere is my invoice\n")
    assert wrong.stdout.splitlines() == ["open-billing", "", "open-billing"]
    assert (wrong.returncode, "line 2" in wrong.stderr) == (1, True)


def test_filters_choose_who_may_answer(system: System) -> None:
    def asked(*options: str) -> dict[str, Any]:
        done = system.run("ask", *PATIENT, "password", "--json", *options)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    assert asked("--where", "lang=pt")["answer"] == "redefinir-senha"
    cheap = asked("--where", "lang in en,pt", "--where", "price>=10")
    assert cheap["candidates"][0]["text"] == "how do I reset my password?"
    assert cheap["receipt"]["rows"] == 1
    assert asked("--filter", '{"key": "lang", "is": "he"}')["answer"] == "איפוס סיסמה"
    nobody = system.run("ask", *PATIENT, "password", "--quiet", "--where", "lang=xx")
    assert (nobody.returncode, nobody.stdout) == (1, "\n")


def test_entries_and_answers_are_listed(system: System) -> None:
    def listed(*options: str) -> list[dict[str, Any]]:
        done = system.run("list", "--json", *options)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    taught = {text for text, _, _ in PAIRS}
    assert {entry["text"] for entry in listed("--limit", "0")} >= taught
    (one,) = listed("--where", "price>=10")
    assert one["metadata"] == {"lang": "en", "price": "50"}
    assert {"answer": "reset-password", "entries": 2} in listed("--answers")
    table = system.run("list", "--limit", "2")
    (more,) = re.findall(r"--before (\S+)", table.stderr)
    rest = listed("--limit", "0", "--before", more)
    assert len(rest) == len(listed("--limit", "0")) - 2
    absent = system.run("list", "--context", "absent", "--json")
    assert (absent.returncode, absent.stdout) == (3, "")
    unknown = system.run("reshard", "--find", "elsewhere/0/1", "--topic", system.settings.kafka.texts)
    assert (unknown.returncode, "was not forwarded" in unknown.stdout) == (3, True)


def test_dead_letters_are_watched_and_grouped(system: System) -> None:
    # Whoever starts the tests may have SIGINT ignored, and their children inherit that.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    run = "from hurnet_stream.__main__ import main; main()"
    command = [sys.executable, "-c", f"{heeds}; {run}", "dead-letters", "--watch", "--json"]
    environment = {**os.environ, **system.variables}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["begins_with"] == "\x1b[31mno json"
        system.teach([b"\xff"])
        assert json.loads(watching.stdout.readline())["reason"] == "not-utf8"
        watching.send_signal(signal.SIGINT)
        assert watching.wait(120) == 0
    groups = [
        json.loads(line) for line in system.run("dead-letters", "--group", "--json").stdout.splitlines()
    ]
    assert {group["reason"]: group["count"] for group in groups} == {"not-json": 1, "not-utf8": 1}
    assert "not-utf8" in system.run("dead-letters", "--group").stdout


def test_many_corrections_are_sent_at_once_and_taken_back(system: System) -> None:
    said = "where is my bill\tsee-billing\nno answer here\nbill please\tsee-billing\n"
    sent = system.run("correct", "--file", "-", "--metadata", "source=review", "--json", stdin=said)
    assert (sent.returncode, "line 2" in sent.stderr) == (1, True)
    assert [json.loads(line)["line"] for line in sent.stdout.splitlines()] == [1, 3]
    choose = ("--where", "source=review", "--answers")
    wait_for(lambda: '"entries": 2' in listed_as_json(system, *choose), what="both are taught")
    back = system.run("correct", "--file", "-", "--retract", stdin="where is my bill\nbill please\n")
    assert back.returncode == 0, back.stderr
    wait_for(lambda: listed_as_json(system, *choose) == "", what="both are taken back")


def commands(system: System) -> Iterator[Sequence[str]]:
    """Each command that prints for a person, as it would be called on this system."""
    yield from (["topics"], ["status"], ["contexts"], ["list"], ["unanswered", "--times", "1"], ["settings"])
    yield from (["ask", "hi", *PATIENT], ["dead-letters"], ["dead-letters", "--count"], ["rights"])
    yield from (["doctor", *PATIENT], ["verify"], ["repair"], ["weights"], ["compact", "--yes"], ["evaluate"])
    yield ["schemas"]
    yield ["backup", str(system.folder / "store.hurnet")]
    yield ["forget", "--key", "nobody", "--wait", "5"]
    yield ["correct", "hi there", "hello", "--wait", "60"]


def test_every_command_prints_a_json_object_a_line(system: System) -> None:
    pairs = system.folder / "pairs.jsonl"
    pairs.write_text("".join(json.dumps({"text": t, "answer": a}) + "\n" for t, a, _ in PAIRS), "utf-8")
    for command in commands(system):
        files = ["--pairs", str(pairs), "--queries", str(pairs)] if command[0] == "evaluate" else []
        done = system.run(*command, *files, "--json")
        assert done.returncode in (0, 1, 3), (command, done.stdout, done.stderr)
        assert done.stdout or command[0] == "unanswered", command
        for line in (*done.stdout.splitlines(), *done.stderr.splitlines()):
            assert isinstance(json.loads(line), dict | list), (command, line)
            assert not re.search(r"[\x00-\x1f\x7f]", line), command
