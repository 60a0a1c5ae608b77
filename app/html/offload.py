"""Rendering that may take long or crash happens in child processes; here is how a page asks for it.

The page stores what comes back as a cache; a text that failed twice is shown as its source.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from app.children.pool import Busy, Failed
from app.html import pieces
from app.html.cells import may_have_many_cells
from app.html.pieces import Code, Formula
from app.html.remembered import Remembered
from app.html.render_requests import DrawPieces, RenderParts, decode_answer, encode_request
from app.html.renderers import RENDERERS
from app.html.stream import AnswerView, render_parts
from app.parts import Part, ReasoningPart, TextPart
from app.words import SOURCE, speaking

#: Markdown of so many characters without code and formulas is rendered here: to ask a child would take longer.
MAX_CHARS_HERE: Final = 4_000
_MAY_NEED_CHILD: Final = re.compile(r"```|~~~|\$|\\[(\[b]")
#: So many formulas or blocks of code of a message may fail one by one; then the others are not tried.
MAX_FAILURES: Final = 2

_Piece = TypeVar("_Piece", Formula, Code)
#: Formulas of open paragraphs, which are drawn again for every few characters.
FORMULAS: Final = Remembered[Formula](max_chars=4_000_000)


class RenderFailed(Exception):
    """This text cannot be rendered: the renderer raised, ended, or took too long over it."""


class RenderersBusy(Exception):
    """No renderer was free in time. It says nothing about the text."""


async def render_message(parts: Sequence[Part], *, dom: str, person: str = "") -> str:
    """The body of a final message. `person`: whose request it is; nobody gets all renderers. Raises both errors above.

    A formula or a block of code that cannot be drawn is shown as its source, and fails nothing else.
    """
    return [html async for html in render_in_steps(parts, dom=dom, person=person)][-1]


async def render_in_steps(parts: Sequence[Part], *, dom: str, person: str = "") -> AsyncIterator[str]:
    """The same: without new formulas, without colours, complete. The earlier ones are for a page that cannot wait."""
    if _is_light(parts):
        with speaking(SOURCE):  # as a child does: it is stored, whoever looks at it next
            html = render_parts(parts, dom=dom)
    else:
        (html,) = await _ask(RenderParts(parts, dom), 1, person)
    wanted = pieces.formulas_in(html)
    yield pieces.with_formulas(html, _known(wanted))
    html = pieces.with_formulas(html, await _draw_formulas(wanted, person))
    yield html
    yield pieces.with_colours(html, await _draw_each(pieces.code_in(html), person))


def _is_light(parts: Sequence[Part]) -> bool:
    texts = [part.text for part in parts if isinstance(part, TextPart | ReasoningPart)]
    is_short = sum(map(len, texts)) <= MAX_CHARS_HERE
    return is_short and not any(_MAY_NEED_CHILD.search(text) or may_have_many_cells(text) for text in texts)


async def with_formulas(html: str, *, person: str = "") -> str:
    """What an `AnswerView` gave as its HTML, with its formulas drawn. Raises nothing: as a last resort, their source is shown."""
    wanted = pieces.formulas_in(html)
    return pieces.with_formulas(html, await _draw_most(wanted, person))


class ShownFormulas:
    """The formulas of a running answer on one page that watches it: they look as on a page that was just loaded."""

    def __init__(self, view: AnswerView, person: str = "") -> None:
        self._view = view
        self._person = person
        self._may_have_failed = True

    async def put_into(self, html: str) -> str:
        """The view's last change, with its formulas drawn. Raises nothing.

        Which are tried depends on those before, as soon as one has failed: then all of the answer's are looked at.
        """
        wanted = pieces.formulas_in(html)
        if wanted and self._may_have_failed:
            wanted = pieces.formulas_in(self._view.html())
        drawn = await _draw_most(wanted, self._person)
        if wanted:
            self._may_have_failed = not all(map(drawn.get, wanted))
        return pieces.with_formulas(html, drawn)


async def _draw_most(wanted: Sequence[Formula], person: str) -> dict[Formula, str]:
    try:
        return await _draw_formulas(wanted, person)
    except RenderersBusy:
        return _known(wanted)


async def _draw_formulas(wanted: Sequence[Formula], person: str) -> dict[Formula, str]:
    """Those of one message in their order, as far as the last of `MAX_FAILURES` that cannot be drawn: its HTML is ''.

    Those that a page showed before look the same again, those that could not be drawn too.
    """
    drawn = _known(wanted)
    tried = await _draw_each([each for each in _tried(wanted, drawn) if each not in drawn], person)
    for each, html in tried.items():
        FORMULAS.keep(each, html)
    drawn |= tried
    return {each: drawn[each] for each in _tried(wanted, drawn)}


def _known(wanted: Sequence[Formula]) -> dict[Formula, str]:
    known = {each: html for each in wanted if (html := FORMULAS.find(each)) is not None}
    return {each: known[each] for each in _tried(wanted, known) if each in known}


def _tried(wanted: Sequence[Formula], drawn: Mapping[Formula, str]) -> Sequence[Formula]:
    failed = [place for place, each in enumerate(wanted, 1) if drawn.get(each) == ""]
    return wanted[: failed[MAX_FAILURES - 1]] if len(failed) >= MAX_FAILURES else wanted


async def _draw_each(wanted: Sequence[_Piece], person: str) -> dict[_Piece, str]:
    """All at once; after a failure one by one, to find the one that cannot be drawn: its HTML is ''."""
    if not wanted:
        return {}
    try:
        return dict(zip(wanted, await _ask(DrawPieces(wanted), len(wanted), person), strict=True))
    except RenderFailed:
        if len(wanted) == 1:
            return {wanted[0]: ""}
    drawn: dict[_Piece, str] = {}
    for each in wanted:
        drawn |= await _draw_each([each], person)
        if sum(not html for html in drawn.values()) == MAX_FAILURES:
            break
    return drawn


async def _ask(request: RenderParts | DrawPieces, count: int, person: str) -> list[str]:
    try:
        answer = decode_answer(await RENDERERS.ask(encode_request(request), person=person))
    except (Failed, msgspec.DecodeError):
        raise RenderFailed from None
    except Busy:
        raise RenderersBusy from None
    if len(answer) != count:
        raise RenderFailed
    return answer
