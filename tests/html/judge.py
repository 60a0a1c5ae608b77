"""Says whether HTML of ours holds nothing but what may stand in a message."""

import re

from tests.html.page import Element, parse

_BARE = (
    "ul em strong del br hr table thead tbody tr sub kbd mark "  # Markdown and reasoning
    "b i s u"  # text in formulas
)
_MATHML = (
    "math mi mn mo ms mtext mspace mrow mfrac msqrt mroot mstyle mpadded mphantom menclose merror msub msup msubsup "
    "munder mover munderover mmultiscripts mprescripts none mtable mtr mtd"
)
_MATHML_ATTRIBUTES = (
    "accent accentunder columnspan depth display displaystyle fence form height largeop linethickness lspace maxsize "
    "mathvariant minsize movablelimits notation rowspan rspace scriptlevel separator stretchy symmetric voffset width "
    "mathcolor"
)
_ID = r"x-\d+-fn-[\w-]*"
_TAGS: dict[str, dict[str, str]] = {
    **{name: {} for name in _BARE.split()},
    **{
        name: {"class": "[a-z -]+", **dict.fromkeys(_MATHML_ATTRIBUTES.split(), r"[\w.%+#-]*")}
        for name in _MATHML.split()
    },
    **{name: {"dir": "auto"} for name in "p h2 h3 h4 h5 h6 li blockquote summary".split()},
    "ol": {"start": r"\d+"},
    "th": {"align": "left|center|right", "dir": "auto"},
    "td": {"align": "left|center|right", "dir": "auto"},
    "pre": {"tabindex": "0", "dir": "auto"},
    "code": {"class": r"math-error|language-[\w+#.-]+", "dir": "ltr"},
    "sup": {"class": "footnote-mark"},
    "span": {"class": r"h-\w+|footnote-label|name|formula( wide| display)?", "dir": "ltr"},
    "details": {"class": "reasoning|tool-result"},
    "input": {"type": "checkbox", "disabled": "", "checked": "", "aria-label": "Done|Not done"},
    "button": {"type": "button", "class": "copy", "data-copy": ""},
    "a": {
        "href": rf"https?://.*|mailto:.*|#{_ID}",
        "title": ".*",
        "class": "image-link",
        "target": "_blank",
        "rel": "noopener noreferrer nofollow",
    },
    "div": {
        "class": "code|code-head|table|footnote|body|tail|thoughts|tool-call",
        "data-language": r"[\w+#.-]+",
        "dir": "ltr",
        "tabindex": "0",
        "id": rf"[bt]-x|{_ID}",
        "data-seq": r"\d+",
    },
}


def assert_harmless(html: str) -> None:
    """Well-formed, only known tags with known attributes and values, links open elsewhere."""
    for element in parse(html).all():
        _assert_known(element)


def _assert_known(element: Element) -> None:
    assert element.name in _TAGS, f"<{element.name}>"
    known = _TAGS[element.name]
    for key, value in element.attributes.items():
        assert key in known, f"<{element.name} {key}>"
        assert re.fullmatch(known[key], value, re.IGNORECASE | re.DOTALL), f'<{element.name} {key}="{value}">'
    if element.name == "a" and not element.attributes["href"].startswith("#"):
        assert element.attributes["target"] == "_blank"
        assert element.attributes["rel"] == "noopener noreferrer nofollow"
