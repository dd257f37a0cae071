"""Steps that many tests of the page take."""

from __future__ import annotations

from playwright.sync_api import Page, expect

VIEWS = ("ask", "teach", "watch", "contexts", "receipts")


def open_view(page: Page, address: str, view: str) -> None:
    """Open a view, and wait until its heading is there."""
    page.goto("about:blank")  # else an address of the same page only changes the view
    page.goto(f"{address}/#/{view}")
    name = view.partition("/")[0]
    expect(page.locator(f"nav a[data-view={name}]")).to_have_attribute("aria-current", "page")
    expect(page.locator("h1")).to_be_visible()


def ask(page: Page, address: str, question: str, context: str | None = None) -> None:
    """Ask in the view Ask, and wait for the reply."""
    open_view(page, address, "ask")
    page.get_by_label("Your question").wait_for()
    if context and page.get_by_label("Context").count():  # one context leaves no choice
        page.get_by_label("Context").select_option(context)
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")
    expect(page.locator("article.reply")).to_be_visible()
