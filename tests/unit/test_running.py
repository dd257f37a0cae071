"""A worker as a process says where its log goes and where its figures are served."""

from __future__ import annotations

import urllib.request
from contextlib import ExitStack

from structlog.testing import capture_logs

from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.runtime.loop import Loop
from hurnet_stream.settings.settings import LifecycleSettings, MetricsSettings, Settings
from hurnet_stream.wiring import running


def never() -> None:
    raise AssertionError


def test_a_worker_says_where_its_log_and_its_metrics_are() -> None:
    metrics = ProcessMetrics()
    loop = Loop(never, LifecycleSettings(), metrics)  # type: ignore[arg-type]
    with ExitStack() as stack:
        with capture_logs() as logs:
            running.serve_pages(loop, metrics, Settings(), stack)
        (line,) = logs
        assert "standard error" in line["event"]
        with urllib.request.urlopen(f"{line['url']}/metrics") as page:
            assert b"hurnet_ready 0.0" in page.read()


def test_a_worker_that_serves_nothing_says_so() -> None:
    settings = Settings(metrics=MetricsSettings(enabled=False))
    metrics = ProcessMetrics()
    loop = Loop(never, LifecycleSettings(), metrics)  # type: ignore[arg-type]
    with ExitStack() as stack, capture_logs() as logs:
        running.serve_pages(loop, metrics, settings, stack)
    assert "HURNET_METRICS_ENABLED" in logs[0]["event"]
