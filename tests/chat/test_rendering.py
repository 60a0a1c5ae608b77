"""The HTML of answers: made by the page that needs it, kept beside the text that it was made from, and done without."""

import asyncio
import uuid
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.chat.drawing import draw
from app.chat.tree import find_message
from app.chat.turn import Turn, continue_answer
from app.chat.worker import Worker
from app.database import close_pool, fetch, fetch_row
from app.html.markdown import RENDERER_VERSION
from app.html.offload import RENDERERS, render_message
from app.parts import TextPart, encode_parts
from tests.chat.conftest import Chat, html_is_stored, refusing
from tests.chat.test_continue import cut_at_length
from tests.renderers import GIVEN_UP, NOT_YET, SECONDS, poison
from tests.scripted.dialects import OPENAI
from tests.scripted.steps import Wait
from tests.tiers import soaked

pytestmark = pytest.mark.usefixtures("broken_renderers")


async def answered(chat: Chat, text: str) -> Turn:
    """A turn whose answer ended at its longest length."""
    chat.server.script(*cut_at_length(text, 5, 2))
    turn = await chat.ask()
    assert (await chat.final(turn.answer))["status"] == "complete"
    return turn


async def look(chat: Chat, answer: uuid.UUID) -> Any:
    """An answer as a page shows it that has time enough."""
    (drawn,) = await draw([await find_message(answer)], chat.user, seconds=SECONDS)
    return drawn


async def cache(answer: uuid.UUID) -> tuple[str, int, int]:
    """What is stored of it, once all that was rendered is stored."""
    await html_is_stored()
    row = await fetch_row("SELECT html, html_version, failed_renders FROM message WHERE id = $1", answer)
    assert row is not None
    return row["html"], row["html_version"], row["failed_renders"]


@pytest.mark.parametrize("fault", ["raise", "hang", "hold", soaked("burn"), "abort", "crash", "eat"])
async def test_an_answer_that_breaks_its_renderer_is_final_and_shown_as_its_text(
    fault: str, chat: Chat, worker: Worker
) -> None:
    if fault in ("hang", "hold"):
        RENDERERS.deadline_seconds = 3
    turn = await answered(chat, poison(fault))
    with capture_logs() as logs:
        for looks in (1, 2):
            drawn = await look(chat, turn.answer)
            assert f"[[{fault}]] &lt;b&gt;&amp;\n```\n</pre>" in drawn.body
            assert (await cache(turn.answer)) == ("", RENDERER_VERSION, looks)
        for _ in range(2):
            drawn = await look(chat, turn.answer)
            assert f"[[{fault}]] &lt;b&gt;&amp;\n```\n</pre>" in drawn.body
            assert (drawn.source_note, drawn.may_render_again) == (GIVEN_UP, False)
    assert [log["event"] for log in logs].count("render_failed") == 2
    assert fault not in str([log for log in logs if log["event"] == "render_failed"]), "no content in the log"


async def test_continuing_an_answer_that_was_given_up_renders_it_again(chat: Chat, worker: Worker) -> None:
    turn = await answered(chat, poison("crash"))
    await look(chat, turn.answer)
    await look(chat, turn.answer)
    chat.server.script(*cut_at_length("\nmore", 7, 1))
    await continue_answer(chat.user, await find_message(turn.answer))
    await chat.final(turn.answer)
    assert await cache(turn.answer) == ("", 0, 0)
    drawn = await look(chat, turn.answer)
    assert drawn.may_render_again
    assert "more</pre>" in drawn.body
    assert await cache(turn.answer) == ("", RENDERER_VERSION, 1)


async def test_html_of_a_text_that_was_continued_meanwhile_is_not_stored(chat: Chat, worker: Worker) -> None:
    turn = await answered(chat, "One **two** ")
    before = await find_message(turn.answer)
    chat.server.script(*cut_at_length("three", 7, 1))
    await continue_answer(chat.user, before)
    await chat.final(turn.answer)
    (late,) = await draw([before], chat.user, seconds=SECONDS)  # as if it had been rendered all the while
    assert "three" not in late.body
    assert await cache(turn.answer) == ("", 0, 0)
    assert "three" in (await look(chat, turn.answer)).body
    assert "three" in (await cache(turn.answer))[0]
    await draw([before], chat.user, seconds=SECONDS)
    assert "three" in (await cache(turn.answer))[0], "older HTML replaced newer"


