"""What a GGUF file says of itself, and files that lie about it."""

import random
import struct
import time
from pathlib import Path

import gguf
import numpy as np
import pytest

from app.providers import gguf_header
from app.providers.gguf_header import NotGguf, read_header
from app.providers.keeping import Tensor
from tests.tiny_gguf import CHAT_TEMPLATE, CONTEXT, LAYERS, WIDTH, write_tiny_gguf


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_gguf(tmp_path / "tiny.gguf")


def test_the_header_of_a_model_is_read(tiny: Path) -> None:
    header = read_header(tiny)
    assert header.architecture == "llama"
    assert header.name == "Tiny"
    assert header.context_length == CONTEXT
    assert header.quantisation == "F32"
    assert header.chat_template == CHAT_TEMPLATE
    assert header.size_bytes == tiny.stat().st_size <= 1024 * 1024
    assert header.is_chat_model
    assert not header.is_embedding
    assert header.vocabulary_tokens == header.counts["tokenizer.ggml.scores"] > 256
    assert header.count("block_count") == LAYERS


def test_tensors_are_kept_where_they_are_asked_for(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_header(tiny).tensors == ()
    tensors = read_header(tiny, keeps_tensors=True).tensors
    assert len(tensors) == 3 + 9 * LAYERS
    assert tensors[0] == Tensor("token_embd.weight", (WIDTH, read_header(tiny).vocabulary_tokens), "F32")
    monkeypatch.setattr(gguf_header, "MAX_TENSORS_KEPT", 2)
    assert read_header(tiny, keeps_tensors=True).tensors == tensors[:2]


def test_our_tables_are_those_of_the_format() -> None:
    types = {int(kind): kind.name for kind in gguf.GGMLQuantizationType}
    assert types == {kind: name for kind, name in gguf_header._TENSOR_TYPES.items() if name != "-"}
    sizes = {int(kind): size for kind, size in gguf.GGML_QUANT_SIZES.items()}
    assert sizes == gguf_header._BLOCKS
    names = {
        int(kind): kind.name.removeprefix("MOSTLY_").removeprefix("ALL_")
        for kind in gguf.LlamaFileType
        if kind != gguf.LlamaFileType.GUESSED
    }
    assert names == {kind: name for kind, name in gguf_header._FILE_TYPES.items() if name != "-"}


def write(path: Path, architecture: str = "llama", **fields: object) -> Path:
    writer = gguf.GGUFWriter(str(path), architecture)
    for key, value in fields.items():
        writer.add_key_value(key.replace("__", "."), value, gguf.GGUFValueType.get_type(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_what_is_no_chat_model_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    assert read_header(write(path)).is_chat_model
    assert not read_header(write(path, "clip")).is_chat_model
    assert not read_header(write(path, general__type="adapter")).is_chat_model
    assert not read_header(write(path, split__no=1)).is_chat_model
    assert read_header(write(path, split__no=0)).is_chat_model
    assert read_header(write(path, "bert", bert__pooling_type=1)).is_embedding


def test_every_value_type_is_passed_over_correctly(tmp_path: Path) -> None:
    fields = {
        "a": 1,
        "b": 1.5,
        "c": True,
        "d": "text",
        "e": [1, 2, 3],
        "f": ["x", "yz", ""],
        "llama__context_length": 77,
    }
    assert read_header(write(tmp_path / "x.gguf", **fields)).context_length == 77


def test_a_file_cut_anywhere_is_refused(tiny: Path, tmp_path: Path) -> None:
    content = tiny.read_bytes()
    cut = tmp_path / "cut.gguf"
    sizes = [*range(300), *range(300, len(content), 9973), len(content) - 1]
    for size in sizes:
        cut.write_bytes(content[:size])
        with pytest.raises(NotGguf):
            read_header(cut)


def test_a_damaged_header_is_refused_or_read_and_never_more(tiny: Path, tmp_path: Path) -> None:
    content = bytearray(tiny.read_bytes())
    chance = random.Random(7)
    damaged = tmp_path / "damaged.gguf"
    refused = 0
    for _ in range(300):
        copy = bytearray(content)
        for _ in range(chance.randint(1, 8)):
            copy[chance.randrange(12_000)] = chance.choice((0, 255, chance.randrange(256)))
        damaged.write_bytes(copy)
        try:
            read_header(damaged)
        except NotGguf:
            refused += 1
    assert refused > 30


def header(entries: int, tensors: int, rest: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, entries) + rest


KEY = struct.pack("<Q", 1) + b"k"
HOSTILE = {
    "empty": b"",
    "another format": b"PK\x03\x04" + b"\0" * 100,
    "another version": header(0, 0, b"", version=1),
    "big-endian": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "too many entries": header(2**63, 0, b""),
    "too many tensors": header(0, 2**63, b""),
    "an endless key": header(1, 0, struct.pack("<Q", 2**64 - 1)),
    "an endless text": header(1, 0, KEY + struct.pack("<IQ", 8, 2**40) + b"x" * 99),
    "a text beyond the end": header(1, 0, KEY + struct.pack("<IQ", 8, 1000) + b"x" * 99),
    "an endless array": header(1, 0, KEY + struct.pack("<IIQ", 9, 0, 2**62)),
    "an array beyond the end": header(1, 0, KEY + struct.pack("<IIQ", 9, 12, 1000)),
    "an endless array of texts": header(1, 0, KEY + struct.pack("<IIQ", 9, 8, 10**7)),
    "an array of arrays": header(1, 0, KEY + struct.pack("<IIQ", 9, 9, 1)),
    "an unknown type": header(1, 0, KEY + struct.pack("<I", 99)),
    "an array of an unknown type": header(1, 0, KEY + struct.pack("<IIQ", 9, 99, 1)),
    "many dimensions": header(0, 1, KEY + struct.pack("<I", 2**31)),
    "a huge tensor": header(0, 1, KEY + struct.pack("<IQQIQ", 2, 2**63, 2**63, 0, 0)),
    "a tensor far away": header(0, 1, KEY + struct.pack("<IQIQ", 1, 1, 0, 2**63)),
    "a tensor of an unknown type, far away": header(0, 1, KEY + struct.pack("<IQIQ", 1, 1, 77, 2**63)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_at_once(name: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.gguf"
    path.write_bytes(HOSTILE[name])
    began = time.process_time()
    with pytest.raises(NotGguf):
        read_header(path)
    assert time.process_time() - began < 1


def test_a_vocabulary_of_many_tokens_is_passed_over_quickly(tmp_path: Path) -> None:
    path = tmp_path / "big.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_token_list([f"token{number}" for number in range(200_000)])
    writer.add_token_scores([0.0] * 200_000)
    writer.add_context_length(9)
    writer.add_tensor("t", np.ones(8, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    began = time.process_time()
    assert read_header(path).context_length == 9
    assert time.process_time() - began < 3
