"""An answer that a model was asked in words to continue: where a space belongs before its first word."""

import httpx
import pytest

from app.parts import ReasoningPart, TextDelta, TextPart
from app.providers.base import Account, ChatMessage, ChatRequest
from app.providers.errors import StreamCut
from app.providers.prompts import CONTINUE
from app.providers.seam import space_between
from tests.providers.conftest import ADAPTERS, collect, replayed
from tests.scripted import SPOKEN, Dialect

#: What stood there, what came, and what belongs between them.
CASES = [
    ("One two", "three four", " "),
    ("The moon is", "near.", " "),
    ("The moon is near.", "It shines.", " "),
    ("One,", "two", " "),
    ("Colours:", "red", " "),
    ("(so)", "it is", " "),
    ("Look", "(there)", " "),
    ("He said", "“no”", " "),
    ("Das ist ein", "Haus", " "),
    ("Élan", "vital", " "),
    ("луна", "близко", " "),
    ("**bold**", "text", " "),
    ("with `code`", "in it", " "),
    ("There are 3", "apples", " "),
    ("It is", "**bold**", " "),
    ("It is", "*so* bold", " "),
    ("It is,", "`x`", " "),
    ("He said", '"no"', " "),
    ("See", "[here](https://a.example)", " "),
    ("It costs", "$5", " "),
    ("A rule —", "an example", " "),
    ("x =", "five", " "),
    # nothing is due
    ("so **bold", "** and", ""),
    ("so **bold", "**.", ""),
    ('He said "no', '" and', ""),
    ("US", "$5", ""),
    ("a=", "b", ""),
    ("2", "* 3", ""),
    ("月", "**近**", ""),
    ("One two ", "three", ""),
    ("One two\n\n", "three", ""),
    ("One two", " three", ""),
    ("One two", "\nthree", ""),
    ("One two", ", three", ""),
    ("One two", ".", ""),
    ("One two", "’s", ""),
    ("One two", "-fold", ""),
    ("One (", "two", ""),
    ("a well-", "known", ""),
    ("don'", "t", ""),
    ("He said “", "no", ""),
    ('He said "', "no", ""),
    ("**", "bold", ""),
    # within a word or a number
    ("walk", "ing home", ""),
    ("govern", "ment", ""),
    ("Half an ans", "wer.", ""),
    ("Hel", "lo there", ""),
    ("the big", "red fox", " "),
    ("went slowly", "toward it", " "),
    ("str", "ange", ""),
    ("12", "34", ""),
    ("3.", "14", ""),
    ("1,", "000", ""),
    ("at 10:", "30", ""),
    ("https://example", "org", ""),
    ("https://example.", "org", ""),
    ("alice@", "example.org", ""),
    # scripts without spaces
    ("月は", "近い", ""),
    ("月亮", "很近", ""),
    ("ดวงจันทร์", "อยู่ใกล้", ""),
    ("달은", "가깝다", ""),
    ("月亮。", "Moon", ""),
    # code
    ("```python\nimport", "os", ""),
    ("It is `foo", "bar`", ""),
    ("", "x", ""),
    ("x", "", ""),
]


@pytest.mark.parametrize(("written", "begun", "space"), CASES)
def test_a_space_stands_where_one_is_due(written: str, begun: str, space: str) -> None:
    assert space_between(written, begun) == space


def test_words_that_stand_elsewhere_tell_a_cut_word_from_a_whole_one() -> None:
    known = frozenset({"moonlight", "moon", "tides"})
    assert space_between("The moon", "light shines", known) == ""
    assert space_between("The moon", "light shines") == " "
    assert space_between("The mo", "on is near", known) == ""
    assert space_between("Such tides", "ing", known) == " "


def unfinished(written: str) -> ChatRequest:
    question = ChatMessage("user", (TextPart("Tell me of tides and moonlight."),))
    return ChatRequest("scripted", (question, ChatMessage("assistant", (TextPart(written),))), continues=True)


async def said(dialect: Dialect, written: str, words: tuple[str, ...], **kinds: tuple[str, ...]) -> str:
    stream = b"".join(dialect.frames(words, **kinds))
    return (await collect(replayed(dialect, stream).stream(unfinished(written)))).text


@pytest.mark.parametrize("dialect", SPOKEN, ids=[each.kind for each in SPOKEN])
async def test_a_space_comes_with_the_first_word_however_it_is_cut(dialect: Dialect) -> None:
    """Only where the model was asked in words: a server that goes on by itself says all that there is."""
    body = ADAPTERS[dialect.kind](Account("Acme", "http://replayed"), httpx.AsyncClient()).body(unfinished("The moon"))
    space = " " if CONTINUE in str(dialect.messages(body)[-1]) else ""
    for cut in range(len("is near.") + 1):
        pieces = tuple(filter(None, ("is near."[:cut], "is near."[cut:])))
        assert await said(dialect, "The moon", pieces) == f"{space}is near."
        light = tuple(filter(None, ("light falls."[:cut], "light falls."[cut:])))
        assert await said(dialect, "The moon", light) == "light falls."
    assert await said(dialect, "The moon", ("is",)) == f"{space}is"
    assert await said(dialect, "The moon", ("is",), thoughts=("Hm.",)) == "is"


@pytest.mark.parametrize("dialect", SPOKEN, ids=[each.kind for each in SPOKEN])
async def test_the_first_word_is_told_when_the_line_breaks_behind_it(dialect: Dialect) -> None:
    outcome = await collect(replayed(dialect, b"".join(dialect.frames(("is",))[:-1])).stream(unfinished("The moon")))
    assert outcome.text.strip() == "is"
    assert isinstance(outcome.error, StreamCut)


async def test_words_are_held_back_only_where_they_decide_something() -> None:
    async def told(written: str, *words: str) -> list[str]:
        [dialect, *_] = SPOKEN
        events = replayed(dialect, b"".join(dialect.frames(words))).stream(unfinished(written))
        return [event.text for event in (await collect(events)).events if isinstance(event, TextDelta)]

    assert await told("The moon", "sh", "ines", " so") == [" shines so"]
    assert await told("The moon ", "sh", "ines") == ["sh", "ines"]
    assert await told("The moon.", "Sh", "ines") == [" Sh", "ines"]
    assert await told("The moon is", "*", "*", "near", "**") == [" **near", "**"]
    assert await told("月は", "近", "い") == ["近", "い"]


async def test_nothing_is_added_behind_thoughts() -> None:
    [dialect, *_] = SPOKEN
    request = ChatRequest(
        "scripted",
        (ChatMessage("user", (TextPart("Hi"),)), ChatMessage("assistant", (TextPart("Moon"), ReasoningPart("Hm.")))),
        continues=True,
    )
    assert (await collect(replayed(dialect, b"".join(dialect.frames(("is",)))).stream(request))).text == "is"
