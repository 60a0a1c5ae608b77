"""Makes room for bodies, according to who sends them. Strangers may send little, and are refused before their body is read."""

from app.controllers.receiving import STRANGERS_BYTES, BodyTooLarge, Hold
from app.controllers.visit import Connection, find_principal
from app.errors import Unavailable
from app.words import gettext as _


async def make_room(connection: Connection, hold: Hold, size: int, *, most_held: int | None = None) -> None:
    """Make room for a body that has, or will have, this size; at most `most_held` bytes of it are in memory at a time.

    The sender is looked up for large bodies only, and when strangers have used up their share. Raises `BodyTooLarge`
    for a stranger, and `Unavailable`.
    """
    held = size if most_held is None else min(size, most_held)
    if size > STRANGERS_BYTES:
        if (principal := await find_principal(connection)) is None:
            raise _too_large_for_a_stranger()
        hold.belongs_to(str(principal.person or ""))
        hold.grow_to(held)
        return
    try:
        hold.grow_to(held)
    except Unavailable:
        if (principal := await find_principal(connection)) is None:
            raise
        hold.belongs_to(str(principal.person or ""))
        hold.grow_to(held)


def _too_large_for_a_stranger() -> BodyTooLarge:
    sentence = _("That is too large: without signing in, at most %(most)s bytes can be sent at a time.")
    return BodyTooLarge(sentence % {"most": f"{STRANGERS_BYTES:,}"})
