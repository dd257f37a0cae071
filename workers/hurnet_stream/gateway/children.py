"""Commands that take seconds and much memory, as child processes: one of each kind at a time, for a bounded
time, with a bounded output. Who comes while one runs is told to come back (503)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from hurnet_stream.gateway.problems import Problem, busy
from hurnet_stream.settings.redaction import redacted

log = structlog.get_logger()

OUTPUT_BYTES: Final = 16 << 20
COMPLAINT_BYTES: Final = 64 << 10
CHILD: Final = (sys.executable, "-m", "hurnet_stream.gateway.child")


@dataclass(frozen=True, slots=True)
class Finished:
    """How a child ended: its exit code and the JSON object that it printed, or {} if it printed none."""

    code: int
    told: dict[str, Any]
    complaint: str
    """The last line of its standard error, or the error that this tells as JSON."""

    def failure(self, kind: str) -> Problem:
        """503, with its complaint, if it has told nothing that can be used."""
        return busy(503, f"the {kind} failed: {redacted(self.complaint)[:500]}", after_s=5)


@dataclass(slots=True)
class Children:
    """Those that run, by what they are for. `command` is what runs them."""

    command: Sequence[str] = CHILD
    _running: set[str] = field(default_factory=set)

    async def run(self, kind: str, arguments: Sequence[str], longest_s: float) -> Finished:
        """Run `hurnet ARGUMENTS` to its end. Raises `Problem`: 503 if one of this kind runs already, 504 if
        it takes longer than `longest_s` seconds. If this is cancelled, the child is killed."""
        if kind in self._running:
            raise busy(503, f"a {kind} runs already, and there is one at a time", 5, "busy")
        self._running.add(kind)
        try:
            return await self._to_its_end(kind, arguments, longest_s)
        finally:
            self._running.discard(kind)

    async def _to_its_end(self, kind: str, arguments: Sequence[str], longest_s: float) -> Finished:
        child = await asyncio.create_subprocess_exec(
            *self.command,
            str(os.getpid()),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert child.stdout  # noqa: S101 - it is a pipe
        assert child.stderr  # noqa: S101 - it is a pipe
        try:
            async with asyncio.timeout(longest_s):
                out, complaint = await asyncio.gather(
                    _all(child.stdout, OUTPUT_BYTES), _last(child.stderr, COMPLAINT_BYTES)
                )
                code = await child.wait()
        except TimeoutError:
            raise Problem(504, f"the {kind} took longer than {longest_s:g} s") from None
        finally:
            if child.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                await child.wait()
        return Finished(code, _object(out), str(_object(complaint).get("error", complaint)))


async def _all(stream: asyncio.StreamReader, most: int) -> bytes:
    """Everything. Raises `Problem` (504) if that is more than `most` bytes."""
    out = bytearray()
    while piece := await stream.read(1 << 16):
        out += piece
        if len(out) > most:
            raise Problem(504, f"the result has more than {most:,} bytes")
    return bytes(out)


async def _last(stream: asyncio.StreamReader, most: int) -> str:
    """The last line, of at most the last `most` bytes."""
    kept = b""
    while piece := await stream.read(1 << 14):
        kept = (kept + piece)[-most:]
    lines = kept.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else ""


def _object(out: bytes | str) -> dict[str, Any]:
    try:
        told = json.loads(out)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
