"""What stands at which address of the preview: a template and its context, as the controllers give them."""

import json
import uuid
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from app.chat.missing_model import Missing
from app.controllers.forms import Fields
from tests.preview.rows import (
    MODELS,
    NOW,
    THREADS,
    every_ending,
    message,
    question,
    running,
    thread,
    unformatted,
)

Context = dict[str, Any]

USER = SimpleNamespace(
    name="Alice",
    email="alice@example.org",
    is_owner=True,
    theme="quartz",
    send_key="enter",
    speech="all",
    language="",
    default_model=None,
)
LIVE = thread(500, "A live thread")
REQUEST_ID = uuid.UUID(int=99)
DEFAULTS = SimpleNamespace(
    system_prompt="",
    temperature=0.7,
    top_p=None,
    top_k=None,
    repeat_penalty=None,
    max_tokens=None,
    context_window=8192,
    stop=(),
)
OPTIONS = SimpleNamespace(
    system_prompt="",
    temperature=None,
    top_p=0.9,
    top_k=None,
    repeat_penalty=None,
    max_tokens=None,
    context_window=None,
    stop=("END",),
)
COMPOSER: Context = {
    "models": MODELS,
    "model": MODELS[0],
    "draft": "",
    "request_id": REQUEST_ID,
    "options": OPTIONS,
    "defaults": DEFAULTS,
    "not_taken": ["top_k"],
    "untaken": {MODELS[0].id: ["top_k"], MODELS[2].id: ["repeat_penalty", "stop", "reasoning_effort"]},
}
_SENT = {"model": "qwen3:8b", "messages": [{"role": "user", "content": "long " * 60}]}
_CALL = {"provider": "Ollama", "model": "qwen3:8b", "duration_ms": 5230, "error": "",
         "usage": {"input_tokens": 20, "output_tokens": 5, "cached_tokens": None, "is_exact": True}}  # fmt: skip
SIDEBAR: Context = {"threads": THREADS, "next_before": THREADS[-1]}
SHOWN: Context = {**COMPOSER, **SIDEBAR, "thread": THREADS[0], "older": None, "cursor": "1", "errors": {}}
SESSIONS = [
    SimpleNamespace(
        id=uuid.UUID(int=n),
        created_at=NOW,
        seen_at=NOW,
        user_agent="Firefox on Linux" if n else "Chromium on Linux",
        address="2001:db8::8a2e:370:7334" if n == 1 else "203.0.113.7",
        is_current=not n,
    )
    for n in range(3)
]
PEOPLE = [
    SimpleNamespace(
        id=uuid.UUID(int=n),
        name=name,
        email=f"{name.lower()}@example.org",
        is_owner=not n,
        is_active=n != 2,
        created_at=NOW,
        seen_at=None if n else NOW,
    )
    for n, name in enumerate(("Olive", "Alice", "Bob"))
]
PROVIDERS = [
    SimpleNamespace(
        id=uuid.UUID(int=1),
        kind="ollama",
        label="Ollama",
        name="Ollama",
        version="0.12.6",
        lists_models=True,
        shown_url="http://127.0.0.1:11434",
        has_key=False,
        allows_private=True,
        is_ours=False,
        state="stale",
        error="Ollama asks to slow down.",
        models_count=12,
        silent=["gemma3:4b", "qwen3:8b"],
        refreshed_at=NOW,
    ),
    SimpleNamespace(
        id=uuid.UUID(int=2),
        kind="openai",
        label="OpenAI-compatible",
        name="OpenAI",
        version="",
        lists_models=False,
        shown_url="https://api.example.org/v1",
        has_key=True,
        allows_private=False,
        is_ours=False,
        state="down",
        error="OpenAI could not be reached.",
        models_count=0,
        silent=[],
        refreshed_at=NOW,
    ),
]

