"""Rendering that may take long or crash: where it happens, and what the page gets if it fails.

The page stores what comes back as a cache; a text that failed twice is shown as its source.
"""

import asyncio
from collections.abc import Sequence

from app.html.stream import render_parts
from app.parts import Part


class RenderFailed(Exception):
    """This text cannot be rendered: the renderer raised, ended, or took too long over it."""


class RenderersBusy(Exception):
    """No renderer was free in time. It says nothing about the text."""


async def render_message(parts: Sequence[Part], *, dom: str, person: str = "") -> str:
    """The body of a final message. `person`: whose request it is; nobody gets all renderers. Raises both errors above."""
    return await asyncio.to_thread(render_parts, parts, dom=dom)
