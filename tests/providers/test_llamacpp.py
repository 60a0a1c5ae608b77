"""The embedded engine as a provider: a real llama.cpp with a real, tiny model."""

from pathlib import Path

import httpx
import pytest

from app.parts import Finish, TextPart
from app.providers.base import Account, ChatMessage, ChatRequest, Parameters
from app.providers.engines import Engines
from app.providers.errors import ModelMissing, PromptTooLong
from app.providers.llamacpp import LlamaCpp
from tests.providers.conftest import ask, collect, question
from tests.tiny_gguf import CONTEXT, write_tiny_gguf


async def test_a_file_in_the_folder_answers(local: LlamaCpp) -> None:
    [model] = await local.list_models()
    assert (model.name, model.context_window, model.family, model.quantisation) == ("tiny", CONTEXT, "llama", "F32")
    assert model.is_loaded is False
    outcome = await collect(local.stream(ask()))
    assert outcome.error is None
    assert outcome.text
    assert outcome.finish == [Finish("length")]
    assert outcome.usage[0].output_tokens == 12
    assert [model.is_loaded for model in await local.list_models()] == [True]


async def test_the_same_seedless_greedy_question_has_the_same_answer(local: LlamaCpp) -> None:
    greedy = ask(temperature=0.0, top_k=1, repeat_penalty=1.0)
    answers = {(await collect(local.stream(greedy))).text for _ in range(3)}
    assert len(answers) == 1


async def test_sampling_parameters_reach_the_engine(local: LlamaCpp) -> None:
    assert local.takes == {
        "temperature",
        "top_p",
        "top_k",
        "repeat_penalty",
        "max_tokens",
        "context_window",
        "stop",
        "reasoning_effort",
    }
    greedy = ask(temperature=0.0, repeat_penalty=1.0)
    penalised = ask(temperature=0.0, repeat_penalty=9.0)
    assert local.body(penalised)["repeat_penalty"] == 9.0
    plain = await collect(local.stream(greedy))
    assert (await collect(local.stream(penalised))).text != plain.text
    stop = plain.text.split()[3]
    stopped = await collect(local.stream(ask(temperature=0.0, repeat_penalty=1.0, stop=(stop,))))
    assert stop not in stopped.text
    assert stopped.finish == [Finish("stop")]


async def test_tokens_are_counted_as_the_engine_counts_them(local: LlamaCpp) -> None:
    for text in ("Hello", "the of and to", "é𝄞\u2028 <|im_end|>", "x" * 300):
        counted = await local.count_tokens(ask(text))
        used = await collect(local.stream(ask(text, max_tokens=1)))
        assert counted.is_exact
        assert used.usage[0].input_tokens == counted.tokens


async def test_an_unfinished_answer_is_gone_on_from(local: LlamaCpp) -> None:
    greedy = Parameters(temperature=0.0, repeat_penalty=1.0, max_tokens=8)
    asked = ChatMessage("user", (TextPart("Hello"),))
    whole = await collect(local.stream(ChatRequest("tiny", (asked,), greedy)))
    begun = ChatMessage("assistant", (TextPart("the water"),))
    request = ChatRequest("tiny", (asked, begun), greedy, continues=True)
    rest = await collect(local.stream(request))
    assert local.body(request)["messages"][-1] == {"role": "assistant", "content": "the water"}
    assert rest.text
    assert not rest.text.startswith("the water")
    asked_alone = await local.count_tokens(ChatRequest("tiny", (asked,)))
    assert rest.usage[0].input_tokens is not None
    assert rest.usage[0].input_tokens > asked_alone.tokens
    assert whole.error is None


async def test_a_prompt_that_does_not_fit_is_refused(local: LlamaCpp) -> None:
    error = (await collect(local.stream(ask("the " * 3000)))).error
    assert isinstance(error, PromptTooLong)


async def test_the_context_window_bounds_an_answer_without_end(local: LlamaCpp) -> None:
    outcome = await collect(local.stream(ask(max_tokens=None, context_window=256)))
    assert outcome.finish == [Finish("length")]
    assert outcome.usage[0].input_tokens is not None
    assert outcome.usage[0].output_tokens is not None
    assert outcome.usage[0].input_tokens + outcome.usage[0].output_tokens <= 256


async def test_bytes_that_are_no_text_become_replacement_characters(folder: Path, local: LlamaCpp) -> None:
    write_tiny_gguf(folder / "tiny.gguf", byte_scale=1.5)
    outcome = await collect(local.stream(ask(max_tokens=200, temperature=2.0)))
    assert outcome.error is None
    assert "\ufffd" in outcome.text
    assert "\0" not in outcome.text
    outcome.text.encode()


async def test_files_that_are_no_models_are_not_listed(folder: Path, local: LlamaCpp) -> None:
    (folder / "half.gguf").write_bytes((folder / "tiny.gguf").read_bytes()[:300_000])
    (folder / "text.gguf").write_text("not a model")
    (folder / "folder.gguf").mkdir()
    (folder / "gone.gguf").symlink_to(folder / "nowhere")
    (folder / "notes.txt").write_text("x")
    assert [model.name for model in await local.list_models()] == ["tiny"]


@pytest.mark.parametrize("name", ["gone", "", "../tiny", "/etc/passwd", "tiny.gguf", "x" * 9999])
async def test_models_that_are_not_there_are_missing(name: str, local: LlamaCpp) -> None:
    error = (await collect(local.stream(question("Hi", name)))).error
    assert isinstance(error, ModelMissing)
    assert len(error.sentence) < 300


@pytest.mark.parametrize("folder_name", ["", "/nowhere/at/all"])
async def test_no_folder_is_no_models(folder_name: str, client: httpx.AsyncClient, engines: Engines) -> None:
    assert await LlamaCpp(Account("x", models_folder=folder_name), client, engines=engines).list_models() == []
