"""Plausible rows, as templates get them: plain objects, no database."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from markupsafe import Markup

from app.html.markdown import render
from app.html.stream import source_of
from app.parts import ReasoningPart, TextPart

NOW = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
THREAD_ID = uuid.UUID("01960000-0000-7000-8000-0000000000aa")

ANSWER = """A **B-tree** keeps keys sorted in wide nodes, so that a lookup touches few pages[^1].

## Why databases like it

1. Each node fills one page of the disk.
2. The tree stays shallow: with 200 keys a node, *three* levels hold eight million rows.
3. Neighbours are stored together, so `ORDER BY` and ranges are cheap.

| Structure | Lookup | Range | Writes |
|:--|--:|:-:|--:|
| B-tree | O(log n) | yes | O(log n) |
| Hash | O(1) | no | O(1) |
| LSM tree | O(log n) | yes | amortised, with a rather long explanation in this cell |

```python
def find(node: Node, key: int) -> Row | None:
    \"\"\"Walk down one page at a time; this line is long enough to need scrolling on every phone.\"\"\"
    while not node.is_leaf:
        node = node.children[bisect(node.keys, key)]
    return node.rows.get(key)  # 42
```

- [x] sorted
- [ ] balanced by hand

> Premature optimisation is the root of all evil.

The height is $h = \\lceil \\log_m n \\rceil$, and

$$\\sum_{i=0}^{h} m^i = \\frac{m^{h+1}-1}{m-1}$$

