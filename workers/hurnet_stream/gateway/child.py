"""A command of hurnet as a child process that never outlives the gateway that started it:

    python -m hurnet_stream.gateway.child GATEWAY-PID COMMAND ...

The gateway ends its children when it ends. If it is killed, a thread here sees that this process has another
parent, and ends it.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
import threading
import time
from typing import Final

LOOK_S: Final = 0.3
NICE: Final = 10
"""Answering goes before."""


def _end_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(1)


def main() -> None:
    parent, *arguments = sys.argv[1:]
    threading.Thread(target=_end_without, args=(int(parent),), daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(NICE)
    sys.argv = ["hurnet", *arguments]
    runpy.run_module("hurnet_stream", run_name="__main__", alter_sys=False)


if __name__ == "__main__":
    main()
