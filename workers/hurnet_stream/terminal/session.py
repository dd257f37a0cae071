"""The prompt of `hurnet ask`: questions, and small commands about the last answer.

    ? how do I get in again?
    open-billing
    ...
    ? /wrong reset-password
    answered from now on: reset-password

What begins with a slash is a command, and // asks a question that begins with one. After a correction or a
deletion the last question is asked again with all of it taken in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from hurnet_schemas import Feedback, Reply
from hurnet_schemas.places import Marks
from hurnet_stream.client import Client, InvalidRequest, Watermarks
from hurnet_stream.client.messages import made
from hurnet_stream.errors import HurnetError
from hurnet_stream.terminal.answers import looked_into, named
from hurnet_stream.terminal.conditions import condition
from hurnet_stream.terminal.lines import context_name
from hurnet_stream.terminal.questions import How
from hurnet_stream.terminal.score_sheet import shown
from hurnet_stream.terminal.screen import console, say

if TYPE_CHECKING:
    from hurnet_stream.terminal.prompt import Prompt

Show = Callable[[Reply], None]

HELP = """\
/context NAME       ask this context from now on; without a NAME the default one
/top N              show N candidates
/where CONDITION    only entries whose metadata meet it, as in lang=en; without a CONDITION all entries
/why                how the score of the last answer came out
/right              the last answer is right
/wrong [ANSWER]     the last answer is wrong, and this one is right
/forget             delete the entry that the last answer came from
/help               this
/quit               end, as Ctrl-D and an empty line do; //... asks a question that begins with a slash"""


class _Said(click.UsageError):
    """Something that can't be done, for a person to read."""


@dataclass(slots=True)
class Session:
    """Asks what a person types, until the person has enough. `all_well`: every question was looked into."""

    client: Client
    how: How
    show: Show
    last: Reply | None = None
    all_well: bool = True

    def run(self, prompt: Prompt) -> None:
        """Read and do one thing after the other. An error ends none of it."""
        while typed := self._read(prompt):
            if typed == "/quit":
                return
            try:
                self.attempt(typed)
            except KeyboardInterrupt:
                say("\nno longer waited for", err=True)

    def _read(self, prompt: Prompt) -> str | None:
        while True:
            try:
                return prompt.read(f"{self.how.context or ''}? ")
            except KeyboardInterrupt:
                say("\n(Ctrl-D or an empty line ends this)", err=True)

    def attempt(self, typed: str) -> None:
        """Do what was typed, or say why not."""
        try:
            self.do(typed)
        except (click.UsageError, HurnetError) as error:
            said = error.message if isinstance(error, click.UsageError) else str(error)
            say(f"Error: {said}", err=True)
            self.all_well = self.all_well and isinstance(error, _Said)

    def do(self, typed: str) -> None:
        """Do what was typed. Raises `UsageError` and `HurnetError`."""
        if not typed.startswith("/") or typed.startswith("//"):
            self._ask(typed.removeprefix("/") if typed.startswith("//") else typed)
            return
        name, _, rest = typed.partition(" ")
        command = _COMMANDS.get(name)
        if command is None:
            raise _Said(f"{name} is no command; /help lists them, and //... asks a question with a slash")
        command(self, rest.strip())

    def _ask(self, text: str) -> None:
        reply = self.client.ask(self.how.query(text), timeout=self.how.timeout_s)
        self.last = reply
        self.all_well &= looked_into(reply)
        self.show(reply)

    def context(self, name: str) -> None:
        self.how = replace(self.how, context=context_name(name or None))
        say(f"asking the context {self.how.context}", err=True)

    def top(self, number: str) -> None:
        if not number.isascii() or not number.isdigit() or not 1 <= int(number[:4]) <= 100:
            raise _Said(f"{number!r} is not 1 to 100, as in /top 5")
        self.how = replace(self.how, top_k=int(number))

    def where(self, typed: str) -> None:
        chosen: Mapping[str, Any] | None = condition(typed) if typed else None
        replace(self.how, filter=chosen).query("-")  # raises if it is no filter
        self.how = replace(self.how, filter=chosen)

    def why(self, _rest: str) -> None:
        parts = list(shown(self._answered()))
        if not parts:
            raise _Said("the last answer had nothing to be compared with")
        for part in parts:
            console().print(part)

    def right(self, _rest: str) -> None:
        reply = self._with_an_answer()
        self._say_of(reply, {"verdict": "right", "answer": reply.answer})

    def wrong(self, answer: str) -> None:
        reply = self._answered()
        if not answer and reply.answer is None:
            raise _Said("there was no answer; /wrong ANSWER says which one is right")
        self._say_of(reply, {"verdict": "wrong", "answer": answer or None, "given": reply.answer})

    def _say_of(self, reply: Reply, said: Mapping[str, Any]) -> None:
        receipt = reply.receipt
        fields = {"question": reply.question, "context": self._context_of(reply), **said}
        try:
            feedback = made(Feedback, fields | {"query": receipt.query if receipt else None})
        except InvalidRequest as error:
            raise _Said(error.why) from None
        self._again(reply, self.client.correct(feedback, timeout=self.how.timeout_s).watermarks)

    def forget(self, _rest: str) -> None:
        reply = self._with_an_answer()
        shown = reply.receipt.entry if reply.receipt else None
        shown = reply.candidates[0].entry if reply.candidates else shown
        if shown is None:
            raise _Said("the reply does not say which entry the answer is from")
        entry = shown.model_copy(update={"chunk": 0})  # a record is forgotten whole
        self._again(reply, self.client.forget(entry=entry, timeout=self.how.timeout_s).watermarks)
        say(f"{named(entry)} is deleted, and will be unlearned", err=True)

    def _again(self, reply: Reply, watermarks: Marks) -> None:
        """Ask the same again, with what was written taken in, and go on from there."""
        self.how = replace(self.how, after=Watermarks() | self.how.after | watermarks)
        query = replace(self.how, context=self._context_of(reply)).query(reply.question)
        self.last = self.client.ask(query, timeout=self.how.timeout_s)
        say(f"answered from now on: {self.last.answer or f'nothing ({self.last.outcome})'}")

    def _context_of(self, reply: Reply) -> str:
        return reply.receipt.context if reply.receipt else context_name(self.how.context)

    def _answered(self) -> Reply:
        if self.last is None:
            raise _Said("nothing was asked yet")
        return self.last

    def _with_an_answer(self) -> Reply:
        reply = self._answered()
        if reply.answer is None:
            raise _Said("the last question had no answer")
        return reply


def _help(_session: Session, _rest: str) -> None:
    say(HELP)


_COMMANDS: Mapping[str, Callable[[Session, str], None]] = {
    "/context": Session.context,
    "/top": Session.top,
    "/where": Session.where,
    "/why": Session.why,
    "/right": Session.right,
    "/wrong": Session.wrong,
    "/forget": Session.forget,
    "/help": _help,
}
COMMANDS = (*_COMMANDS, "/quit")