async def test_a_failure_of_a_text_that_was_continued_meanwhile_is_not_counted(chat: Chat, worker: Worker) -> None:
    turn = await answered(chat, poison("crash"))
    before = await find_message(turn.answer)
    chat.server.script(*cut_at_length("\nmore", 7, 1))
    await continue_answer(chat.user, before)
    await chat.final(turn.answer)
    await draw([before], chat.user, seconds=SECONDS)
    assert await cache(turn.answer) == ("", 0, 0)


async def test_html_that_was_stored_while_the_answer_goes_on_is_gone_at_its_end(chat: Chat, worker: Worker) -> None:
    turn = await answered(chat, "One **two** ")
    before = await find_message(turn.answer)
    is_drawn = asyncio.Event()
    chat.server.script(OPENAI.head(), Wait(is_drawn), *cut_at_length("three", 7, 1)[1:])
    await continue_answer(chat.user, before)
    await chat.server.next_question(2)
    await draw([before], chat.user, seconds=SECONDS)
    is_drawn.set()
    done = await chat.final(turn.answer)
    assert (done["content"], done["html"]) == ("One **two** three", "")
    assert "three" in (await look(chat, turn.answer)).body


async def test_pages_that_want_the_same_answer_share_one_rendering(chat: Chat, worker: Worker) -> None:
    turn = await answered(chat, poison("crash"))
    messages = [await find_message(turn.answer) for _ in range(5)]
    with capture_logs() as logs:
        await asyncio.gather(*(draw([message], chat.user, seconds=SECONDS) for message in messages))
        await look(chat, turn.answer)
    assert [log["event"] for log in logs].count("render_failed") == 2, "the five together once, then the look"
    assert {message.source_note for message in messages} == {NOT_YET}


async def test_two_processes_that_fail_at_once_count_once(chat: Chat, worker: Worker) -> None:
    turn = await answered(chat, poison("crash"))
    early, late = await find_message(turn.answer), await find_message(turn.answer)
    await draw([early], chat.user, seconds=SECONDS)
    await draw([late], chat.user, seconds=SECONDS)
    assert await cache(turn.answer) == ("", RENDERER_VERSION, 1)


async def test_one_answer_that_takes_long_leaves_the_others_of_the_page_formatted(chat: Chat, worker: Worker) -> None:
    turns = [await answered(chat, text) for text in ("*one*", "*two* " * 1_000, poison("hang"))]
    await render_message([TextPart("```python\nwarm\n```")], dom="a")
    for seconds in (4, 8, 40, 200):  # as long as it takes to draw the others, which is done once
        drawn = await draw([await find_message(turn.answer) for turn in turns], chat.user, seconds=seconds)
        if not any(message.source_note for message in drawn[:2]):
            break
    assert [message.source_note for message in drawn] == ["", "", NOT_YET]
    assert "<em>one</em>" in drawn[0].body
    assert drawn[2].may_render_again
    again = asyncio.create_task(look(chat, turns[2].answer))  # it waits for the same rendering
    await asyncio.sleep(0.1)
    await RENDERERS.close()  # whoever waits is told that there is no renderer
    assert (await again).source_note == NOT_YET
    assert await cache(turns[2].answer) == ("", 0, 0)


@pytest.mark.parametrize("slow", ["```python\n[[piece hang]]\n```", "$x_{[[piece hang]]}$"], ids=["code", "a formula"])
async def test_what_takes_long_leaves_its_own_answer_formatted(slow: str, chat: Chat, worker: Worker) -> None:
    turn = await answered(chat, f"# Here\n\n**bold**\n\n{slow}\n")
    await render_message([TextPart("```python\nwarm\n```")], dom="a")
    for seconds in (4, 8, 40, 200):
        (drawn,) = await draw([await find_message(turn.answer)], chat.user, seconds=seconds)
        if not drawn.source_note:
            break
    assert "<strong>bold</strong>" in drawn.body
    assert "[[piece hang]]" in drawn.body
    assert drawn.source_note == ""
    await RENDERERS.close()
    assert await cache(turn.answer) == ("", 0, 0), "what lacks something was stored"


