"""What the calls of the stores are for, and how they went: for whoever measures them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from hurnet_stream.errors import Superseded
from hurnet_stream.ports import Refused

OnCall = Callable[[str, str, float], None]
"""Told (op, outcome, seconds) of each call: what it was for; ok, refused or failed; how long it took."""

NO_ROUND_TRIP: Final = frozenset({"incarnation", "redaction"})
"""Methods that answer from memory. Measured among the others they would only hide them."""
_OPS: Final = {
    **{name: name for name in ("append", "delete", "erase", "tail", "admit")},
    "repeat_append": "append",
    "repeat_deletion": "delete",
    **dict.fromkeys(("remember_progress", "enter", "leave", "attempt", "number_topics"), "note"),
    **dict.fromkeys(("publish", "publish_mix", "withdraw", "withdraw_mix"), "publish"),
    **dict.fromkeys(("acquire", "release", "claim", "fence", "check_fences"), "lease"),
    **dict.fromkeys(("put", "drop"), "request"),
    **dict.fromkeys(
        (
            "follow",
            "copied",
            "leave_out",
            "share_log",
            "share_keys_mode",
            "share_privacy",
            "take_back",
            "say",
        ),
        "note",
    ),
    "change": "lease",
    **dict.fromkeys(("compact", "ask_to_compact", "trim_audit", "seal"), "compact"),
    "save_checkpoint": "save",
    "load_checkpoint": "load",
}


def op_of(method: str) -> str:
    """What a method of a store is for. All that only look are `read`, but for `tail` and `load`."""
    return _OPS.get(method, "read")


def nobody(_op: str, _outcome: str, _seconds: float) -> None:
    """Measures nothing."""


class Call:
    """A call that is under way. `outcome` is `failed` until its end is known."""

    __slots__ = ("outcome",)

    def __init__(self) -> None:
        self.outcome = "failed"

    def returned(self, result: object) -> None:
        self.outcome = "refused" if isinstance(result, Refused) else "ok"


@contextmanager
def measured(on_call: OnCall, op: str) -> Iterator[Call]:
    """A block that is a call."""
    call, began = Call(), time.perf_counter()
    try:
        yield call
    except Superseded:
        call.outcome = "refused"
        raise
    finally:
        on_call(op, call.outcome, time.perf_counter() - began)
