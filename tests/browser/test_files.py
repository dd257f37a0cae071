"""Files at the page: whatever they are, they travel as their bytes, and what can't be read is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.browser.fake_gateway import FakeGateway
from tests.browser.looks import open_view

TABLE = "question,answer\nwie spät ist es,Uhrzeit\n"
DROP = """(panel, files) => {
  const data = new DataTransfer();
  for (const [name, text] of files) data.items.add(new File([text], name));
  return !panel.dispatchEvent(new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: data }));
}"""
"""Gives whether the page has seen to it, so that the browser does not open the file."""


def choose(page: Page, fake: FakeGateway, name: str, content: bytes) -> Locator:
    """Choose the file, and give the panel."""
    open_view(page, fake.address, "teach")
    payload = FilePayload(name=name, mimeType="", buffer=content)
    page.get_by_label("Or choose a file").set_input_files(payload)
    return page.locator(".drop")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_a_file_travels_as_its_bytes(page: Page, fake: FakeGateway, encoding: str) -> None:
    content = TABLE.encode(encoding)
    panel = choose(page, fake, "times.csv", content)
    expect(panel.locator("caption").first).to_have_text("times.csv: first rows, read as CSV")
    expect(panel.locator("thead th").first).to_have_text("question")
    shown = "wie sp\ufffdt ist es" if encoding == "latin-1" else "wie spät ist es"
    expect(panel.locator("tbody td").first).to_have_text(shown)
    # A text that is edited is written as UTF-8, so only such a one is offered to be edited.
    editable = encoding.startswith("utf-8")
    assert bool(page.get_by_label("Paste the rows").input_value()) == editable
    panel.get_by_role("button", name="Try it").click()
    expect(panel.locator(".accuracy")).to_be_visible()
    assert fake.bodies == [content]


@pytest.mark.parametrize(
    ("name", "content", "read_as"),
    [
        ("a.csv", '[{"x"],b', "CSV"),
        ("a.jsonl", "text,answer", "JSON Lines"),
        ("a.txt", '{"text": "a"}', "JSON Lines"),
        ("a.txt", '[{"text": "a"}]', "JSON Lines"),
        ("a.txt", "[urgent] where is it,answer", "CSV"),
    ],
)
def test_the_format_is_that_of_the_name_or_else_of_the_first_line(
    page: Page, fake: FakeGateway, name: str, content: str, read_as: str
) -> None:
    panel = choose(page, fake, name, content.encode())
    expect(panel.locator("caption").first).to_contain_text(f"read as {read_as}")


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_columns_are_cut_as_the_gateway_cuts_them(page: Page, fake: FakeGateway, mark: str) -> None:
    cells = mark.join(["text", "answer", '"a;b,c|d"'])
    panel = choose(page, fake, "table.csv", cells.encode())
    expect(panel.locator("thead th")).to_have_count(3)


def test_a_file_that_holds_nothing_says_so(page: Page, fake: FakeGateway) -> None:
    panel = choose(page, fake, "nothing.csv", b"\xef\xbb\xbf \n")
    expect(panel.get_by_role("alert")).to_have_text("There is nothing in nothing.csv.")


def test_what_is_pasted_has_the_same_limit(page: Page, fake: FakeGateway) -> None:
    open_view(page, fake.address, "teach")
    page.get_by_label("Paste the rows").evaluate(
        """node => {
          const data = new DataTransfer();
          data.setData("text/plain", "x".repeat(9 << 20));
          node.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, cancelable: true }));
        }"""
    )
    expect(page.locator(".drop").get_by_role("alert")).to_contain_text("9,437,184 bytes")
    expect(page.get_by_role("button", name="Try it")).to_have_count(0)


def test_one_file_is_dropped_and_two_are_refused(page: Page, fake: FakeGateway) -> None:
    open_view(page, fake.address, "teach")
    panel = page.locator(".drop")
    panel.evaluate(DROP, [["a.csv", TABLE]])
    expect(panel.locator("caption").first).to_contain_text("a.csv")
    panel.evaluate(DROP, [["a.csv", TABLE], ["b.csv", TABLE]])
    expect(panel.get_by_role("alert")).to_have_text("These are 2 files. Give one at a time.")


def test_a_file_that_misses_the_panel_does_not_take_the_place_of_the_page(
    page: Page, fake: FakeGateway
) -> None:
    open_view(page, fake.address, "teach")
    page.locator(".drop").wait_for()
    assert page.locator("h1").evaluate(DROP, [["x.csv", "x"]])
    expect(page.locator(".drop table")).to_have_count(0)


def test_a_mended_file_of_the_same_name_is_read_again(page: Page, fake: FakeGateway, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,answer\nold,1\n", "utf-8")
    open_view(page, fake.address, "teach")
    for text in ("old", "new"):
        path.write_text(f"text,answer\n{text},1\n", "utf-8")
        with page.expect_file_chooser() as chooser:
            page.get_by_label("Or choose a file").click()
        chooser.value.set_files(path)
        expect(page.locator(".drop tbody td").first).to_have_text(text)


def test_what_was_tried_for_one_context_is_not_taught_into_another(page: Page, fake: FakeGateway) -> None:
    panel = choose(page, fake, "rows.csv", TABLE.encode())
    panel.get_by_role("button", name="Try it").click()
    expect(panel.get_by_text("in the context default")).to_be_visible()
    panel.get_by_label("Context").fill("other")
    expect(panel.get_by_role("button", name="Teach 1 row")).to_have_count(0)
    panel.get_by_role("button", name="Try it").click()
    panel.get_by_role("button", name="Teach 1 row").click()
    expect(panel.locator(".good")).to_be_visible()
    assert fake.entries[0]["context"] == "other"
