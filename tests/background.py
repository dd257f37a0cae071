"""Something done again and again beside a test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def again_and_again(act: Callable[[], object], pause_s: float) -> Iterator[None]:
    """Until the end of the block, `act` is called by a thread of its own, with a pause after each call. What
    it raises ends that, and is raised again at the end of the block."""
    done = threading.Event()
    errors: list[BaseException] = []

    def turn() -> None:
        try:
            while not done.is_set():
                act()
                done.wait(pause_s)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=turn, name="again and again", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(120)
    assert not thread.is_alive(), "it still acts"
    if errors:
        raise errors[0]
