"""How deep a formula nests, counted before math-core reads it: that parser calls itself and has no limit of its own.

Measured on a stack of 8 MB: it overflows between 1,600 and 3,200 groups or scripts within each other, and between 6,400
and 12,800 commands that take each other (`\\sqrt\\sqrt…`). Any command may take what follows, so every one counts.
"""

import re
from typing import Final

MAX_GROUPS: Final = 60
MAX_COMMANDS: Final = 1_000
#: A formula that defines commands nests as deep as its text does in each of its expansions.
MAX_EXPANSIONS: Final = 40
MAX_DEFINING_CHARS: Final = 500
MAX_DEFINING_GROUPS: Final = 8
MAX_DEFINING_COMMANDS: Final = 40

_STEP: Final = re.compile(
    r"(?P<opening>\{|\\begin(?:group)?(?![A-Za-z])|\\left(?![A-Za-z]))"
    r"|(?P<closing>\}|\\end(?:group)?(?![A-Za-z])|\\right(?![A-Za-z]))"
    r"|(?P<command>\\[A-Za-z]+)|\\.",
    re.DOTALL,
)
_ENDS: Final = {"{": "}", "\\begin": "\\end", "\\begingroup": "\\endgroup", "\\left": "\\right"}
_DEFINITION: Final = re.compile(r"\\(?:(?:re)?newcommand|providecommand|[egx]?def|let|DeclareMathOperator)(?![A-Za-z])")


def defines_commands(latex: str) -> bool:
    """Whether a formula has commands of its own."""
    return _DEFINITION.search(latex) is not None


def is_shallow(latex: str) -> bool:
    """Whether math-core can read the formula on the stack it has. False where groups end that have not begun."""
    if not defines_commands(latex):
        return _is_within(latex, MAX_GROUPS, MAX_COMMANDS)
    return len(latex) <= MAX_DEFINING_CHARS and _is_within(latex, MAX_DEFINING_GROUPS, MAX_DEFINING_COMMANDS)


def _is_within(latex: str, max_groups: int, max_commands: int) -> bool:
    expected: list[str] = []  # what closes the open groups
    commands = [0]  # in each of them, and outside
    open_commands = 0
    for step in _STEP.finditer(latex):
        if opening := step["opening"]:
            expected.append(_ENDS[opening])
            commands.append(0)
        elif closing := step["closing"]:
            if not expected or expected.pop() != closing:
                return False
            open_commands -= commands.pop()
        elif step["command"]:
            commands[-1] += 1
            open_commands += 1
        if len(expected) > max_groups or open_commands > max_commands:
            return False
    return True
