"""Questions over HTTP beside the same questions over bare Kafka, to the same responder, in turns.

Bare Kafka is the switchboard that the gateway itself asks by, here in the process of the benchmark: what HTTP
and its guards cost is the difference.

A question's time runs from when it was due to when its answer was read, as in `latency`. Over HTTP the
clients are plain sockets that stay open, so that what is measured is the gateway and not a library. At last
1,000 clients ask and stay: what each of them costs in memory.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from hurnet_schemas import Query
from hurnet_stream.adapters.kafka.courier import KafkaCourier
from hurnet_stream.client.switchboard import Switchboard
from hurnet_stream.local.worker import WorkerProcess
from tests.benchmarks._report import Report, main, milliseconds, quantile
from tests.benchmarks._system import bench, counted, fill, questions, wait_for

NAME = "gated"
EMBEDDER = "hash512"
ROWS = 10_000
OUTSTANDING = 128
SECONDS = {1: 8.0, 10: 3.0, 100: 3.0}
FLAT_OUT_S = 3.0
CLIENTS = 1_000
KAFKA, HTTP = "bare Kafka", "POST /v1/ask"
COLUMNS = ("rate", "way", ">n", ">p50 ms", ">p99 ms", ">p50 / bare")


class Line:
    """One client: a connection that asks one question at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, body: bytes) -> None:
        """Raises `RuntimeError` unless the question was answered."""
        self._writer.write(
            b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        answer = await self._reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"not an answer: {answer.decode()}")

    def close(self) -> None:
        self._writer.close()


class BareLine:
    """The same over Kafka alone. A body is a query already."""

    def __init__(self, board: Switchboard) -> None:
        self._board = board

    async def ask(self, body: bytes) -> None:
        await asyncio.wrap_future(self._board.ask(Query.decode(body)))

    def close(self) -> None:
        """Nothing to free."""


Way = int | Switchboard
"""The port of a gateway, or a switchboard."""


async def lines(way: Way, count: int) -> list[Line | BareLine]:
    if isinstance(way, Switchboard):
        return [BareLine(way) for _ in range(count)]
    return [Line(*await asyncio.open_connection("127.0.0.1", way)) for _ in range(count)]


def on_schedule(way: Way, bodies: Sequence[bytes], rate: int, seconds: float) -> list[float]:
    """`rate` a second, evenly; seconds of each from when it was due."""

    async def run() -> list[float]:
        free: list[Any] = [*await lines(way, 32)]
        began = time.perf_counter()

        async def one(number: int) -> float:
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            line = free.pop() if free else (await lines(way, 1))[0]
            await line.ask(bodies[number % len(bodies)])
            free.append(line)
            return time.perf_counter() - due

        found = await asyncio.gather(*(one(n) for n in range(int(rate * seconds))))
        for line in free:
            line.close()
        return found

    return asyncio.run(run())


def flat_out(way: Way, bodies: Sequence[bytes], seconds: float) -> tuple[float, list[float]]:
    """Answers a second with so many always under way, and the seconds of each."""

    async def run() -> list[float]:
        found: list[float] = []
        end = time.perf_counter() + seconds

        async def client(number: int, line: Line | BareLine) -> None:
            while (began := time.perf_counter()) < end:
                await line.ask(bodies[(number + len(found)) % len(bodies)])
                found.append(time.perf_counter() - began)
            line.close()

        await asyncio.gather(*(client(n, line) for n, line in enumerate(await lines(way, OUTSTANDING))))
        return found

    found = asyncio.run(run())
    return len(found) / seconds, found


def memory_of_clients(port: int, gateway: WorkerProcess, bodies: Sequence[bytes]) -> float:
    """Bytes for each of `CLIENTS` that are connected and have asked, ten at a time."""

    async def run() -> float:
        before = counted(gateway, "process_resident_memory_bytes")
        all_lines = await lines(port, CLIENTS)
        for first in range(0, CLIENTS, 10):
            await asyncio.gather(*(line.ask(bodies[0]) for line in all_lines[first : first + 10]))
        after = counted(gateway, "process_resident_memory_bytes")
        for line in all_lines:
            line.close()
        return (after - before) / CLIENTS

    return asyncio.run(run())


def measure(rounds: int) -> Report:
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    rates: defaultdict[str, list[float]] = defaultdict(list)
    bodies = [json.dumps({"text": text}).encode() for text in questions()]
    with bench() as servers:
        settings = servers.create_topics(NAME)
        fill(servers, settings, NAME, EMBEDDER, ROWS)
        port = _free_port()
        chosen = {"HURNET_GATEWAY_PORT": str(port), "HURNET_LOG_LEVEL": "warning"}
        with (
            servers.worker("responder", NAME, EMBEDDER) as responder,
            servers.worker("gateway", NAME, EMBEDDER, variables=chosen) as gateway,
            closing(Switchboard(KafkaCourier(settings, settings.answers), settings)) as board,
        ):
            wait_for(lambda: _answers(port, bodies[0]), [responder, gateway], 0.5)
            wait_for(lambda: board.trouble() is None, [responder, gateway])
            ways: dict[str, Way] = {KAFKA: board, HTTP: port}
            for way in ways.values():
                flat_out(way, bodies, 1.0)
            for _ in range(rounds):
                for rate, seconds in SECONDS.items():
                    for name, way in ways.items():
                        found[f"{rate}/s", name] += on_schedule(way, bodies, rate, seconds)
                for name, way in ways.items():
                    per_s, times = flat_out(way, bodies, FLAT_OUT_S)
                    rates[name].append(per_s)
                    found["saturation", name] += times
            per_client = memory_of_clients(port, gateway, bodies)
    return _report(found, {way: max(each) for way, each in rates.items()}, per_client)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _answers(port: int, body: bytes) -> bool:
    async def once() -> bool:
        try:
            line = (await lines(port, 1))[0]
            await line.ask(body)
        except (OSError, RuntimeError, asyncio.IncompleteReadError):
            return False
        line.close()
        return True

    return asyncio.run(once())


def _report(
    found: defaultdict[tuple[str, str], list[float]], rates: dict[str, float], per_client: float
) -> Report:
    report, rows = Report(), []
    for level in dict.fromkeys(level for level, _ in found):
        bare = quantile(found[level, KAFKA], 0.5)
        for way in (KAFKA, HTTP):
            p50, p99 = quantile(found[level, way], 0.5), quantile(found[level, way], 0.99)
            report.figures |= {f"{way} {level} p50 ms": p50 * 1e3, f"{way} {level} p99 ms": p99 * 1e3}
            own = (level, way, len(found[level, way]), milliseconds(p50), milliseconds(p99))
            rows.append((*own, "" if way == KAFKA else f"{p50 / bare:.2f}"))
    report.figures |= {f"{way} per s": rate for way, rate in rates.items()}
    report.figures["bytes per client"] = per_client
    report.table(f"questions, {EMBEDDER}, {ROWS:,} rows", COLUMNS, rows)
    report.table(
        f"saturation: {OUTSTANDING} always under way", ("", ">questions/s"),
        [(way, f"{rate:,.0f}") for way, rate in rates.items()],
    )  # fmt: skip
    report.table("memory", ("", ">bytes"), [(f"each of {CLIENTS:,} clients", f"{per_client:,.0f}")])
    return report


if __name__ == "__main__":
    main(measure, rounds=2)
