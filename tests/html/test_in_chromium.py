"""The last judge: a real browser, without any content security policy to help us."""

import pathlib
import random
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Dialog, Page, Route

from app.html.markdown import render, render_marked, render_plain
from app.html.pieces import draw_all
from app.html.stream import AnswerView, frame, render_parts
from app.parts import ReasoningDelta, ReasoningPart, TextDelta, TextPart, ToolCallDelta, ToolCallPart, ToolResultPart
from tests.corpora.markdown import DOCUMENTS
from tests.corpora.unicode import TEXTS
from tests.corpora.xss import PAYLOADS
from tests.html.page import with_formulas
from tests.tiers import in_tiers
from tests.watching import PROGRAM_SECONDS

HOME = "http://parley.example/"
HTMX = pathlib.Path(__file__).parents[2] / "static" / "vendor" / "htmx.min.js"
TOOLS = """
const inert = (html) => { const t = document.createElement("template"); t.innerHTML = html; return t.content; };
const fresh = (html) => inert(html).firstChild.outerHTML;
const shown = () => document.querySelector(".body").outerHTML;
const see = (seq) => document.querySelector(".tail").setAttribute("data-seq", seq);
const find = (target) => {
  const found = document.querySelectorAll(target);
  if (found.length !== 1) throw new Error(`${found.length} of ${target}`);
  return found[0];
};
const apply = (one, swap, html) => {
  if (swap === "delete") one.remove();
  else if (swap === "innerHTML") one.innerHTML = html;
  else one.insertAdjacentHTML(swap, html);
};
const provoke = () => {
  for (const element of document.querySelectorAll("main *")) {
    for (const kind of ["mouseover", "pointerover", "focus", "load", "error", "toggle", "animationstart", "revealed"])
      element.dispatchEvent(new Event(kind, { bubbles: true }));
    if (!element.closest("a[href]")) element.click?.();
  }
  htmx.process(document.body);
};
"""


pytestmark = pytest.mark.asyncio(loop_scope="session")


class Watched:
    """A page that notes everything a payload could do."""

    page: Page

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.context.set_default_timeout(1_000 * PROGRAM_SECONDS)
        self.happened: list[str] = []

    async def open(self) -> None:
        await self.context.route("**/*", self._answer)
        self.context.on("page", lambda page: self.happened.append(f"window {page.url}"))
        self.page = await self.context.new_page()
        self.happened.clear()
        self.page.on("dialog", self._dismiss)
        self.page.on("pageerror", lambda error: self.happened.append(f"error {error}"))
        await self.page.goto(HOME)
        await self.page.add_script_tag(path=str(HTMX))
        await self.page.add_script_tag(content=TOOLS)

    async def do(self, script: str, argument: Any = None) -> Any:
        return await self.page.evaluate(script, argument)

    async def assert_nothing_happened(self) -> None:
        assert await self.do("window.pwned") is None
        assert self.page.url == HOME
        assert await self.do("document.querySelectorAll('script').length") == 2
        assert self.happened == []

    async def _answer(self, route: Route) -> None:
        if route.request.url == HOME and route.request.is_navigation_request() and not route.request.redirected_from:
            await route.fulfill(content_type="text/html", body="<!doctype html><title>x</title><main></main>")
        else:
            self.happened.append(f"request {route.request.url}")
            await route.abort()

    async def _dismiss(self, dialog: Dialog) -> None:
        self.happened.append(f"dialog {dialog.message}")
        await dialog.dismiss()


@pytest_asyncio.fixture(loop_scope="session")
async def watched(browser: Browser) -> AsyncIterator[Watched]:
    page = Watched(await browser.new_context())
    await page.open()
    yield page
    await page.context.close()


async def test_the_page_would_notice(watched: Watched) -> None:
    """The judge itself: the same page with an unsanitised payload sees the script, the dialog and the request."""
    await watched.do(
        "html => document.querySelector('main').innerHTML = html", "<img src=//evil.example/a onerror=pwned=1>"
    )
    await watched.page.wait_for_function("window.pwned === 1")
    async with watched.page.expect_event("dialog"):
        await watched.do("html => document.querySelector('main').innerHTML = html", "<img src=x: onerror=alert(1)>")
    assert {"request http://evil.example/a", "dialog 1"} <= set(watched.happened)