STATUS = [
    SimpleNamespace(
        name="answers",
        title="Answers",
        lines=[
            SimpleNamespace(part="Queue", state="look", facts="2 waiting", advice="All workers are full.", page=""),
            SimpleNamespace(part="Live log", state="ok", facts="about 1,200 rows", advice="", page=""),
        ],
    ),
    SimpleNamespace(
        name="providers",
        title="Model servers",
        lines=[
            SimpleNamespace(
                part="A model server with a long name",
                state="down",
                facts="Down for 2 min 5 s: Harbour cannot be reached. Asked again in 20 s.",
                advice="Start it, or mend its address or key.",
                page="/providers",
            )
        ],
    ),
]


FALLBACKS: Context = {
    "choices": MODELS,
    "chain": {"first": str(MODELS[0].id), "second": "", "third": ""},
    "chain_errors": {"second": "This model is not available any more. Choose another one."},
}
#: What a model's row has, unless one says otherwise.
PLAIN_MODEL: Context = {
    "kind": "openai", "provider_state": "ok", "is_silent": False, "down_since": None, "error": "",
    "context_window": None, "max_output_tokens": None, "has_vision": None,
    "has_tools": None, "has_reasoning": None, "is_embedding": None, "input_price": None, "output_price": None,
    "cached_price": None, "allowed_users": None, "seen_since": NOW, "gone_at": None, "memory_bytes": None,
    "expires_at": None, "task": None, "task_kind": None, "is_kept": False, "is_default": False, "is_unlisted": False,
    "is_bundled": False, "is_hidden": False,
}  # fmt: skip
KNOWN_MODELS: list[dict[str, Any]] = [
    PLAIN_MODEL
    | {
        "id": uuid.UUID(int=3),
        "name": "gpt-5-mini",
        "provider": PROVIDERS[1].id,
        "provider_name": "OpenAI",
        "is_loaded": None,
        "size_bytes": None,
        "family": None,
        "quantisation": None,
        "context_window": 128_000,
        "has_vision": True,
        "has_tools": True,
        "has_reasoning": True,
        "input_price": 0.25,
        "output_price": 2.0,
        "allowed_users": "[]",
        "is_default": True,
        "said_by": [
            ("owner", [("context_window", 128_000), ("input_price", 0.25), ("output_price", 2.0)]),
            ("server", [("has_vision", True)]),
            ("known", [("has_tools", True), ("has_reasoning", True), ("max_output_tokens", 128_000)]),
        ],
    },
    PLAIN_MODEL
    | {
        "id": uuid.UUID(int=1),
        "name": "a-model-with-a-name-that-is-much-longer-than-what-a-phone-can-show-in-one-line:8b-instruct-q4_K_M",
        "is_silent": True,
        "down_since": NOW,
        "error": "Ollama has a problem of its own: out of oil.",
        "provider": PROVIDERS[0].id,
        "provider_name": "Ollama",
        "is_loaded": True,
        "size_bytes": 5_200_000_000,
        "family": "qwen3",
        "quantisation": "Q4_K_M",
        "kind": "ollama",
        "memory_bytes": 6_100_000_000,
        "expires_at": NOW,
        "is_kept": True,
        "said_by": [],
    },
]
TASKS = [
    {
        "id": uuid.UUID(int=20 + number), "kind": kind, "provider": PROVIDERS[0].id, "provider_name": "Ollama",
        "model_name": KNOWN_MODELS[1]["name"], "source": source, "state": state, "phase": "downloading",
        "done_bytes": 2_100_000_000, "total_bytes": 5_200_000_000, "bytes_per_second": 42_000_000.0, "share": 40.4,
        "left_seconds": 74.0, "log": log, "error": error, "is_cancel_requested": False,
        "pull": SimpleNamespace(url="", sha256="", allows_private=False) if kind == "pull" else None,
    }
    for number, (kind, source, state, log, error) in enumerate(
        (
            ("pull", "hf:organisation/" + "a-long-name-of-a-repository-" * 4 + "/file.gguf", "running", "", ""),
            ("load", "", "running", "load_tensors: offloaded 0/25 layers\n" * 3, ""),
            ("pull", "llama3.2", "failed", "", "Ollama broke off before the model was pulled."),
        )
    )
]  # fmt: skip
MODEL_LIST: Context = {
    "models": KNOWN_MODELS, "total": 230, "pages": 3, "tasks": TASKS, "as_of": "2026-11-21", "providers": PROVIDERS,
    "keepers": PROVIDERS[:1], "form": Fields(source="x.gguf"), "errors": Fields(source="There is nothing to pull."),
    "wanted": SimpleNamespace(words="m", provider=None, able="tools", status=None, sort="-size", page=2),
}  # fmt: skip
MODEL_PARTS: Context = {
    "as_of": "2026-11-21", "flash": "", "who": "chosen", "chosen": [str(uuid.UUID(int=7))],
    "people": [SimpleNamespace(id=uuid.UUID(int=7), name="Alice", email="alice@example.org")],
    "audience_errors": Fields(), "engine": Fields(slots="2", threads="many"),
    "engine_errors": Fields(threads="A whole number from 1 to 1,024."),
}  # fmt: skip
FACT_FIELDS = [
    SimpleNamespace(
        name=name, kind=kind, typed=typed, is_set=bool(typed), found=found, found_by=by, placeholder=str(found or "")
    )
    for name, kind, typed, found, by in (
        ("has_vision", "choice", "", True, "server"),
        ("has_tools", "choice", "false", True, "known"),
        ("has_reasoning", "choice", "", None, ""),
        ("is_embedding", "choice", "", False, "server"),
        ("context_window", "count", "128000", 400_000, "known"),
        ("max_output_tokens", "count", "", 128_000, "known"),
        ("input_price", "price", "-1", 0.25, "known"),
        ("output_price", "price", "", None, ""),
        ("cached_price", "price", "", None, ""),
    )
]


