"""Rendering that may take long or crash happens in child processes; here is how the page asks for it.

The page stores what comes back as a cache; a text that failed twice is shown as its source.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from app.children.pool import Busy, Failed, Pool
from app.html.renderer import WholeMessage
from app.parts import Part

RENDERERS: Final = Pool("app.html.renderer")


class RenderFailed(Exception):
    """This text cannot be rendered: the renderer raised, ended, or took too long over it."""


class RenderersBusy(Exception):
    """No renderer was free in time. It says nothing about the text."""


async def render_message(parts: Sequence[Part], *, dom: str, person: str = "") -> str:
    """The body of a final message. `person`: whose request it is; nobody gets all renderers. Raises both errors above."""
    try:
        answer = await RENDERERS.ask(msgspec.msgpack.encode(WholeMessage(parts, dom)), person=person)
        return msgspec.msgpack.decode(answer, type=str)
    except (Failed, msgspec.DecodeError):
        raise RenderFailed from None
    except Busy:
        raise RenderersBusy from None
