"""`hurnet ask`: the prompt and its commands, and the sum behind a score."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from rich.console import RenderableType

from hurnet_schemas import Candidate, Coordinates, Feedback, Query, Reply
from hurnet_schemas.answer import Neighbour
from hurnet_schemas.places import Place
from hurnet_stream.client import Client, Corrected, Forgotten, NoReply, Watermarks
from hurnet_stream.client.transport import Forget
from hurnet_stream.responder.responder import Responder
from hurnet_stream.terminal import prompt
from hurnet_stream.terminal.answers import TOSS_UP, brief, explained
from hurnet_stream.terminal.prompt import History, Prompt, history_file
from hurnet_stream.terminal.questions import How
from hurnet_stream.terminal.score_sheet import sheet, shown
from hurnet_stream.terminal.session import COMMANDS, HELP, Session
from tests.unit.test_commands_output import RECEIPT, candidate, printed
from tests.worlds.responder import PAIRS, World, turn


def reply(answer: str | None = "on", **fields: object) -> Reply:
    outcome = "answered" if answer else "abstained"
    chosen = [candidate(answer, 0.9)] if answer else []
    made = {"id": "q", "outcome": outcome, "answer": answer, "question": "?", "receipt": RECEIPT}
    return Reply.model_validate(made | {"candidates": chosen} | fields)


class Echo:
    """A way to a hurnet that answers "on" until it is corrected; it notes what was written."""

    def __init__(self) -> None:
        self.queries: list[Query] = []
        self.said: list[Feedback] = []
        self.forgotten: list[Forget] = []
        self.answers: dict[str, str | None] = {"silence": None}
        self.away = False

    async def ask(self, query: Query, timeout_s: float) -> Reply:
        self.queries.append(query)
        if self.away:
            raise NoReply("no reply")
        receipt = RECEIPT.model_copy(update={"context": query.context})
        return reply(self.answers.get(query.text, "on"), question=query.text, receipt=receipt)

    async def teach(self, texts: object, timeout_s: float) -> Watermarks:
        raise AssertionError(texts)

    async def correct(self, feedback: Feedback, wait_s: float, timeout_s: float) -> Corrected:
        self.said.append(feedback)
        self.answers[feedback.question] = feedback.answer
        return Corrected("feedback/0/1", Watermarks({0: len(self.said)}), True)

    async def forget(self, what: Forget, timeout_s: float) -> Forgotten:
        self.forgotten.append(what)
        return Forgotten(("texts/2/99",), Watermarks({2: 99}))

    async def close(self) -> None: ...


class Typing:
    """Stands for a prompt: what is typed, one after the other."""

    def __init__(self, *typed: str | BaseException) -> None:
        self._typed = iter(typed)
        self.labels: list[str] = []

    def read(self, label: str) -> str | None:
        self.labels.append(label)
        typed = next(self._typed, None)
        if isinstance(typed, BaseException):
            raise typed
        return typed


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def session(echo: Echo) -> Iterator[Session]:
    with Client(echo) as client:
        yield Session(client, How(), lambda each: click.echo(f"<{each.answer}>"))


def run(session: Session, *typed: str | BaseException) -> Typing:
    typing = Typing(*typed)
    session.run(typing)  # type: ignore[arg-type]
    return typing


def test_questions_are_asked_one_after_the_other_until_a_blank_line(
    session: Session, echo: Echo, capsys: pytest.CaptureFixture[str]
) -> None:
    run(session, "lights on", "//etc is what?", "several\nlines", "", "never asked")
    assert [query.text for query in echo.queries] == ["lights on", "/etc is what?", "several\nlines"]
    assert capsys.readouterr().out == "<on>\n" * 3
    assert session.all_well


def test_context_and_filter_and_top_hold_from_then_on(session: Session, echo: Echo) -> None:
    typing = run(session, "/context support", "/top 5", "/where lang=en", "hi", "/where", "/context", "hi")
    first, second = echo.queries
    assert (first.context, first.top_k) == ("support", 5)
    assert first.model_dump(mode="json")["filter"] == {"key": "lang", "is": "en"}
    assert (second.context, second.filter) == ("default", None)
    assert "support? " in typing.labels


def test_a_wrong_answer_is_corrected_and_the_question_asked_again(
    session: Session, echo: Echo, capsys: pytest.CaptureFixture[str]
) -> None:
    run(session, "/context home", "hi", "/context other", "/wrong off")
    (said,) = echo.said
    assert (said.verdict, said.answer, said.given, said.context) == ("wrong", "off", "on", "home")
    assert said.query == RECEIPT.query
    again = echo.queries[-1]
    assert (again.text, again.context, again.min_watermarks) == ("hi", "home", {0: 1})
    assert "answered from now on: off" in capsys.readouterr().out
    run(session, "/right")
    assert (echo.said[-1].verdict, echo.said[-1].answer, echo.said[-1].given) == ("right", "off", None)


def test_what_is_waited_for_never_goes_back(echo: Echo) -> None:
    with Client(echo) as client:
        waiting = Session(client, How(after={0: 50, 3: 1}), lambda _: None)
        run(waiting, "hi", "/wrong off", "hi")
    assert echo.queries[-1].min_watermarks == {0: 50, 3: 1}


def test_an_entry_is_forgotten_and_the_question_asked_again(session: Session, echo: Echo) -> None:
    run(session, "hi", "/forget")
    assert echo.forgotten == [Forget(entry=Place(None, 2, 17))]
    assert echo.queries[-1].min_watermarks == {2: 99}


def test_why_shows_the_sum(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    run(session, "hi", "/why")
    assert "nothing to be compared with" in capsys.readouterr().err  # the receipt here has no mix


@pytest.mark.parametrize(
    "typed",
    [
        *(
            "/nonsense",
            "/",
            "/top",
            "/top 0",
            "/top ²",
            "/top 9" + "9" * 5_000,
            "/where lang",
            "/context No Such",
        ),
        *("/why", "/right", "/wrong", "/wrong x", "/forget", "/where lang=" + "x" * 2_000),
    ],
)
def test_what_can_not_be_done_is_said_and_ends_nothing(
    typed: str, session: Session, echo: Echo, capsys: pytest.CaptureFixture[str]
) -> None:
    run(session, typed, "hi")
    assert capsys.readouterr().err.startswith("Error: ")
    assert [query.text for query in echo.queries] == ["hi"]


def test_without_an_answer_there_is_nothing_to_say_or_forget(
    session: Session, echo: Echo, capsys: pytest.CaptureFixture[str]
) -> None:
    run(session, "silence", "/right", "/forget", "/wrong", "/wrong   ", "/wrong on\0")
    assert capsys.readouterr().err.count("Error: ") == 5
    assert (echo.said, echo.forgotten) == ([], [])
    run(session, "/wrong off")
    assert (echo.said[0].given, echo.said[0].answer) == (None, "off")


def test_no_reply_and_ctrl_c_end_a_question_and_not_the_session(
    session: Session, echo: Echo, capsys: pytest.CaptureFixture[str]
) -> None:
    echo.away = True
    run(session, KeyboardInterrupt(), "hi", "x" * 20_000)
    assert not session.all_well
    assert capsys.readouterr().err.count("Error: ") == 2


def test_help_names_every_command() -> None:
    assert {line.split()[0] for line in HELP.splitlines()} == set(COMMANDS)


def test_a_history_is_short_private_and_one_line_for_each_question(tmp_path: Path) -> None:
    file = tmp_path / "state" / "hurnet" / "history"
    history = History(file, most=3)
    assert history.load() == []
    for question in ["one", "two\nlines\u2028here", "שלום 👋🏽", "a\x1b[31m", *map(str, range(5)), " "]:
        history.add(question)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert "two lines here\nשלום 👋🏽\n" in file.read_text("utf-8")
    assert history.load() == ["2", "3", "4"]
    assert len(file.read_text("utf-8").splitlines()) == 3  # it was cut


def test_a_history_that_can_not_be_kept_keeps_nobody_from_asking(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    for file in (tmp_path, Path("/proc/none/history"), tmp_path / "link", tmp_path / "pipe", None):
        history = History(file, most=3)
        history.add("hi")
        assert history.load() == []
    assert not (tmp_path / "elsewhere").exists()
    off = History(tmp_path / "off", most=0)
    off.add("hi")
    assert not (tmp_path / "off").exists()


def test_a_history_of_somebody_else_is_neither_read_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(tmp_path / "history", most=3)
    history.add("mine")
    monkeypatch.setattr("os.geteuid", lambda: (tmp_path / "history").stat().st_uid + 1)
    history.add("theirs")
    assert history.load() == []
    assert (tmp_path / "history").read_text("utf-8") == "mine\n"


def test_of_a_huge_history_the_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "_BYTES_MOST", 100)
    history = History(tmp_path / "history", most=1_000)
    (tmp_path / "history").write_bytes(b"\0" * 500 + b"no \xff text\n" + b"question\n" * 10)
    read = history.load()
    assert read[-10:] == ["question"] * 10
    assert len(read) <= 11
    assert (tmp_path / "history").stat().st_size <= 100  # it was cut


def test_lines_that_readline_does_not_take_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readline = pytest.importorskip("readline")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    history = History(tmp_path / "history", most=5)
    (tmp_path / "history").write_bytes(b"one\nt\0wo\nthree\n")
    readline.clear_history()
    Prompt(history)
    assert [readline.get_history_item(number) for number in (1, 2, 3)] == ["one", "three", None]


def test_a_history_others_could_read_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "history"
    history = History(file, most=3)
    file.write_text("before\n", "utf-8")
    file.chmod(0o644)
    history.add("hi")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert history.load() == ["before", "hi"]


@pytest.mark.parametrize(("named", "folder"), [("/x/state", "/x/state"), ("relative", None), ("", None)])
def test_the_history_is_where_xdg_says(
    named: str, folder: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", named)
    expected = Path(folder) if folder else Path.home() / ".local" / "state"
    assert history_file() == expected / "hurnet" / "history"


def test_without_a_home_there_is_no_history(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.home", nobody)
    assert history_file() is None


def test_a_prompt_without_a_terminal_reads_lines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = io.TextIOWrapper(io.BytesIO("olá\n\nno \xff".encode("latin-1")), "utf-8")
    monkeypatch.setattr("sys.stdin", typed)
    prompt = Prompt(History(tmp_path / "history", 3))
    read = [prompt.read("? ") for _ in range(4)]
    assert read == ["ol\udce1", "", "no \udcff", None]
    assert capsys.readouterr().out == ""


def responder_of(world: World) -> Responder:
    world.teach(*PAIRS, ("how can I pay?", "card"), ("lights off", "off"))
    return world.responder(threshold=0.0)


@pytest.mark.parametrize("solved", [True, False])
def test_the_sum_that_is_shown_is_the_score(solved: bool) -> None:
    world = World()
    responder = responder_of(world)
    if solved:
        world.solve()
    texts = ("turn the light on please", "weather?", "pay by card", "zzzz light", "LIGHT OF")
    world.ask(*(Query(text=text, top_k=10) for text in texts))
    turn(responder)
    answers = world.answers()
    assert len(answers) == len(texts)
    for answer in answers:
        for each in answer.candidates:
            made = sheet(answer, each)
            assert made is not None
            assert made.combined == pytest.approx(each.scores.combined, abs=1e-9)
            assert len(made.terms) == (6 if solved else 5)
        text = printed(*shown(answer))
        assert f"= {answer.candidates[0].scores.combined:.4f}" in text
        assert "how the score of" in text


def test_what_is_shown_can_be_added_up_by_hand() -> None:
    world = World()
    responder = responder_of(world)
    world.ask(Query(text="turn the light on please"))
    turn(responder)
    (answer,) = world.answers()
    table = [row.split() for row in printed(*shown(answer)).splitlines()]
    terms = [row for row in table if len(row) == 5 and row[0] != "part"]
    (total,) = [row for row in table if row[:1] == ["sum"]]
    for _part, _value, counts, factor, gives in terms:
        assert float(counts) * float(factor) == pytest.approx(float(gives), abs=2e-3)
    assert sum(float(row[4]) for row in terms) == pytest.approx(float(total[2]), abs=1e-3)
    assert sum(float(row[3]) for row in terms) == pytest.approx(float(total[1]), abs=1e-3)


def words(shown: RenderableType) -> str:
    return " ".join(printed(shown).split())


def test_a_small_margin_is_a_toss_up() -> None:
    near, clear = (
        words(explained(reply(receipt=RECEIPT.model_copy(update={"margin": margin}))))
        for margin in (TOSS_UP / 2, TOSS_UP)
    )
    assert "a toss-up with HassTurnOff, which is only 0.01 behind" in near
    assert "ahead of" in clear


def test_metadata_neighbours_and_the_filter_are_shown() -> None:
    entry = Coordinates(partition=1, offset=7)
    best = Candidate.model_validate(
        {**candidate("on", 0.9).model_dump(), "metadata": {"lang": "en", "a": "\x1b[31m"}}
    )
    near = [
        Neighbour(entry=entry, text="lamp on", answer="on", similarity=0.91, metadata={"lang": "en"}),
        Neighbour(entry=entry, text="plain", answer="plain", similarity=0.5),
    ]
    receipt = RECEIPT.model_copy(
        update={"filter": '{"is":"en","key":"lang"}', "rows": 12, "rows_of_context": 4321}
    )
    text = words(explained(reply(candidates=[best], neighbours=near, receipt=receipt)))
    for expected in (
        "metadata a=\\x1b[31m, lang=en",
        "0.91 “lamp on” → on (texts 1/7) {lang=en}",
        "0.50 “plain” (texts 1/7)",
        "12 of 4,321 entries",
        '{"is":"en","key":"lang"}',
    ):
        assert expected in text


def test_a_brief_answer_is_one_line() -> None:
    assert brief(reply("two\nlines\x1b")) == "two\\nlines\\x1b"
    assert brief(reply(None)) == ""
