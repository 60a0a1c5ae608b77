"""What models and chat templates put around an answer: tags of thoughts, tokens of turns, channels. Pure tables and look-up.

From the templates of the models named, vLLM's reasoning parsers, and https://cookbook.openai.com/articles/openai-harmony.
"""

import re
from enum import Enum
from typing import Literal

import msgspec

#: What opens a thought → what closes it. Letters of either case are taken.
THOUGHTS = {
    "<think>": "</think>",  # DeepSeek, Qwen, and most others
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",  # EXAONE
    "<thoughts>": "</thoughts>",
    "<reason>": "</reason>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",  # Seed-OSS
    "[THINK]": "[/THINK]",  # Magistral
    "◁think▷": "◁/think▷",  # Kimi-VL
    "<|begin_of_thought|>": "<|end_of_thought|>",  # OpenThinker
    "<|START_THINKING|>": "<|END_THINKING|>",  # Command A
    "<|inner_prefix|>": "<|inner_suffix|>",  # Apertus
    "<|think|>": "<|/think|>",
    "<|thinking|>": "<|/thinking|>",
    "<|channel>thought": "<channel|>",  # Gemma 4
    "<unused94>thought": "<unused95>",  # MedGemma
}
#: Some models close one of these with another.
_SIMILAR = frozenset({"</think>", "</thinking>", "</thought>", "</thoughts>"})
#: What is left of the channels of gpt-oss where a server dropped the tokens: `analysisThe user …assistantfinalParis.`
BARE_OPENING, BARE_CLOSING = "analysis", "assistantfinal"
#: Around what is said after a thought.
ANSWER, ANSWER_END = "<answer>", "</answer>"

