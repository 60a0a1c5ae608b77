"""How much memory an engine takes: estimated from the model's header before it runs, measured while it does."""

import os
from pathlib import Path

from app.providers.gguf_header import GgufHeader, NotGguf, read_header

#: What an engine takes beside its model: the interpreter and llama.cpp itself, measured with a model of half a megabyte.
BARE_BYTES = 32 * 1024 * 1024
_F16_BYTES, _F32_BYTES = 2, 4
_BATCH_TOKENS = 512  # llama.cpp's n_ubatch: it has room for the logits of so many tokens
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def default_limit_bytes() -> int:
    """Three quarters of what this machine, or this container, has."""
    return machine_bytes() * 3 // 4


def machine_bytes() -> int:
    """The memory of this machine, or less where a container may use only so much."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for path in _CGROUP_LIMITS:
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            total = min(total, int(text))
    return total


def estimated_bytes(path: Path, context_tokens: int, slots: int) -> int:
    """The file, the keys and values of every token in every slot, the logits of a batch, and what any engine takes.

    Sees no files whose header cannot be read: llama.cpp will say what is wrong with them.
    """
    try:
        header = read_header(path)
    except (NotGguf, OSError):
        return BARE_BYTES
    cache = cache_bytes_per_token(header) * context_tokens * slots
    return header.size_bytes + cache + _BATCH_TOKENS * header.vocabulary_tokens * _F32_BYTES + BARE_BYTES


def cache_bytes_per_token(header: GgufHeader) -> int:
    """Keys and values in f16, in all layers. Models with windows, or heads that differ by layer, take less than this."""
    heads = header.count("attention.head_count")
    key_heads = header.count("attention.head_count_kv") or heads
    usual_length = header.count("embedding_length") // heads if heads else 0
    key_length = header.count("attention.key_length") or usual_length
    value_length = header.count("attention.value_length") or usual_length
    return header.count("block_count") * key_heads * (key_length + value_length) * _F16_BYTES


def measured_bytes(process_id: int) -> int | None:
    """The proportional set size of a process: pages shared with others count in part. None where no /proc tells it."""
    try:
        lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    sizes = [line.split()[1] for line in lines if line.startswith("Pss:")]
    return int(sizes[0]) * 1024 if sizes else None


def size_text(size_bytes: int) -> str:
    """A size for a sentence, in the units of settings: 1 MB is a million bytes."""
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.0f} MB"
