"""Twice, too early, away and back: nothing is written twice, and nothing that people have typed is lost."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.fake_gateway import KEY, FakeGateway
from tests.browser.looks import VIEWS, ask, open_view

TWICE = (
    "selector => { const node = document.querySelector(selector); for (let i = 0; i < 3; i++) node.click() }"
)


def posted(fake: FakeGateway, path: str) -> int:
    return sum(method == "POST" and path in address for method, address in fake.requests)


def test_a_second_click_or_enter_writes_one_text(page: Page, fake: FakeGateway) -> None:
    open_view(page, fake.address, "teach")
    page.get_by_label("When somebody asks").fill("hello")
    page.evaluate("for (let i = 0; i < 3; i++) document.querySelector('form').requestSubmit()")
    expect(page.locator(".good")).to_contain_text("Answerable after")
    assert posted(fake, "/v1/texts") == 1
    expect(page.get_by_label("Context").first).to_have_value("default")  # it is kept for the next one
    page.get_by_label("When somebody asks").fill("a second one")
    page.keyboard.press("Enter")
    expect(page.locator(".good")).to_contain_text("a second one")
    assert posted(fake, "/v1/texts") == 2


def test_a_second_click_corrects_once(page: Page, fake: FakeGateway) -> None:
    fake.teach("one two", "1")
    ask(page, fake.address, "one two")
    page.evaluate(TWICE, ".verdicts button")
    expect(page.locator(".took")).to_contain_text("Learned")
    assert posted(fake, "/v1/corrections") == 1
    page.evaluate(TWICE, ".before-after .actions button")
    expect(page.locator(".took")).to_contain_text("Taken back")
    assert posted(fake, "/v1/corrections") == 2
    expect(page.get_by_role("button", name="Wrong")).to_be_visible()  # it can be said otherwise


def test_a_second_click_teaches_a_file_once_and_so_does_one_after_it_is_done(
    page: Page, fake: FakeGateway
) -> None:
    open_view(page, fake.address, "teach")
    page.get_by_label("Paste the rows").fill("text,answer\nhello,greeting")
    page.evaluate(TWICE, ".drop .actions .primary")
    expect(page.locator(".accuracy")).to_be_visible()
    assert posted(fake, "/v1/rehearsals") == 1
    page.get_by_role("button", name="Teach 1 row").evaluate("node => { node.click(); node.click() }")
    expect(page.locator(".drop .good")).to_contain_text("Answerable after")
    assert posted(fake, "/v1/files") == 1
    expect(page.get_by_role("button", name="Teach 1 row")).to_be_hidden()


def test_a_try_after_a_failure_has_the_name_of_the_first(page: Page, fake: FakeGateway) -> None:
    names: list[str | None] = []
    page.on(
        "request",
        lambda sent: names.append(sent.headers.get("idempotency-key")) if sent.method == "POST" else None,
    )
    open_view(page, fake.address, "teach")
    page.get_by_label("Paste the rows").fill("text,answer\nhello,greeting")
    page.get_by_role("button", name="Try it").click()
    fake.refuse("POST", "/v1/files", 504)
    page.get_by_role("button", name="Teach 1 row").click()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".drop .good")).to_be_visible()
    given = [name for name in names if name]
    assert len(given) == 2
    assert given[0] == given[1]


def test_what_is_written_is_said_to_be_written_if_asking_fails(page: Page, fake: FakeGateway) -> None:
    open_view(page, fake.address, "teach")
    page.get_by_label("When somebody asks").fill("hello")
    fake.refuse("POST", "/v1/ask", 422, detail="asking has failed")
    page.get_by_role("button", name="Teach it").click()
    expect(page.locator(".good")).to_have_text("It is written.")
    expect(page.locator(".trouble")).to_contain_text("asking has failed")


def test_a_key_that_runs_out_while_somebody_writes_loses_nothing(page: Page) -> None:
    with FakeGateway(keyed=True) as fake:
        page.goto(f"{fake.address}/#/teach")
        page.get_by_role("textbox", name="Key").fill(KEY)
        page.keyboard.press("Enter")
        page.get_by_label("When somebody asks").fill("a long text")
        fake.key = "hk_the_next_one"
        page.get_by_role("button", name="Teach it").click()
        page.get_by_role("textbox", name="Key").fill("hk_mistyped")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("doesn't know this key")
        page.get_by_role("textbox", name="Key").fill(fake.key)
        page.keyboard.press("Enter")
        expect(page.locator(".good")).to_contain_text("a long text")
        assert [each["text"] for each in fake.entries] == ["a long text"]


def test_a_key_of_somebody_else_begins_anew_and_sees_nothing_of_before(page: Page) -> None:
    with FakeGateway(keyed=True) as fake:
        fake.teach("one two", "1")
        page.goto(fake.address)
        page.get_by_role("textbox", name="Key").fill(KEY)
        page.keyboard.press("Enter")
        page.get_by_label("Your question").fill("one two")
        page.keyboard.press("Enter")
        expect(page.locator(".answer-text")).to_have_text("1")
        fake.key, fake.name = "hk_the_next_one", "another"
        page.get_by_role("link", name="Contexts").click()
        page.get_by_role("textbox", name="Key").fill(fake.key)
        page.keyboard.press("Enter")
        expect(page.locator("#who")).to_have_text("another")
        page.get_by_role("link", name="Receipts").click()
        expect(page.locator("main")).to_contain_text("What you ask in this tab will be listed here.")
        page.get_by_role("link", name="Ask", exact=True).click()
        expect(page.get_by_label("Your question")).to_have_value("")


def test_going_back_finds_the_answer_as_it_was_left(page: Page, fake: FakeGateway) -> None:
    fake.teach("one two", "1")
    fake.teach("three", "3", "other")
    ask(page, fake.address, "one two", "default")
    page.locator(".top a[href^='#/receipts/']").click()
    expect(page.locator(".question")).to_have_text("one two")
    page.go_back()
    expect(page.locator(".answer-text")).to_have_text("1")
    expect(page.get_by_label("Your question")).to_have_value("one two")
    page.go_forward()
    expect(page.locator(".question")).to_have_text("one two")
    page.get_by_role("link", name="Contexts").click()
    page.get_by_role("link", name="Ask other").click()  # another one: an old answer would not be of it
    expect(page.get_by_label("Context")).to_have_value("other")
    expect(page.get_by_label("Your question")).to_have_value("")


def test_a_text_that_is_too_long_is_not_cut_in_silence(page: Page, fake: FakeGateway) -> None:
    open_view(page, fake.address, "teach")
    page.get_by_label("When somebody asks").fill("x" * 20_000)
    page.get_by_role("button", name="Teach it").click()
    expect(page.locator(".good").first).to_be_visible()
    assert len(fake.entries[0]["text"]) == 20_000  # a real gateway refuses it, and says so


def test_a_condition_without_its_key_is_not_left_out_in_silence(page: Page, fake: FakeGateway) -> None:
    fake.teach("one two", "1")
    open_view(page, fake.address, "ask")
    page.get_by_text("Only among some entries").click()
    page.get_by_label("Value").fill("router")
    page.get_by_label("Your question").fill("one two")
    page.keyboard.press("Enter")
    expect(page.locator(".trouble")).to_contain_text("Which key has the value “router”?")
    assert posted(fake, "/v1/ask") == 0


def test_live_tables_keep_the_focus_and_what_was_scrolled(page: Page, fake: FakeGateway) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    open_view(page, fake.address, "watch")
    region = page.get_by_role("region", name="Weights and their certificates")
    version = region.locator("tbody td").first
    expect(version).not_to_have_text("–")
    region.focus()
    region.evaluate("node => { node.scrollLeft = 40 }")
    before = version.text_content() or ""
    expect(version).not_to_have_text(before)
    expect(region).to_be_focused()
    assert region.evaluate("node => node.scrollLeft") == 40


def test_what_counts_down_is_not_read_out_each_second(page: Page, fake: FakeGateway) -> None:
    fake.teach("one two", "1")
    live = "node => Boolean(node.closest('[aria-live], [role=status], [role=alert]'))"
    fake.refuse("POST", "/v1/ask", 429, retry_after=30)
    open_view(page, fake.address, "ask")
    page.get_by_label("Your question").fill("one two")
    page.keyboard.press("Enter")
    assert not page.get_by_role("button", name="Try again in").evaluate(live)
    assert page.locator(".trouble-what").evaluate(live)
    fake.stop()
    page.get_by_role("link", name="Contexts").click()
    expect(page.locator("#away")).to_contain_text("Trying again in")
    assert not page.locator("#away").evaluate(live)
    expect(page.locator("#announcements")).to_have_text(
        "The gateway can't be reached. The page goes on trying."
    )
    fake.start()
    expect(page.locator("#away")).to_be_hidden()


def test_without_words_or_storage_the_page_comes_up_all_the_same(page: Page, fake: FakeGateway) -> None:
    fake.teach("one two", "1")
    page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', {"
        " get() { throw new DOMException('no', 'SecurityError') } })"
    )
    page.route("**/texts/en.json", lambda route: route.abort(), times=1)
    ask(page, fake.address, "one two")
    expect(page.locator(".answer-text")).to_have_text("1")
    page.get_by_role("link", name="Receipts").click()
    expect(page.get_by_role("link", name="one two")).to_be_visible()


@pytest.mark.parametrize("view", VIEWS)
def test_a_page_that_is_loaded_anew_shows_the_same_view(page: Page, fake: FakeGateway, view: str) -> None:
    open_view(page, fake.address, view)
    title = page.title()
    page.reload()
    expect(page.locator("h1")).to_be_visible()
    assert page.title() == title