_STARTS = (
    "<|im_start|>",
    "<|im_assistant|>",
    "<|start_header_id|>",
    "<|header_start|>",
    "<|start_of_role|>",
    "<|start|>",
    "<start_of_turn>",
)
_TOKENS = (
    *(start + role for start in (*_STARTS, "<|turn>") for role in ("", "assistant", "model", "user", "system")),
    *(
        "<s>",
        "</s>",
        "<bos>",
        "<eos>",
        "<pad>",
        "<unk>",
        "<eot>",
        "<end_of_turn>",
        "<end_of_utterance>",
        "<end_of_text>",
    ),
    *("[gMASK]", "<sop>"),  # GLM
    *("<turn|>", "<|channel>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
)
#: Tokens by their form, of which there are hundreds: `<|eot_id|>`, DeepSeek's `<｜end▁of▁sentence｜>`, EXAONE's `[|endofturn|]`.
_FORM = re.compile(r"<\|[\w:/.-]{1,40}\|>|<｜[^<>｜\s]{1,40}｜>|\[\|\w{1,40}\|\]")
_PARTIAL_FORM = re.compile(r"<(\|([\w:/.-]{1,40}\|?)?|｜([^<>｜\s]{1,40}｜?)?)?|\[(\|(\w{1,40}\|?)?)?")
#: The turn is over and someone else's begins: what follows was made up by a model that its server did not stop.
_NEXT_TURN = re.compile(
    r"(?:<\|(?:im_end|im_sep|eot_id|eot|end|endoftext|end_of_text|end_of_turn|end_of_role)\|>|</s>|<end_of_turn>|<eos>|<turn\|>"
    r"|<｜end▁of▁sentence｜>|\[\|endofturn\|\])\s*(?:<s>\s*)?"
    r"(?:(?:<\|(?:im_start|start_header_id|header_start|start_of_role|start)\|>|<start_of_turn>|<\|turn>)(?:user|system)"
    r"|<\|(?:user|system)\|>|<｜User｜>|\[\|(?:user|system)\|\]|\[INST\])\Z",
    re.IGNORECASE,
)
_CHANNEL = re.compile(
    r"<\|channel\|> ?(analysis|commentary|final)(?: to=[\w.:-]{1,80})?(?: ?<\|constrain\|> ?\w{1,20})?(?:<\|message\|>)?"
)
_MOST_CHANNEL_CHARS = 160

_KINDS: dict[str, Literal["opening", "closing", "token", "answer"]] = {
    **{tag.lower(): "token" for tag in _TOKENS},
    **{tag.lower(): "opening" for tag in THOUGHTS},
    **{tag.lower(): "closing" for tag in THOUGHTS.values()},
    ANSWER: "answer",
    ANSWER_END: "answer",
}
_CLOSINGS = {opening.lower(): closing.lower() for opening, closing in THOUGHTS.items()}
_ANY = re.compile("|".join(map(re.escape, sorted(_KINDS, key=len, reverse=True))), re.IGNORECASE | re.ASCII)
_BEGINNINGS = frozenset(tag[:size] for tag in _KINDS for size in range(1, len(tag)))
_LONGEST = max(map(len, _KINDS))

#: What a mark may begin with; the second where a thought ends in bare words.
FIRST, FIRST_OR_BARE = re.compile(r"[<\[◁]"), re.compile(r"[<\[◁a]")


class Pending(Enum):
    """More must come before it can be told."""

    PENDING = 0


class Mark(msgspec.Struct, frozen=True):
    """A mark of `size` characters. `tag` is in small letters; of a channel it is its name. `closing`: what ends a thought."""

    kind: Literal["opening", "closing", "token", "answer", "channel"]
    size: int
    tag: str
    closing: str = ""


def look(text: str, *, is_last: bool) -> Mark | Pending | None:
    """The longest mark at the beginning of a text. `is_last`: nothing follows the text."""
    if text.startswith("<|channel|>"):
        return _channel(text, is_last=is_last)
    if not is_last:
        may_grow = len(text) < _LONGEST and text.lower() in _BEGINNINGS
        if may_grow or _PARTIAL_FORM.fullmatch(text):
            return Pending.PENDING
    tag = found[0].lower() if (found := _ANY.match(text)) else ""
    if (form := _FORM.match(text)) and form.end() > len(tag):
        return Mark("token", form.end(), form[0].lower())
    return Mark(_KINDS[tag], len(tag), tag, _CLOSINGS.get(tag, "")) if tag else None


def closes(tag: str, closing: str) -> bool:
    """Whether a closing tag ends a thought that should end in `closing`."""
    return tag == closing or (tag in _SIMILAR and closing in _SIMILAR)


def begins_next_turn(tokens: str) -> bool:
    """Whether a run of tokens ends in the beginning of the next speaker's turn."""
    return _NEXT_TURN.search(tokens[-_LONGEST * 4 :]) is not None


def look_bare(text: str, *, is_last: bool) -> Mark | Pending | None:
    """The same of the words that channels without tokens leave; a thought begins with a capital letter."""
    if not is_last and (BARE_OPENING.startswith(text) or BARE_CLOSING.startswith(text)):
        return Pending.PENDING
    if text.startswith(BARE_OPENING) and text[len(BARE_OPENING) :][:1].isupper():
        return Mark("opening", len(BARE_OPENING), BARE_OPENING, BARE_CLOSING)
    return Mark("closing", len(BARE_CLOSING), BARE_CLOSING) if text.startswith(BARE_CLOSING) else None


def _channel(text: str, *, is_last: bool) -> Mark | Pending:
    """A channel of gpt-oss, whose head ends in `<|message|>` unless that was lost; or the token alone."""
    head = text[:_MOST_CHANNEL_CHARS]
    is_whole = is_last or len(text) >= _MOST_CHANNEL_CHARS or "\n" in head or "<|message|>" in head
    if not is_whole:
        return Pending.PENDING
    found = _CHANNEL.match(text)
    return Mark("channel", found.end(), found[1]) if found else Mark("token", len("<|channel|>"), "<|channel|>")
