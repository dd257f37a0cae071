"""A real Chromium with a new profile for each test of the page, and one real system for all of them."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.acceptance.system import System, wait_for
from tests.browser.fake_gateway import FakeGateway
from tests.tools import needed

FLAGS = ["--no-sandbox", "--disable-quic", "--disable-background-networking", "--disable-component-update"]
PHONE = {"width": 320, "height": 640}
PATIENCE_MS = 60_000.0  # only ends what hangs: Playwright's own five seconds are short on a busy machine
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    needed("chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def fake() -> Iterator[FakeGateway]:
    with FakeGateway() as gateway:
        yield gateway


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a new profile. Whatever its console says fails the test, violations of the policy too."""
    context = browser.new_context(viewport={"width": 1180, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    said: list[str] = []
    page.on("console", lambda told: said.append(told.text) if told.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    yield page
    context.close()
    # A refusal that a test has asked for is told by the browser itself.
    assert [text for text in said if "Failed to load resource" not in text] == []


@pytest.fixture(scope="module")
def real(
    kafka_bootstrap: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[System, str]]:
    """A whole system, and the address of its gateway."""
    needed("chromium")  # before servers are started in vain
    folder: Path = tmp_path_factory.mktemp("console")
    name = f"console-{secrets.token_hex(4)}"
    patient = {"HURNET_RESPONDER_WAIT": "60", "HURNET_GATEWAY_TIMEOUT": "60"}  # a busy machine
    with System(kafka_bootstrap, valkey_url, name, folder, **patient) as system:
        system.create_topics()
        workers = [system.start(role) for role in ("ingest", "solver", "responder", "feedback")]
        wait_for(lambda: all(worker.url for worker in workers), what="the addresses of the workers' pages")
        told = ",".join(worker.url for worker in workers)
        workers.append(system.start("gateway", HURNET_GATEWAY_PORT="0", HURNET_GATEWAY_WORKERS=told))
        for worker in workers:
            worker.wait_ready()
        served = wait_for(lambda: re.search(r"serving HTTP.*", workers[-1].said()), what="its address")
        line = next(each for each in workers[-1].said().splitlines() if served[0][:12] in each)
        yield system, re.findall(r"http://[^\"]+", line)[-1]
