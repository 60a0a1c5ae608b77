"""From a branch to the exact request."""

import random

import msgspec
import pytest

from app.chat.prompt import build_request, check_fit, merge_parameters
from app.chat.requests import MESSAGE_FIELDS
from app.errors import ContextOverflow
from app.parts import ErrorPart, Part, TextPart
from app.providers import PROVIDERS
from app.providers.base import Account, ChatMessage, ChatRequest, Parameters, Role
from app.providers.client import make_client


def message(role: Role, *parts: Part) -> ChatMessage:
    return ChatMessage(role, parts)


def turns(count: int, rng: random.Random) -> list[ChatMessage]:
    said = [
        " ".join(rng.choices(["moon", "tide", "déjà", "海", "code()"], k=rng.randint(1, 30))) for _ in range(2 * count)
    ]
    return [message("user" if n % 2 == 0 else "assistant", TextPart(text)) for n, text in enumerate(said)]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", sorted(PROVIDERS))
async def test_a_later_request_begins_with_all_of_an_earlier_one(seed: int, kind: str) -> None:
    rng = random.Random(seed)
    branch = turns(6, rng)
    async with make_client() as client:
        provider = PROVIDERS[kind](Account("Harbour", "http://127.0.0.1:9"), client)
        sent: bytes = b""
        for end in range(1, len(branch), 2):
            request = build_request("m", "Be brief.", branch[:end], Parameters())
            body = provider.body(request)
            [field] = body.keys() & set(MESSAGE_FIELDS)
            messages = msgspec.json.encode(body[field])
            assert messages.startswith(sent[:-1])  # but for what closes a list, or a text
            sent = messages


def test_nothing_is_cut_and_nothing_is_added() -> None:
    branch = turns(3, random.Random(1))
    request = build_request("m", "", branch, Parameters())
    assert [part for entry in request.messages for part in entry.parts] == [
        part for entry in branch for part in entry.parts
    ]
    assert [entry.role for entry in request.messages] == [entry.role for entry in branch]


def test_answers_that_came_to_nothing_are_left_out() -> None:
    branch = [message("user", TextPart("a")), message("assistant", ErrorPart("x", "It failed.")), message("assistant")]
    assert [entry.role for entry in build_request("m", "", branch, Parameters()).messages] == ["user"]


def test_the_thread_wins_over_the_instance() -> None:
    merged = merge_parameters(
        Parameters(temperature=0.0, stop=("x",)), Parameters(temperature=1.0, top_k=5, stop=("y",))
    )
    assert merged == Parameters(temperature=0.0, top_k=5, stop=("x",))


async def test_what_does_not_fit_is_refused_with_numbers() -> None:
    request = build_request("tiny", "", [message("user", TextPart("word " * 2000))], Parameters())
    async with make_client() as client:
        provider = PROVIDERS["openai"](Account("Harbour", "http://127.0.0.1:9"), client)
        await check_fit(provider, request, 100_000)
        await check_fit(provider, request, None)
        with pytest.raises(ContextOverflow, match=r"estimated.*tiny takes 1,000\. Nothing was sent\. Choose"):
            await check_fit(provider, request, 1000)
        narrow = ChatRequest(request.model, request.messages, Parameters(context_window=500))
        with pytest.raises(ContextOverflow, match="takes 500"):
            await check_fit(provider, narrow, 100_000)
