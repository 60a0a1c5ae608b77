"""Every coloured language over the corpus, in the children that do it: slow ones are ended, the code is shown all the same."""

from collections.abc import AsyncIterator

import pytest

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
    yield
    await RENDERERS.close()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_code_is_shown_whatever_its_lexer_does(language: str) -> None:
    for code in (*LEXERS.values(), *(make(SIZE) for make in TEXTS.values())):
        shown = code.replace("\r", "\n").replace("`", "'").replace("~", "-").strip("\n")
        html = await render_message([TextPart(f"````{language}\n{shown}\n````\n\nThe end.")], dom="a")
        assert "The end." in html
        assert "<code" in html
        parse(html)
