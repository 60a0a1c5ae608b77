"""Reads what a GGUF file says of itself, without loading it. The file may be anything: every size is checked first.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3, little-endian.
"""

import math
import os
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from app.providers.keeping import MAX_TENSORS as MAX_TENSORS_KEPT
from app.providers.keeping import Tensor

MAX_ENTRIES = 65_536
MAX_TENSORS = 200_000
MAX_TEXT_BYTES = 1024 * 1024
MAX_ARRAY_ITEMS = 16_000_000

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9

_FILE_TYPES = dict(
    enumerate(
        "F32 F16 Q4_0 Q4_1 - - - Q8_0 Q5_0 Q5_1 Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M Q6_K IQ2_XXS "
        "IQ2_XS Q2_K_S IQ3_XS IQ3_XXS IQ1_S IQ4_NL IQ3_S IQ3_M IQ2_S IQ2_M IQ4_XS IQ1_M BF16 - - - TQ1_0 TQ2_0 "
        "MXFP4_MOE NVFP4 Q1_0".split()
    )
)

_TENSOR_TYPES = dict(
    enumerate(
        "F32 F16 Q4_0 Q4_1 - - Q5_0 Q5_1 Q8_0 Q8_1 Q2_K Q3_K Q4_K Q5_K Q6_K Q8_K IQ2_XXS IQ2_XS IQ3_XXS IQ1_S IQ4_NL "
        "IQ3_S IQ2_S IQ4_XS I8 I16 I32 I64 F64 IQ1_M BF16 - - - TQ1_0 TQ2_0 - - - MXFP4 NVFP4 Q1_0".split()
    )
)

# Tensor type → (values in a block, bytes of a block). A type that is not here only has its beginning checked.
_BLOCKS = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    3: (32, 20),
    6: (32, 22),
    7: (32, 24),
    8: (32, 34),
    9: (32, 40),
    10: (256, 84),
    11: (256, 110),
    12: (256, 144),
    13: (256, 176),
    14: (256, 210),
    15: (256, 292),
    16: (256, 66),
    17: (256, 74),
    18: (256, 98),
    19: (256, 50),
    20: (32, 18),
    21: (256, 110),
    22: (256, 82),
    23: (256, 136),
    24: (1, 1),
    25: (1, 2),
    26: (1, 4),
    27: (1, 8),
    28: (1, 8),
    29: (256, 56),
    30: (1, 2),
    34: (256, 54),
    35: (256, 66),
    39: (32, 17),
    40: (64, 36),
    41: (128, 18),
}

Value = int | float | bool | str | None


class NotGguf(ValueError):
    """Not a GGUF file, not whole, or not one that can be trusted. The text says which."""


class GgufHeader(NamedTuple):
    """The metadata and what follows from it. Of arrays there is only how many items they have, in `counts`."""

    values: dict[str, Value]
    size_bytes: int
    counts: dict[str, int]
    tensors: tuple[Tensor, ...] = ()

    @property
    def architecture(self) -> str | None:
        return self._text("general.architecture")

    @property
    def name(self) -> str | None:
        return self._text("general.name")

    @property
    def context_length(self) -> int | None:
        length = self.values.get(f"{self.architecture}.context_length")
        return length if type(length) is int and 0 < length < 2**31 else None

    @property
    def quantisation(self) -> str | None:
        kind = self.values.get("general.file_type")
        name = _FILE_TYPES.get(kind & ~1024, "-") if type(kind) is int else "-"  # 1024: guessed by the writer
        return None if name == "-" else name

    @property
    def chat_template(self) -> str:
        return self._text("tokenizer.chat_template") or ""

    @property
    def is_embedding(self) -> bool:
        """Models that pool their output answer with a vector, not with text."""
        return bool(self.values.get(f"{self.architecture}.pooling_type"))

    @property
    def is_chat_model(self) -> bool:
        """Not an adapter, a projector, a bare vocabulary, or a later part of a split model."""
        is_whole_model = self._text("general.type") in (None, "model") and self.architecture not in (None, "clip")
        return is_whole_model and not self.values.get("split.no")

    def count(self, key: str) -> int:
        """A whole number of the architecture's own, as `block_count`; 0 where the file does not say."""
        value = self.values.get(f"{self.architecture}.{key}")
        return value if type(value) is int and 0 < value < 2**40 else 0

    @property
    def vocabulary_tokens(self) -> int:
        return self.counts.get("tokenizer.ggml.tokens", 0) or self.count("vocab_size")

    def _text(self, key: str) -> str | None:
        value = self.values.get(key)
        return value if isinstance(value, str) else None


