"""The last scene: the reader asks, on the console's page or here."""

from __future__ import annotations

import click

from hurnet_schemas import InvalidMessage
from hurnet_stream.demo.stage import HOME, SUPPORT, Stage
from hurnet_stream.errors import HurnetError
from hurnet_stream.terminal.answers import explained
from hurnet_stream.terminal.lines import decoded
from hurnet_stream.terminal.questions import typed


def play(stage: Stage, address: str | None) -> None:
    """Say where the console is, if there is one, and ask what is typed, until an empty line."""
    teller = stage.teller
    teller.scene("Your turn")
    if address:
        teller.say("In a browser, to ask, teach, correct and watch:")
        teller.line()
        teller.line(f"   {address}")
        teller.line()
    else:
        teller.say("With the extra `gateway` there would be a page to ask, teach and watch, too.")
    teller.say(
        "Here: type a question for the bike rental's support, or one for the smart home that begins with"
        " `home:`, in English or Portuguese. An empty line ends the demo."
    )
    for line in typed():
        try:
            context, question = addressed(decoded(line))
            teller.show(explained(stage.ask(question, context), advise=False))
        except (click.UsageError, InvalidMessage, HurnetError) as error:
            teller.say(f"Error: {error}")


def addressed(typed: str) -> tuple[str, str]:
    """The context and the question of what was typed: `home: lights off`."""
    name, colon, rest = typed.partition(":")
    if colon and name.strip().casefold() == HOME and rest.strip():
        return HOME, rest.strip()
    return SUPPORT, typed
