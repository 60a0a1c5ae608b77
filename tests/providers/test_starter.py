"""The starter model as it is installed: what it says of itself is right, and it answers."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
import pytest_asyncio

from app.parts import Finish, TextDelta, TextPart
from app.providers.base import Account, ChatMessage, ChatRequest, Limits, Parameters
from app.providers.client import make_client
from app.providers.engines import Engines
from app.providers.llamacpp import LlamaCpp
from tests.providers.conftest import children, collect

STARTER = "SmolLM2 135M · starter"
CAPITAL = ChatMessage("user", (TextPart("What is the capital of France?"),))

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def starter() -> AsyncIterator[LlamaCpp]:
    """One engine for all tests here: it takes a while to load."""
    engines = Engines()
    async with make_client() as client:
        yield LlamaCpp(Account("This machine", has_bundled=True), client, Limits(120, 120), engines)
    await engines.close()
    assert children() == []


def asked(*messages: ChatMessage, continues: bool = False, **parameters: object) -> ChatRequest:
    greedy = Parameters(temperature=0.0, **parameters)  # type: ignore[arg-type]
    return ChatRequest(STARTER, messages or (CAPITAL,), greedy, continues=continues)


async def test_it_says_what_it_is(starter: LlamaCpp) -> None:
    (model,) = await starter.list_models()
    assert (model.name, model.family, model.quantisation) == (STARTER, "llama", "Q4_1")
    assert model.context_window == 8192
    assert (model.is_bundled, model.has_tools, model.has_reasoning, model.has_vision) == (True, False, False, False)
    details = await starter.details(STARTER)
    assert "<|im_start|>" in details.template
    assert details.licence == "apache-2.0"


async def test_it_knows_the_capital_of_france(starter: LlamaCpp) -> None:
    outcome = await collect(starter.stream(asked()))
    assert outcome.error is None
    assert "Paris" in outcome.text
    assert outcome.finish == [Finish("stop")]
    assert "<|im_end|>" not in outcome.text
    assert outcome.usage[0].input_tokens == (await starter.count_tokens(asked())).tokens
    (state,) = starter.engines.states()
    assert (state.model_name, state.context_tokens) == (STARTER, 8192)  # what it says that it takes


async def test_a_conversation_goes_on(starter: LlamaCpp) -> None:
    before = (CAPITAL, ChatMessage("assistant", (TextPart("The capital of France is Paris."),)))
    more = await collect(starter.stream(asked(*before, ChatMessage("user", (TextPart("And the capital of Italy?"),)))))
    assert "Rome" in more.text


@pytest.mark.soak
async def test_an_answer_is_stopped_and_gone_on_with(starter: LlamaCpp) -> None:
    whole = await collect(starter.stream(asked()))
    begun = ""
    async with aclosing(starter.stream(asked())) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                begun += event.text
                if len(begun) > 8:
                    break
    rest = await collect(starter.stream(asked(CAPITAL, ChatMessage("assistant", (TextPart(begun),)), continues=True)))
    assert whole.text.startswith(begun)
    assert "Paris" in begun + rest.text
    assert not rest.text.startswith(begun)
