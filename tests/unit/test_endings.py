"""How commands end: one line or one JSON object, the exit code of the table, and never a traceback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hurnet_stream import disk, exit_codes
from hurnet_stream.command_line import hurnet
from hurnet_stream.commands import backup
from hurnet_stream.errors import KafkaFailing
from hurnet_stream.settings import redaction
from hurnet_stream.terminal.endings import asked_for_json
from hurnet_stream.terminal.screen import confirm, console, say

ROOT = Path(__file__).parents[2]
FOR_NOBODY = {"completion", "demo", "ingest", "solver", "responder", "slice", "feedback", "canary", "gateway"}
"""What prints a script, plays a show, or logs as HURNET_LOG_FORMAT says."""
SECRET = {"HURNET_REDIS_URL": "redis://me:hunter2@h/0"}
FOR_A_FILE = {"new"}
"""`keys new` prints a table for the file of keys."""
FOR_A_PERSON = sorted(hurnet.commands.keys() - FOR_NOBODY)
ARGUMENTS = {
    "ask": ["hi"],
    "backup": ["-"],
    "correct": ["hi", "hello"],
    "evaluate": ["--pairs", __file__, "--queries", __file__],
    "export": ["-"],
    "forget": ["--entry", "0/1"],
    "keys": ["new", "x"],
    "map": ["tickets"],
    "replay": ["answers/0/1"],
    "restore": ["no-such.hurnet"],
    "weights": ["--answer", "a"],
}


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("HURNET_") or name == "NO_COLOR":
            monkeypatch.delenv(name)


def run(code: str, *arguments: str, **streams: int | None) -> subprocess.CompletedProcess[str]:
    """`hurnet`, after some code, as a process."""
    begin = f"{code}; from hurnet_stream.__main__ import main; main()"
    command = [sys.executable, "-c", begin, *arguments]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.run(command, text=True, check=False, timeout=60, **streams)  # type: ignore[call-overload,no-any-return]


def leaves(name: str) -> list[click.Command]:
    command = hurnet.commands[name]
    return list(command.commands.values()) if isinstance(command, click.Group) else [command]


@pytest.mark.parametrize("command", FOR_A_PERSON)
def test_whatever_prints_for_a_person_prints_json_too(command: str) -> None:
    for leaf in leaves(command):
        if leaf.name in FOR_A_FILE:
            continue
        assert "--json" in {option for parameter in leaf.params for option in parameter.opts}


@pytest.mark.parametrize("command", sorted(set(FOR_A_PERSON) - {"schemas", "settings", "keys", "plan"}))
@pytest.mark.parametrize(
    ("wrong", "kind"),
    [({"HURNET_NONSENSE": "1"}, "configuration-error"), ({}, "no-such-option")],
    ids=["setting", "option"],
)
def test_an_error_is_one_json_object_if_json_was_asked_for(
    command: str, wrong: dict[str, str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    arguments = [command, *ARGUMENTS.get(command, []), "--json", *([] if wrong else ["--no-such"])]
    result = CliRunner().invoke(hurnet, arguments, input="hi\n")
    assert (result.exit_code, result.stdout) == (2, "")
    told = json.loads(result.stderr)
    assert told == {"error": told["error"], "kind": kind, "exit_code": 2}
    assert re.search("HURNET_NONSENSE|--no-such", told["error"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets of kafka-python's
@pytest.mark.parametrize("command", [["topics"], ["ask", "hi"], ["produce"], ["dead-letters"]], ids=" ".join)
def test_a_broker_that_is_away_is_told_as_json(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    kind = "unreachable" if command[0] == "ask" else "kafka-failing"
    monkeypatch.setenv("HURNET_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("HURNET_KAFKA_REQUEST_TIMEOUT", "0.3")
    result = CliRunner().invoke(hurnet, [*command, "--json"], input="hi\n")
    told = json.loads(result.stderr.splitlines()[-1])
    assert (result.exit_code, told["kind"], told["exit_code"]) == (2, kind, 2)


@pytest.mark.parametrize("given", [[], ["--json"]])
def test_an_error_names_its_option_or_file_once(given: list[str], tmp_path: Path) -> None:
    wrong = CliRunner().invoke(hurnet, ["ask", "hi", "--after", "\x1b[31m", *given]).stderr
    assert wrong.count("--after") == 1
    assert "\x1b" not in wrong
    misspelt = CliRunner().invoke(hurnet, ["ask", "hi", "--no-colour", *given]).stderr
    assert "Did you mean '--no-color'" in misspelt
    absent = CliRunner().invoke(hurnet, ["produce", str(tmp_path / "absent"), *given]).stderr
    assert absent.count("absent") == 1


@pytest.mark.parametrize("given", [[], ["--json"]], ids=["plain", "json"])
@pytest.mark.parametrize("command", [["evaluate", "--pairs"], ["restore", "--check"]], ids=" ".join)
def test_a_file_that_is_none_is_wrong_input(command: list[str], given: list[str], tmp_path: Path) -> None:
    file = tmp_path / "absent" if command[0] == "restore" else Path(__file__)
    result = CliRunner().invoke(hurnet, [*command, str(file), *given])
    assert (result.exit_code, result.stdout, str(file) in result.stderr) == (2, "", True)


def test_the_name_of_a_backup_is_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(disk, "sync", synced.append)
    with backup.opened(tmp_path / "store.hurnet") as out:
        out.write(b"rows")
        assert not synced
    assert (synced, [file.name for file in tmp_path.iterdir()]) == ([tmp_path], ["store.hurnet"])


def test_json_as_a_text_is_no_option() -> None:
    assert asked_for_json(["ask", "hi", "--json"])
    assert not asked_for_json(["ask", "--", "--json"])


def test_notes_are_json_too_and_no_control_character_comes_through() -> None:
    @click.command()
    @click.option("--json", is_flag=True, expose_value=False)
    def noted() -> None:
        say("warning: \x1b[31mred\u202e", err=True)

    hurnet.add_command(noted)
    try:
        plain, as_json = (CliRunner().invoke(hurnet, ["noted", *given]).stderr for given in ([], ["--json"]))
    finally:
        del hurnet.commands["noted"]
    assert plain == "warning: \\x1b[31mred\\u202e\n"
    assert json.loads(as_json) == {"note": "warning: \x1b[31mred\u202e"}
    assert "\x1b" not in as_json


def test_a_program_is_never_asked_for_a_yes() -> None:
    @click.command()
    @click.option("--json", is_flag=True, expose_value=False)
    def asking() -> None:
        confirm("Drop it?", "--yes")
        say("dropped")

    hurnet.add_command(asking)
    try:
        yes, no = (CliRunner().invoke(hurnet, ["asking"], input=typed) for typed in ("y\n", "n\n"))
        program = CliRunner().invoke(hurnet, ["asking", "--json"], input="y\n")
    finally:
        del hurnet.commands["asking"]
    assert (yes.exit_code, yes.stdout) == (0, "dropped\n")
    assert (no.exit_code, no.stdout, "nothing was done" in no.stderr) == (2, "", True)
    assert (program.exit_code, program.stdout) == (2, "")
    assert "--yes" in json.loads(program.stderr)["error"]


def test_secrets_in_errors_are_hidden_as_json_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        redaction.remember_environment(SECRET)
        raise KafkaFailing("redis://me:hunter2@h/0 is away")

    monkeypatch.setattr("hurnet_stream.settings.settings.load", fail)
    for given in ([], ["--json"]):
        result = CliRunner().invoke(hurnet, ["topics", *given])
        assert "redis://me:(hidden)@h/0 is away" in result.stderr


def fault_of(*arguments: str) -> subprocess.CompletedProcess[str]:
    known = f"from hurnet_stream.settings import listing, redaction; redaction.remember_environment({SECRET})"
    return run(f"{known}; listing.settings = lambda: {{}}['hunter2 at redis']", *arguments)


def test_a_fault_of_hurnet_is_one_line_and_its_traceback_is_there_if_asked_for() -> None:
    done = fault_of("settings")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"Error: a fault of hurnet: KeyError: .*line \d+\).*--traceback.*\n", done.stderr)
    told = json.loads(fault_of("settings", "--json").stderr)
    assert (told["kind"], told["exit_code"]) == ("key-error", 1)
    full = fault_of("--traceback", "settings").stderr
    assert "Traceback" in full
    assert "hunter2" not in done.stderr + str(told) + full


@pytest.mark.parametrize("command", [["settings", "--all"], ["settings", "--json"], ["--help"]], ids=" ".join)
def test_nobody_who_reads_on_ends_a_command_quietly(command: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run("pass", *command, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (exit_codes.NOBODY_READS, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_an_output_that_is_full_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = run("pass", "settings", stdout=full.fileno())
    assert done.returncode == 1
    assert re.fullmatch(r"Error: can't write to standard output: .*\n", done.stderr)


def test_ctrl_c_ends_without_a_word() -> None:
    # A shell has what it runs in its background ignore SIGINT, and so would this child.
    interrupted = (
        "import hurnet_stream.settings.listing as l, signal; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "l.settings = lambda: signal.raise_signal(signal.SIGINT)"
    )
    done = run(interrupted, "settings")
    assert (done.returncode, done.stderr.strip()) == (exit_codes.INTERRUPTED, "")


OTHERS = [("SIGTERM", exit_codes.TERMINATED), ("SIGHUP", exit_codes.HUNG_UP)]
"""Signals that end a command, but Ctrl-C, and its exit codes."""


@pytest.mark.parametrize(("number", "code"), OTHERS)
def test_other_signals_end_a_command_as_ctrl_c_does(number: str, code: int) -> None:
    ended = (
        "import contextlib, signal; import hurnet_stream.settings.listing as l\n"
        # Under nohup it would be ignored.
        f"signal.signal(signal.{number}, signal.SIG_DFL)\n"
        "def killed():\n"
        "    with contextlib.ExitStack() as stack:\n"
        "        stack.callback(print, 'left behind nothing', flush=True)\n"
        f"        signal.raise_signal(signal.{number})\n"
        "l.settings = killed"
    )
    done = run(ended, "settings")
    assert (done.returncode, done.stdout, done.stderr) == (code, "left behind nothing\n", "")


@pytest.mark.parametrize(("number", "code"), [("SIGINT", exit_codes.INTERRUPTED), *OTHERS])
def test_signals_end_a_command_without_a_word_while_it_is_imported(number: str, code: int) -> None:
    ended = (
        "import signal, sys\n"
        # Whoever starts the tests may have it ignored.
        f"signal.signal(signal.{number}, signal.default_int_handler)\n"
        "class Imports:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == 'click': signal.raise_signal(signal.{number})\n"
        "sys.meta_path.insert(0, Imports())"
    )
    done = run(ended, "settings")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    ignored = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); import hurnet_stream.settings.listing"
        " as l; known = l.settings; l.settings = lambda: (signal.raise_signal(signal.SIGHUP), known())[1]"
    )
    assert run(ignored, "settings", "--json").returncode == 0


def closing(redirections: str, *command: str) -> tuple[int, str]:
    """The exit code, and what standard output and standard error had, of a command with streams closed."""
    line = f'exec "$@" {redirections}'
    called = ["sh", "-c", line, "sh", sys.executable, "-m", "hurnet_stream", *command]
    done = subprocess.run(called, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_streams_that_are_closed_are_no_fault() -> None:
    for command in (
        ["ask"],
        ["keys", "check", "--file", os.devnull],
        ["replay", "-"],
        ["correct", "--file=-"],
    ):
        code, said = closing("<&-", *command)
        assert (code in (0, 2, 3), "fault" in said) == (True, False), said
    code, said = closing(">&-", "settings")
    assert (code, said) == (1, "Error: can't write to standard output: Bad file descriptor\n")
    assert closing(">&-", "settings", "--nonsense")[0] == 2
    assert closing("2>&-", "settings", "--nonsense") == (2, "")


@pytest.mark.parametrize("given", [["--no-color"], []], ids=["option", "variable"])
def test_without_colours_there_is_no_escape_sequence_at_all(
    given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in CliRunner().invoke(hurnet, ["settings"]).output
    if not given:
        monkeypatch.setenv("NO_COLOR", "1")
    else:
        monkeypatch.setenv("NO_COLOR", "")  # so that it is restored
    assert "\x1b[" not in CliRunner().invoke(hurnet, ["settings", *given]).output


def test_a_console_knows_when_nobody_reads() -> None:
    with pytest.raises(BrokenPipeError):
        console().on_broken_pipe()


def test_the_table_of_exit_codes_has_exactly_those_that_there_are() -> None:
    table = (exit_codes.__doc__ or "").splitlines()
    listed = {int(code) for line in table for code in re.findall(r"^\| (\d+) ", line)}
    single = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    assert listed == single | set(exit_codes.BROKEN_PART.values())


def test_commands_name_no_exit_code_that_is_not_in_the_table() -> None:
    known = {int(code) for code in re.findall(r"^\| (\d+) ", exit_codes.__doc__ or "", re.MULTILINE)}
    for name, command in hurnet.commands.items():
        told = re.sub(r"\s+", " ", command.help or "")
        if stated := re.search(r"Exit code (.*)", told):
            codes = {int(code) for code in re.findall(r"(?:^|\. )(\d{1,3}): ", stated[1])}
            assert codes, name
            assert codes <= known, name
    for file in (ROOT / "workers" / "hurnet_stream" / "commands").glob("*.py"):
        assert not re.findall(r"sys\.exit\(\d", file.read_text("utf-8")), file.name


def test_the_document_has_the_table_of_commands() -> None:
    told = (ROOT / "docs" / "command-line.md").read_text("utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", told, re.MULTILINE)}
    doctor = exit_codes.BROKEN_PART.values()
    assert f"| {min(doctor)} to {max(doctor)} |" in told
    of_workers = {exit_codes.STUCK}
    single = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    assert listed == single - of_workers
