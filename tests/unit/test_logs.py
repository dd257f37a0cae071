"""Logs: each line in the chosen format, whoever wrote it, without variables, secrets or controls."""

import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
import structlog

from hurnet_stream.runtime.log_lines import MOST_CHARACTERS
from hurnet_stream.runtime.logs import configure, last_words
from hurnet_stream.runtime.tamed import MOST_LINES, WINDOW_S, Tamed
from hurnet_stream.settings import redaction
from hurnet_stream.settings.settings import KafkaSettings, LogSettings, RedisSettings, Settings

ROOT = Path(__file__).parents[2]

SPEAKING = """
import logging, sys, threading, warnings
import structlog
from hurnet_stream.runtime.logs import configure, log_what_nobody_catches
from hurnet_stream.settings.settings import LogSettings

configure(LogSettings(format=sys.argv[1]), "ingest")
log_what_nobody_catches()

def fail():
    a_local = "the value " + "of a variable"
    raise ValueError("message \\x1b[2J of two\\nlines")

log = structlog.get_logger()
log.info("started", rows={1: 2}, text="a\\x1b[31m\\u202e")
log.debug("not shown")
logging.getLogger("hurnet_stream.adapters.kafka.reading.source").warning("an adapter's %s", "warning")
logging.getLogger("hurnet_stream.adapters.kafka.reading.source").info("an adapter's news")
logging.getLogger("kafka.conn").warning("a library's warning")
logging.getLogger("kafka.conn").info("not shown")
logging.getLogger("kafka.conn").error("%d", "not shown")
warnings.warn("a warning of Python's")
try:
    fail()
except ValueError:
    log.exception("crashed")
thread = threading.Thread(target=fail, name="a thread")
thread.start()
thread.join()

class Unraisable:
    def __del__(self):
        fail()

Unraisable()
fail()
"""


def spoken(style: str) -> list[str]:
    command = [sys.executable, "-c", SPEAKING, style]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout == ""
    assert "the value of a variable" not in done.stderr
    assert "\x1b" not in done.stderr
    assert "\u202e" not in done.stderr
    assert "not shown" not in done.stderr
    return done.stderr.splitlines()


def test_every_line_is_json_whoever_wrote_it() -> None:
    lines = [json.loads(line) for line in spoken("json")]
    events = {line["event"]: line for line in lines}
    assert events["started"]["text"] == "a\x1b[31m\u202e"
    assert events["an adapter's warning"]["level"] == "warning"
    assert events["an adapter's news"]["worker"] == "ingest"
    assert events["a library's warning"]["logger"] == "kafka.conn"
    assert events["a log line could not be written"]["error"] == "TypeError"
    assert any("UserWarning: a warning of Python's" in event for event in events)
    thread = events["an exception ended a thread"]
    assert (thread["thread"], thread["worker"]) == ("a thread", "ingest")
    for event in ("crashed", "an exception ended a thread", "an exception that nobody caught"):
        assert events[event]["exception"][0]["exc_type"] == "ValueError"
    assert sum("exception" in line for line in lines) == 4


def test_for_people_a_line_is_a_line_and_a_traceback_its_own() -> None:
    text = "\n".join(spoken("console"))
    assert "[warning  ] an adapter's warning" in text
    assert "a library's warning" in text
    assert text.count("Traceback (most recent call last)") == 4
    assert "ValueError: message \\x1b[2J of two\nlines" in text


def test_secrets_of_the_settings_are_hidden_and_long_strings_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", set())
    kafka = {"password": "kafka-s3cret", "key_password": 'qu"ote\\s3cret'}
    redis = {"password": "redis-s3cret", "url": "redis://me:p%40ss%2Fw0rd@h:1/0"}
    redaction.remember(
        Settings(kafka=KafkaSettings.model_validate(kafka), redis=RedisSettings.model_validate(redis))
    )
    monkeypatch.setattr(sys, "stderr", err := io.StringIO())
    configure(LogSettings(format="json"), "ingest")
    values = [{"a": ["redis-s3cret"]}, 'x qu"ote\\s3cret x', "kafka-s3cret", "p@ss/w0rd", b"redis-s3cret"]
    structlog.get_logger().error("at redis://me:p%40ss%2Fw0rd@h:1/0", values=values, long="x" * 100_000)
    line = err.getvalue()
    assert not [secret for secret in ("s3cret", "w0rd") if secret in line]
    assert len(json.loads(line)["long"]) < MOST_CHARACTERS + 100


def test_secrets_of_settings_that_are_refused_are_known_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", set())
    address = {"HURNET_REDIS_URL": "redis://:s3cret-2@host:port", "OTHER_PASSWORD": "x1x1"}
    redaction.remember_environment({"HURNET_REDIS_PASSWORD": "s3cret-1", **address})
    assert redaction.redacted("s3cret-1 and s3cret-2 at x1x1") == "(hidden) and (hidden) at x1x1"


def record(name: str, message: str) -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, "", 0, message, (), None)


def test_what_a_library_repeats_is_told_once_a_window_with_how_much_was_left_out() -> None:
    now = [0.0]
    tamed = Tamed(("hurnet_stream",), clock=lambda: now[0])
    assert [tamed.filter(record("kafka.conn", "away")) for _ in range(100)] == [True] + [False] * 99
    assert all(tamed.filter(record("hurnet_stream.runtime.loop", "ours")) for _ in range(100))
    now[0] = WINDOW_S
    again = record("kafka.conn", "away")
    assert tamed.filter(again)
    assert again.left_out == 99  # type: ignore[attr-defined]


def test_lines_that_differ_are_bounded_too() -> None:
    tamed = Tamed(("hurnet_stream",), clock=lambda: 0.0)
    passed = sum(tamed.filter(record("kafka.conn", f"away {i}")) for i in range(10_000))
    assert passed == MOST_LINES
    assert tamed.filter(record("redis.client", "another library"))


def test_the_last_words_of_a_process_are_a_line_like_others() -> None:
    configure(LogSettings(format="json"))
    assert json.loads(last_words("forced end: \x1b")) == {"event": "forced end: \x1b", "level": "critical"}
    configure(LogSettings(format="console"))
    assert last_words("forced end: \x1b") == b"forced end: \\x1b\n"


@pytest.mark.parametrize("style", ["json", "console"])
def test_an_exception_that_may_quote_a_text_is_shown_without_its_message(
    style: Literal["json", "console"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", err := io.StringIO())
    configure(LogSettings(format=style), "responder")
    try:
        try:
            raise KeyError("what a user asked")
        except KeyError as cause:
            raise ValueError("what a user asked") from cause
    except ValueError:
        structlog.get_logger().exception("scoring failed", private=True)
    said = err.getvalue()
    assert "what a user asked" not in said.replace('raise KeyError("what a user asked")', "").replace(
        'raise ValueError("what a user asked") from cause', ""
    )
    assert "KeyError" in said
    assert "ValueError" in said
    assert "test_logs.py" in said