def read_header(path: Path, *, keeps_tensors: bool = False) -> GgufHeader:
    """Raises `NotGguf` for everything that llama.cpp would choke on as far as the header shows it, and `OSError`."""
    with path.open("rb", buffering=1024 * 1024) as file:
        size_bytes = os.fstat(file.fileno()).st_size
        source = _Source(file, size_bytes)
        magic, version = source.take(4), source.number("<I")
        if magic != b"GGUF":
            raise NotGguf("it does not begin as a GGUF file does")
        if version not in (2, 3):
            raise NotGguf(f"GGUF version {version} is not supported")
        tensors, entries = source.number("<Q"), source.number("<Q")
        if tensors > MAX_TENSORS or entries > MAX_ENTRIES:
            raise NotGguf("its header counts more than any model has")
        values, counts = _read_values(source, entries)
        kept = _check_tensors(
            source, tensors, values.get("general.alignment"), MAX_TENSORS_KEPT if keeps_tensors else 0
        )
        return GgufHeader(values, size_bytes, counts, tuple(kept))


def _read_values(source: "_Source", entries: int) -> tuple[dict[str, Value], dict[str, int]]:
    values: dict[str, Value] = {}
    counts: dict[str, int] = {}
    for _ in range(entries):
        key, kind = source.text(65_535), source.number("<I")
        if kind == _ARRAY:
            values[key] = None
            counts[key] = source.skip_array()
        else:
            values[key] = source.value(kind)
    return values, counts


class _Source:
    """Reads a file forward and never believes a length that goes beyond its end."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self._file = file
        self._size_bytes = size_bytes
        self.position = 0

    def take(self, size: int) -> bytes:
        self._need(size)
        content = self._file.read(size)
        if len(content) != size:
            raise NotGguf("it is cut off")
        self.position += size
        return content

    def skip(self, size: int) -> None:
        self._need(size)
        self._file.seek(size, os.SEEK_CUR)
        self.position += size

    def number(self, form: str) -> int:
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def text(self, max_bytes: int = MAX_TEXT_BYTES) -> str:
        size = self.number("<Q")
        if size > max_bytes:
            raise NotGguf("a text in its header is longer than any is")
        return self.take(size).decode("utf-8", "replace")

    def value(self, kind: int) -> Value:
        """One value that is no array."""
        if kind == _TEXT:
            return self.text()
        form = _SCALARS.get(kind)
        if form is None:
            raise NotGguf(f"its header has a value of the unknown type {kind}")
        value: int | float | bool = struct.unpack(form, self.take(struct.calcsize(form)))[0]
        return value

    def skip_array(self) -> int:
        """Pass over an array, since no array says what we ask for. Returns how many items it has."""
        kind, items = self.number("<I"), self.number("<Q")
        if items > MAX_ARRAY_ITEMS:
            raise NotGguf("an array in its header is longer than any is")
        if kind == _TEXT:
            for _ in range(items):
                self.skip(self.number("<Q"))
        elif kind in _SCALARS:
            self.skip(items * struct.calcsize(_SCALARS[kind]))
        else:
            raise NotGguf("its header has an array of arrays or of an unknown type")
        return items

    def _need(self, size: int) -> None:
        if size > self._size_bytes - self.position:
            raise NotGguf("it is cut off")


def _check_tensors(source: _Source, count: int, alignment: Value, kept: int) -> list[Tensor]:
    """Every tensor must lie inside the file: a download that stopped half-way is found here, not when it is loaded."""
    aligned = alignment if type(alignment) is int and 0 < alignment <= 65_536 else 32
    end, tensors = 0, list[Tensor]()
    for _ in range(count):
        name, dimensions = source.text(65_535), source.number("<I")
        if dimensions > 8:
            raise NotGguf("a tensor has more dimensions than any has")
        shape = tuple(source.number("<Q") for _ in range(dimensions))
        kind, begin = source.number("<I"), source.number("<Q")
        block, block_bytes = _BLOCKS.get(kind, (1, 0))
        end = max(end, begin + math.prod(shape) // block * block_bytes)
        if len(tensors) < kept:
            tensors.append(Tensor(name, shape, _tensor_type(kind)))
    begin = -(-source.position // aligned) * aligned if count else source.position
    source.skip(begin + end - source.position)
    return tensors


def _tensor_type(kind: int) -> str:
    name = _TENSOR_TYPES.get(kind, "-")
    return str(kind) if name == "-" else name
