"""A gateway with servers in memory, as a process with a real socket (`python -m`).

Its first argument is a JSON object: settings of the gateway, and under "clock" the time-outs of connections.
It prints its port. A question that begins with "slow" is answered after a second, one with "never" not.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from hurnet_schemas import Answer, Query
from hurnet_stream.gateway import bodies, connections
from hurnet_stream.gateway.server import Health, bound, serve
from hurnet_stream.ports import CORRELATION_ID, Outgoing, Replied
from hurnet_stream.runtime.logs import configure
from hurnet_stream.settings.settings import LogSettings
from tests.worlds.gateway import AnsweringCourier, GatewayWorld, answered


class SlowCourier(AnsweringCourier):
    """Answers some questions later, or never."""

    def post(self, ticket: str, message: Outgoing) -> None:
        super().post(ticket, message)
        self.posted.clear()  # this one runs for long
        headers = dict(message.headers)
        if CORRELATION_ID in headers:
            query = Query.decode(message.value)
            if query.text.startswith("slow"):
                threading.Timer(1.0, self._reply, (ticket, answered(query))).start()

    def _reply(self, ticket: str, answer: Answer) -> None:
        self.news.put(Replied(ticket, answer.encode(), time.monotonic(), "answers/0/0"))


def main() -> None:
    chosen = json.loads(sys.argv[1])
    for name, seconds in chosen.pop("clock", {}).items():
        setattr(bodies if name in ("PIECE_S", "BODY_S", "READ_AWAY_S") else connections, name, seconds)
    configure(LogSettings(level="warning"), "gateway")
    world = GatewayWorld(SlowCourier(), **chosen)
    world.courier.answer = lambda query: None if query.text.startswith(("slow", "never")) else answered(query)
    listening = bound("127.0.0.1", 0)
    print(listening.getsockname()[1], flush=True)
    serve(world.app, listening, Health(world.gateway))
    world.close()


if __name__ == "__main__":
    main()
