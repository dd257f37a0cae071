"""A real worker whose embedder can't stand a text: `python -m tests.acceptance.poisoned WORKER kill|hang`.

It kills the process by SIGKILL, as a lack of memory would, or it never returns. All else is the product's own
code, put together by its own wiring.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence

from hurnet_stream.adapters.embedders.hashing import HashedText
from hurnet_stream.core.stored.batch import Vectors
from hurnet_stream.settings import settings
from hurnet_stream.wiring import running

POISON = "poison"


def _poisoned(how: str) -> None:
    embed = HashedText.embed

    def fatal(embedder: HashedText, texts: Sequence[str]) -> Vectors:
        if any(POISON in text for text in texts):
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            threading.Event().wait()
        return embed(embedder, texts)

    HashedText.embed = fatal  # type: ignore[assignment, method-assign]


def main(worker: str, how: str) -> int:
    _poisoned(how)
    return running.run(worker, settings.load())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
