"""What a browser makes of it: Chromium opens pages and reads one answer, on the core that is not the server's."""

import contextlib
import uuid
from collections.abc import AsyncIterator
from statistics import median
from typing import Any

import msgspec
from playwright.async_api import Browser, CDPSession, Page, async_playwright

from tests import chromium
from tests.bench.instance import Instance
from tests.bench.turns import percentile

ROUNDS = 5
ANSWERS = 3
#: A slow phone: Chromium's own "Slow 4G" (Lighthouse's as well), and a processor slowed down four times.
PHONE_NETWORK = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8}
PHONE_SLOWDOWN = 4


class Seen(msgspec.Struct, frozen=True):
    """Medians in milliseconds; `frame_p95` is from a frame's arrival to the moment after it was painted.

    `main_thread` is how long its tasks took, `main_thread_cpu` how long it ran meanwhile: on one core it also waits for the
    browser's other processes, the model server and this client.
    """

    usable: float
    usable_on_a_phone: float
    long_thread_visible: float
    main_thread: float
    main_thread_cpu: float
    frame_p95: float


async def watch_browser(instance: Instance, tokens: int) -> Seen:
    """A cold page, a cold page on a slow phone, a thread of 5,000 messages, and an answer of so many tokens."""
    async with _chromium() as browser:
        _, empty, cookie = await _thread(instance, 2)
        _, long, long_cookie = await _thread(instance, 5_000)
        usable = [await _open_cold(browser, instance, empty, cookie) for _ in range(ROUNDS)]
        phone = [await _open_cold(browser, instance, empty, cookie, is_phone=True) for _ in range(ROUNDS)]
        visible = [await _open_cold(browser, instance, long, long_cookie, until="paint") for _ in range(ROUNDS)]
        spent = [await _read_answer(browser, instance, *await _empty(instance)) for _ in range(ANSWERS)]
        # Not at once: watching frames is work for the main thread too.
        _, _, frames = await _read_answer(browser, instance, *await _empty(instance), prepare=_WATCH_FRAMES)
    if len(frames) < tokens / 4:
        raise RuntimeError(f"{len(frames)} frames for {tokens} tokens")
    busy, cpu = median(each[0] for each in spent), median(each[1] for each in spent)
    return Seen(median(usable), median(phone), median(visible), busy, cpu, percentile(frames, 95))


@contextlib.asynccontextmanager
async def _chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.on_path(), args=chromium.FLAGS)
        yield browser
        await browser.close()


async def _thread(instance: Instance, messages: int) -> tuple[uuid.UUID, str, str]:
    caller, user = await instance.add_caller()
    (thread,) = await instance.add_threads(user, 1)
    await instance.fill_thread(thread, messages)
    return user, thread, caller.cookie.partition("=")[2]


async def _empty(instance: Instance) -> tuple[str, str]:
    """A thread with one turn in it, and the cookie of whom it belongs to."""
    _, thread, cookie = await _thread(instance, 2)
    return thread, cookie


@contextlib.asynccontextmanager
async def _page(browser: Browser, instance: Instance, cookie: str) -> AsyncIterator[tuple[Page, CDPSession]]:
    """A page of somebody signed in, in a profile that has nothing in its cache."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    await context.add_cookies([{"name": "parley", "value": cookie, "url": instance.address}])
    page = await context.new_page()
    yield page, await context.new_cdp_session(page)
    await context.close()


async def _open_cold(
    browser: Browser, instance: Instance, thread: str, cookie: str, *, is_phone: bool = False, until: str = "usable"
) -> float:
    async with _page(browser, instance, cookie) as (page, session):
        if is_phone:
            await session.send("Network.enable")
            await session.send("Network.emulateNetworkConditions", PHONE_NETWORK)
            await session.send("Emulation.setCPUThrottlingRate", {"rate": PHONE_SLOWDOWN})
        await page.goto(f"{instance.address}/threads/{thread}", wait_until="load")
        times: Any = await page.evaluate(_TIMES)
        return float(times[until])


async def _read_answer(
    browser: Browser, instance: Instance, thread: str, cookie: str, *, prepare: str = "() => {}"
) -> tuple[float, float, list[float]]:
    """How long the main thread was busy with an answer, how long it ran, and each frame if the page was prepared for that."""
    async with _page(browser, instance, cookie) as (page, session):
        await page.goto(f"{instance.address}/threads/{thread}", wait_until="load")
        await page.select_option("#model", instance.model)
        await page.evaluate(prepare)
        await session.send("Performance.enable")
        busy_before, cpu_before = await _spent_seconds(session)
        await page.fill("#text", f"Tell me about {uuid.uuid4()}.")
        await page.press("#text", "Enter")
        # Not wait_for_selector: that looks in every animation frame, which is work of the main thread as well.
        await page.wait_for_function(_IS_COMPLETE, polling=_LOOK_EVERY_MS, timeout=60_000)
        busy, cpu = await _spent_seconds(session)
        frames: list[float] = await page.evaluate("() => window.framesPainted ?? []")
        return (busy - busy_before) * 1000, (cpu - cpu_before) * 1000, frames


async def _spent_seconds(session: CDPSession) -> tuple[float, float]:
    """Of the main thread so far: the length of its tasks, and its processor time."""
    metrics = {each["name"]: float(each["value"]) for each in (await session.send("Performance.getMetrics"))["metrics"]}
    return metrics["TaskDuration"], metrics["ThreadTime"]


# Usable: everything that the page loads has run. Visible: the first paint of its content.
_TIMES = """() => new Promise((resolve) => setTimeout(() => resolve({
  usable: performance.getEntriesByType("navigation")[0].loadEventEnd,
  paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
}), 100))"""

_IS_COMPLETE = """() => document.querySelector('article[data-depth="3"][data-status="complete"]')"""
_LOOK_EVERY_MS = 500

# A frame is drawn in the animation frame after its swap; the task after that one comes when it was painted.
_WATCH_FRAMES = """() => {
  window.framesPainted = [];
  document.addEventListener("htmx:sse:before:message", () => {
    const arrived = performance.now();
    requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => window.framesPainted.push(performance.now() - arrived);
      channel.port2.postMessage(0);
    });
  });
}"""
