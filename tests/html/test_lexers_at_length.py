"""Every coloured language over the corpus, in the children that do it: slow ones are ended, the code is shown all the same."""

import re
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from app.html.languages import LEXERS as LANGUAGES
from app.html.offload import render_message
from app.html.renderers import RENDERERS
from app.parts import TextPart
from tests.corpora.poison import LEXERS, TEXTS
from tests.html.page import parse

pytestmark = pytest.mark.soak

SIZE = 2_000


@pytest.fixture(autouse=True)
async def renderers() -> AsyncIterator[None]:
    """None of them lives on with the loop of the next test."""
    yield
    await RENDERERS.close()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_code_is_shown_whatever_its_lexer_does(language: str) -> None:
    texts = [*LEXERS.values(), *(make(SIZE) for make in TEXTS.values())]
    with capture_logs() as logs:
        for code in texts:
            html = await shown(code, language)
            assert "The end." in html
            assert "<code" in html
            parse(html)
        last = await shown("x = 1 # <a>", language)
    killed = sum(entry["event"] == "child_killed" for entry in logs)
    print(f"{language}: {killed} children killed in {len(texts)} texts")
    assert killed > 0 or language != "bash", "the corpus no longer holds what hangs the lexer of bash"
    assert "x = 1 # &lt;a&gt;" in re.sub(r"<[^>]*>", "", last)


async def shown(code: str, language: str) -> str:
    """A message with this code in a block that nothing in it closes."""
    plain = code.replace("\r", "\n").replace("`", "'").strip("\n")
    return await render_message([TextPart(f"````{language}\n{plain}\n````\n\nThe end.")], dom="a")
