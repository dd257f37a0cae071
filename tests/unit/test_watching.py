"""`hurnet status --watch`: figures over time, what is wrong in words, the picture, and the workers' pages."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import click
import pytest
from prometheus_client.samples import Sample
from rich.console import Console

from hurnet_stream.adapters.page_server import TEXT, Page, PageServer
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.overview.running import Running
from hurnet_stream.overview.slices import awaited
from hurnet_stream.overview.system_reader import _add_watermarks
from hurnet_stream.overview.system_status import Shard, Status
from hurnet_stream.overview.worker_pages import WorkerPage, base_address, quantile, read_pages
from hurnet_stream.terminal.complaints import complaints
from hurnet_stream.terminal.trends import ASCII_BLOCKS, Trends, sparkline
from hurnet_stream.terminal.watch_screen import picture, rates

MEMBER = {"worker": "hurnet-7@host", "host": "10.0.0.7", "partitions": [0, 1]}
ROLES = ("ingest", "responder", "feedback")


def well(**changes: object) -> Status:
    """A system that has nothing to complain of."""
    workers = {role: Running(f"h-{role}", (MEMBER,), 0, {0: 10}) for role in ROLES}
    fields: dict[str, object] = {
        "store_read": True,
        "shards": [Shard(0, 9, 10, 10, 9, 0), Shard(1, 5, 5, 5, 5, 0)],
        "solver": "host:1:aa",
        "workers": workers,
        "ends": {"texts": 15, "queries": 10, "answers": 12, "feedback": 0, "dead_letters": 0},
    }
    return Status(**{**fields, **changes})  # type: ignore[arg-type]


def said(looks: Sequence[Status], seconds: float = 5.0) -> list[str]:
    """What is complained of after these looks."""
    trends = Trends()
    for number, look in enumerate(looks):
        trends.add(look, seconds * number)
    return [complaint.text for complaint in complaints(looks[-1], trends)]


def drawn(status: Status, trends: Trends, width: int, encoding: str = "utf-8") -> str:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    screen = Console(file=out, width=width, markup=False, highlight=False)
    for part in picture(screen, status, trends, complaints(status, trends), "head"):
        screen.print(part)
    out.flush()
    return out.buffer.getvalue().decode(encoding)


def test_rates_are_those_of_the_last_looks_and_a_counter_that_falls_begins_anew() -> None:
    trends = Trends()
    for at, end in ((0.0, 100), (2.0, 110), (4.0, 5)):
        trends.add(Status(ends={"texts": end}), at)
    assert trends.rates("texts") == [5.0, 2.5]
    assert trends.rate("texts") == pytest.approx(15 / 4)
    assert trends.now("texts") == 5
    trends.add(Status(), 6.0)  # Kafka is away
    assert trends.rate("texts") is None
    assert trends.now("texts") is None
    assert rates(trends)["texts"] is None


@pytest.mark.parametrize(
    ("values", "line"),
    [([], ""), ([0, 0], "▁▁"), ([0, 1, 2], "▁▅█"), ([9, 0.01, 1, -1], "▂█▁")],  # only the last three fit
)
def test_a_sparkline_shows_what_fits(values: list[float], line: str) -> None:
    assert sparkline(values, 3) == line
    assert sparkline(values, 0) == ""
    assert sparkline(values, 3, ASCII_BLOCKS).isascii()


def test_nothing_is_wrong_with_a_system_that_is_well() -> None:
    assert said([well()] * 9) == []


def test_what_stands_still_is_told_but_not_before_ten_seconds() -> None:
    behind = well(shards=[Shard(0, 9, 10, 14, 9, 4)])
    assert said([behind] * 2) == []
    assert said([behind] * 3) == ["partition 0 of texts stands still: 4 to take in, none was for 10 s"]
    idle = {"responder": Running("h-responder", (MEMBER,), 3, {0: 10})}
    (line,) = said([well(workers={**(well().workers or {}), **idle})] * 4)
    assert line == "questions: 3 wait, and none was done for 15 s"


def test_what_grows_is_told() -> None:
    growing = [well(shards=[Shard(0, 9, 10 + n, 100 + 80 * n, 9, 90 + 79 * n)]) for n in range(8)]
    assert said(growing) == ["texts are written faster than they are taken in: 643 wait, and it grows"]
    assert said(growing[::-1]) == []


def test_only_a_transaction_that_stays_open_is_told_of() -> None:
    held = [well(shards=[Shard(0, 9, 10, 10, 9, 0, held_records=4)])] * 4
    assert said(held[:2]) == []
    (line,) = said(held)
    assert "open for 15 s holds back 4 offsets of partition 0" in line


def test_roles_that_nobody_fills_servers_and_workers_that_are_away_are_told_of() -> None:
    page = WorkerPage("http://h:1", "responder", False, "Redis failing for 7 s")
    gone = WorkerPage("http://h:2", "?", None, "Connection refused")
    lines = said([well(solver=None, problems=["no broker"], warnings=["disk"], pages=[page, gone])])
    assert lines == [
        "no broker",
        "responder at http://h:1 is not ready: Redis failing for 7 s",
        "http://h:2 does not answer: Connection refused",
        "no solver is running, so nothing is learned and no deletion is unlearned (`hurnet solver`)",
        "disk",
    ]


def test_readers_of_the_store_that_are_far_behind_it_are_told_of() -> None:
    def page(role: str, watermark: int) -> WorkerPage:
        samples = {
            "hurnet_watermark_offset": [Sample("hurnet_watermark_offset", {"partition": "0"}, watermark)]
        }
        return WorkerPage(f"http://{role}:{watermark}", role, True, "ok", samples)

    standby = page("solver", 7)
    standby = replace(standby, samples={**standby.samples, "hurnet_leader": [Sample("hurnet_leader", {}, 0)]})
    pages = [page("solver", 8_999), standby, page("responder", 8_999), page("responder", 4_999)]
    status = well(shards=[Shard(0, 9, 9_000, 9_000, 9, 0)], pages=pages)
    _add_watermarks(status)
    assert (status.shards[0].folded_offset, status.shards[0].searchable_offset) == (9_000, 5_000)
    assert said([status]) == ["a responder is 4,000 offsets behind the store in partition 0 of texts"]
    assert "4,000" in drawn(status, Trends(), 120)
    assert status.as_dict()["pages"][0] == {
        "address": "http://solver:8999", "role": "solver", "ready": True, "says": "ok",
    }  # fmt: skip


def a_slice(number: int, count: int, is_loaded: bool = True) -> dict[str, Any]:
    said = {"instance": f"s{number}", "address": "h:1", "partitions": [number], "rows": 9, "lag_rows": 1_000}
    return {"number": number, "count": count, "is_loaded": is_loaded, **said}


@pytest.mark.parametrize(
    ("slices", "wanted", "expected"),
    [
        ([], 0, []),
        ([], 1, ["no process holds slice 0 of 1"]),
        ([a_slice(0, 2), a_slice(1, 2)], 0, []),
        ([a_slice(0, 2), a_slice(0, 2)], 0, ["no process holds slice 1 of 2"]),
        ([a_slice(0, 2), a_slice(1, 2, False)], 2, ["slice 1 of 2 is loading"]),
        ([a_slice(0, 2), a_slice(1, 2), a_slice(3, 4)], 4, []),
        ([a_slice(1, 2), a_slice(0, 4)], 2, ["no process holds slice 0 of 2"]),
    ],
)
def test_slices_that_questions_wait_for_are_named(
    slices: list[dict[str, Any]], wanted: int, expected: list[str]
) -> None:
    status = well(slices=slices, awaited=awaited(slices, wanted))
    assert [text.partition(",")[0] for text in said([status])] == expected
    text = drawn(status, Trends(), 120)
    assert text.count("slice ") >= len(slices)
    assert ("1,000" in text) == any(each["is_loaded"] for each in slices)


@pytest.mark.parametrize("width", [30, 50, 79, 100, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_picture_fits_any_terminal(width: int, encoding: str) -> None:
    certificate = {"count": 10.0, "residual": None, "answers": 3}
    weights = {"context": "default", "version": 3, "age_s": 2.0, "certificate": certificate}
    status, trends = well(weights=[weights]), Trends()
    for at in range(300):
        trends.add(well(ends={"texts": at * at}), at)
    trends.add(status, 300.0)
    text = drawn(status, trends, width, encoding)
    assert max(map(len, text.splitlines())) <= width
    assert "all is well" in text


def test_the_picture_of_a_system_that_does_not_answer() -> None:
    text = drawn(Status(problems=["no broker", "no store \x1b[2J"]), Trends(), 60)
    assert text.splitlines()[1] == "2 things are wrong"
    assert "\\x1b[2J" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("host:9100", "http://host:9100"),
        ("http://host:9100/metrics", "http://host:9100"),
        ("https://host/metrics", "https://host"),
        ("http://[::1]:9100/readyz/", "http://[::1]:9100"),
    ],
)
def test_a_worker_is_named_by_its_address_or_one_of_its_pages(given: str, base: str) -> None:
    assert base_address(given) == base


@pytest.mark.parametrize("given", ["host", "file:///etc/passwd", "host:99999", "http://", ""])
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(click.BadParameter, match="no HOST:PORT"):
        base_address(given)


@pytest.fixture
def worker() -> Iterator[PageServer]:
    metrics = ResponderMetrics()
    metrics.describe(role="responder")
    metrics.freshness_seconds.observe(0.02)
    served = {
        "/readyz": lambda _accepted: (503, TEXT, b"Kafka failing\n"),
        "/metrics": lambda _accepted: (200, TEXT, metrics.exposition()),
    }
    server = PageServer("127.0.0.1", 0, served)
    yield server
    server.close()


def test_pages_are_read_from_workers_that_answer_and_from_those_that_do_not(worker: PageServer) -> None:
    there, away = read_pages([base_address(worker.url), "http://127.0.0.1:9"])
    assert (there.role, there.ready, there.says) == ("responder", False, "Kafka failing")
    assert there.total("hurnet_freshness_seconds_count") == 1
    assert (away.role, away.ready) == ("?", None)
    assert away.says
    trends = Trends()
    trends.add(well(pages=[there, away]), 0.0)
    median, highest = trends.quantiles("hurnet_freshness_seconds")
    assert median is not None
    assert highest is not None
    assert 0.01 < median <= highest <= 0.02


@pytest.mark.parametrize(
    "metrics",
    [
        b"<html>not found</html>",
        b"\xff\x00",
        b'hurnet_watermark_offset{partition="?"} NaN\nhurnet_freshness_seconds_bucket{le="much"} 1\n',
        b"hurnet_watermark_offset 1\nhurnet_freshness_seconds_bucket 1\nhurnet_build_info 1\n",
    ],
)
def test_a_page_of_something_else_ends_nothing(metrics: bytes) -> None:
    pages: dict[str, Page] = {
        "/readyz": lambda _: (200, TEXT, b"ok"),
        "/metrics": lambda _: (200, TEXT, metrics),
    }
    server = PageServer("127.0.0.1", 0, pages)
    try:
        (page,) = read_pages([server.url])
    finally:
        server.close()
    assert page.role == "?"
    assert page.by_shard("hurnet_watermark_offset") == {}
    Trends().add(well(pages=[page]), 0.0)


def test_a_server_that_speaks_no_http_is_told_of() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    connection.sendall(b"SSH-2.0-OpenSSH\r\n")

        threading.Thread(target=answer, daemon=True).start()
        (page,) = read_pages([f"http://127.0.0.1:{listening.getsockname()[1]}"])
    assert page.ready is None
    assert page.says


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        ({}, 0.5, None),
        ({1.0: 0.0}, 0.5, None),
        ({1.0: 4.0, 2.0: 10.0}, 0.5, 1 + 1 / 6),
        ({1.0: 1.0, float("inf"): 4.0}, 0.99, 1.0),
    ],
)
def test_a_share_of_a_histogram(buckets: Mapping[float, float], share: float, expected: float | None) -> None:
    found = quantile(buckets, share)
    assert found == (None if expected is None else pytest.approx(expected))
