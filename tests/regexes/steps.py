"""Counts the steps of a backtracking matcher: the same regex and text always cost the same, on any machine.

It runs the tree that `re` itself parses, in the order in which `re` tries things. `re` skips some of these steps
(a literal that a match must begin with), never adds any. A bound beyond MAX_COUNTED counts as none.
"""

import functools
import re
import re._constants as sre
import re._parser as parser
from collections.abc import Callable, Iterator
from typing import Any

MAX_COUNTED = 64

type_ = tuple[Any, ...]
Predicate = Callable[[str], bool]
Registers = tuple[int, ...]


class TooManySteps(Exception):
    """The budget is spent: the text costs more than any linear regex takes."""


class Matcher:
    """One compiled regex. `steps` counts over all calls."""

    def __init__(self, pattern: re.Pattern[Any], budget: int = 10_000_000) -> None:
        text = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
        tree = parser.parse(text, pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags)
        self._is_ascii = isinstance(pattern.pattern, bytes) or bool(pattern.flags & re.ASCII)
        self._registers = 2 * tree.state.groups
        self._program = self._compiled(tree, pattern.flags)
        self._budget = budget
        self.steps = 0

    def match(self, text: str, start: int = 0, *, whole: bool = False) -> int | None:
        """Where the match ends that begins at `start`."""
        found = self._run(self._program, text, start, (-1,) * self._registers, whole)
        return None if found is None else found[0]

    def scan(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of each match, as `finditer` finds them."""
        start = 0
        while start <= len(text):
            end = self.match(text, start)
            if end is not None:
                yield start, end
            start = start + 1 if end is None or end == start else end

    def _compiled(self, tree: Any, flags: int) -> list[type_]:
        out: list[type_] = []
        self._add_all(tree, flags, out)
        out.append(("match",))
        return out

    def _add_all(self, tree: Any, flags: int, out: list[type_]) -> None:
        for kind, value in tree:
            self._add(kind, value, flags, out)

    def _add(self, kind: Any, value: Any, flags: int, out: list[type_]) -> None:
        match kind:
            case sre.LITERAL | sre.NOT_LITERAL | sre.IN | sre.ANY | sre.RANGE | sre.CATEGORY:
                out.append(("character", self.predicate(kind, value, flags)))
            case sre.AT:
                out.append(("at", value, flags))
            case sre.BRANCH:
                self._add_branches(value[1], flags, out)
            case sre.SUBPATTERN:
                group, added, removed, inner = value
                out += [("save", 2 * group)] if group is not None else []
                self._add_all(inner, (flags | added) & ~removed, out)
                out += [("save", 2 * group + 1)] if group is not None else []
            case sre.MAX_REPEAT | sre.MIN_REPEAT:
                self._add_repeat(value, flags, out, is_greedy=kind is sre.MAX_REPEAT)
            case sre.POSSESSIVE_REPEAT:
                out.append(("atomic", self._compiled([(sre.MAX_REPEAT, value)], flags)))
            case sre.ATOMIC_GROUP:
                out.append(("atomic", self._compiled(value, flags)))
            case sre.ASSERT | sre.ASSERT_NOT:
                direction, inner = value
                width = _width(inner) if direction < 0 else 0
                out.append(("look", self._compiled(inner, flags), width, kind is sre.ASSERT))
            case sre.GROUPREF:
                out.append(("reference", value, bool(flags & re.IGNORECASE)))
            case _:
                raise AssertionError(f"the counter does not know {kind}")

    def _add_branches(self, branches: list[Any], flags: int, out: list[type_]) -> None:
        jumps: list[int] = []
        for branch in branches[:-1]:
            split = len(out)
            out.append(())
            self._add_all(branch, flags, out)
            jumps.append(len(out))
            out.append(())
            out[split] = ("split", split + 1, len(out))
        self._add_all(branches[-1], flags, out)
        for jump in jumps:
            out[jump] = ("jump", len(out))

    def _add_repeat(self, value: Any, flags: int, out: list[type_], *, is_greedy: bool) -> None:
        least, most, inner = value
        for _ in range(least):
            self._add_all(inner, flags, out)
        if most is sre.MAXREPEAT or most > MAX_COUNTED:
            self._add_loop(inner, flags, out, is_greedy)
            return
        splits: list[int] = []
        for _ in range(most - least):
            splits.append(len(out))
            out.append(())
            self._add_all(inner, flags, out)
        for split in splits:
            out[split] = ("split", split + 1, len(out)) if is_greedy else ("split", len(out), split + 1)

    def _add_loop(self, inner: Any, flags: int, out: list[type_], is_greedy: bool) -> None:
        slot, self._registers = self._registers, self._registers + 1
        is_empty = inner.getwidth()[0] == 0
        split = len(out)
        out.append(())
        out += [("mark", slot)] if is_empty else []
        self._add_all(inner, flags, out)
        out += [("advanced", slot)] if is_empty else []
        out.append(("jump", split))
        out[split] = ("split", split + 1, len(out)) if is_greedy else ("split", len(out), split + 1)

    def predicate(self, kind: Any, value: Any, flags: int) -> Predicate:
        """Whether a node for one character takes it."""
        if self._is_ascii:
            flags |= re.ASCII
        match kind:
            case sre.ANY:
                return lambda character: bool(flags & re.DOTALL) or character != "\n"
            case sre.LITERAL | sre.NOT_LITERAL:
                wanted = _cases(chr(value), flags)
                return lambda character: (character in wanted) == (kind is sre.LITERAL)
            case sre.IN:
                return _memoised(lambda character: _is_in(value, character, flags))
            case _:
                return lambda character: _is_in([(kind, value)], character, flags)

    def _run(self, program: list[type_], text: str, at: int, registers: Registers, whole: bool) -> Any:
        stack = [(0, at, registers)]
        length = len(text)
        while stack:
            counter, position, registers = stack.pop()
            while True:
                self.steps += 1
                if self.steps > self._budget:
                    raise TooManySteps
                instruction = program[counter]
                counter += 1
                match instruction[0]:
                    case "character":
                        if position >= length or not instruction[1](text[position]):
                            break
                        position += 1
                    case "split":
                        stack.append((instruction[2], position, registers))
                        counter = instruction[1]
                    case "jump":
                        counter = instruction[1]
                    case "match":
                        if not whole or position == length:
                            return position, registers
                        break
                    case "save" | "mark":
                        slot = instruction[1]
                        registers = (*registers[:slot], position, *registers[slot + 1 :])
                    case "advanced":
                        if registers[instruction[1]] == position:
                            break
                    case "at":
                        if not _is_at(instruction[1], instruction[2], self._is_ascii, text, position):
                            break
                    case "reference":
                        start, end = registers[2 * instruction[1]], registers[2 * instruction[1] + 1]
                        referred = text[start:end]
                        here = text[position : position + len(referred)]
                        self.steps += len(here)
                        if end < 0 or (here.lower() != referred.lower() if instruction[2] else here != referred):
                            break
                        position += len(referred)
                    case "atomic":
                        found = self._run(instruction[1], text, position, registers, False)
                        if found is None:
                            break
                        position, registers = found
                    case "look":
                        start = position - instruction[2]
                        found = self._run(instruction[1], text, start, registers, False) if start >= 0 else None
                        if (found is not None) != instruction[3]:
                            break
                        registers = found[1] if found is not None else registers
        return None


def _width(tree: Any) -> int:
    least, most = tree.getwidth()
    assert least == most
    return int(least)


def _memoised(takes: Predicate) -> Predicate:
    return functools.lru_cache(maxsize=512)(takes)


def _cases(character: str, flags: int) -> set[str]:
    if not flags & re.IGNORECASE or (flags & re.ASCII and not character.isascii()):
        return {character}
    cases = {character, character.lower(), character.upper()}
    return {case for case in cases if len(case) == 1 and (case.isascii() or not flags & re.ASCII)}


def _is_in(items: Any, character: str, flags: int) -> bool:
    is_wanted = True
    cases = {ord(case) for case in _cases(character, flags)}
    for kind, value in items:
        match kind:
            case sre.NEGATE:
                is_wanted = False
            case sre.LITERAL if value in cases:
                return is_wanted
            case sre.RANGE if any(value[0] <= case <= value[1] for case in cases):
                return is_wanted
            case sre.CATEGORY if _is_of(value, character, flags):
                return is_wanted
    return not is_wanted


_CATEGORIES = {
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_WORD: r"\W",
}


def _is_of(category: Any, character: str, flags: int) -> bool:
    return re.match(_CATEGORIES[category], character, flags & re.ASCII) is not None


def _is_at(where: Any, flags: int, is_ascii: bool, text: str, position: int) -> bool:
    is_multiline = bool(flags & re.MULTILINE)
    match where:
        case sre.AT_BEGINNING | sre.AT_BEGINNING_STRING:
            starts_line = where is sre.AT_BEGINNING and is_multiline and text[position - 1 : position] == "\n"
            return position == 0 or starts_line
        case sre.AT_END_STRING:
            return position == len(text)
        case sre.AT_END:
            is_last = position == len(text) or (position == len(text) - 1 and text[position] == "\n")
            return is_last or (is_multiline and text[position] == "\n")
        case sre.AT_BOUNDARY | sre.AT_NON_BOUNDARY:
            flags = re.ASCII if is_ascii else 0
            sides = text[max(0, position - 1) : position], text[position : position + 1]
            first, second = (bool(side) and re.match(r"\w", side, flags) is not None for side in sides)
            return (first != second) == (where is sre.AT_BOUNDARY)
        case _:
            raise AssertionError(f"the counter does not know {where}")
