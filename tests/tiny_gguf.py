"""A language model of half a megabyte: random weights, real format. llama.cpp loads it and streams nonsense from it."""

from pathlib import Path

import gguf
import numpy as np

LAYERS, WIDTH, INNER, HEADS, CONTEXT = 2, 64, 128, 4, 2048
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = (
    "the of and to in is that it was for on are as with his they at be this from have or by one had not but what all "
    "were when we there can an your which their said if do will each about how up out them then she many some so these "
    "would other into has more her two like him see time could no make than first been its who now people my made over "
    "did down only way find use may water long little very after"
).split()


def write_tiny_gguf(
    path: Path, *, seed: int = 1, byte_scale: float = 0.2, name: str = "Tiny", said_layers: int = LAYERS
) -> Path:
    """Write the model. `byte_scale`: how loud bytes are against words; 1 makes much of its text invalid UTF-8.

    `said_layers`: how many the header speaks of; llama.cpp does not load a model that has fewer.
    """
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name(name)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(said_layers)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    size, loudness = _add_vocabulary(writer, byte_scale)

    def add(tensor: str, *shape: int, scale: float = 1.0) -> None:
        writer.add_tensor(tensor, (rng.standard_normal(shape) * scale / np.sqrt(shape[-1])).astype(np.float32))

    add("token_embd.weight", size, WIDTH, scale=8.0)
    for layer in range(LAYERS):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{part}.weight", WIDTH, WIDTH)
        add(f"blk.{layer}.ffn_gate.weight", INNER, WIDTH)
        add(f"blk.{layer}.ffn_up.weight", INNER, WIDTH)
        add(f"blk.{layer}.ffn_down.weight", WIDTH, INNER)
        writer.add_tensor(f"blk.{layer}.attn_norm.weight", np.ones(WIDTH, np.float32))
        writer.add_tensor(f"blk.{layer}.ffn_norm.weight", np.ones(WIDTH, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    head = rng.standard_normal((size, WIDTH)) * loudness[:, None] * 3 / np.sqrt(WIDTH)
    writer.add_tensor("output.weight", head.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_vocabulary(
    writer: gguf.GGUFWriter, byte_scale: float
) -> tuple[int, "np.ndarray[tuple[int], np.dtype[np.float64]]"]:
    """A SentencePiece vocabulary: special tokens, every byte, words. Returns its size and how loud each token is."""
    kinds = gguf.TokenType
    entries = [("<unk>", kinds.UNKNOWN, 0.0), ("<s>", kinds.CONTROL, 0.0), ("</s>", kinds.CONTROL, 0.0)]
    entries += [("<|im_start|>", kinds.CONTROL, 0.0), ("<|im_end|>", kinds.CONTROL, 0.0)]
    entries += [(f"<0x{byte:02X}>", kinds.BYTE, byte_scale) for byte in range(256)]
    entries += [("\u2581", kinds.NORMAL, 0.2), *((f"\u2581{word}", kinds.NORMAL, 1.0) for word in WORDS)]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([text for text, _, _ in entries])
    writer.add_token_scores([-float(number) for number in range(len(entries))])
    writer.add_token_types([int(kind) for _, kind, _ in entries])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(4)
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHAT_TEMPLATE)
    return len(entries), np.array([loudness for _, _, loudness in entries])
