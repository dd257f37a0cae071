"""What a healthy system doesn't show, with a gateway that does as it is told."""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.browser.fake_gateway import KEY, FakeGateway
from tests.browser.looks import VIEWS, ask, open_view

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "javascript:alert(1)",
    '"><svg onload=alert(1)>',
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
]

SHOWN = """() => {
  window.shown = [];
  new MutationObserver(() => {
    const button = document.querySelector(".trouble button");
    if (button) window.shown.push([button.textContent, button.disabled]);
  }).observe(document.body, { childList: true, subtree: true, attributes: true });
}"""
"""Notes what the button beside a trouble says, and whether it is disabled, at each change."""


def test_an_empty_system_says_what_to_do(page: Page, fake: FakeGateway) -> None:
    open_view(page, fake.address, "ask")
    page.get_by_role("link", name="Teach the first texts").click()
    expect(page.locator("h1")).to_have_text("Teach")


def test_without_a_key_one_is_asked_for_and_it_is_in_no_address_and_no_attribute(page: Page) -> None:
    with FakeGateway(keyed=True) as fake:
        fake.teach("one", "1")
        page.goto(fake.address)
        page.get_by_role("textbox", name="Key").fill("hk_wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("doesn't know this key")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.get_by_role("textbox", name="Key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page.get_by_label("Your question")).to_be_visible()
        expect(page.locator("#who")).to_have_text("tester")
        assert KEY not in page.content()
        assert KEY not in page.url
        assert not any(KEY in address for _, address in fake.requests)
        assert page.evaluate("Object.values(localStorage).length + document.cookie.length") == 0
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        assert page.evaluate("sessionStorage.length") == 0
        expect(page.get_by_label("Your question")).to_have_count(0)


def test_a_key_that_is_taken_away_is_asked_for_anew(page: Page) -> None:
    with FakeGateway() as fake:
        fake.teach("one", "1")
        open_view(page, fake.address, "ask")
        page.wait_for_load_state("networkidle")  # or the view's own questions would be asked for the key
        fake.keyed = True
        page.get_by_role("link", name="Contexts").click()
        page.get_by_role("textbox", name="Key").fill(KEY)
        page.keyboard.press("Enter")
        expect(page.locator(".contexts li")).to_have_count(1)


@pytest.mark.parametrize(("view", "right"), [("ask", "ask"), ("teach", "teach"), ("watch", "watch")])
def test_a_right_that_is_missing_is_said(page: Page, view: str, right: str) -> None:
    with FakeGateway(rights=[]) as fake:
        open_view(page, fake.address, view)
        expect(page.locator(".empty")).to_contain_text(f"no right to {right}")


@pytest.mark.parametrize("status", [429, 503])
def test_too_much_counts_down_and_then_works(page: Page, fake: FakeGateway, status: int) -> None:
    fake.teach("one two", "1")
    fake.refuse("POST", "/v1/ask", status, retry_after=1, detail="slow down")
    open_view(page, fake.address, "ask")
    page.evaluate(SHOWN)  # a look of the test's own may come when the second is over
    page.get_by_label("Your question").fill("one two")
    page.keyboard.press("Enter")
    again = page.get_by_role("button", name="Try again", exact=True)
    expect(again).to_be_enabled()
    assert page.evaluate("window.shown[0]") == ["Try again in 1 second", True]
    again.click()
    expect(page.locator(".answer-text")).to_have_text("1")


def test_every_refusal_is_a_sentence_with_its_places(page: Page, fake: FakeGateway) -> None:
    errors = [{"where": "texts.3.text", "message": "<b>blank text</b>"}]
    for status in (400, 403, 404, 409, 410, 413, 415, 422, 500, 504):
        fake.refuse("GET", "/v1/contexts", status, detail="because of <i>this</i>", errors=errors)
        open_view(page, fake.address, "contexts")
        box = page.locator(".trouble")
        expect(box).to_contain_text("because of <i>this</i>")
        expect(box).to_contain_text("texts.3.text: <b>blank text</b>")
        assert len((box.locator(".trouble-what").text_content() or "").split()) > 3
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".empty")).to_be_visible()


def test_a_gateway_that_goes_away_is_waited_for(page: Page, fake: FakeGateway) -> None:
    fake.teach("one two", "1")
    open_view(page, fake.address, "ask")
    page.get_by_label("Your question").wait_for()
    fake.stop()
    page.get_by_label("Your question").fill("one two")
    page.keyboard.press("Enter")
    expect(page.locator("#away")).to_contain_text("can't be reached. Trying again in")
    fake.start()
    expect(page.locator("#away")).to_be_hidden()
    expect(page.get_by_label("Your question")).to_be_visible()


