"""The page for everybody: axe, the keyboard alone, 320 px, dark and light, print, less motion."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE
from tests.browser.fake_gateway import FakeGateway
from tests.browser.looks import VIEWS, ask, open_view

LETTER = {"topic": "texts", "partition": 0, "offset": 17, "timestamp_ms": 1_795_000_000_000}
PAIRS = [
    ("I forgot my password", "Settings › Security › Reset password"),
    ("reset my password please", "Settings › Security › Reset password"),
    ("I can not log in any more", "Settings › Security › Reset password"),
    ("where is my invoice", "Account › Invoices"),
    ("send me the invoice of May", "Account › Invoices"),
    ("cancel my subscription", "Account › Plan › Cancel"),
    ("my router is offline", "Hold the reset button for ten seconds"),
    ("the router does not connect", "Hold the reset button for ten seconds"),
    ("my parcel did not come", "Orders › Track"),
]


@pytest.fixture(scope="module")
def shop() -> Iterator[FakeGateway]:
    """A gateway with something to see in each view."""
    with FakeGateway() as fake:
        for text, answer in PAIRS:
            fake.teach(text, answer, "support", metadata={"lang": "en"})
        fake.teach("how warm is it", "weather", "home")
        fake.letters = [{**LETTER, "reason": "blank-text", "detail": "text: blank text"}]
        yield fake


def full(page: Page, address: str, view: str) -> None:
    """The view with all that it can show."""
    if view == "receipts":
        ask(page, address, "I lost my password", "support")
        open_view(page, address, "receipts/answers/0/0")
        page.get_by_role("button", name="Would it answer").click()
        expect(page.locator(".side-now")).to_be_visible()
    elif view == "ask":
        ask(page, address, "I lost my password", "support")
        page.get_by_text("As a table").click()
        page.get_by_text("Only among some entries").click()
        page.get_by_role("button", name="Wrong").click()
    elif view == "contexts":
        open_view(page, address, "contexts/support")
        expect(page.locator("li.entry").first).to_be_visible()
    else:
        open_view(page, address, view)
        if view == "watch":
            expect(page.locator(".plots figure").first).to_be_visible()
            expect(page.get_by_text("blank-text")).to_be_visible()
        else:
            page.get_by_label("Paste the rows").fill("text,answer\nhello,greeting\n,nothing\na,b,c")
            page.get_by_role("button", name="Try it").click()
            expect(page.get_by_text("1 row can't be taught").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(page: Page, shop: FakeGateway, view: str, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    full(page, shop.address, view)
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    assert found.violations_count == 0, found.generate_report()


def test_axe_finds_nothing_in_dialogs(page: Page) -> None:
    with FakeGateway(keyed=True) as fake:
        page.goto(fake.address)
        expect(page.get_by_role("dialog")).to_be_visible()
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_what_comes_and_goes(page: Page, fake: FakeGateway, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")

    def check(state: str) -> None:
        found = Axe().run(page, options={"resultTypes": ["violations"]})
        assert found.violations_count == 0, f"{state}: {found.generate_report()}"

    open_view(page, fake.address, "ask")
    expect(page.locator(".empty")).to_be_visible()
    check("nothing is taught")
    for text, answer in PAIRS:
        fake.teach(text, answer)
    fake.teach("send me the bill", "Account › Invoices", refutes=True)
    ask(page, fake.address, "quite another thing")
    check("no answer")
    ask(page, fake.address, "where is my invoice")
    page.get_by_role("button", name="Right").click()
    expect(page.locator(".took")).to_be_visible()
    check("corrected")
    fake.refuse("POST", "/v1/ask", 429, retry_after=9, errors=[{"where": "text", "message": "no"}])
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".trouble")).to_be_visible()
    check("refused")
    fake.replayed = {"same": False, "now": None, "missing": [{"what": "entry", "why": "gone"}]}
    open_view(page, fake.address, "receipts/answers/0/0")
    page.get_by_role("button", name="Replay").click()
    expect(page.locator(".took")).to_be_visible()
    check("replayed")
    open_view(page, fake.address, "receipts")
    expect(page.locator("form.finder")).to_be_visible()
    check("receipts")
    open_view(page, fake.address, "contexts/default/answers")
    expect(page.locator("ol.entries li").first).to_be_visible()
    check("answers")
    open_view(page, fake.address, "contexts/default")
    page.get_by_role("button", name="Delete entry 0/0").click()
    check("a dialog")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".good")).to_be_visible()
    check("deleted")
    open_view(page, fake.address, "teach")
    page.get_by_label("When somebody asks").fill("hello")
    page.keyboard.press("Enter")
    expect(page.locator(".good")).to_be_visible()
    page.get_by_label("Paste the rows").fill("text,answer\nhello,greeting")
    page.get_by_role("button", name="Try it").click()
    page.get_by_role("button", name="Teach 1 row").click()
    expect(page.locator(".drop .good")).to_be_visible()
    check("taught")


@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_shows_all_without_scrolling_sideways(page: Page, shop: FakeGateway, view: str) -> None:
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    shop.entries[0]["metadata"] = {"a-very-long-key-of-metadata-that-goes-on": "x" * 300}
    full(page, shop.address, view)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize(
    "answer", ["word " * 3_000, "unbroken" * 40, "one\n\ttwo", "z\u0334\u0321\u0315" * 50]
)
def test_a_phone_shows_names_and_answers_of_any_length(page: Page, fake: FakeGateway, answer: str) -> None:
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    for number in range(2):
        fake.teach("a question", answer, f"{number}-{'long-name' * 6}")
    ask(page, fake.address, "a question")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    open_view(page, fake.address, f"contexts/0-{'long-name' * 6}")
    expect(page.locator("li.entry")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_asking_and_correcting_need_only_the_keyboard(page: Page, shop: FakeGateway) -> None:
    open_view(page, shop.address, "receipts")
    page.get_by_label("Name of a receipt").wait_for()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Name of a receipt")).to_be_focused()
    page.goto(shop.address)
    expect(page.get_by_label("Your question")).to_be_focused()
    page.keyboard.type("cancel my subscription")
    page.keyboard.press("Enter")
    expect(page.locator("article.reply")).to_be_visible()
    tab_to(page, "I know the answer …")
    page.keyboard.press("Enter")
    page.keyboard.type("keyboard-answer")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Take it back")).to_be_focused()
    expect(page.locator("#announcements")).to_contain_text("keyboard-answer")
    page.keyboard.press("Enter")
    expect(page.locator(".took")).to_contain_text("Taken back")


def tab_to(page: Page, text: str, most: int = 40) -> None:
    """Press Tab until the element with this text has the focus."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == text:
            return
    pytest.fail(f"{text!r} is not reached by Tab")


