"""What /metrics says: plain text, or OpenMetrics with exemplars to whoever asks for that."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as plain_families

from hurnet_stream.adapters.page_server import PageServer
from hurnet_stream.metrics.responder import ResponderMetrics
from hurnet_stream.metrics.roles import ROLES
from hurnet_stream.runtime.loop import Loop
from hurnet_stream.settings.settings import LifecycleSettings
from hurnet_stream.wiring.pages import pages, takes_openmetrics
from tests.tools import run
from tests.worlds.everybody import everybody_worked

PROMETHEUS_ASKS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.fixture
def metrics() -> ResponderMetrics:
    made = ResponderMetrics()
    made.answer_seconds.observe(0.3, {"trace_id": "ab" * 16})
    made.queries.labels("answered").inc()
    return made


@pytest.fixture
def url(metrics: ResponderMetrics) -> Iterator[str]:
    loop = Loop(lambda: pytest.fail("not run"), LifecycleSettings(), metrics)
    server = PageServer("127.0.0.1", 0, pages(loop, metrics, 30))
    yield server.url + "/metrics"
    server.close()


def scrape(url: str, accept: str | None, method: str = "GET") -> tuple[str, str]:
    headers = {} if accept is None else {"Accept": accept}
    with urllib.request.urlopen(
        urllib.request.Request(url, None, headers, method=method), timeout=60
    ) as reply:
        assert int(reply.headers["Content-Length"]) > 1000
        return reply.headers["Content-Type"], reply.read().decode()


def test_prometheus_gets_openmetrics_with_exemplars(url: str) -> None:
    kind, text = scrape(url, PROMETHEUS_ASKS)
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    slow = [line for line in text.splitlines() if line.startswith('hurnet_answer_seconds_bucket{le="0.5"}')]
    assert slow[0].split(" # ")[1].startswith(f'{{trace_id="{"ab" * 16}"}} 0.3')
    assert list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call] # strict: it raises
    assert "_created" not in text


@pytest.mark.parametrize(
    "accept", [None, "*/*", "text/plain", "text/html, */*", "application/openmetrics", ""]
)
def test_others_get_plain_text_without_exemplars(url: str, accept: str | None) -> None:
    kind, text = scrape(url, accept)
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert "trace_id" not in text
    assert "# EOF" not in text
    assert "_created" not in text
    assert list(plain_families(text))


@pytest.mark.parametrize("accept", [PROMETHEUS_ASKS, "*/*"])
def test_a_head_request_is_told_the_same_without_the_text(url: str, accept: str) -> None:
    assert scrape(url, accept, "HEAD") == (scrape(url, accept)[0], "")


@pytest.mark.parametrize(
    "accept", [";,;,=,", "application/openmetrics-text;version=" + "9." * 2000, "\x00é,"]
)
def test_a_header_of_nonsense_is_answered(accept: str) -> None:
    assert takes_openmetrics(accept) == ("openmetrics" in accept)


def test_promtool_finds_no_fault_with_the_metrics_of_any_role() -> None:
    """Of a role that has worked, so that it has series for most labels, or of one that was just begun."""
    worked = everybody_worked()
    for role, made in ROLES.items():
        text = (worked.get(role) or made()).exposition().decode()
        checked = run("promtool", "check", "metrics", given=text)
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, ""), role
