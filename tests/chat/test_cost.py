"""What an answer costs: from what its server counted, or what was estimated, and the prices that are known."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
import structlog.testing

from app.chat.stop import stop
from app.chat.worker import Worker
from app.database import fetch, fetch_row
from tests.chat.conftest import Chat
from tests.scripted.dialects import OPENAI
from tests.scripted.steps import Close, Script, Send, Wait, chunk, whole
from tests.watching import until

PRICES = {"input_price": 2.5, "output_price": 10, "cached_price": 1.25}


def counted(*usage: int) -> Script:
    """An answer with tokens in, out, and of those in the cached ones, as OpenAI counts them."""
    details = [{"cached_tokens": cached} for cached in usage[2:]]
    counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": usage[0] + usage[1]}
    counted = counts | ({"prompt_tokens_details": details[0]} if details else {})
    last = b"data: %s\n\n" % json.dumps({"choices": [], "usage": counted}).encode()
    end = OPENAI.finish().removesuffix(OPENAI.end_marker)
    return OPENAI.stream(OPENAI.text("One "), OPENAI.text("two"), end + last + OPENAI.end_marker)


async def set_prices(**prices: float) -> None:
    await fetch("UPDATE model SET set_by_owner = $1", json.dumps(prices))


async def cost_of(chat: Chat) -> tuple[Any, dict[str, object]]:
    turn = await chat.ask()
    answer = await chat.final(turn.answer)
    return answer["cost"], answer


async def attempts() -> list[dict[str, Any]]:
    row = await fetch_row("SELECT provider_attempts FROM generation ORDER BY queued_at DESC LIMIT 1")
    assert row is not None
    found: list[dict[str, Any]] = json.loads(row["provider_attempts"])
    return found


async def test_tokens_times_prices(chat: Chat, worker: Worker) -> None:
    await set_prices(**PRICES)
    chat.server.script(*counted(1000, 200))
    cost, answer = await cost_of(chat)
    assert cost == Decimal("0.0045")
    assert answer["usage_is_exact"] is True


async def test_cached_tokens_have_their_own_price(chat: Chat, worker: Worker) -> None:
    await set_prices(**PRICES)
    chat.server.script(*counted(1000, 200, 800))
    cost, answer = await cost_of(chat)
    assert answer["cached_tokens"] == 800
    assert cost == Decimal("0.0035")


@pytest.mark.parametrize(
    ("prices", "usage"),
    [
        ({}, (1000, 200)),
        ({"input_price": 1}, (1000, 200)),
        ({"output_price": 1}, (1000, 200)),
        ({"input_price": 1, "output_price": 1}, (1000, 200, 1)),
    ],
    ids=["no price", "no price out", "no price in", "no price of cached tokens"],
)
async def test_a_price_that_is_needed_and_unknown_leaves_the_cost_unknown(
    chat: Chat, worker: Worker, prices: dict[str, float], usage: tuple[int, ...]
) -> None:
    await set_prices(**prices)
    chat.server.script(*counted(*usage))
    assert (await cost_of(chat))[0] is None


async def test_a_model_that_is_free_costs_nothing(chat: Chat, worker: Worker) -> None:
    await set_prices(input_price=0, output_price=0)
    chat.server.script(*counted(1000, 200))
    assert (await cost_of(chat))[0] == 0


async def test_what_is_estimated_is_said_to_be(chat: Chat, worker: Worker) -> None:
    await set_prices(**PRICES)
    chat.server.script(*OPENAI.answer(["Some words ", "that nobody counted"], usage=None))
    cost, answer = await cost_of(chat)
    assert cost is not None
    assert cost > 0
    assert answer["usage_is_exact"] is False
    (attempt,) = await attempts()
    assert attempt["usage"]["output_tokens"] == answer["output_tokens"]
    assert attempt["usage"]["is_exact"] is False


async def test_an_answer_that_breaks_off_costs_what_came(chat: Chat, worker: Worker) -> None:
    await set_prices(**PRICES)
    chat.server.script(OPENAI.head(), Send(chunk(OPENAI.text("Half an answer, and then"))), Close())
    cost, answer = await cost_of(chat)
    assert answer["status"] == "interrupted"
    assert cost is not None
    assert cost > 0
    (attempt,) = await attempts()
    assert attempt["error"] == "stream_cut"
    assert attempt["usage"]["output_tokens"] == answer["output_tokens"]


async def test_a_call_that_was_refused_costs_nothing_that_is_known(chat: Chat, worker: Worker) -> None:
    await set_prices(**PRICES)
    chat.server.script(*whole(OPENAI.error_body("no"), 400))
    cost, answer = await cost_of(chat)
    assert answer["status"] == "failed"
    assert cost is None
    assert (await attempts())[0]["usage"] is None


async def test_what_the_server_did_not_count_is_estimated(chat: Chat, worker: Worker) -> None:
    await set_prices(**PRICES)
    usage = b"data: %s\n\n" % json.dumps({"choices": [], "usage": {"prompt_tokens": 1000}}).encode()
    chat.server.script(*OPENAI.stream(OPENAI.text("Half an answer, and then"), usage))
    cost, answer = await cost_of(chat)
    assert (answer["status"], answer["input_tokens"], answer["usage_is_exact"]) == ("interrupted", 1000, False)
    assert answer["output_tokens"] == 6
    assert cost == Decimal("0.00256")
    assert (await attempts())[0]["usage"]["output_tokens"] == 6


async def test_what_was_refused_before_a_word_came_took_nothing(chat: Chat, worker: Worker) -> None:
    chat.server.script(*whole(OPENAI.error_body("No such model"), 404))
    answer = await chat.final((await chat.ask("x" * 4_000)).answer)
    assert (answer["status"], answer["input_tokens"], answer["output_tokens"]) == ("failed", None, None)


async def test_the_log_says_what_the_page_says_of_an_answer_that_was_stopped(chat: Chat, worker: Worker) -> None:
    chat.server.script(OPENAI.head(), Send(chunk(OPENAI.text("One and two. "))), Wait(asyncio.Event()))
    with structlog.testing.capture_logs() as logs:
        turn = await chat.ask("x" * 4_000)
        await chat.until_said(turn.answer, "One and two. ")
        await stop(turn.answer)
        answer = await chat.final(turn.answer)
        await until("the log's word of the end", lambda: [e for e in logs if e["event"] == "generation_finished"])
    [finished] = [entry for entry in logs if entry["event"] == "generation_finished"]
    assert (finished["status"], finished["output_tokens"]) == ("stopped", 3)
    assert (finished["input_tokens"], finished["output_tokens"]) == (answer["input_tokens"], answer["output_tokens"])
