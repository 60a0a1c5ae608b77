"""A real model: a file dropped into the models folder, chatted with through the embedded engine."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.e2e.chatting import answers, ask, assert_as_reloaded, button
from tests.e2e.instance import Instance, thread_of
from tests.e2e.windows import Windows
from tests.people import PASSWORD
from tests.tiny_gguf import write_tiny_gguf

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("tiny")
    yield write_tiny_gguf(folder / "tiny.gguf")
    shutil.rmtree(folder)


async def test_a_file_in_the_models_folder_answers(fresh: Instance, fresh_windows: Windows, tiny: Path) -> None:
    page = await fresh_windows.open()
    await page.goto(fresh.owner_link)
    await page.get_by_label("Your name").fill("Olive")
    await page.get_by_label("Email").fill("olive@example.org")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.keyboard.press("Enter")
    folder = Path(await page.locator("#files ~ .address").inner_text())
    assert folder == fresh.data / "models"
    shutil.copy(tiny, folder)
    await page.get_by_role("link", name="Look again").click()
    await expect(page.locator("#files ~ ul")).to_contain_text("tiny")
    await page.get_by_role("link", name="Start a thread").click()
    await page.get_by_role("button", name="Options").click()
    await page.get_by_label("Longest answer, in tokens").fill("40")
    await page.keyboard.press("Escape")

    await ask(page, "How are you?")
    await expect(answers(page).last).to_have_attribute("data-status", "complete")
    answer = (await fresh.stored(thread_of(page.url)))[1]
    assert answer["content"].strip()
    assert answer["usage_is_exact"]
    assert answer["input_tokens"] > 0
    assert 0 < answer["output_tokens"] <= 40
    assert answer["tokens_per_second"] is None or answer["tokens_per_second"] > 0
    await expect(answers(page).last.locator(".figures")).to_contain_text(f"{answer['output_tokens']} out")
    await expect(answers(page).last.locator(".figures")).not_to_contain_text("estimated")
    await assert_as_reloaded(page)

    if answer["finish_reason"] == "length":
        await button(page, "Continue").click()
        await expect(answers(page).last).to_have_attribute("data-status", "complete")
        longer = (await fresh.stored(thread_of(page.url)))[1]
        assert longer["content"].startswith(answer["content"])
    await page.goto("/providers")
    await expect(page.locator("#files ~ ul")).to_contain_text("loaded")
