"""What our own engine does with its models: load, unload, delete, details. Pulling: test_gguf_pull, test_download."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import gguf
import msgspec
import pytest

from app.providers.errors import BadAnswer, BadRequest, ModelMissing, StreamCut
from app.providers.keeping import EngineOptions, Keeper, Pull, SourceRefused
from app.providers.llamacpp import LlamaCpp
from tests.providers.conftest import ask, broken_off, children, collect
from tests.providers.pulling import told
from tests.tiny_gguf import CHAT_TEMPLATE, CONTEXT


def test_our_engine_keeps_models() -> None:
    assert issubclass(LlamaCpp, Keeper)


async def test_a_model_is_loaded_answers_and_is_unloaded(local: LlamaCpp) -> None:
    progress = await told(local.load("tiny"))
    assert {each.phase for each in progress} == {"loading"}
    assert progress[0].line == ""
    assert any("model loaded" in each.line for each in progress)
    [child] = children()
    assert (await collect(local.stream(ask()))).error is None
    assert children() == [child]
    await local.unload("tiny")
    assert children() == []
    await local.unload("tiny")
    assert [model.is_loaded for model in await local.list_models()] == [False]


async def test_a_model_is_loaded_as_its_settings_say(local: LlamaCpp) -> None:
    local.account = msgspec.structs.replace(local.account, engine=EngineOptions(context_tokens=512, slots=1))
    await told(local.load("tiny"))
    [state] = local.engines.states()
    assert (state.context_tokens, state.slots) == (512, 1)
    [child] = children()
    assert (await collect(local.stream(ask()))).error is None
    assert children() == [child]
    await collect(local.stream(ask(context_window=1024)))  # what the thread asks for counts for more
    assert [state.context_tokens for state in local.engines.states()][-1] == 1024
    local.account = msgspec.structs.replace(local.account, engine=EngineOptions(context_tokens=10**6))
    await told(local.load("tiny"))
    assert local.engines.states()[-1].context_tokens == CONTEXT


async def test_a_model_that_cannot_be_loaded_says_why(local: LlamaCpp, folder: Path) -> None:
    content = (folder / "tiny.gguf").read_bytes()
    (folder / "tiny.gguf").write_bytes(content.replace(b"llama.block_count", b"llama.block_cownt"))
    with pytest.raises(BadAnswer, match="block_count"):
        await told(local.load("tiny"))
    assert children() == []


async def test_deleting_unloads_first(local: LlamaCpp, folder: Path) -> None:
    content = (folder / "tiny.gguf").read_bytes()

    async def delete(child: int) -> None:
        await local.delete("tiny")
        assert children() == []
        assert os.listdir(folder) == []
        assert await local.list_models() == []
        (folder / "tiny.gguf").write_bytes(content)  # in case it is asked again

    assert isinstance((await broken_off(local, delete)).error, StreamCut)


async def test_of_a_link_only_the_link_is_deleted(
    local: LlamaCpp, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kept = tmp_path_factory.mktemp("elsewhere") / "kept.gguf"
    (folder / "tiny.gguf").rename(kept)
    (folder / "tiny.gguf").symlink_to(kept)
    assert [model.name for model in await local.list_models()] == ["tiny"]
    await local.delete("tiny")
    assert kept.exists()
    assert not (folder / "tiny.gguf").is_symlink()


ORDERS: dict[str, Callable[[LlamaCpp, str], object]] = {
    "load": lambda keeper, name: told(keeper.load(name)),
    "unload": lambda keeper, name: keeper.unload(name),
    "delete": lambda keeper, name: keeper.delete(name),
    "details": lambda keeper, name: keeper.details(name),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "name", ["gone", "", ".", "..", "../other", "/etc/passwd", "tiny.gguf", "x/../tiny", "\0", "x" * 9999]
)
async def test_names_lead_nowhere_but_into_the_folder(order: str, name: str, local: LlamaCpp, folder: Path) -> None:
    with pytest.raises(ModelMissing):
        await ORDERS[order](local, name)  # type: ignore[misc]
    assert (folder / "tiny.gguf").exists()


@pytest.mark.parametrize("name", ["../x", "/x", "", ".x", "a/b", "x\0"])
async def test_pulls_with_tricks_in_their_names_are_refused(name: str, local: LlamaCpp, folder: Path) -> None:
    pull = Pull(name, "https://1.1.1.1/x.gguf")
    with pytest.raises(SourceRefused):
        await told(local.pull(pull))
    with pytest.raises(SourceRefused):
        await local.discard(pull)
    assert os.listdir(folder) == ["tiny.gguf"]


async def test_without_a_folder_nothing_is_pulled(local: LlamaCpp) -> None:
    local.account = msgspec.structs.replace(local.account, models_folder="")
    with pytest.raises(BadRequest):
        await told(local.pull(Pull("x", "https://1.1.1.1/x.gguf")))


async def test_details_are_what_the_file_says(local: LlamaCpp, folder: Path) -> None:
    details = await local.details("tiny")
    assert details.template == CHAT_TEMPLATE
    metadata = dict(details.metadata)
    assert metadata["general.architecture"] == "llama"
    assert metadata["llama.context_length"] == str(CONTEXT)
    assert "tokenizer.chat_template" not in metadata
    assert "tokenizer.ggml.tokens" not in metadata
    expected = [
        (tensor.name, tuple(int(size) for size in tensor.shape), tensor.tensor_type.name)
        for tensor in (await asyncio.to_thread(gguf.GGUFReader, folder / "tiny.gguf")).tensors
    ]
    assert [(tensor.name, tensor.shape, tensor.type) for tensor in details.tensors] == expected


async def test_details_are_clean_text(local: LlamaCpp, folder: Path) -> None:
    writer = gguf.GGUFWriter(str(folder / "odd.gguf"), "llama")
    writer.add_license("MIT \x00 <b>")
    writer.add_key_value("general.tags", ["a"], gguf.GGUFValueType.ARRAY, gguf.GGUFValueType.STRING)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    details = await local.details("odd")
    assert details.licence == "MIT \ufffd <b>"
    assert dict(details.metadata) == {"general.architecture": "llama"}