async def test_without_a_free_renderer_the_text_is_shown_and_nothing_counted(chat: Chat, worker: Worker) -> None:
    turn = await answered(chat, "```python\nquiet()\n```")
    RENDERERS.program = "tests.children.ends_at_once"
    for _ in range(3):
        drawn = await look(chat, turn.answer)
        assert "```python\nquiet()\n```</pre>" in drawn.body
        assert (drawn.source_note, drawn.may_render_again) == (NOT_YET, True)
        assert await cache(turn.answer) == ("", 0, 0)
    RENDERERS.program = "tests.children.broken"
    drawn = await look(chat, turn.answer)
    assert (drawn.source_note, "language-python" in drawn.body) == ("", True)


@pytest.mark.parametrize("failed", [0, 2])
async def test_html_of_an_older_renderer_is_made_again(failed: int, chat: Chat, worker: Worker) -> None:
    turn = await answered(chat, "One **two** ")
    await fetch("UPDATE message SET html = 'old', html_version = $1, failed_renders = $2", RENDERER_VERSION - 1, failed)
    assert "<strong>two</strong>" in (await look(chat, turn.answer)).body
    html, version, failed_renders = await cache(turn.answer)
    assert ("<strong>two</strong>" in html, version, failed_renders) == (True, RENDERER_VERSION, 0)


async def test_an_older_process_leaves_the_html_of_a_newer_one_alone(chat: Chat, worker: Worker) -> None:
    turn = await answered(chat, "One **two** ")
    before = await find_message(turn.answer)
    await fetch("UPDATE message SET html = 'new', html_version = $1", RENDERER_VERSION + 1)
    assert "new" in (await look(chat, turn.answer)).body
    await draw([before], chat.user, seconds=SECONDS)
    assert await cache(turn.answer) == ("new", RENDERER_VERSION + 1, 0)


@pytest.mark.parametrize("text", ["One **two** ", poison("crash")], ids=["rendered", "failed"])
async def test_a_database_that_cannot_be_written_costs_no_page(text: str, chat: Chat) -> None:
    turn = await chat.ask()
    stored = encode_parts([TextPart(text)])
    await fetch("UPDATE message SET status = 'complete', parts = $2 WHERE id = $1", turn.answer, stored)
    for condition in ("true", "NEW.html_version > 0"):
        async with refusing(condition):
            drawn = await look(chat, turn.answer)
            await html_is_stored()
    assert ("<strong>two</strong>" in drawn.body) is (text != poison("crash"))
    assert await cache(turn.answer) == ("", 0, 0)
    message = await find_message(turn.answer)
    await close_pool()
    (drawn,) = await draw([message], chat.user, seconds=SECONDS)
    assert ("<strong>two</strong>" in drawn.body) is (text != poison("crash"))


async def test_thoughts_and_tools_of_a_source_are_told_apart_and_in_order(chat: Chat, worker: Worker) -> None:
    parts = (
        '[{"type": "reasoning", "text": "Hm $ [[crash]] <i>", "duration_ms": 2000},'
        ' {"type": "tool_call", "call_id": "1", "name": "look_up", "arguments": "{<}"},'
        ' {"type": "tool_result", "call_id": "1", "content": "<u>found"},'
        ' {"type": "text", "text": "\\n\\nSo **<b>**."}]'
    )
    turn = await answered(chat, "x")
    await fetch("UPDATE message SET parts = $2::jsonb WHERE id = $1", turn.answer, parts)
    await look(chat, turn.answer)
    body = (await look(chat, turn.answer)).body
    places = [body.index(text) for text in (
        '<details class="reasoning"><summary>Thought for 2 s</summary>', "Hm $ [[crash]] &lt;i&gt;</pre>",
        '<div class="tool-call">', "look_up", "{&lt;}", '<details class="tool-result">', "&lt;u&gt;found</pre>",
        "So **&lt;b&gt;**.</pre>",
    )]  # fmt: skip
    assert places == sorted(places)