def test_a_new_view_has_the_focus_and_is_told(page: Page, shop: FakeGateway) -> None:
    open_view(page, shop.address, "ask")
    tab_to(page, "Contexts")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_be_focused()
    expect(page.locator("h1")).to_have_text("Contexts")
    expect(page.locator("#announcements")).to_contain_text("Contexts")
    assert page.title() == "Contexts · hurnet"


def test_colours_follow_the_system_and_motion_stops(page: Page, shop: FakeGateway) -> None:
    open_view(page, shop.address, "ask")
    page.get_by_label("Your question").wait_for()
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(background) != light
    page.emulate_media(reduced_motion="reduce")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.ask-line button')).transitionDuration")
        == "0s"
    )


def test_print_leaves_out_what_is_only_for_the_screen(page: Page, shop: FakeGateway) -> None:
    ask(page, shop.address, "where is my invoice", "support")
    page.emulate_media(media="print")
    expect(page.locator(".top-bar")).to_be_hidden()
    expect(page.locator(".verdicts")).to_be_hidden()
    expect(page.locator(".answer-text")).to_be_visible()


def test_a_translation_from_right_to_left_turns_the_page_round(page: Page, shop: FakeGateway) -> None:
    open_view(page, shop.address, "ask")
    before = page.locator(".brand").bounding_box()
    page.evaluate("document.documentElement.dir = 'rtl'")
    after = page.locator(".brand").bounding_box()
    assert before
    assert after
    assert after["x"] > before["x"] + 300
    page.set_viewport_size({"width": PHONE["width"], "height": PHONE["height"]})
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