def test_the_watch_connects_again(page: Page, fake: FakeGateway) -> None:
    open_view(page, fake.address, "watch")
    expect(page.locator(".state")).to_have_text("Live")
    fake.stop()
    expect(page.locator(".state")).not_to_have_text("Live")
    fake.wrong = ["no responder runs: questions are not answered"]
    fake.start()
    expect(page.locator(".state")).to_have_text("Live")
    expect(page.locator(".view .trouble")).to_contain_text("no responder runs")


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("timed-out", "Not answered in time"),
        ("rejected", "can't be answered"),
        ("postponed", "Outcome: postponed"),
    ],
)
def test_outcomes_without_an_answer(page: Page, fake: FakeGateway, outcome: str, said: str) -> None:
    fake.teach("one two", "1")
    fake.override = {
        "outcome": outcome,
        "answer": None,
        "reason": "why not",
        "candidates": [],
        "receipt": None,
    }
    ask(page, fake.address, "one two")
    expect(page.locator(".answer")).to_contain_text(said)
    expect(page.locator(".answer")).to_contain_text("why not")


def test_abstained_shows_the_likeliest_and_takes_the_right_one(page: Page, fake: FakeGateway) -> None:
    fake.teach("alpha beta", "first")
    ask(page, fake.address, "quite another thing")
    expect(page.locator(".answer")).to_contain_text("No answer is sure enough")
    expect(page.locator(".answer")).to_contain_text("The likeliest would be: first")
    page.get_by_role("button", name="I know the answer").click()
    page.get_by_label("The right answer is").fill("second")
    page.keyboard.press("Enter")
    expect(page.locator(".answer-text")).to_have_text("second")


def test_no_probability_yet(page: Page, fake: FakeGateway) -> None:
    fake.teach("only one", "alone")
    reply = fake.reply("only one", "default")
    fake.override = {"receipt": {**reply["receipt"], "probability": None, "mix": None}}
    ask(page, fake.address, "only one")
    expect(page.locator(".sure")).to_contain_text("Score 1.00 of 1")
    expect(page.locator(".facts")).to_contain_text("There is no other candidate.")


def test_texts_of_strangers_are_never_markup(page: Page, fake: FakeGateway) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"it ran: {dialog.message}"))
    for text in HOSTILE:
        fake.teach(text, text, metadata={"k": text})
        fake.letters.append(
            {"topic": "t", "partition": 0, "offset": 1, "timestamp_ms": 0, "reason": text, "detail": text}
        )
        fake.wrong.append(text)
    ask(page, fake.address, HOSTILE[0])
    expect(page.locator(".answer-text")).to_have_text(HOSTILE[0])
    for view in ("contexts/default", "contexts/default/answers", "watch", "receipts/answers/0/0"):
        open_view(page, fake.address, view)
        for text in HOSTILE[:1] if view.startswith("receipts") else HOSTILE:
            expect(page.locator("main").get_by_text(text, exact=False).first).to_be_visible()
        assert page.locator("main img, main script, main [onerror], main a[href^=javascript]").count() == 0


def test_unseen_characters_are_shown_and_each_text_has_its_own_direction(
    page: Page, fake: FakeGateway
) -> None:
    fake.teach("كيف أغير كلمة المرور", "الإعدادات ثم الأمان")
    fake.teach("pay \u202eeniltrouf", "a\u200bb 👩\u200d👧 e\u0301")
    ask(page, fake.address, "كيف أغير كلمة المرور")
    answer = page.locator(".answer-text bdi")
    assert answer.evaluate("node => getComputedStyle(node).direction") == "rtl"
    assert page.get_by_label("Your question").evaluate("node => getComputedStyle(node).direction") == "rtl"
    open_view(page, fake.address, "contexts/default")
    expect(page.locator("main")).to_contain_text("pay \\u202eeniltrouf")
    expect(page.locator("main")).to_contain_text("a\\u200bb 👩\u200d👧 e\u0301")


def test_long_texts_are_cut_and_shown_whole(page: Page, fake: FakeGateway) -> None:
    fake.teach("long", "word " * 3_000)
    ask(page, fake.address, "long")
    assert len(page.locator(".answer-text").text_content() or "") < 1_000
    page.locator(".answer-text").get_by_role("button", name="Show all 15,000 characters").click()
    assert len(page.locator(".answer-text").text_content() or "") >= 15_000


