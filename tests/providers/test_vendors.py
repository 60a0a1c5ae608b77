"""The vendors' own packages read the scripted server: it is known to say what the real ones would.

To import one takes up to a second, so whoever needs it imports it: every test process reads this file.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.scripted import Dialect, ScriptedServer

if TYPE_CHECKING:
    import ollama


async def test_the_vendors_own_package_reads_the_scripted_server(server: ScriptedServer, dialect: Dialect) -> None:
    call = dialect.tool_call("c1", "look", {"at": "x"})
    server.script(
        *dialect.answer(("Hel", "lo"), thoughts=("Hm",), tool_calls=[call], usage=(3, 4), reason="tool_calls")
    )
    await PACKAGES[dialect.kind](server, dialect)


async def check_with_openai(server: ScriptedServer, dialect: Dialect) -> None:
    import openai

    async with openai.AsyncOpenAI(api_key="k", base_url=server.url_for(dialect)) as sdk:
        assert [model.id async for model in sdk.models.list()] == ["scripted"]
        stream = await sdk.chat.completions.create(
            model="scripted",
            messages=[{"role": "user", "content": "Hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "Hello"
    calls = [call.function for delta in deltas for call in delta.tool_calls or [] if call.function]
    assert "".join(call.arguments or "" for call in calls) == '{"at": "x"}'
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "tool_calls"
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (3, 4)


async def check_with_ollama(server: ScriptedServer, dialect: Dialect) -> None:
    import ollama

    sdk = ollama.AsyncClient(host=server.url)
    try:
        assert [model.model for model in (await sdk.list()).models] == ["scripted"]
        assert [model.model for model in (await sdk.ps()).models] == ["scripted"]
        shown = await sdk.show("scripted")
        assert (shown.capabilities, shown.template, shown.license) == (["completion", "tools"], "{{ .Prompt }}", "MIT")
        stream = await sdk.chat("scripted", [{"role": "user", "content": "Hi"}], stream=True)
        lines = [line async for line in stream]
        await check_orders_with_ollama(sdk, server)
    finally:
        await sdk._client.aclose()
    assert "".join(line.message.content or "" for line in lines) == "Hello"
    assert "".join(line.message.thinking or "" for line in lines) == "Hm"
    calls = [call for line in lines for call in line.message.tool_calls or []]
    assert [(call.function.name, call.function.arguments) for call in calls] == [("look", {"at": "x"})]
    assert (lines[-1].done, lines[-1].done_reason) == (True, "stop")
    assert (lines[-1].prompt_eval_count, lines[-1].eval_count) == (3, 4)


async def check_orders_with_ollama(sdk: "ollama.AsyncClient", server: ScriptedServer) -> None:
    """Pull, load, unload and delete."""
    import ollama

    pulled = [line async for line in await sdk.pull("other", stream=True)]
    assert [pulled[0].status, pulled[-1].status] == ["pulling manifest", "success"]
    assert {(line.total, line.completed) for line in pulled if line.digest} >= {(3000, 0), (3000, 1500), (500, 500)}
    assert (await sdk.generate("other")).done_reason == "load"
    running = (await sdk.ps()).models
    assert [model.model for model in running] == ["scripted", "other"]
    assert running[0].expires_at is not None
    assert running[0].expires_at.year == 2030
    assert (await sdk.generate("other", keep_alive=0)).done_reason == "unload"
    assert [model.model for model in (await sdk.ps()).models] == ["scripted"]
    assert (await sdk.delete("other")).status == "success"
    assert server.models == ["scripted"]
    with pytest.raises(ollama.ResponseError, match="file does not exist"):
        _ = [line async for line in await sdk.pull("missing", stream=True)]


async def check_with_anthropic(server: ScriptedServer, dialect: Dialect) -> None:
    import anthropic

    question: list[anthropic.types.MessageParam] = [{"role": "user", "content": "Hi"}]
    async with anthropic.AsyncAnthropic(api_key="k", base_url=server.url_for(dialect)) as sdk:
        assert [model.id async for model in sdk.models.list()] == ["scripted"]
        assert (await sdk.messages.count_tokens(model="scripted", messages=question)).input_tokens > 0
        async with sdk.messages.stream(model="scripted", max_tokens=9, messages=question) as stream:
            events = [event.type async for event in stream]
            message = await stream.get_final_message()
    thinking, text, call = message.content
    assert thinking.type == "thinking"
    assert (thinking.thinking, bool(thinking.signature)) == ("Hm", True)
    assert (text.type, text.text) == ("text", "Hello")
    assert call.type == "tool_use"
    assert (call.id, call.name, call.input) == ("c1", "look", {"at": "x"})
    assert message.stop_reason == "tool_use"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (3, 4)
    assert [events[0], events[-1]] == ["message_start", "message_stop"]


async def check_with_gemini(server: ScriptedServer, dialect: Dialect) -> None:
    from google import genai

    async with httpx.AsyncClient() as http:  # its own, made of aiohttp, begins with a warning
        options = genai.types.HttpOptions(base_url=server.url, api_version="v1beta", httpx_async_client=http)
        sdk = genai.Client(api_key="k", http_options=options).aio
        [model] = [model async for model in await sdk.models.list()]
        assert (model.name, model.input_token_limit) == ("models/scripted", 1_048_576)
        assert ((await sdk.models.count_tokens(model="scripted", contents="Hi")).total_tokens or 0) > 0
        stream = await sdk.models.generate_content_stream(model="scripted", contents="Hi")
        chunks = [chunk async for chunk in stream]
    found = [chunk.candidates[0] for chunk in chunks if chunk.candidates]
    parts = [part for each in found if each.content for part in each.content.parts or []]
    assert "".join(part.text or "" for part in parts if part.thought) == "Hm"
    assert "".join(part.text or "" for part in parts if not part.thought) == "Hello"
    [call] = [part for part in parts if part.function_call]
    assert call.function_call is not None
    assert (call.function_call.id, call.function_call.name, call.function_call.args) == ("c1", "look", {"at": "x"})
    assert call.thought_signature == b"signed"
    assert found[-1].finish_reason == genai.types.FinishReason.STOP
    usage = chunks[-1].usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.candidates_token_count, usage.thoughts_token_count) == (3, 2, 2)


PACKAGES: dict[str, Callable[[ScriptedServer, Dialect], Awaitable[None]]] = {
    "openai": check_with_openai,
    "anthropic": check_with_anthropic,
    "gemini": check_with_gemini,
    "ollama": check_with_ollama,
}
