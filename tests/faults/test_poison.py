"""Nothing that anyone writes stops the app: deadly texts at every place where a text comes in."""

from collections.abc import AsyncIterator

import pytest

from tests.corpora.poison import LEXERS, TEXTS
from tests.faults.poisoned import STAGES, Poisoned, poisoned
from tests.people import Browser
from tests.tiers import thinned

#: One of each kind: what hangs a lexer, overflows a stack, takes a square, or grows when it is drawn.
FEW = (
    "a formula raised in a deep nest",
    "a wide table",
    "every lexer that backtracks",
    "json lists in a deep nest",
    "quotes in a deep nest",
    "run of dashes",
    "run of square brackets",
    "template tokens never closed",
)
SHORT, LONG = 4_000, 60_000
#: The whole corpus, a dozen texts a test: to empty the tables takes as long as to try one.
ALL = tuple(tuple(TEXTS)[start : start + 12] for start in range(0, len(TEXTS), 12))


@pytest.fixture
async def site(database: str, alice: Browser, bob: Browser) -> AsyncIterator[Poisoned]:
    async with poisoned(database, alice, bob) as made:
        yield made


@pytest.mark.parametrize("stage", thinned(STAGES, keep=4))
async def test_the_app_answers_after_a_deadly_text(stage: str, site: Poisoned) -> None:
    for name in FEW:
        await STAGES[stage](site, TEXTS[name](SHORT))
    await site.check()


@pytest.mark.soak
@pytest.mark.parametrize("names", ALL, ids=lambda names: names[0])
@pytest.mark.parametrize("stage", STAGES)
async def test_the_app_answers_after_every_deadly_text(stage: str, names: tuple[str, ...], site: Poisoned) -> None:
    for name in names:
        try:
            for size in (SHORT, LONG):
                await STAGES[stage](site, TEXTS[name](size))
        except Exception as error:
            error.add_note(f"{name}: {stage}")
            raise
    await site.check()


def test_the_corpus_knows_lexers_that_backtrack() -> None:
    assert LEXERS
    assert all(len(text) <= 121 for text in LEXERS.values())