def test_a_hundred_candidates_and_many_answers_on_the_map(page: Page, fake: FakeGateway) -> None:
    for number in range(100):
        fake.teach(f"question {number}", f"answer {number}")
    reply = fake.reply("question 1", "default")
    fake.override = {"candidates": reply["candidates"] * 20}
    ask(page, fake.address, "question 1")
    expect(page.locator(".map .map-point")).to_have_count(32)
    expect(page.locator(".map-legend")).to_contain_text("26 other answers")
    open_view(page, fake.address, "contexts/default")
    expect(page.locator("li.entry")).to_have_count(25)
    page.get_by_role("button", name="More").click()
    expect(page.locator("li.entry")).to_have_count(50)


def test_a_file_is_tried_then_taught(page: Page, fake: FakeGateway) -> None:
    open_view(page, fake.address, "teach")
    page.get_by_label("Paste the rows").fill('text,answer\nhello there,greeting\n,nothing\n"a, b",<b>c</b>')
    expect(page.locator(".drop table tbody tr")).to_have_count(3)
    page.get_by_role("button", name="Try it").click()
    expect(page.locator(".drop .trouble")).to_contain_text("1 row can't be taught")
    expect(page.locator(".drop .trouble")).to_contain_text("write a text")
    expect(page.get_by_role("button", name="Teach 2 rows")).to_be_enabled()  # without the third
    page.get_by_label("Paste the rows").fill("text,answer\nhello there,greeting\ngood morning,greeting")
    page.get_by_role("button", name="Try it").click()
    expect(page.locator(".accuracy")).to_contain_text("94%")
    page.get_by_role("button", name="Teach 2 rows").click()
    expect(page.locator(".drop .good")).to_contain_text("Answerable after")
    expect(page.locator(".drop .good strong").last).to_have_text("greeting")


def test_a_file_is_chosen(page: Page, fake: FakeGateway) -> None:
    open_view(page, fake.address, "teach")
    rows = b'{"text": "hi", "answer": "greeting"}\n{"text": "bye", "answer": "parting"}\n'
    page.get_by_label("Or choose a file").set_input_files(
        FilePayload(name="a.jsonl", mimeType="", buffer=rows)
    )
    expect(page.locator(".drop caption")).to_contain_text("JSON Lines")
    big = FilePayload(name="b.csv", mimeType="text/csv", buffer=b"x" * (9 << 20))
    page.get_by_label("Or choose a file").set_input_files(big)
    expect(page.locator(".drop .trouble")).to_contain_text("8 MiB")


def test_a_replay(page: Page, fake: FakeGateway) -> None:
    fake.teach("one two", "1")
    ask(page, fake.address, "one two")
    open_view(page, fake.address, "receipts/answers/0/0")
    page.get_by_role("button", name="Replay it as it was then").click()
    expect(page.locator(".took")).to_contain_text("the same answer, to the last bit")
    fake.replayed = {"same": False, "now": None, "missing": [{"what": "entry", "why": "0/3 was forgotten"}]}
    page.get_by_role("button", name="Replay it as it was then").click()
    expect(page.locator(".took")).to_contain_text("something of then is gone")
    expect(page.locator(".before-after li")).to_have_text("0/3 was forgotten")
    fake.replayed = {
        "same": False,
        "differences": [{"field": "answer", "then": "1", "now": "<b>2</b>", "why": "so it is"}],
    }
    page.get_by_role("button", name="Replay it as it was then").click()
    expect(page.locator(".before-after li")).to_have_text("answer: then 1, replayed <b>2</b>. so it is")
    mix = {"same": False, "differences": [], "missing": [{"what": "mix", "why": "mix 3 is gone"}]}
    fake.replayed = mix
    page.get_by_role("button", name="Replay it as it was then").click()
    expect(page.locator(".took")).to_contain_text("something of then is gone")
    fake.receipts["answers/0/0"]["receipt"]["exclude"] = {"partition": 0, "offset": 7}
    open_view(page, fake.address, "receipts/answers/0/0")
    with page.expect_request("**/v1/ask") as asked:
        page.get_by_role("button", name="Would it answer the same today?").click()
    assert (asked.value.post_data_json or {})["exclude"] == {"partition": 0, "offset": 7}
    fake.receipts["answers/0/0"]["question"] = ""
    open_view(page, fake.address, "receipts")
    open_view(page, fake.address, "receipts/answers/0/0")
    expect(page.locator("article.reply")).to_contain_text("its question is no longer kept")
    expect(page.get_by_role("button", name="Replay it as it was then")).to_have_count(0)
    open_view(page, fake.address, "receipts/answers/0/77")
    expect(page.locator(".trouble")).to_contain_text("nothing of this name")
    open_view(page, fake.address, "receipts/100%/<b>")
    expect(page.locator(".trouble")).to_contain_text("topic/partition/offset")
    open_view(page, fake.address, "receipts/what/ever")
    expect(page.locator(".trouble")).to_contain_text("topic/partition/offset")