[^1]: Bayer and McCreight, 1972.
"""


def message(number: int, role: str = "assistant", text: str = ANSWER, **changes: Any) -> SimpleNamespace:
    """A complete answer (or question) with the figures a real one has; `changes` set anything else."""
    identifier = uuid.UUID(int=(0x01960000000070008000 << 48) | (0xABCDE0000000 + number))
    short = identifier.hex[-12:]
    inner = render(text, prefix=f"{short}-") if role == "assistant" else Markup.escape(text)
    row = SimpleNamespace(
        id=identifier,
        thread=THREAD_ID,
        parent=None,
        depth=number,
        role=role,
        status="complete",
        parts=(),
        content=text,
        model_label="qwen3:8b",
        is_demo=False,
        finish_reason="stop" if role == "assistant" else "",
        error_code="",
        waits_for_server=False,
        is_back=False,
        source_note="",
        may_render_again=False,
        error_sentence="",
        input_tokens=1812 if role == "assistant" else None,
        output_tokens=214,
        cached_tokens=1024,
        cost=Decimal("0.0041"),
        usage_is_exact=True,
        first_token_ms=310,
        duration_ms=5230,
        tokens_per_second=43.5,
        created_at=NOW + timedelta(minutes=number),
        is_final=True,
        body=Markup(f'<div class="body" id="b-{short}"{" dir=auto" if role == "user" else ""}>{inner}</div>'),
        sibling_index=1,
        sibling_count=1,
        previous_sibling=None,
        next_sibling=None,
        can_continue=False,
        waits_seconds=None,
        retries_seconds=None,
        tried_before=[],
        written_by=[],
        cost_is_partial=False,
        short=short,
    )
    vars(row).update(changes)
    return row


def unformatted(number: int, *, is_given_up: bool) -> SimpleNamespace:
    """An answer that is shown as its text, with a thought before it."""
    row = message(number, may_render_again=not is_given_up)
    why = "could not be formatted" if is_given_up else "is not formatted yet"
    row.source_note = f"This answer {why}; here is its text."
    source = source_of([ReasoningPart("Let me think about *pages*.", duration_ms=3000), TextPart(ANSWER)])
    row.body = Markup(f'<div class="body" id="b-{row.short}">{source}</div>')
    return row


def running(number: int, finished: str = "", opened: str = "", seq: int = 0, **changes: Any) -> SimpleNamespace:
    """An answer on its way: finished blocks and the open one are HTML."""
    row = message(number, text="", status="running" if seq else "queued", is_final=False, finish_reason="", **changes)
    row.waits_seconds = 2.0
    tail = f'<div class="tail" id="t-{row.short}" data-seq="{seq}">{opened}</div>'
    row.body = Markup(f'<div class="body" id="b-{row.short}">{finished}{tail}</div>')
    return row


def thread(number: int = 0, title: str = "How databases find a row", **changes: Any) -> SimpleNamespace:
    identifier = THREAD_ID if not number else uuid.UUID(int=(0x01960000000070008000 << 48) | number)
    moment = NOW - timedelta(hours=number)
    row = SimpleNamespace(
        id=identifier,
        title=title,
        created_at=moment,
        updated_at=moment,
        model_name="qwen3:8b",
        system_prompt="",
        is_busy=False,
    )
    vars(row).update(changes)
    return row


THREADS = [
    thread(),
    thread(1, "Plan for the garden in April", is_busy=True),
    thread(2, "A very long title that certainly does not fit into the seventeen rem of the sidebar"),
    thread(3, ""),
    *(thread(n, f"Notes on chapter {n}") for n in range(4, 40)),
]


def model(number: int, label: str, provider: str, **changes: Any) -> SimpleNamespace:
    row = SimpleNamespace(
        id=uuid.UUID(int=number),
        name=label,
        label=label,
        provider_name=provider,
        context_window=32_768,
        size_bytes=None,
        is_loaded=None,
        has_vision=None,
        has_tools=None,
        has_reasoning=None,
        input_price=None,
        output_price=None,
        is_available=True,
        has_fallback=False,
    )
    vars(row).update(changes)
    return row


MODELS = [
    model(1, "qwen3:8b", "Ollama", is_loaded=True, size_bytes=5_200_000_000),
    model(2, "gemma3:27b", "Ollama", is_loaded=False, size_bytes=17_400_000_000),
    model(
        3,
        "gpt-5-mini",
        "OpenAI",
        has_vision=True,
        has_tools=True,
        has_reasoning=True,
        input_price=0.25,
        output_price=2.0,
    ),
    model(4, "tiny.gguf", "On this machine", is_available=False, size_bytes=512_000),
]


def question(number: int, text: str) -> SimpleNamespace:
    return message(number, "user", text)


def every_ending() -> list[SimpleNamespace]:
    """A thread in which everything happens that can happen to an answer."""
    asked = "How does a database find one row among millions?\nPlease show the idea in Python too."
    other = uuid.UUID(int=7)
    failed: dict[str, Any] = {"text": "", "status": "failed", "finish_reason": "failed", "output_tokens": None}
    return [
        question(0, asked),
        message(1, sibling_index=2, sibling_count=3, previous_sibling=other, next_sibling=other),
        question(2, "And on a phone?"),
        message(
            3,
            **failed,
            error_code="unreachable",
            waits_for_server=True,
            is_back=False,
            error_sentence="Ollama does not answer at http://127.0.0.1:11434. Is it running?",
        ),
        question(4, "Once more, please."),
        message(5, text="A B-tree of a phone is", status="interrupted", finish_reason="interrupted", can_continue=True),
        question(6, "List everything."),
        message(7, text="One, two, three, four", finish_reason="length", can_continue=True, usage_is_exact=False),
        question(14, "And the rest?"),
        message(
            15,
            text="Five, six, seven",
            finish_reason="length",
            can_continue=True,
            error_code="context_overflow",
            error_sentence="This thread has 41,200 tokens (exact), and qwen3:8b takes 32,768. Nothing was sent.",
        ),
        question(8, "Stop when you like."),
        message(9, text="Well, then", status="stopped", finish_reason="stopped", can_continue=True, is_demo=True),
        question(10, "A model that is gone?"),
        message(
            11, **failed, error_code="model_missing", error_sentence="Ollama does not have the model qwen3:8b any more."
        ),
        question(12, "Everything I ever wrote."),
        message(
            13,
            **failed,
            error_code="context_overflow",
            error_sentence="This thread takes about 41,200 tokens, and the context window of qwen3:8b holds 32,768.",
        ),
    ]
