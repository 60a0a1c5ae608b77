"""A model from an address to an answer and away again: pulled with a reload in the middle, loaded, asked, unloaded, deleted."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.e2e.chatting import answers, ask, load_until
from tests.e2e.instance import Instance, Person
from tests.e2e.windows import Windows
from tests.file_server import FileServer
from tests.scripted import OLLAMA, Send, Wait, whole
from tests.tiny_gguf import write_tiny_gguf
from tests.watching import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def files(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FileServer]:
    """Serves `tiny.gguf`, which comes to a halt after its first 200,000 bytes until it is let go."""
    tiny = write_tiny_gguf(tmp_path_factory.mktemp("files") / "tiny.gguf")
    async with FileServer(files={"/tiny.gguf": tiny.read_bytes()}) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def olive(fresh: Instance) -> Person:
    return await fresh.add_person("Olive", is_owner=True)


async def pull(page: Page, address: str) -> None:
    """Fill in the form, the tick for private networks included."""
    await page.goto("/models")
    await page.get_by_label("Name or address").fill(address)
    await page.get_by_text("More", exact=True).click()
    await page.get_by_label("It is on this machine or in my own network").check()
    await page.get_by_role("button", name="Pull").click()


async def left_empty(fresh: Instance) -> None:
    """Nothing is in the models folder any more."""
    folder = fresh.data / "models"
    await until("an empty models folder", lambda: not list(folder.iterdir()))


async def connect_quay(fresh: Instance, page: Page) -> None:
    """An Ollama server with two models."""
    await fresh.sql(
        "INSERT INTO provider (id, kind, name, base_url, key_sealed, state, error, created_at, allows_private)"
        " VALUES (gen_random_uuid(), 'ollama', 'Quay', $1, '', 'ok', '', now(), true)",
        fresh.models.url_for(OLLAMA),
    )  # fmt: skip
    await page.goto("/providers")
    await page.get_by_role("button", name="Check now: Quay").click()
    await expect(page.get_by_role("listitem").filter(has_text="Quay")).to_contain_text("2 models")


async def test_a_model_is_pulled_loaded_asked_unloaded_and_deleted(
    fresh: Instance, fresh_windows: Windows, olive: Person, files: FileServer
) -> None:
    page = await fresh_windows.open(olive)
    files.hold_after = 200_000
    await pull(page, files.url("/tiny.gguf"))
    task = page.locator(".task")
    await expect(task).to_contain_text("Pulling tiny")
    await expect(task).to_contain_text(re.compile(r"200\s*kB of 519\s*kB"))
    await page.reload()
    await expect(task).to_contain_text("Downloading")
    await expect(task.get_by_role("progressbar")).to_have_attribute("value", re.compile(r"^3\d\."))
    files.hold_after = None
    files.release()
    row = page.locator("li.model")
    await expect(row).to_contain_text("tiny")
    await expect(task).to_have_count(0)
    await expect(row).to_contain_text("not loaded")

    await row.get_by_role("button", name="Load tiny").click()
    await expect(row).to_contain_text("in memory, until")
    await row.get_by_role("button", name="Unload tiny").click()
    await expect(row).to_contain_text("not loaded")

    await page.goto("/")
    await expect(page.locator("#offer")).to_contain_text("tiny is not loaded")
    await page.get_by_role("button", name="Load it now").click()
    await expect(page.locator("#offer")).to_be_hidden()
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("Longest answer, in tokens").fill("20")
    await page.keyboard.press("Escape")
    await ask(page, "How are you?")
    await expect(answers(page).last).to_have_attribute("data-status", "complete")

    await page.goto("/models")
    await row.get_by_role("link", name="tiny").click()
    await page.get_by_role("link", name="What it is made of").click()
    await expect(page.locator("main")).to_contain_text("<|im_start|>")
    await expect(page.locator("main")).to_contain_text("llama.context_length")
    await page.go_back()
    await page.get_by_role("link", name="Delete…").click()
    await expect(page.get_by_role("dialog")).to_contain_text("tiny will be deleted for good, with its file.")
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.locator("#models")).to_contain_text("There is no model yet")
    await left_empty(fresh)
    await page.goto("/models?status=gone")
    await expect(page.locator("li.model")).to_contain_text("Gone since")


async def test_the_same_without_a_script_on_a_small_screen(
    fresh: Instance, fresh_windows: Windows, olive: Person, files: FileServer
) -> None:
    page = await fresh_windows.open(olive, java_script_enabled=False, width=390)
    files.hold_after = 200_000
    await pull(page, files.url("/tiny.gguf"))
    frame = page.frame_locator("iframe")
    await expect(frame.locator("body")).to_contain_text("Downloading")
    files.hold_after = None
    files.release()
    await frame.get_by_role("link", name="It is over: show the list").click()
    row = page.locator("li.model")
    await expect(row).to_contain_text("not loaded")
    await row.get_by_role("button", name="Load tiny").click()
    await load_until(page, row, "in memory")
    await row.get_by_role("link", name="tiny").click()
    await page.get_by_role("button", name="Unload tiny").click()
    await load_until(page, page.locator("#model-summary"), "not loaded")
    await page.get_by_role("link", name="Delete…").click()
    await page.get_by_role("button", name="Delete").click()
    await load_until(page, page.locator("#models"), "There is no model yet")


async def test_a_pull_is_cancelled_and_leaves_nothing(
    fresh: Instance, fresh_windows: Windows, olive: Person, files: FileServer
) -> None:
    page = await fresh_windows.open(olive)
    files.hold_after = 100_000
    await pull(page, files.url("/tiny.gguf"))
    await expect(page.locator(".task")).to_contain_text("Downloading")
    await page.get_by_role("button", name="Cancel tiny").click()
    await expect(page.locator(".task")).to_have_count(0)
    await left_empty(fresh)


async def test_what_cannot_be_pulled_says_why_beside_its_field(
    fresh: Instance, fresh_windows: Windows, olive: Person, files: FileServer
) -> None:
    fresh_windows.expect([422])
    files.files["/empty.gguf"] = b""
    files.files["/page.gguf"] = b"<!doctype html><title>No</title>" * 100
    files.files["/cut.gguf"] = files.files["/tiny.gguf"][:1000]
    page = await fresh_windows.open(olive, width=390)
    for name in ("/empty.gguf", "/page.gguf", "/missing.gguf"):
        await pull(page, files.url(name))
        await expect(page.locator("#error-source")).to_be_visible()
        await expect(page.get_by_label("Name or address")).to_have_value(files.url(name))
    await page.get_by_label("It is on this machine or in my own network").uncheck()
    await page.get_by_label("Name or address").fill(files.url("/tiny.gguf"))
    await page.get_by_role("button", name="Pull").click()
    await expect(page.locator("#error-source")).to_be_visible()
    await pull(page, files.url("/cut.gguf"))
    await expect(page.locator(".task")).to_contain_text("cut was not pulled")
    await page.get_by_role("button", name="Forget it: cut").click()
    await expect(page.locator(".task")).to_have_count(0)
    await left_empty(fresh)


async def test_a_newcomer_downloads_the_starter_and_is_answered(
    fresh: Instance, fresh_windows: Windows, olive: Person, files: FileServer
) -> None:
    files.add_to_hub("acme/small/tiny.gguf", files.files["/tiny.gguf"])
    page = await fresh_windows.open(olive, width=390)
    await page.goto("/settings/models")
    await page.get_by_label("Address of the model hub").fill(files.base_url)
    await page.get_by_label("Starter model").fill("hf:acme/small/tiny.gguf")
    await page.get_by_role("button", name="Save").click()
    await expect(page.locator("#flash")).to_have_text("Saved.")
    await page.goto("/providers")
    await page.get_by_role("button", name="Download it").click()
    await expect(page.locator("li.model")).to_contain_text("tiny")
    await page.goto("/")
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("Longest answer, in tokens").fill("10")
    await page.keyboard.press("Escape")
    await ask(page, "How are you?")
    await expect(answers(page).last).to_have_attribute("data-status", "complete")


async def test_a_load_that_fails_is_taken_back_and_says_why(
    fresh: Instance, fresh_windows: Windows, olive: Person
) -> None:
    gate = asyncio.Event()
    fresh.models.answers["/api/generate"] = (Wait(gate), *whole(OLLAMA.error_body("not enough memory"), 500))
    page = await fresh_windows.open(olive, width=390)
    await connect_quay(fresh, page)
    await page.goto("/models")
    row = page.locator("li.model", has_text="tide-2b")
    await row.get_by_role("button", name=re.compile("^Load ")).click()
    await expect(row).to_contain_text("loading…")
    gate.set()
    await expect(page.locator(".task")).to_contain_text("was not loaded")
    await expect(page.locator(".task .error")).to_contain_text("Quay")
    await expect(row).to_contain_text("not loaded")
    await expect(row.get_by_role("button", name=re.compile("^Load "))).to_be_visible()


async def test_a_failed_load_shows_what_llama_cpp_said(
    fresh: Instance, fresh_windows: Windows, olive: Person, files: FileServer, tmp_path: Path
) -> None:
    files.files["/hollow.gguf"] = write_tiny_gguf(tmp_path / "hollow.gguf", said_layers=3).read_bytes()
    page = await fresh_windows.open(olive, width=390)
    await pull(page, files.url("/hollow.gguf"))
    row = page.locator("li.model", has_text="hollow")
    await row.get_by_role("button", name="Load hollow").click()
    task = page.locator(".task")
    await expect(task).to_contain_text("hollow was not loaded")
    await expect(task.locator(".error")).to_contain_text("'blk.2.attn_norm.weight' not found")
    await task.get_by_text("What the model server said").click()
    await expect(task.locator(".log")).to_contain_text("loading model 'hollow.gguf'")
    await expect(task.locator(".log")).not_to_contain_text("Traceback")
    await expect(row).to_contain_text("not loaded")


async def test_a_delete_that_fails_brings_the_model_back_and_says_why(
    fresh: Instance, fresh_windows: Windows, olive: Person
) -> None:
    page = await fresh_windows.open(olive, width=390)
    await connect_quay(fresh, page)
    gate = asyncio.Event()
    fresh.models.answers["/api/delete"] = (Wait(gate), *whole(OLLAMA.error_body("the file is in use"), 500))
    await page.goto("/models")
    row = page.locator("li.model", has_text="tide-2b")
    await row.get_by_role("link", name="tide-2b").click()
    await page.get_by_role("link", name=re.compile("^Delete")).click()
    await page.get_by_role("button", name=re.compile("^Delete")).click()
    await expect(row).to_have_class(re.compile("going"))
    gate.set()
    await expect(page.locator(".task")).to_contain_text("was not deleted")
    await expect(page.locator(".task .error")).to_contain_text("Quay")
    await expect(row).not_to_have_class(re.compile("going"))
    await page.get_by_role("button", name=re.compile("^Forget it")).click()
    await expect(page.locator(".task")).to_have_count(0)


async def test_what_the_server_says_meanwhile_streams_into_the_page(
    fresh: Instance, fresh_windows: Windows, olive: Person
) -> None:
    told = OLLAMA.pull(3000, 500)
    place = next(
        at for at, step in enumerate(told) if isinstance(step, Send) and b"pulling 000000000002" in step.content
    )
    more, end = asyncio.Event(), asyncio.Event()
    fresh.models.answers["/api/pull"] = (*told[:place], Wait(more), told[place], Wait(end), *told[place + 1 :])
    page = await fresh_windows.open(olive, width=390)
    await connect_quay(fresh, page)
    await page.goto("/models")
    await page.get_by_label("To", exact=True).select_option(label="Quay")
    await page.get_by_label("Name or address").fill("llama3.2")
    await page.get_by_role("button", name="Pull").click()
    said = page.locator(".task .log")
    await expect(said).to_contain_text("pulling manifest")
    await expect(said).not_to_contain_text("pulling 000000000002")
    more.set()
    await expect(said).to_contain_text("pulling 000000000002")
    end.set()
    await expect(page.locator(".task")).to_have_count(0)