def test_a_second_enter_asks_once(page: Page, fake: FakeGateway) -> None:
    fake.teach("one two", "1")
    open_view(page, fake.address, "ask")
    page.get_by_label("Your question").fill("one two")
    page.evaluate("for (let i = 0; i < 5; i++) document.querySelector('form').requestSubmit()")
    expect(page.locator(".answer-text")).to_have_text("1")
    time.sleep(0.2)
    assert sum(method == "POST" for method, _ in fake.requests) == 1


def test_a_view_that_can_not_be_fetched_is_a_trouble_and_is_shown_once_the_gateway_is_back(
    page: Page, fake: FakeGateway
) -> None:
    open_view(page, fake.address, "ask")
    page.wait_for_load_state("networkidle")
    page.route("**/views/receipts.js*", lambda route: route.abort())
    page.get_by_role("link", name="Receipts").click()
    expect(page.locator(".trouble-what")).to_be_visible()
    page.unroute("**/views/receipts.js*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".view form")).to_be_visible()


def test_nothing_is_fetched_from_elsewhere(page: Page, fake: FakeGateway) -> None:
    fake.teach("one two", "1")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for view in VIEWS:
        open_view(page, fake.address, view)
    assert asked
    assert [url for url in asked if not url.startswith((fake.address, "about:"))] == []


def test_a_key_that_sees_no_texts_sees_how_sure_it_is(page: Page, fake: FakeGateway) -> None:
    fake.teach("one two", "1")
    reply = fake.reply("one two", "default")
    fake.override = {"candidates": [], "neighbours": [{**reply["neighbours"][0], "text": "", "answer": ""}]}
    ask(page, fake.address, "one two")
    expect(page.locator(".sure-words")).to_have_text("87% likely to be right")
    fake.override["candidates"] = [{**reply["candidates"][0], "text": "", "metadata": {}}]
    ask(page, fake.address, "one two")
    expect(page.locator(".map-box")).to_contain_text("not what they say")


def test_what_refutes_an_answer_is_not_shown_as_one(page: Page, fake: FakeGateway) -> None:
    fake.teach("one two", "1", refutes=True)
    open_view(page, fake.address, "contexts/default")
    expect(page.locator(".entry-refuted")).to_have_text("not: 1")


def test_numbers_and_times_are_written_as_the_person_does(browser: Browser, fake: FakeGateway) -> None:
    fake.letters.append(
        {
            "topic": "t",
            "partition": 0,
            "offset": 1,
            "timestamp_ms": 1_795_000_000_000,
            "reason": "r",
            "detail": "d",
        }
    )
    context = browser.new_context(locale="en-GB", timezone_id="Europe/London")
    page = context.new_page()
    open_view(page, fake.address, "watch")
    expect(page.get_by_role("region", name="Dead letters")).to_contain_text("18 Nov 2026, 11:06:40")
    context.close()


def test_a_key_of_one_context_teaches_into_it(page: Page) -> None:
    with FakeGateway(rights=["teach"]) as fake:
        fake.contexts = ["faq-*", "support"]
        open_view(page, fake.address, "teach")
        expect(page.get_by_label("Context")).to_have_count(2)
        for field in page.get_by_label("Context").all():
            expect(field).to_have_value("support")
        page.get_by_label("When somebody asks").fill("hello")
        page.get_by_role("button", name="Teach it").click()
        expect(page.locator(".good")).to_have_text("It is written.")


def test_a_correction_without_effect_is_not_said_to_be_learned(page: Page, fake: FakeGateway) -> None:
    fake.teach("one two", "1")
    ask(page, fake.address, "one two")
    fake.learns = False
    page.get_by_role("button", name="Right").click()
    expect(page.locator(".learned .trouble")).to_contain_text("written, but has no effect yet")
    fake.learns = True
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".took")).to_contain_text("Learned")
