"""Texts that make a regex work hard, out of the regex itself: its characters and pieces, repeated, then a break."""

import itertools
import re
import re._constants as sre
import re._parser as parser
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.regexes.steps import Matcher

#: Members of classes that are named by no character.
USUAL = "a9 \n_.\u00e9"
#: What hardly any regex takes: it makes an almost match fail at its end.
BREAKS = ("", "\x00")
MOST_CHARACTERS, MOST_ATTACKS = 28, 260


class Attack(NamedTuple):
    before: str
    pump: str
    behind: str

    def text(self, times: int) -> str:
        return self.before + self.pump * times + self.behind


def attacks(pattern: re.Pattern[Any]) -> list[Attack]:
    """The same ones in the same order, always."""
    pieces = _Pieces(pattern)
    found: dict[Attack, None] = {}
    for before, pumps in pieces.pumps():
        for pump, behind in itertools.product(dict.fromkeys(pumps), BREAKS):
            if pump:
                found[Attack(before, pump, behind)] = None
    return list(found)[:MOST_ATTACKS]


class _Pieces:
    """What a regex is made of, as texts."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
        is_bytes = isinstance(pattern.pattern, bytes)
        self._tree = parser.parse(text, pattern.flags & ~re.UNICODE if is_bytes else pattern.flags)
        self._flags = pattern.flags
        self._takes = Matcher(pattern).predicate
        named = sorted(set(_named(self._tree)))
        usual = [character for character in USUAL if not is_bytes or character.isascii()]
        self._characters = [*dict.fromkeys([*named[:: max(1, len(named) // MOST_CHARACTERS)], *usual])]

    def pumps(self) -> Iterator[tuple[str, list[str]]]:
        """What stands before, and what may be repeated there."""
        whole = [self.sample(self._tree, turn) for turn in range(6)]
        almost = [text for sample in whole for text in (sample, sample[:-1], sample[1:])]
        repeats = list(self._repeats(self._tree, ""))
        eaten = [c for c in self._characters if any(self._eats(inner, c) for _, inner in repeats)]
        yield "", [*eaten, *almost]
        for before, inner in repeats:
            bodies = [self.sample(inner, turn) for turn in range(8)]
            own = [c for c in eaten if self._eats(inner, c)]
            yield "", [before + body for body in ("", *bodies[:3], *own[:3])]  # each begins another match
            yield before, [*bodies[:4], *own[:8]]
        for before, inner in repeats:
            bodies = [self.sample(inner, turn) for turn in range(8)]
            yield before, [*bodies, *("".join(pair) for pair in itertools.pairwise(bodies))]
        yield "", self._characters
        yield "", ["".join(pair) for pair in itertools.product(self._characters[:8], repeat=2)]

    def sample(self, tree: Any, turn: int) -> str:
        """A text that the tree takes, its lookarounds aside; another one each turn, as far as there are."""
        return "".join(self._one(kind, value, turn) for kind, value in tree)

    def _one(self, kind: Any, value: Any, turn: int) -> str:
        match kind:
            case sre.BRANCH:
                branches = value[1]
                return self.sample(branches[turn % len(branches)], turn // len(branches))
            case sre.SUBPATTERN:
                return self.sample(value[3], turn)
            case sre.ATOMIC_GROUP:
                return self.sample(value, turn)
            case sre.MAX_REPEAT | sre.MIN_REPEAT | sre.POSSESSIVE_REPEAT:
                least, most, inner = value
                times = min(max(least, 1 + turn % 2), most) if turn % 3 or least else 0
                return self.sample(inner, turn) * times
            case sre.AT | sre.ASSERT | sre.ASSERT_NOT | sre.GROUPREF:
                return ""
            case _:
                members = self._members(kind, value)
                return members[turn % len(members)] if members else ""

    def _members(self, kind: Any, value: Any) -> list[str]:
        takes = self._takes(kind, value, self._flags)
        return [character for character in self._characters if takes(character)]

    def _repeats(self, tree: Any, before: str) -> Iterator[tuple[str, Any]]:
        """Every repeated piece, and a text that leads to it."""
        for kind, value in tree:
            match kind:
                case sre.MAX_REPEAT | sre.MIN_REPEAT | sre.POSSESSIVE_REPEAT:
                    if value[1] is sre.MAXREPEAT or value[1] > 4:
                        yield before, value[2]
                    yield from self._repeats(value[2], before)
                case sre.BRANCH:
                    for branch in value[1]:
                        yield from self._repeats(branch, before)
                case sre.SUBPATTERN:
                    yield from self._repeats(value[3], before)
                case sre.ATOMIC_GROUP:
                    yield from self._repeats(value, before)
                case sre.ASSERT | sre.ASSERT_NOT:
                    yield from self._repeats(value[1], before)
            before += self._one(kind, value, 1)

    def _eats(self, tree: Any, character: str) -> bool:
        """Whether some piece for one character in this tree takes it."""
        for kind, value in tree:
            match kind:
                case sre.BRANCH:
                    found = any(self._eats(branch, character) for branch in value[1])
                case sre.SUBPATTERN:
                    found = self._eats(value[3], character)
                case sre.MAX_REPEAT | sre.MIN_REPEAT | sre.POSSESSIVE_REPEAT:
                    found = self._eats(value[2], character)
                case sre.ATOMIC_GROUP:
                    found = self._eats(value, character)
                case sre.AT | sre.ASSERT | sre.ASSERT_NOT | sre.GROUPREF:
                    found = False
                case _:
                    found = self._takes(kind, value, self._flags)(character)
            if found:
                return True
        return False


def _named(tree: Any) -> Iterator[str]:
    """Characters that the regex names, with the ends of its ranges."""
    for kind, value in tree:
        match kind:
            case sre.LITERAL | sre.NOT_LITERAL:
                yield chr(value)
            case sre.IN:
                yield from _named(value)
            case sre.RANGE:
                yield from (chr(value[0]), chr(value[1]))
            case sre.BRANCH:
                for branch in value[1]:
                    yield from _named(branch)
            case sre.SUBPATTERN:
                yield from _named(value[3])
            case sre.MAX_REPEAT | sre.MIN_REPEAT | sre.POSSESSIVE_REPEAT:
                yield from _named(value[2])
            case sre.ATOMIC_GROUP:
                yield from _named(value)
            case sre.ASSERT | sre.ASSERT_NOT:
                yield from _named(value[1])
