"""A final text drawn as its stream was: block by block."""

from app.html.blocks import Blocks
from app.html.bounds import Room
from app.html.cells import may_have_many_cells
from app.html.cuts import MAX_OPEN_CHARS


def may_be_cut(text: str) -> bool:
    """Whether the text may hold a block that is too long to be drawn in one piece."""
    return len(text) >= MAX_OPEN_CHARS or may_have_many_cells(text)


def draw_by_block(text: str, prefix: str, room: Room) -> str:
    """A part as a page has drawn it that watched it grow."""
    blocks = Blocks(prefix, room)
    blocks.feed(text)
    return blocks.finish()
