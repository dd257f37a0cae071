"""One worker as a process: from its settings to its exit code."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from importlib.metadata import version
from typing import TypeVar

import structlog

from hurnet_stream.adapters.page_server import PageServer
from hurnet_stream.errors import ConfigurationError, HurnetError
from hurnet_stream.exit_codes import DONE, FAILED, MISCONFIGURED
from hurnet_stream.metrics.process import ProcessMetrics
from hurnet_stream.metrics.roles import ROLES
from hurnet_stream.runtime.logs import configure, log_what_nobody_catches
from hurnet_stream.runtime.loop import Loop
from hurnet_stream.runtime.watchdog import Watchdog
from hurnet_stream.settings.cautions import cautions
from hurnet_stream.settings.settings import LogSettings, Settings, ignored, load
from hurnet_stream.wiring.builders import BUILDERS
from hurnet_stream.wiring.pages import Health, pages
from hurnet_stream.wiring.parts import Build
from hurnet_stream.wiring.tracing import traced

log = structlog.get_logger()

M = TypeVar("M", bound=ProcessMetrics)


def run_role(name: str) -> int:
    """Run the worker `name` by the settings in force until it is told to stop; returns the exit code. Raises
    `ConfigurationError` as `run_by_settings` does."""
    return run_by_settings(name, partial(run, name))


def run_by_settings(name: str, run_with: Callable[[Settings], int]) -> int:
    """Run a program by the settings in force; returns its exit code.

    Raises `ConfigurationError` if the settings are wrong and a person reads the log; a machine gets a line of
    it.
    """
    try:
        settings = load()
    except ConfigurationError as error:
        if os.environ.get("HURNET_LOG_FORMAT", "").lower() != "json":
            raise
        configure(LogSettings(format="json"), name)
        log.error(str(error), error=type(error).__name__)
        return MISCONFIGURED
    return run_with(settings)


def run(name: str, settings: Settings) -> int:
    """Run the worker `name` until it is told to stop; returns the exit code."""
    return run_worker(name, settings, BUILDERS[name])


def run_worker(
    name: str,
    settings: Settings,
    build: Build,
    on_loop: Callable[[Callable[[], None]], None] = lambda _stop: None,
) -> int:
    """Run the worker that `build` makes until it is told to stop; returns the exit code. `on_loop` is given
    what stops it."""
    from hurnet_stream.adapters.redis import Bound

    def work(stack: ExitStack, metrics: ProcessMetrics) -> None:
        tracer = stack.enter_context(traced(settings.traces, name, _instance(name, settings)))
        made = partial(build, settings, metrics, Bound())
        loop = Loop(lambda: made(loop.beat, tracer), settings.lifecycle, metrics)
        on_loop(loop.stop)
        loop.install_signal_handlers()
        stack.enter_context(closing(Watchdog(lambda: loop.turns, settings.lifecycle)))
        serve_pages(loop, metrics, settings, stack)
        loop.run()

    return run_to_its_end(name, settings, ROLES[name](), work)


def run_to_its_end(name: str, settings: Settings, metrics: M, work: Callable[[ExitStack, M], None]) -> int:
    """Do the work of the program `name`, and close what that puts on the stack; returns the exit code."""
    configure(settings.log, name, discreet=not settings.privacy.excerpts)
    log_what_nobody_catches()
    _say_what_is_odd(settings)
    metrics.describe(role=name, version=version("hurnet-stream"))
    try:
        with ExitStack() as stack:
            work(stack, metrics)
    except HurnetError as error:
        log.error(str(error), error=type(error).__name__)
        return MISCONFIGURED if isinstance(error, ConfigurationError) else FAILED
    except Exception:
        log.exception("crashed, and nothing is lost: this is a bug, please report it with the lines below")
        return FAILED
    return DONE


def _instance(name: str, settings: Settings) -> str:
    """What the settings call this process among those of its role, if they do."""
    section = getattr(settings, name, None)
    return str(getattr(section, "instance", ""))


def serve_pages(health: Health, metrics: ProcessMetrics, settings: Settings, stack: ExitStack) -> None:
    """Serve the HTTP pages if the settings say so, and say where they and the log are."""
    chosen = settings.metrics
    if not chosen.enabled:
        log.info("this log goes to standard error; nothing is served (HURNET_METRICS_ENABLED is false)")
        return
    server = PageServer(chosen.host, chosen.port, pages(health, metrics, chosen.stall))
    stack.callback(server.close)
    log.info("this log goes to standard error; serving /metrics, /livez and /readyz", url=server.url)


def _say_what_is_odd(settings: Settings) -> None:
    """Logs what is odd about the settings, although it is not wrong."""
    if passed_over := ignored():
        log.info("variables without a value, or set by Kubernetes, are passed over", variables=passed_over)
    for caution in cautions(settings):
        log.warning(caution)
