"""Admission: no way to a generation, or to a call that a person asks for, leads past the rate limit."""

import ast
import contextlib
import pathlib
import re
import uuid
from collections.abc import Iterator

import pytest

from app.chat.admission import admit
from app.chat.new_message import NewMessage
from app.chat.turn import start_thread, start_turn
from app.database import fetch, fetch_row, new_id
from app.errors import TooManyRequests
from app.settings import take_stored
from tests.controllers.threads import Conversation, converse
from tests.people import Browser

APP = pathlib.Path(__file__).parents[2] / "app"
SOURCES = {path.relative_to(APP).as_posix(): path.read_text() for path in APP.rglob("*.py")}


@pytest.fixture
async def hers(alice: Browser) -> Conversation:
    """A thread of Alice's whose answer was cut at its limit, so that everything can be asked of it."""
    made = await converse(alice.user)
    await fetch("UPDATE message SET finish_reason = 'length' WHERE id = $1", made.answer)
    return made


async def spend(user_id: uuid.UUID) -> None:
    """Use up all that a person may send for now."""
    take_stored({"max_turns_per_minute": 1})  # a slow machine must not give a second one back meanwhile
    with contextlib.suppress(TooManyRequests):
        await admit(user_id)


async def count_generations() -> int:
    row = await fetch_row("SELECT (SELECT count(*) FROM generation) + (SELECT count(*) FROM model_task) AS number")
    assert row is not None
    return int(row["number"])


@pytest.mark.parametrize(
    "path",
    [
        "/threads",
        "/threads/{thread}/messages",
        "/messages/{question}/revision",
        "/messages/{answer}/generation",
        "/messages/{answer}/continuation",
        "/models/{model}/load",
    ],
)
@pytest.mark.parametrize("headers", [{}, {"hx-request": "true"}], ids=["page", "partial"])
async def test_whoever_has_spent_the_minute_is_refused_everywhere(
    alice: Browser, hers: Conversation, path: str, headers: dict[str, str]
) -> None:
    await fetch("UPDATE provider SET kind = 'ollama' WHERE id = $1", hers.provider)  # its models can be loaded
    text = {"text": "<Once more>", "model": str(hers.model), "request_id": str(new_id())}
    address = path.format(thread=hers.thread, question=hers.question, answer=hers.answer, model=hers.model)
    await spend(alice.user.id)
    before = await count_generations()
    takes_text = path in ("/threads", "/threads/{thread}/messages", "/messages/{question}/revision")
    answer = await alice.post(address, data=text if takes_text else {}, headers=headers)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert "in a minute can be sent" in answer.text
    if takes_text:
        assert "&lt;Once more&gt;</textarea>" in answer.text
    assert await count_generations() == before


async def test_a_request_that_was_served_is_answered_the_same_when_the_minute_is_spent(
    alice: Browser, hers: Conversation
) -> None:
    message = NewMessage("Twice", hers.model, new_id())
    turn = await start_turn(alice.user.id, hers.thread, message)
    beginning = NewMessage("Twice", hers.model, new_id())
    thread = await start_thread(alice.user.id, beginning, options="{}", system_prompt="")
    await spend(alice.user.id)
    again = await start_turn(alice.user.id, hers.thread, message)
    assert (again.question, again.answer, again.is_new) == (turn.question, turn.answer, False)
    same = await start_thread(alice.user.id, beginning, options="{}", system_prompt="")
    assert (same.thread, same.answer) == (thread.thread, thread.answer)


async def test_another_persons_request_id_admits_nothing(bob: Browser, alice: Browser, hers: Conversation) -> None:
    message = NewMessage("Hers", hers.model, new_id())
    await start_turn(alice.user.id, hers.thread, message)
    await spend(bob.user.id)
    with pytest.raises(TooManyRequests):
        await start_turn(bob.user.id, hers.thread, message)


def functions() -> Iterator[tuple[str, ast.AsyncFunctionDef | ast.FunctionDef]]:
    for name, source in SOURCES.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
                yield name, node


def names_in(function: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}


def makers(statements: set[str]) -> set[str]:
    """The public functions from which a statement can be reached, through private functions of its module."""
    reached = set(statements)
    while more := {node.name for _, node in functions() if names_in(node) & reached and node.name[0] == "_"} - reached:
        reached |= more
    return {node.name for _, node in functions() if names_in(node) & reached and node.name[0] != "_"}


def test_every_function_that_makes_a_generation_asks_for_admission() -> None:
    inserting = {name for name, source in SOURCES.items() if re.search(r"INSERT\s+INTO\s+generation\b", source)}
    assert inserting == {"chat/turn.py"}
    assert re.findall(r"INTO\s+generation\b", SOURCES["chat/turn.py"]) == ["INTO generation"] * 3
    found = makers({"_TURN", "_SIBLING", "_CONTINUATION"})
    assert found == {"start_thread", "start_turn", "start_sibling", "continue_answer"}
    for _, node in functions():
        if node.name in found:
            assert names_in(node) & {"admit", "admit_turn"}, node.name


def test_models_are_called_by_admitted_generations_alone() -> None:
    """`Provider.stream` is called for a generation, and once for its title. A load is admitted where it is asked for."""
    calling = {name for name, source in SOURCES.items() if re.search(r"\bprovider\.stream\(", source)}
    assert calling == {"chat/calls.py", "chat/title.py"}
    loading = {name for name, source in SOURCES.items() if re.search(r"start_task\(\s*(\"load\"|kind)", source)}
    # Opening a page loads the starter model at most once in five minutes, whoever opens it.
    assert loading == {"controllers/loads.py", "chat/warm_up.py", "chat/tasks.py"}


def test_who_may_read_or_write_a_thread_is_decided_in_one_place() -> None:
    own = re.compile(r'"user"\s*=\s*\$\d[^;]{0,40}status\s*<>|status <> \'deleted\'[^;]{0,40}"user\\?" = \$')
    assert [name for name, source in SOURCES.items() if own.search(source)] == []
