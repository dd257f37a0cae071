"""What people do at the page, on a real system: ask, correct, teach, look, delete, ask again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.system import System
from tests.browser.looks import ask, open_view

PAIRS = [
    ("I forgot my password", "Settings › Security › Reset password"),
    ("my password is lost", "Settings › Security › Reset password"),
    ("how do I set a new password", "Settings › Security › Reset password"),
    ("where is my invoice", "Account › Invoices"),
    ("send me the invoice of May", "Account › Invoices"),
    ("I want to cancel my plan", "Account › Plan › Cancel"),
    ("end my subscription", "Account › Plan › Cancel"),
]


@pytest.fixture(scope="module")
def gateway(real: tuple[System, str]) -> str:
    """Its address, once the pairs can be asked for."""
    address = real[1]
    texts = [
        {"text": text, "answer": answer, "context": "support", "key": f"faq-{number}"}
        for number, (text, answer) in enumerate(PAIRS)
    ]
    written = httpx.post(f"{address}/v1/texts", json={"texts": texts}, timeout=120)
    reply = asked_after(written, address, PAIRS[0][0], "support")
    assert reply["answer"] == PAIRS[0][1], reply
    return address


def asked_after(written: httpx.Response, address: str, text: str, context: str) -> dict[str, Any]:
    """The reply to a question that is answered once what was written can be asked for."""
    assert written.status_code == 202, written.text
    after = ",".join(f"{at}={offset}" for at, offset in written.json()["watermarks"].items())
    asked = {"text": text, "context": context, "timeout_ms": 60_000}
    headers = {"Hurnet-After": after}
    reply = httpx.post(f"{address}/v1/ask", json=asked, headers=headers, timeout=120).json()
    assert reply["outcome"] != "timed-out", reply
    return dict(reply)


def test_a_question_is_answered_and_says_why(page: Page, gateway: str) -> None:
    ask(page, gateway, "I forgot my password", "support")
    expect(page.locator(".answer-text")).to_have_text("Settings › Security › Reset password")
    expect(page.locator(".sure-words")).to_be_visible()
    expect(page.locator(".came-from blockquote")).to_have_text("I forgot my password")
    expect(page.locator(".bars tbody tr")).to_have_count(6)
    expect(page.locator(".map .map-point")).to_have_count(len(PAIRS))
    page.get_by_text("As a table").click()
    expect(page.locator("details table tbody tr").first).to_contain_text("I forgot my password")


def test_a_correction_has_its_effect_before_ones_eyes_and_can_be_taken_back(page: Page, gateway: str) -> None:
    ask(page, gateway, "my invoice has a wrong password", "support")
    before = page.locator(".answer-text").text_content()
    page.get_by_role("button", name="Wrong").click()
    page.get_by_label("The right answer is").fill("call-us")
    page.get_by_role("button", name="Teach it").click()
    expect(page.locator(".side-now .side-answer")).to_have_text("call-us")
    expect(page.locator(".side-then .side-answer")).to_have_text(before or "")
    expect(page.locator(".answer .answer-text")).to_have_text("call-us")
    expect(page.locator(".took")).to_contain_text("Learned and asked again in")
    page.get_by_role("button", name="Take it back").click()
    expect(page.locator(".took")).to_contain_text("Taken back")
    expect(page.locator(".answer .answer-text")).to_have_text(before or "")


def test_right_is_taught_too(page: Page, gateway: str) -> None:
    ask(page, gateway, "please end my plan", "support")
    page.get_by_role("button", name="Right").click()
    expect(page.locator(".took")).to_contain_text("Learned")


def test_one_text_is_taught_and_answerable(page: Page, gateway: str) -> None:
    open_view(page, gateway, "teach")
    page.get_by_label("When somebody asks").fill("what are the opening hours")
    page.get_by_label("The answer is").fill("nine to five")
    page.get_by_label("Context").first.fill("shop")
    page.get_by_role("button", name="Teach it").click()
    expect(page.locator(".good")).to_contain_text("Answerable after")
    expect(page.locator(".good strong").last).to_have_text("nine to five")


def test_a_text_that_is_refused_says_which_place_is_wrong(page: Page, gateway: str) -> None:
    open_view(page, gateway, "teach")
    page.get_by_label("When somebody asks").fill("a bell \x07 rings")
    page.get_by_role("button", name="Teach it").click()
    expect(page.locator(".trouble-what")).to_contain_text("nothing was done")
    expect(page.locator(".trouble")).to_contain_text("control character U+0007")


def test_the_watch_is_live(page: Page, gateway: str) -> None:
    open_view(page, gateway, "watch")
    expect(page.locator(".state")).to_have_text("Live")
    expect(page.get_by_role("heading", name="Partitions and their watermarks")).to_be_visible()
    expect(page.locator(".plots figure", has_text="Freshness")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Searchable")).to_be_visible()
    expect(page.get_by_role("rowheader", name="responder")).to_be_visible()
    expect(page.get_by_role("rowheader", name="support")).to_be_visible()  # its weights


def test_dead_letters_are_shown_with_their_reasons(
    page: Page, gateway: str, real: tuple[System, str]
) -> None:
    system, _ = real
    system.teach([b'{"text": "  "}', b"<img src=x onerror=alert(1)>"])
    open_view(page, gateway, "watch")
    row = page.locator("tr", has_text="blank-text")
    for _ in range(40):
        if row.count():
            break
        page.get_by_role("button", name="Look again").click()
        page.wait_for_timeout(100)
    expect(row.first).to_be_visible()


def test_an_entry_is_deleted_after_a_question(page: Page, gateway: str) -> None:
    gone = {"text": "this one will be deleted", "answer": "gone", "context": "short-lived"}
    stays = {"text": "this one stays", "answer": "stays", "context": "short-lived"}
    written = httpx.post(f"{gateway}/v1/texts", json={"texts": [gone, stays]}, timeout=120)
    asked_after(written, gateway, "this one stays", "short-lived")  # both are in the store
    open_view(page, gateway, "teach")
    page.get_by_label("When somebody asks").fill("a third one")
    page.get_by_label("Context").first.fill("short-lived")
    page.get_by_role("button", name="Teach it").click()
    expect(page.locator(".good")).to_be_visible()
    open_view(page, gateway, "contexts/short-lived")
    item = page.locator("li.entry", has_text="this one will be deleted")
    item.get_by_role("button").click()
    expect(page.get_by_role("dialog")).to_contain_text("this one will be deleted")
    page.keyboard.press("Enter")  # the safe button has the focus
    expect(item).to_be_visible()
    item.get_by_role("button").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".good")).to_contain_text("Deleted, and unlearned after")
    expect(item).to_have_count(0)
    page.reload()
    expect(page.locator("li.entry", has_text="this one stays")).to_be_visible()
    expect(page.locator("li.entry", has_text="this one will be deleted")).to_have_count(0)


def test_answers_of_a_context(page: Page, gateway: str) -> None:
    open_view(page, gateway, "contexts")
    page.get_by_role("link", name="support", exact=True).click()
    page.get_by_role("link", name="Answers").click()
    expect(page.locator("ol.entries li", has_text="Account › Invoices").first).to_be_visible()


def test_a_receipt_keeps_its_name_and_is_asked_again(page: Page, gateway: str) -> None:
    ask(page, gateway, "where is my invoice", "support")
    link = page.locator(".top a[href^='#/receipts/']").get_attribute("href")
    page.goto("about:blank")
    page.goto(f"{gateway}/{link}")
    expect(page.locator(".question")).to_have_text("where is my invoice")
    expect(page.locator(".answer-text")).to_have_text("Account › Invoices")
    page.get_by_role("button", name="Would it answer the same today?").click()
    expect(page.locator(".took")).to_have_text("Yes: it answers the same today.")
    expect(page.locator("dl.receipt").first).to_contain_text("Watermarks")


def test_a_filter_is_built_or_written(page: Page, gateway: str) -> None:
    texts = [
        {"text": "the light blinks", "answer": f"see {p}", "context": "devices", "metadata": {"product": p}}
        for p in ("router", "camera")
    ]
    written = httpx.post(f"{gateway}/v1/texts", json={"texts": texts}, timeout=120)
    asked_after(written, gateway, "the light blinks", "devices")
    open_view(page, gateway, "teach")
    page.get_by_label("When somebody asks").fill("another text")
    page.get_by_label("Context").first.fill("devices")
    page.get_by_role("button", name="Teach it").click()
    expect(page.locator(".good")).to_be_visible()
    for product in ("camera", "router"):
        open_view(page, gateway, "ask")
        page.get_by_label("Context").select_option("devices")
        page.get_by_text("Only among some entries").click()
        page.get_by_label("Key").fill("product")
        page.get_by_label("Value").fill(product)
        page.get_by_role("button", name="Write it as JSON").click()
        assert json.loads(page.get_by_label("The filter as JSON").input_value()) == {
            "key": "product",
            "is": product,
        }
        page.get_by_label("Your question").fill("the light blinks")
        page.keyboard.press("Enter")
        expect(page.locator(".answer-text")).to_have_text(f"see {product}")
    page.get_by_role("button", name="Wrong").click()
    page.get_by_label("The right answer is").fill("restart it")
    page.get_by_role("button", name="Teach it").click()  # and it passes the filter, too
    expect(page.locator(".side-now .side-answer")).to_have_text("restart it")


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null", "http://127.0.0.1:1"])
def test_other_origins_are_refused(gateway: str, origin: str) -> None:
    asked, headers = {"text": "hello"}, {"Origin": origin}
    reply = httpx.post(f"{gateway}/v1/ask", json=asked, headers=headers, timeout=60)
    assert reply.status_code == 403
    assert "access-control-allow-origin" not in reply.headers


def test_the_page_has_strict_headers(gateway: str) -> None:
    for path in ("/", "/console/main.js"):
        headers = httpx.get(gateway + path, timeout=60).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-cache"


def test_a_file_is_tried_and_taught(page: Page, gateway: str) -> None:
    rows = [f"{text},{answer}" for text, answer in PAIRS]
    open_view(page, gateway, "teach")
    page.locator(".drop").get_by_label("Context").fill("faq-of-a-file")
    page.get_by_label("Paste the rows").fill("\n".join(["text,answer", *rows, ",no text"]))
    page.get_by_role("button", name="Try it").click()
    expect(page.locator(".accuracy")).to_contain_text("right when each pair is left out")
    expect(page.locator(".drop .trouble")).to_contain_text("1 row can't be taught")
    page.get_by_role("button", name=f"Teach {len(PAIRS)} rows").click()
    expect(page.locator(".drop .good")).to_contain_text("Answerable after")
    expect(page.locator(".drop .good strong").last).to_have_text(PAIRS[0][1])


def test_a_receipt_is_replayed_to_the_bit(page: Page, gateway: str) -> None:
    ask(page, gateway, "send me the invoice of May", "support")
    page.locator(".top a[href^='#/receipts/']").click()
    page.get_by_role("button", name="Replay it as it was then").click()
    expect(page.locator(".took")).to_have_text("The replay gives the same answer, to the last bit.")


def test_the_picture_of_the_readme(page: Page, gateway: str, tmp_path: Path) -> None:
    """Draws docs/images/console.png anew if DRAW_CONSOLE is set; else it is a test that it can be drawn."""
    image = Path(__file__).parents[2] / "docs" / "images" / "console.png"
    target = image if os.environ.get("DRAW_CONSOLE") else tmp_path / image.name
    page.set_viewport_size({"width": 1120, "height": 1240})
    ask(page, gateway, "my invoice never came", "support")
    page.get_by_role("button", name="Wrong").click()
    page.get_by_label("The right answer is").fill("Account › Invoices › Send again")
    page.get_by_role("button", name="Teach it").click()
    expect(page.locator(".side-now")).to_be_visible()
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=target)
    page.get_by_role("button", name="Take it back").click()
    expect(page.locator(".took")).to_contain_text("Taken back")
    assert 20_000 < target.stat().st_size < 300_000
