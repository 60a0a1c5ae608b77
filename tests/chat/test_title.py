"""Names of threads: what a model says, as a title."""

import pytest

from app.chat.title import clean_title
from app.chat.turn import first_words
from app.chat.worker import Worker
from app.database import fetch
from tests.chat.conftest import Chat


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("Tides and the moon", "Tides and the moon"),
        ('"Tides and the moon."\n', "Tides and the moon"),
        ("**Title:** Tides", "Tides"),
        ("# Tides\nBecause you asked", "Tides"),
        ("<think>They ask of tides</think>\nTides", "Tides"),
        ("<think>never ends", ""),
        ("", ""),
        ("\n\n  \n", ""),
        ("a\x07b\u202ec", "abc"),
        ("word " * 40, ("word " * 16)[:79].rstrip() + "…"),
    ],
)
def test_a_title_is_one_line_of_words(said: str, title: str) -> None:
    assert clean_title(said) == title


@pytest.mark.parametrize(
    ("question", "title"),
    [
        ("What is near?", "What is near?"),
        ("  Two\n lines ", "Two lines"),
        ("word " * 20, "word word word word word word word word word word word word…"),
        ("x" * 100, "x" * 60 + "…"),
    ],
)
def test_until_then_the_first_words_are_the_name(question: str, title: str) -> None:
    assert first_words(question) == title


async def test_a_new_thread_bears_the_first_words_at_once(chat: Chat, worker: Worker) -> None:
    turn = await chat.ask("What is near?")
    assert [row["title"] for row in await fetch("SELECT title FROM thread")] == ["What is near?"]
    await chat.final(turn.answer)
