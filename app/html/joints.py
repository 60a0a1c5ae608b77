"""Invisible joints in Markdown: a character that is no punctuation, put where Markdown's rules fail, and taken out again.

Two rules need one. A mark of emphasis between a letter and punctuation means nothing to CommonMark, which is wrong for
scripts without spaces. And a line that begins with a tag alone begins HTML, in which Markdown is not read.
"""

import re
from typing import Final

from app.html.tags import LINE_TAG

#: A noncharacter, which no text of a person has: `normal` replaces it.
JOINT: Final = "\ufdd0"

#: Letters and punctuation of scripts whose words no spaces part; https://github.com/tats-u/markdown-cjk-friendly
_LETTERS: Final = (
    r"\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fff\u3005-\u3007\u3021-\u3029"
    r"\u3031-\u303f\u3040-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3100-\u4dbf\u4e00-\ua4cf\ua960-\ua97f\uac00-\ud7ff"
    r"\uf900-\ufaff\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uffdc\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_PUNCTUATION: Final = (
    r"\u3001-\u3003\u3008-\u3020\u3030\u303d\u30a0\u30fb\ufe10-\ufe1f\ufe30-\ufe6f\uff01-\uff0f\uff1a-\uff20"
    r"\uff3b-\uff40\uff5b-\uff65\uffe0-\uffee\u0f0d-\u0f12\u104a\u104b\u17d4-\u17da"
)
_OTHER: Final = (
    r"!-)+,\-./:;<=>?@\[\]^_`{|}\u00a1-\u00bf\u2010-\u2027\u2030-\u205e"  # punctuation anywhere, but `*` and `~`
    r"\u00d7\u00f7\u20a0-\u20cf\u2100-\u214f\u2190-\u2bff\U0001f000-\U0001fbff"  # signs and emoji, which count as such
)
_MARK: Final = r"(?:\*+|~~?)"
#: Punctuation at a mark, which is a letter to the rule where it or the character beyond the mark is of these scripts.
_BEHIND: Final = re.compile(
    rf"(?<=[{_PUNCTUATION}])(?={_MARK}(?![*~]))(?<![*~])"
    rf"|(?<=[{_OTHER}])(?={_MARK}[{_LETTERS}{_PUNCTUATION}])"
)
_BEFORE: Final = re.compile(
    rf"(?<![*~])({_MARK})(?=[{_PUNCTUATION}])|(?<=[{_LETTERS}{_PUNCTUATION}])({_MARK})(?=[{_OTHER}])"
)


def with_joints(source: str) -> str:
    """The same text, with a joint wherever one is needed; `without_joints` takes them out of what was drawn."""
    if "<" in source:
        source = LINE_TAG.sub(rf"\1{JOINT}\2", source)
    if not source.isascii() and ("*" in source or "~" in source):
        # Both are found in the text as it was: a joint on one side of a mark says nothing about the other.
        places = sorted({m.start() for m in _BEHIND.finditer(source)} | {m.end() for m in _BEFORE.finditer(source)})
        ends = zip([0, *places], [*places, len(source)], strict=True)
        source = JOINT.join(source[start:end] for start, end in ends)
    return source


def without_joints(html: str) -> str:
    """What was drawn of a text with joints."""
    return html.replace(JOINT, "") if JOINT in html else html