def _show(*messages: SimpleNamespace, **changes: Any) -> Context:
    return {"template": "threads/show.html", **SHOWN, "messages": list(messages), **changes}


def _signed_out(template: str, **context: Any) -> Context:
    return {"template": template, "user": None, "form": {}, "errors": {}, **context}


def _streaming() -> Context:
    opened = "<p>It walks down the tree, one page at a time, until it</p>"
    return _show(question(0, "How does it work?"), running(1, "<p>A B-tree is a wide tree.</p>", opened, seq=12))


PAGES: dict[str, Callable[[], Context]] = {
    "/": lambda: {"template": "threads/new.html", **COMPOSER, **SIDEBAR, "errors": {}},
    "/first-thread": lambda: {
        "template": "threads/new.html",
        **COMPOSER,
        "threads": [],
        "next_before": None,
        "errors": {},
        "models": [],
        "model": None,
    },
    "/refused": lambda: {
        "template": "threads/new.html",
        **COMPOSER,
        **SIDEBAR,
        "draft": "My question",
        "status_code": 422,
        "errors": {"text": "A message holds at most 200,000 characters.", "temperature": "Between 0 and 2."},
    },
    "/full": lambda: _show(*every_ending()),
    "/unformatted": lambda: _show(
        question(0, "How?"), unformatted(1, is_given_up=True), question(2, "And?"), unformatted(3, is_given_up=False)
    ),
    "/short": lambda: _show(question(0, "Hello"), message(1, text="Hello! How can I help?", is_demo=True)),
    "/hidden-model": lambda: _show(
        question(0, "Hello"), message(1, text="Hello!"), missing=Missing("lantern-7b", "hidden", uuid.UUID(int=5))
    ),
    "/queued": lambda: _show(question(0, "How does it work?"), running(1)),
    "/streaming": _streaming,
    "/errors-in-thread": lambda: _show(
        question(0, "Hello"), message(1, text="Hello!"), errors={"text": "Write something first."}, draft="   "
    ),
    "/earlier": lambda: {
        "template": "messages/index.html",
        **SIDEBAR,
        "thread": THREADS[0],
        "messages": every_ending()[:2],
        "older": REQUEST_ID,
    },
    "/older-threads": lambda: {
        "template": "threads/index.html",
        **SIDEBAR,
        "listed": THREADS,
        "listed_before": THREADS[-1],
        "is_older": True,
    },
    "/request": lambda: {
        "template": "messages/request.html",
        **SIDEBAR,
        "message": message(1),
        "bodies": [
            {"json": json.dumps(_SENT, indent=2), "calls": [1], "is_naming": False},
            {"json": json.dumps(_SENT, indent=2), "calls": [2], "is_naming": True},
        ],
        "attempts": [_CALL | {"is_naming": False, "was_repeated": True}, _CALL | {"is_naming": True, "cost": 0.0002}],
        "thread": THREADS[0],
    },
    "/deletion": lambda: {"template": "threads/deletion.html", **SIDEBAR, "thread": THREADS[2]},
    "/deactivation": lambda: {"template": "users/deactivation.html", **SIDEBAR, "person": PEOPLE[1]},
    "/profile": lambda: {
        "template": "profiles/show.html",
        **SIDEBAR,
        "sessions": SESSIONS,
        "models": MODELS,
        "languages": [("en", "English"), ("de", "Deutsch")],
        "errors": {},
        "flash": "Saved.",
    },
    "/users": lambda: {
        "template": "users/index.html",
        **SIDEBAR,
        "users": PEOPLE,
        "errors": {},
        "form": {},
        "invitations": [SimpleNamespace(id=REQUEST_ID, email="carol@example.org", expires_at=NOW)],
        "new_invitation_url": "http://127.0.0.1:8000/invitations/" + "x" * 43,
    },
    "/providers": lambda: {
        "template": "providers/index.html",
        **SIDEBAR,
        "providers": PROVIDERS,
        "errors": {"key": "OpenAI refused the key."},
        "found": [
            SimpleNamespace(
                kind="openai",
                name="OpenAI",
                base_url="https://api.example.org/v1",
                shown_url="https://api.example.org/v1",
                key_from="OPENAI_API_KEY",
                source="OPENAI_API_KEY",
                models_count=None,
            )
        ],
        "model_files": [SimpleNamespace(name="tiny.gguf", size_bytes=512_000, is_loaded=False, is_hidden=False)],
        "starter": {
            "provider": REQUEST_ID,
            "source": "hf:organisation/repository/a-small-model.gguf",
            "name": "a-small-model",
            "is_better": True,
        },
        "models_folder": "/home/alice/.local/share/parley/models",
        "form": {"kind": "openai"},
        "change": {
            "of": PROVIDERS[1].id,
            "typed": {"base_url": "api"},
            "errors": {"base_url": "This is not an address."},
        },
        "test": {"is_ok": False, "sentence": "http://127.0.0.1:1234 does not answer."},
        "kinds": [("ollama", "Ollama"), ("openai", "OpenAI-compatible")],
    },
    "/status": lambda: {
        "template": "status/show.html",
        **SIDEBAR,
        "sections": STATUS,
        "state": "down",
        "troubles": 2,
        "checked_at": NOW,
    },
    "/models": lambda: {
        "template": "models/index.html",
        **SIDEBAR,
        **MODEL_LIST,
    },
    "/model": lambda: {
        "template": "models/show.html",
        **SIDEBAR,
        "model": KNOWN_MODELS[0],
        "fields": FACT_FIELDS,
        "errors": {"input_price": "A number from 0 to 100,000."},
        **MODEL_PARTS,
        **FALLBACKS,
    },
    "/model-of-a-long-name": lambda: {
        "template": "models/show.html",
        **SIDEBAR,
        "model": KNOWN_MODELS[1],
        "fields": FACT_FIELDS[:3],
        "errors": {},
        **MODEL_PARTS | {"engine": None, "people": []},
        **FALLBACKS | {"choices": []},
    },
    "/first-run": lambda: _signed_out(
        "first_run/show.html", asks_token=True, errors={"password": "At least 10 characters."}
    ),
    "/sign-in": lambda: _signed_out(
        "access/sign_in.html", next="/", errors={"form": "Email and password do not match."}
    ),
    "/signed-out": lambda: _signed_out("access/sign_in.html", next="/threads/1", reason="over"),
    "/invitations/x": lambda: _signed_out("access/invitation.html"),
    "/confirmation": lambda: {
        "template": "confirmation/show.html",
        **SIDEBAR,
        "what": "Save changes to Quay",
        "is_over": True,
        "action": "/providers/1?_method=PATCH",
        "back": "/providers",
        "sealed": "gAAAAA",
        "target": "",
        "is_download": False,
        "email": "olive@example.org",
        "errors": {"confirm_password": "Wrong password."},
        "status_code": 422,
    },
    "/lost": lambda: {
        "template": "errors/show.html",
        **SIDEBAR,
        "status": 404,
        "sentence": "There is nothing here.",
        "request_id": "4f1c",
        "back": "",
        "status_code": 404,
    },
    "/too-large": lambda: {
        "template": "errors/show.html",
        **SIDEBAR,
        "status": 413,
        "sentence": "That is too large.",
        "request_id": "4f1c",
        "back": "/",
        "kept": {
            "action": "/threads",
            "written": {"text": "word " * 2_000, "system_prompt": "Be brief."},
            "hidden": [("model", "1")],
            "count": 10_000,
            "limit": 1_000,
        },
        "status_code": 413,
    },
    "/missing": lambda: _signed_out(
        "errors/show.html", status=404, sentence="There is nothing here.", request_id="4f1c", back="/", status_code=404
    ),
}


