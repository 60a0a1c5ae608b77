"""Words that say when they were written: a load client on the same machine reads from them how long each was under way.

Five capitals and a blank, about as long as a token of English prose; capitals stand nowhere in the markup around them.
"""

import re
import time
from collections.abc import Callable

from tests.scripted.dialects import Dialect
from tests.scripted.steps import LAST_CHUNK, Paced, Script, chunk

WORD = re.compile(r"(?<=[ >\n])[A-Z]{5}(?=[ <\n])")
UNIT_SECONDS = 20e-6
PERIOD = 26**5
WORDS_A_PARAGRAPH = 50
_PLACE = b"QQQQQ"


def stamp() -> bytes:
    """This moment as a word. The clock is the system's monotonic one, which all processes share."""
    units, letters = moment() % PERIOD, bytearray(5)
    for place in range(4, -1, -1):
        units, letter = divmod(units, 26)
        letters[place] = 65 + letter
    return bytes(letters)


def moment() -> int:
    """This moment in units."""
    return int(time.monotonic() / UNIT_SECONDS)


def written_at(word: str, now: int) -> int:
    """When a word was written, in units: right for four minutes before `now`."""
    units = 0
    for letter in word:
        units = units * 26 + ord(letter) - 65
    return now - (now - units) % PERIOD


def stamped_answer(dialect: Dialect, tokens: int, per_second: float) -> Script:
    """An answer of so many stamped words, in paragraphs."""
    pieces: list[bytes | Callable[[], bytes]] = [
        _stamped(dialect, "\n\n" if number % WORDS_A_PARAGRAPH == 0 else " ") for number in range(1, tokens + 1)
    ]
    pieces.append(chunk(dialect.finish("stop", (5, tokens))) + LAST_CHUNK)
    return (dialect.head(), Paced(tuple(pieces), per_second))


def _stamped(dialect: Dialect, end: str) -> Callable[[], bytes]:
    frame = chunk(dialect.text(_PLACE.decode() + end))
    return lambda: frame.replace(_PLACE, stamp())
