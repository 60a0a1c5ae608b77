"""A generation from its job to its end, against a scripted model server."""

import asyncio

import structlog

from app import words
from app.chat.new_message import NewMessage
from app.chat.resolution import resolve
from app.chat.stop import stop
from app.chat.turn import start_turn
from app.chat.worker import Worker
from app.database import fetch, new_id
from app.jobs import enqueue
from app.live import read_log
from tests.chat.conftest import Chat, refusing
from tests.scripted.dialects import OPENAI
from tests.scripted.steps import Send, Stall, chunk, whole
from tests.watching import until, within


async def test_an_answer_is_stored_as_it_was_streamed(chat: Chat, worker: Worker) -> None:
    turn = await chat.ask("What is near?")
    answer = await chat.final(turn.answer)
    assert answer["content"] == "Seven quiet lanterns drift over the harbour. "
    assert (answer["status"], answer["finish_reason"]) == ("complete", "stop")
    assert (answer["input_tokens"], answer["output_tokens"], answer["usage_is_exact"]) == (5, 7, True)
    assert (answer["html"], answer["html_version"]) == ("", 0), "pages render it"
    assert '<p dir="auto">Seven quiet' in await chat.body(turn.answer)
    generation = (await fetch("SELECT * FROM generation"))[0]
    rows = await read_log(generation["id"])
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert "".join(row[2] for row in rows) == answer["content"]


async def test_the_same_request_is_one_turn_for_ever(chat: Chat, worker: Worker) -> None:
    first = await chat.ask()
    await chat.final(first.answer)
    again = NewMessage("More", chat.model, new_id())
    turns = await asyncio.gather(*(start_turn(chat.user, first.thread, again) for _ in range(20)))
    assert len({turn.answer for turn in turns}) == 1
    assert sum(turn.is_new for turn in turns) == 1
    await chat.final(turns[0].answer)
    assert (await start_turn(chat.user, first.thread, again)).answer == turns[0].answer
    assert len(await fetch("SELECT 1 FROM message")) == 4


async def test_stopping_keeps_the_text_so_far(chat: Chat, worker: Worker) -> None:
    chat.server.script(OPENAI.head(), Send(chunk(OPENAI.text("One ") + OPENAI.text("two"))), Stall())
    turn = await chat.ask()
    question = await chat.server.next_question()
    await chat.until_said(turn.answer, "One two")
    await stop(turn.answer)
    answer = await chat.final(turn.answer)
    assert (answer["status"], answer["content"]) == ("stopped", "One two")
    async with within("the end of the connection to the model"):
        await question.closed.wait()


async def test_a_claim_that_a_crash_undid_calls_no_model(chat: Chat, worker: Worker) -> None:
    """The claim does not wait for the disk. What is kept after it does, and finds out."""
    await fetch(
        "CREATE FUNCTION undo_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.state = 'running'"
        " THEN NEW.state := 'queued'; NEW.worker := NULL; NEW.attempt := OLD.attempt; END IF; RETURN NEW; END $$"
    )
    await fetch("CREATE TRIGGER undo_claim BEFORE UPDATE ON generation FOR EACH ROW EXECUTE FUNCTION undo_claim()")
    # Seen as claimed by the statement that claims, undone for all that come later.
    try:
        with structlog.testing.capture_logs() as logs:
            turn = await chat.ask()
            await until("the fence", lambda: any(entry["event"] == "generation_fenced" for entry in logs))
    finally:
        await fetch("DROP FUNCTION undo_claim CASCADE")
    assert chat.server.questions == []
    [generation] = await fetch("SELECT id FROM generation")
    await enqueue("generation", str(generation["id"]))
    assert (await chat.final(turn.answer))["status"] == "complete"
    assert len(chat.server.questions) == 1


async def test_an_end_whose_figures_are_refused_keeps_its_text(chat: Chat, worker: Worker) -> None:
    async with refusing("NEW.output_tokens = 7"):
        answer = await chat.final((await chat.ask()).answer)
    assert (answer["status"], answer["error_code"], answer["usage_is_exact"]) == ("failed", "internal", False)
    assert answer["content"] == "Seven quiet lanterns drift over the harbour. "


async def test_an_end_that_is_refused_whatever_it_says_is_left_to_whoever_ends_those_of_the_dead(
    chat: Chat, worker: Worker
) -> None:
    async with refusing("NEW.finished_at IS NOT NULL"):
        turn = await chat.ask()
        let_go = "SELECT 1 FROM generation WHERE state = 'running' AND worker IS NULL"
        await until("an answer that was let go", lambda: fetch(let_go))
        with structlog.testing.capture_logs() as logs:
            await resolve()
        assert "generation_unresolved" in {entry["event"] for entry in logs}
    await resolve()
    answer = await chat.message(turn.answer)
    assert (answer["status"], answer["content"]) == ("interrupted", "Seven quiet lanterns drift over the harbour. ")
    assert (await chat.final((await chat.ask()).answer))["status"] == "complete"


async def test_how_it_ended_is_said_in_the_language_that_was_asked_in(chat: Chat, worker: Worker) -> None:
    chat.server.script(*whole(OPENAI.error_body("No such model"), 404))
    with words.speaking("de"):
        turn = await chat.ask()
    answer = await chat.final(turn.answer)
    assert str(answer["error_sentence"]).startswith("Scripted hat dieses Modell nicht")
    chat.server.script(*whole(OPENAI.error_body("No such model"), 404))
    answer = await chat.final((await chat.ask()).answer)
    assert "does not have this model" in str(answer["error_sentence"])
    chat.server.script(*OPENAI.answer(["# So\n\nHello"], thoughts=["Hm."]))
    with words.speaking("de"):
        turn = await chat.ask()
        await chat.final(turn.answer)
        assert "Thought" in await chat.body(turn.answer)
    html = str((await chat.message(turn.answer))["html"])
    assert "Thought" in html, "what is stored is drawn in the source's language"
