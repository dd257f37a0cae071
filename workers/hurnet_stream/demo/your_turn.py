"""The last scene: the reader asks and corrects, on the console's page or here."""

from __future__ import annotations

import os
from pathlib import Path

from hurnet_schemas import Reply
from hurnet_stream.demo.stage import HOME, SUPPORT, Stage
from hurnet_stream.terminal.answers import explained
from hurnet_stream.terminal.prompt import History, Prompt
from hurnet_stream.terminal.questions import How
from hurnet_stream.terminal.session import COMMANDS, Session

PATIENCE_S = 20.0
"""For one answer."""


def play(stage: Stage, address: str | None) -> None:
    """Say where the console is, if there is one, and do what is typed, until an empty line. Raises
    `ProcessDied` if a server or a worker has ended meanwhile."""
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
        "Here: type a question for the bike rental's support. `/wrong ANSWER` teaches what would have been"
        f" right, `/context {HOME}` turns to the smart home (in English or Portuguese), and `/help` tells"
        " more. An empty line ends the demo."
    )

    def show(reply: Reply) -> None:
        teller.show(explained(reply, advise=False))

    session = Session(stage.client, How(SUPPORT, after=stage.seen, timeout_s=PATIENCE_S), show)
    prompt = Prompt(History(Path(os.devnull), 0), COMMANDS)
    while (typed := prompt.read(f"{session.how.context}? ")) and typed != "/quit":
        session.attempt(typed)
        stage.backstage.check()