def find(path: str, query: dict[str, str], method: str, is_partial: bool, live: Any) -> Context:
    """The template and context of an answer."""
    if path == "/status" and is_partial:
        return PAGES[path]() | {"template": "status/_tables.html"}
    if path in PAGES:
        return PAGES[path]()
    match path.strip("/").split("/"):
        case ["threads"]:
            return {"template": "threads/_sidebar_items.html", "threads": live.threads, "next_before": None}
        case ["threads", identity, "messages"] if method == "POST":
            return _turn(live.messages, **COMPOSER | {"request_id": live.request_id})
        case ["threads", identity, "messages"] if "after" in query:
            ids = [str(row.id) for row in live.messages]
            return _turn(live.messages[ids.index(query["after"]) + 1 :])
        case ["threads", identity, "messages"] if "before" in query:
            earlier = [question(n, f"Earlier question {n}\n" + "line\n" * 12) for n in range(-20, 0)]
            return {"template": "messages/_window.html", "thread": LIVE, "messages": earlier, "older": None}
        case ["threads", identity, "messages"]:
            return {"template": "messages/_window.html", "thread": LIVE, "messages": live.messages, "older": None}
        case ["threads", identity] if identity == str(LIVE.id):
            older = REQUEST_ID if "older" in query else None
            return _show(*live.messages, thread=LIVE, threads=live.threads, next_before=None, older=older)
        case ["messages", identity]:
            row = next((row for row in live.messages if str(row.id) == identity), None)
            if row:
                return {"template": "messages/_message.html", "message": row, "thread": LIVE}
        case ["messages", _, "stream"]:
            return {"template": "messages/stream.html", "message": running(1)}
        case ["messages", _, "revision"]:
            asked = question(2, "And on a phone?")
            return {
                "template": "messages/revision.html",
                **COMPOSER,
                "thread": LIVE,
                "question": asked,
                "text": asked.content,
                "errors": {},
            }
        case ["threads", _, "deletion"]:
            return {"template": "threads/deletion.html", **SIDEBAR, "thread": THREADS[0]}
    return {
        "template": "errors/show.html",
        "status": 404,
        "sentence": "There is nothing here.",
        "request_id": "4f1c",
        "back": "/",
        "user": None,
        "status_code": 404,
    }


def text_of(path: str) -> str | None:
    """The Markdown of a message of /full, where it is asked for."""
    texts = {f"/messages/{row.id}/text": str(row.content) for row in every_ending()}
    return texts.get(path)


def _turn(messages: list[SimpleNamespace], **composer: Any) -> Context:
    return {"template": "messages/_turn.html", "thread": LIVE, "messages": messages, **composer}
