"""The demo's scenes over a system of a few lines: they tell what happened, a broken promise too."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hurnet_schemas import Answer, Candidate, Coordinates, Feedback, Query, Reply, Scores, TextEvent
from hurnet_stream.client.results import Corrected, Forgotten, Watermarks
from hurnet_stream.demo import streaming, your_turn
from hurnet_stream.demo.backstage import Books, Killed, Replies
from hurnet_stream.demo.data import DemoData, Pair, load, unrelated
from hurnet_stream.demo.measuring import Asked, counts
from hurnet_stream.demo.stage import Stage
from hurnet_stream.demo.story import SCENES, kept, play, verdict
from hurnet_stream.demo.telling import COLUMNS, Teller
from hurnet_stream.errors import ConfigurationError, HurnetError
from hurnet_stream.local.errors import ProcessDied

NONE = Answer(id="q", outcome="abstained", reason="best was 0.27")
PARTITIONS = 4


def answered(answer: str, memory: float = 0.5, *others: Candidate) -> Answer:
    return Answer(id="q", outcome="answered", answer=answer, candidates=[candidate(answer, memory), *others])


def candidate(answer: str, memory: float, offset: int = 7) -> Candidate:
    scores = Scores(combined=0.5, meaning=0.5, spelling=0.5, memory=memory, lexical=0.0, words=0.0)
    return Candidate(answer=answer, scores=scores, entry=Coordinates(partition=1, offset=offset), text="t")


@dataclass
class System:
    """Voice and backstage in one. It answers as a person would by `known`, and keeps its promises unless a
    test breaks one."""

    data: DemoData
    known: dict[str, str] = field(default_factory=dict)
    written: int = 0
    deleted: int = 0
    asked: int = 0
    workers: int = 2
    died: str = ""
    broken: Callable[[Books], Books] = lambda books: books
    replies_more: int = 0
    replies_twice: int = 0

    def __post_init__(self) -> None:
        self.right = {pair.text: pair.answer for pair in self.data.questions}

    def teach_many(self, texts: Iterable[TextEvent]) -> Watermarks:
        for text in texts:
            self.written += 1
            if "pet" in text.text:
                self.known["can i bring my dog"] = text.answer or ""
        return self.watermarks()

    def ask(self, question: str, *, context: str, after: Mapping[int, int] | None = None) -> Answer:
        assert context in ("support", "home", "chat")
        self.asked += 1
        known = self.known.get(question) or self.right.get(question)
        return answered(known) if known else NONE

    def ask_many(self, questions: Sequence[str], *, context: str, top_k: int) -> list[Answer]:
        return [self.ask(question, context=context) for question in questions]

    def correct(self, question: str, answer: str, *, given: str | None, context: str) -> Corrected:
        self.written += 1
        self.known |= {question: answer, "my brakes did not work, so i had a fall": answer}
        return Corrected("feedback/0/0", self.watermarks(), taught=True)

    def forget(self, *, entry: tuple[int, int]) -> Forgotten:
        assert entry == (1, 7)
        self.deleted += 1
        self.known.pop("can i bring my dog", None)
        return Forgotten((), self.watermarks())

    def check(self) -> None:
        if self.died:
            raise ProcessDied(self.died)

    def watermarks(self) -> Watermarks:
        return Watermarks({p: (self.written + self.deleted + p) // PARTITIONS - 1 for p in range(PARTITIONS)})

    def answerable(self) -> int:
        return self.written - self.deleted

    def ingests(self) -> int:
        return self.workers

    def kill_an_ingest(self) -> Killed:
        self.workers -= 1
        return Killed(4711, frozenset({0, 1}))

    def wait_answerable(self, watermarks: Mapping[int, int]) -> None:
        assert watermarks == self.watermarks()

    def books(self, watermarks: Mapping[int, int]) -> Books:
        assert watermarks == self.watermarks()
        there = self.written - self.deleted
        return self.broken(Books(there, 0, there, True, self.deleted, 3, ""))

    def replies(self) -> Replies:
        return Replies(self.asked + self.replies_more, self.replies_twice)


@pytest.fixture(scope="module")
def data() -> DemoData:
    return load()


@pytest.fixture
def system(data: DemoData, monkeypatch: pytest.MonkeyPatch) -> System:
    monkeypatch.setattr("hurnet_stream.demo.measuring.RATE", 10_000.0)
    monkeypatch.setattr(streaming, "PAUSE_S", 0.0)
    return System(data)


def told(system: System, width: int = 200) -> tuple[str, list[str]]:
    """What the whole story prints into a pipe, and which of its claims did not hold."""
    out = io.StringIO()
    teller = Teller(Console(file=out, width=width, markup=False, highlight=False))
    whole: Any = system
    play(Stage(whole, whole, teller, system.data), SCENES)
    return out.getvalue(), teller.failures


def test_a_story_that_goes_well_tells_what_happened(system: System) -> None:
    story, failures = told(system)
    assert failures == []
    flat = " ".join(story.split())
    streamed = sum(pair.context != "support" for pair in system.data.stream)
    for part in (
        f"{streamed:,} texts stream in, and a worker is killed",
        "kill -9 4711",
        f"texts sent {len(system.data.stream) + 2:,}",  # the fact and the correction
        f"in the store {len(system.data.stream) + 1:,} and 1 that was forgotten",
        "lost 0",
        "twice 0",
        "texts 1/7",
        f"{2 * len(unrelated())} were rightly not answered; 0 got an answer",
        f"all {len(system.data.questions)} {len(system.data.questions)} 0 0",
    ):
        assert part in flat, part


def test_in_the_end_it_says_in_short_what_failed() -> None:
    out = io.StringIO()
    teller = Teller(Console(file=out, width=200, markup=False, highlight=False))
    assert verdict(teller) == 0
    teller.failures += [
        "3 texts are lost",
        "the worker solver was ended by SIGKILL; its last lines:\nserving",
    ]
    assert verdict(teller) == 1
    said = [line.strip() for line in out.getvalue().splitlines()]
    assert said == ["", "the demo failed:", "3 texts are lost", "the worker solver was ended by SIGKILL"]


@pytest.mark.parametrize("width", [200, 80])
def test_it_fits_the_screen_and_carries_no_colours_into_a_pipe(system: System, width: int) -> None:
    story, _ = told(system, width)
    assert max(map(len, (line.rstrip() for line in story.splitlines()))) <= COLUMNS
    assert "\x1b" not in story


def unlearned(system: System) -> None:
    system.teach_many = lambda texts: System.teach_many(  # type: ignore[method-assign]
        system, [TextEvent(text=text.text.replace("pet", "cat")) for text in texts]
    )


def remembering(system: System) -> None:
    def forget(*, entry: tuple[int, int]) -> Forgotten:
        system.deleted += 1
        return Forgotten((), system.watermarks())

    system.forget = forget  # type: ignore[method-assign]


def stubborn(system: System) -> None:
    def correct(question: str, answer: str, *, given: str | None, context: str) -> Corrected:
        system.written += 1
        return Corrected("feedback/0/0", system.watermarks(), taught=True)

    system.correct = correct  # type: ignore[method-assign]


def silent(system: System) -> None:
    def ask(question: str, *, context: str, after: Mapping[int, int] | None = None) -> Answer:
        if after is None:  # who asks during the stream
            raise HurnetError("no reply within 20 s")
        return System.ask(system, question, context=context, after=after)

    def ask_many(questions: Sequence[str], *, context: str, top_k: int) -> list[Answer]:
        return [System.ask(system, question, context=context) for question in questions]

    system.ask, system.ask_many = ask, ask_many  # type: ignore[method-assign]


def books(**wrong: Any) -> Callable[[System], None]:
    def broken(system: System) -> None:
        system.broken = lambda right: replace(
            right, **{name: value(right) if callable(value) else value for name, value in wrong.items()}
        )

    return broken


def deserted(system: System) -> None:
    """Nobody takes over what the killed one had."""
    system.kill_an_ingest = lambda: Killed(4711, frozenset())  # type: ignore[method-assign]


BROKEN: dict[str, tuple[Callable[[System], None], str]] = {
    "the fact is not learned": (unlearned, "the answer should be: Yes, in the basket"),
    "the fact is not forgotten": (remembering, "the fact is still known"),
    "the correction has no effect": (stubborn, "both answers should be: Call 0800"),
    "a question during the stream has no answer": (silent, "a question was not answered: no reply within"),
    "nobody takes over": (deserted, "no worker was killed, or nobody took over from it"),
    "texts are lost": (books(stored=lambda right: right.stored - 3), "3 texts are lost"),
    "a text is there twice": (
        books(stored=lambda right: right.stored + 1, twice=1),
        "1 texts are in the store twice",
    ),
    "not all is answerable": (books(answerable=5), "5 of"),
    "the deleted is still there": (books(deleted=0), "0 entries are deleted, not 1"),
    "verify finds a difference": (
        books(equal=False, difference="another vector"),
        "`hurnet verify` found a difference: another vector",
    ),
    "an answer is missing": (lambda system: setattr(system, "replies_more", -1), " answers"),
    "an answer came twice": (lambda system: setattr(system, "replies_twice", 1), "answered twice"),
}


@pytest.mark.parametrize("promise", BROKEN)
def test_a_broken_promise_is_told_and_not_glossed_over(system: System, promise: str) -> None:
    breaks, said = BROKEN[promise]
    breaks(system)
    story, failures = told(system)
    assert any(said in failure for failure in failures), failures
    assert "NOT SO" in story
    in_the_books = not any(f is breaks for f in (unlearned, remembering, stubborn, silent, deserted))
    assert ("Nothing is lost and nothing counts twice" in story) != in_the_books


def test_a_scene_that_can_t_go_on_ends_the_story_with_the_reason(system: System) -> None:
    def books(watermarks: Mapping[int, int]) -> Books:
        raise HurnetError("waited 60 s for the solver")

    system.books = books  # type: ignore[method-assign]
    story, failures = told(system)
    assert failures == ["waited 60 s for the solver"]
    assert "How good are the answers" not in story


def test_if_a_process_has_died_that_is_the_reason_to_tell(system: System) -> None:
    system.died = "the worker solver ended with code 1; its last lines:\nout of memory"
    story, failures = told(system)
    assert failures == [system.died]
    assert "out of memory" in story


class Typed:
    """What somebody types at the end."""

    def __init__(self, *lines: str) -> None:
        self.lines, self.labels = iter(lines), list[str]()

    def read(self, label: str) -> str | None:
        self.labels.append(label)
        return next(self.lines, None)


class Desk:
    """Who is asked at the end: it knows what it was corrected to."""

    def __init__(self) -> None:
        self.asked: list[Query] = []
        self.known: dict[str, str] = {}

    def ask(self, query: Query, *, timeout: float) -> Reply:
        self.asked.append(query)
        return Reply.of(answered(self.known.get(query.text, "no idea")), query.text)

    def correct(self, feedback: Feedback, *, timeout: float) -> Corrected:
        self.known[feedback.question] = feedback.answer or ""
        return Corrected("feedback/0/0", Watermarks({3: 5}), taught=True)


def typed(system: System, monkeypatch: pytest.MonkeyPatch, *lines: str) -> tuple[str, list[str], Desk, Typed]:
    """What the last scene prints, what failed in it, who was asked, and what was typed."""
    desk, prompt, out = Desk(), Typed(*lines), io.StringIO()
    monkeypatch.setattr(your_turn, "Prompt", lambda _history, _words: prompt)
    teller = Teller(Console(file=out, width=200, markup=False, highlight=False))
    client: Any = desk
    backstage: Any = system
    play(Stage(client, backstage, teller, system.data), [partial(your_turn.play, address="http://here")])
    return out.getvalue(), teller.failures, desk, prompt


def test_at_the_end_the_reader_asks_corrects_and_turns_to_the_home(
    system: System, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (
        "is there wifi",
        "/wrong Yes, at the desk.",
        "/bye",
        "/context home",
        "lights off",
        "",
        "no more",
    )
    told, failures, desk, prompt = typed(system, monkeypatch, *lines)
    assert "http://here" in told
    assert failures == []
    assert [query.context for query in desk.asked] == ["support", "support", "home"]
    assert prompt.labels == [*["support? "] * 4, *["home? "] * 2]
    assert "no idea" in told
    printed = capsys.readouterr()
    assert printed.out == "answered from now on: Yes, at the desk.\n"
    assert "/bye is no command" in printed.err


def test_a_worker_that_dies_at_the_end_is_told(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    system.died = "the worker responder was ended by SIGKILL; its last lines:\nserving"
    told, failures, desk, _ = typed(system, monkeypatch, "is there wifi", "what now")
    assert failures == [system.died]
    assert len(desk.asked) == 1
    assert "serving" in told


def test_answers_are_counted_as_given_and_as_they_might_have_been() -> None:
    pair = Pair("q", "A", "home en")
    silent = NONE.model_copy(update={"candidates": [candidate("A", 0.2), candidate("B", 0.9)]})
    asked = [
        Asked(pair, answered("A")),
        Asked(pair, answered("B", 0.1, candidate("A", 0.9))),
        Asked(pair, silent),
        Asked(pair, NONE),
    ]
    assert counts(asked) == (4, 1, 1, 2, 2, 2)


def test_it_keeps_its_files_in_an_empty_folder_only(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for keep, why in ((tmp_path / "full", "holds files"), (tmp_path / "full" / "file", "--keep")):
        with pytest.raises(ConfigurationError, match=why), kept(keep):
            pass
    with kept(tmp_path / "empty" / "new") as folder:
        assert folder.is_dir()
    with kept(None) as folder:
        assert folder.is_dir()
    assert not folder.exists()
