"""What is known of a model: by the owner, by its server, by the table; and what it does not take."""

import json
import math
from typing import Any

import pytest

from app.chat import catalog, facts, reachability
from app.chat.new_message import NewMessage
from app.chat.turn import start_thread
from app.chat.worker import Worker
from app.database import fetch, fetch_row, new_id
from app.providers.base import Model, Parameters
from app.providers.errors import NotConnected
from tests.chat.conftest import Chat
from tests.chat.test_catalog import refresh
from tests.scripted import OPENAI
from tests.scripted.steps import Script, whole


def row(**changes: Any) -> dict[str, Any]:
    return {"kind": "openai", "has_reasoning": None, "not_taken": "[]"} | changes


async def model() -> dict[str, Any]:
    """The only model there is."""
    found = await fetch_row("SELECT * FROM model")
    assert found is not None
    return dict(found)


async def test_the_owner_is_believed_before_the_server_and_the_server_before_the_table(chat: Chat) -> None:
    await fetch("""UPDATE model SET known = '{"context_window": 1, "has_vision": true, "has_tools": true}'""")
    assert ((await model())["context_window"], (await model())["has_vision"]) == (1, True)
    await fetch("""UPDATE model SET said = '{"context_window": 2, "has_vision": false}'""")
    assert ((await model())["context_window"], (await model())["has_vision"]) == (2, False)
    await fetch("""UPDATE model SET set_by_owner = '{"context_window": 3, "input_price": 0.15}'""")
    found = await model()
    assert (found["context_window"], found["has_vision"], found["has_tools"]) == (3, False, True)
    assert str(found["input_price"]) == "0.15"
    assert found["has_reasoning"] is None
    assert facts.sources(found) == {
        "context_window": "owner", "input_price": "owner", "has_vision": "server", "has_tools": "known",
    }  # fmt: skip


async def test_what_the_owner_set_outlives_a_refresh_and_taken_back_gives_way(chat: Chat) -> None:
    await fetch("""UPDATE model SET set_by_owner = '{"context_window": 512}'""")
    chat.server.answers["/v1/models"] = _listing({"id": "scripted", "max_model_len": 4096})
    await refresh()
    assert (await model())["context_window"] == 512
    await fetch("UPDATE model SET set_by_owner = '{}'")
    assert (await model())["context_window"] == 4096


async def test_a_server_that_forgets_a_fact_makes_it_unknown(chat: Chat) -> None:
    chat.server.answers["/v1/models"] = _listing({"id": "scripted", "max_model_len": 4096})
    await refresh()
    chat.server.answers["/v1/models"] = _listing({"id": "scripted"})
    await refresh()
    assert (await model())["context_window"] is None


async def test_a_well_known_name_brings_its_facts_but_no_price_of_elsewhere(chat: Chat) -> None:
    chat.server.answers["/v1/models"] = _listing({"id": "gpt-4o-2024-11-20"})
    await refresh()
    found = await fetch_row("SELECT * FROM model WHERE name LIKE 'gpt%'")
    assert found is not None
    assert (found["context_window"], found["has_vision"], found["has_reasoning"]) == (128_000, True, False)
    assert found["input_price"] is None
    assert set(facts.sources(found).values()) == {"known"}


@pytest.mark.parametrize("window", [0, -5, 2**40, 1.5, "4096", True])
async def test_a_context_window_that_cannot_be_is_not_kept(chat: Chat, window: Any) -> None:
    chat.server.answers["/v1/models"] = _listing({"id": "scripted", "max_model_len": window})
    assert await refresh() == ""
    assert (await model())["context_window"] is None


def test_prices_that_cannot_be_are_not_kept() -> None:
    for price in (-1.0, math.nan, math.inf, 1e9):
        assert json.loads(facts.said(Model(name="x", input_price=price))) == {}
    assert json.loads(facts.said(Model(name="x", input_price=0.0, has_vision=False))) == {
        "input_price": 0.0, "has_vision": False,
    }  # fmt: skip


def test_what_a_kind_does_not_take_is_known() -> None:
    assert "top_k" in facts.not_taken(row())
    assert "top_k" not in facts.not_taken(row(kind="llamacpp"))


def test_what_a_model_does_not_take_is_known() -> None:
    assert "reasoning_effort" in facts.not_taken(row(has_reasoning=False))
    assert "temperature" not in facts.not_taken(row())
    assert "temperature" in facts.not_taken(row(not_taken='["temperature"]'))


@pytest.mark.parametrize(
    ("kind", "temperature", "is_said"),
    [("anthropic", 1.7, True), ("anthropic", 1.0, False), ("anthropic", None, False), ("openai", 1.7, False)],
)
def test_a_temperature_that_is_sent_lower_is_said(kind: str, temperature: float | None, is_said: bool) -> None:
    found = facts.notes(Parameters(temperature=temperature), row(kind=kind))
    assert found == ({"temperature": "Sent as 1: this model takes no more."} if is_said else {})


def test_what_is_not_taken_is_not_sent() -> None:
    asked = Parameters(temperature=0.5, max_tokens=9, stop=("END",), reasoning_effort="high")
    sent = facts.taken(asked, row(has_reasoning=False, not_taken='["temperature"]'))
    assert sent == Parameters(max_tokens=9, stop=("END",))


async def test_a_model_is_not_sent_what_it_does_not_take(chat: Chat, worker: Worker) -> None:
    await fetch("""UPDATE model SET known = '{"not_taken": ["temperature"]}'""")
    (choice,) = await catalog.list_models(chat.user)
    assert "temperature" in facts.not_taken(choice)
    new = NewMessage("Hello", chat.model, new_id())
    turn = await start_thread(chat.user, new, options='{"temperature": 0.5, "max_tokens": 99}', system_prompt="")
    await chat.final(turn.answer)
    sent = chat.server.requests[-1].json
    assert "temperature" not in sent
    assert 99 in sent.values()


async def test_what_a_server_refused_is_said_in_the_form_and_not_sent_until_it_may_be_another(
    chat: Chat, worker: Worker
) -> None:
    async def ask() -> list[dict[str, Any]]:
        chat.server.requests.clear()
        new = NewMessage("Hello", chat.model, new_id())
        turn = await start_thread(chat.user, new, options='{"temperature": 0.5, "max_tokens": 99}', system_prompt="")
        assert (await chat.final(turn.answer))["status"] == "complete"
        return [request.json for request in chat.server.questions]

    async def untaken() -> tuple[str, ...]:
        (choice,) = await catalog.list_models(chat.user)
        return facts.not_taken(choice)

    chat.server.script(*whole(OPENAI.error_body("Unsupported parameter: 'temperature' is not supported"), 400))
    assert ["temperature" in body for body in await ask()] == [True, False]
    assert "temperature" in await untaken()
    assert "max_tokens" not in await untaken()
    assert ["temperature" in body for body in await ask()] == [False]
    (provider,) = await fetch("SELECT id FROM provider")
    await reachability.found_up(provider["id"], 1, has_news=False)
    assert "temperature" in await untaken()
    await reachability.found_down(provider["id"], NotConnected("Gone."))
    await reachability.found_up(provider["id"], 1, has_news=False)
    assert "temperature" not in await untaken()
    assert ["temperature" in body for body in await ask()] == [True]


def _listing(*entries: dict[str, Any]) -> Script:
    return whole(json.dumps({"object": "list", "data": list(entries)}).encode())