@pytest.mark.parametrize("every", in_tiers(5, 1))
async def test_no_rendered_payload_does_anything(watched: Watched, every: int) -> None:
    for payload in PAYLOADS[::every]:
        parts = (
            ReasoningPart(payload),
            ToolCallPart(payload, payload, payload),
            ToolResultPart("", payload),
            TextPart(payload),
        )
        for html in (
            render(payload),
            with_formulas(render_marked(payload)),
            render(f"- {payload}\n\n[x]({payload}) ![x]({payload})\n\n```{payload}\n{payload}\n"),
            render_plain(payload),
            draw_all(render_parts(parts, dom="x")),
        ):
            await watched.do("html => { document.querySelector('main').innerHTML = html; provoke(); }", html)
    await watched.assert_nothing_happened()


async def test_the_browser_reads_what_was_written(watched: Watched) -> None:
    """Parsed and written out twice, the HTML stays as it is: no mutation to hide in."""
    for text in [*PAYLOADS, *DOCUMENTS.values(), *TEXTS.values()]:
        once, twice = await watched.do(
            "html => { const a = inert(`<div>${html}</div>`).firstChild.outerHTML; return [a, fresh(a)]; }",
            render(text),
        )
        assert once == twice


@pytest.mark.parametrize("size", in_tiers(9, 1))
async def test_no_streamed_payload_does_anything(watched: Watched, size: int) -> None:
    for payload in PAYLOADS:
        await _stream(watched, [TextDelta(payload[start : start + size]) for start in range(0, len(payload), size)])
        await watched.do("provoke()")
    await watched.assert_nothing_happened()


@pytest.mark.parametrize("every", in_tiers(5, 1))
async def test_no_reasoning_or_tool_call_does_anything(watched: Watched, every: int) -> None:
    for payload in PAYLOADS[::every]:
        middle = len(payload) // 2
        await _stream(
            watched,
            [
                ReasoningDelta(payload[:middle]),
                ReasoningDelta(payload[middle:]),
                ToolCallDelta(0, payload, payload, payload[:middle]),
                ToolCallDelta(0, arguments=payload[middle:]),
                ToolCallDelta(1, name=payload),
                TextDelta(payload),
            ],
        )
        await watched.do("provoke()")
    await watched.assert_nothing_happened()


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_a_watching_page_equals_a_fresh_one_at_every_character(watched: Watched, name: str) -> None:
    await _stream(watched, [TextDelta(character) for character in DOCUMENTS[name]])
    await watched.assert_nothing_happened()


async def test_htmx_makes_the_same_page_of_the_frames(watched: Watched) -> None:
    """The frames as they travel, applied by the htmx that we ship."""
    chance = random.Random(7)
    pieces: list[TextDelta | ReasoningDelta] = [ReasoningDelta("Let me *think*.\n\nHm"), ReasoningDelta("m.")]
    for name in DOCUMENTS:
        pieces += [TextDelta(piece) for piece in re.findall(r"\s?\w+|[^\w]+", DOCUMENTS[name]) if piece]
        pieces += [ReasoningDelta("And "), ReasoningDelta("then?")]
    view = AnswerView("x")
    await watched.do("html => { document.querySelector('main').innerHTML = html; }", with_formulas(view.html()))
    seq = 0
    while seq < len(pieces):
        size = chance.choice([1, 1, 2, 5])
        batch = pieces[seq : seq + size]
        seq += len(batch)
        text = with_formulas(frame(view.feed(batch, seq)))
        same = await watched.do(
            """async ([text, seq, html]) => {
                if (text) await htmx.swap({ text, sourceElement: document.body, target: document.body, swap: "none" });
                see(seq);
                return shown() === fresh(html) || [shown(), fresh(html)];
            }""",
            [text, seq, with_formulas(view.html())],
        )
        assert same is True
    await watched.assert_nothing_happened()


async def _stream(watched: Watched, deltas: list[Any]) -> None:
    """One delta at a time; after each, what is shown must be what a fresh page would draw."""
    view = AnswerView("x")
    first = with_formulas(view.html())
    steps = []
    for seq, delta in enumerate(deltas, 1):
        ops = [[op.target, op.swap, with_formulas(op.html)] for op in view.feed([delta], seq)]
        steps.append([ops, seq, with_formulas(view.html())])
    differs = await watched.do(
        """([first, steps]) => {
            document.querySelector("main").innerHTML = first;
            for (const [ops, seq, html] of steps) {
                const targets = ops.map(([target]) => find(target));
                ops.forEach(([_, swap, html], i) => apply(targets[i], swap, html));
                see(seq);
                if (shown() !== fresh(html)) return [seq, ops, shown(), fresh(html)];
            }
            return null;
        }""",
        [first, steps],
    )
    assert differs is None
