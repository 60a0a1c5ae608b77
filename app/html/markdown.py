"""Markdown to safe HTML. The only door for text that a model, a tool or a person wrote.

Two walls: `events.py` escapes everything it does not draw itself, and nh3 keeps only what stands on a short list.
What needs attributes (code with its copy button, footnotes, checkboxes) is drawn after nh3, by us; formulas and the
colours of code come last, in a child process: see pieces.py.
"""

import re
from html import escape, unescape
from typing import Final, NamedTuple

import nh3

from app.html import details, math, pieces
from app.html.addresses import with_links
from app.html.bounds import Cost, Meter, Room, Unbounded, byte_length
from app.html.cells import check_tables, with_all_cells
from app.html.events import NO_SCHEME, TooDeep, draw
from app.html.joints import JOINT, with_joints, without_joints
from app.html.source import as_source
from app.words import gettext as _

RENDERER_VERSION: Final = 4
MAX_CHARS: Final = 200_000  # at once; a longer text is drawn block by block

_TAGS: Final = (
    "p h2 h3 h4 h5 h6 ul ol li blockquote pre code em strong del a br hr table thead tbody tr th td "
    "dfn section var samp input sub sup kbd mark u details summary"
)
_cleaner: Final = nh3.Cleaner(
    tags=set(_TAGS.split()),
    clean_content_tags=set(),
    attributes={
        "a": {"href", "title"},
        "ol": {"start"},
        "th": {"align", "dir"},
        "td": {"align", "dir"},
        **{name: {"dir"} for name in "p h2 h3 h4 h5 h6 li blockquote code summary".split()},
        "pre": {"title"},
        "section": {"title"},
        "input": {"checked"},
    },
    allowed_classes={"a": {"image-link"}},
    set_tag_attribute_values={"a": {"target": "_blank"}},
    link_rel="noopener noreferrer nofollow",
    url_schemes={"http", "https", "mailto"},
    url_relative="deny",
)

_CODE: Final = re.compile(r'<pre(?: title="([^"]*)")?><code>([^<]*+)</code></pre>')
_REFERENCE: Final = re.compile(r"<dfn>([^<]*+)</dfn>")
_DEFINITION: Final = re.compile(r'<section title="([^"]*)">')
_DEAD_LINK: Final = re.compile(
    r'<a(?: (?:title|class)="[^"]*")* target="[^"]*" rel="[^"]*">((?:[^<]++|<(?!/?a[ >]))*+)</a>'
)
_LANGUAGE: Final = re.compile(r"[\w+#.-]{1,40}")
_PLAIN_ID: Final = re.compile(r"[a-z0-9-]")


def render(text: str, *, prefix: str = "") -> str:
    """Complete HTML, made in this process, which a hostile formula or code may hang or abort: for tests."""
    return pieces.draw_all(render_marked(text, prefix=prefix))


def render_marked(text: str, *, prefix: str = "") -> str:
    """Safe HTML but for its formulas and the colours of its code, which `pieces` adds.

    Holds for any input; what no person wrote (too long, nested too deep) comes back as its source in a `pre`. `prefix`
    keeps the footnotes of two messages on a page apart.
    """
    return draw_whole(text, prefix, Room())


def draw_whole(text: str, prefix: str, room: Room) -> str:
    """A part of a final message, which takes from the room that its message has left."""
    html, cost, is_source = draw_within(text, room, prefix=prefix)
    room.spend(cost, is_source=is_source)
    return html


class Drawn(NamedTuple):
    """HTML of a text, what it takes of its message's room, and whether it is the source because it has none."""

    html: str
    cost: Cost
    is_source: bool


def draw_within(text: str, room: Room, *, prefix: str) -> Drawn:
    """As `render_marked`, in the room that a message has left."""
    text = normal(text)
    try:
        html, cost = _drawn(text, room)
    except Unbounded:
        html = as_source(text)
        return Drawn(html, Cost(byte_length(html)), True)
    html = pieces.with_most_formulas(_with_markers_drawn(html, prefix), room.formulas)
    return Drawn(html, cost._replace(formulas=pieces.count_formulas(html)), False)


def _drawn(text: str, room: Room) -> tuple[str, Cost]:
    if len(text) > MAX_CHARS:
        raise Unbounded
    meter = Meter(room, text)
    html = _cleaner.clean(_marked(text, meter, 0))
    return html, meter.cost_of(html)


def _marked(text: str, meter: Meter, depth: int) -> str:
    """`depth` counts the disclosures around."""
    if not details.has_details(text):
        return _marked_blocks(text, meter)
    if depth == details.MAX_DEPTH:
        raise TooDeep
    marked = [
        details.draw(part, lambda inner: _marked(inner, meter, depth + 1))
        if is_disclosure
        else _marked_blocks(part, meter)
        for part, is_disclosure in details.parts(text)
        if part
    ]
    return "".join(marked)


def _marked_blocks(text: str, meter: Meter) -> str:
    check_tables(text, meter)
    source = with_joints(with_links(math.without_prices(math.with_dollars(text))))
    html = without_joints(draw(with_all_cells(source), meter))
    return html.replace(f"https://{NO_SCHEME}", "").replace(NO_SCHEME, "") if NO_SCHEME in html else html


def render_plain(text: str) -> str:
    """Escaped text, line breaks as they are: for elements with `white-space: pre-wrap`."""
    return escape(normal(text))


def normal(text: str) -> str:
    """Text as an HTML parser would read it: one kind of line end, no NUL, no lone surrogates, none of our own marks."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    for character in ("\x00", JOINT, NO_SCHEME):
        if character in text:
            text = text.replace(character, "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def code_block(info: str, code: str) -> tuple[str, str, str]:
    """A fenced block as head, code and foot. `info` is what stands behind the fence; `code` is HTML already."""
    language = language_of(info)
    attribute = f' data-language="{language}"' if language else ""
    css = f' class="language-{language}"' if language else ""
    copy = escape(_("Copy"))
    head = (
        f'<div class="code" dir="ltr"{attribute}><div class="code-head"><span>{escape(info.strip()[:100], False)}</span>'
        f'<button type="button" class="copy" data-copy>{copy}</button></div>'
        f'<pre tabindex="0"><code{css}>'
    )
    return head, code, "</code></pre></div>"


def language_of(info: str) -> str:
    """`Python title="x"` is `python`; letters, digits and `_+#.-` only."""
    found = _LANGUAGE.match(info.strip().lstrip("{.").lower())
    return found.group() if found and found.group().isascii() else ""


def _with_markers_drawn(html: str, prefix: str) -> str:
    if "<a " in html:
        html = _DEAD_LINK.sub(r"\1", html)  # to no address that there can be: the sanitiser took it
    if "<pre" in html:
        html = _CODE.sub(lambda match: "".join(code_block(unescape(match[1] or ""), match[2])), html)
    if "<table>" in html:
        html = html.replace("<table>", '<div class="table" tabindex="0"><table>').replace("</table>", "</table></div>")
    if "<input" in html:
        html = html.replace('<input checked="">', _checkbox(True)).replace("<input>", _checkbox(False))
    if "<dfn>" in html or "<section" in html:
        html = _with_footnotes(html, prefix)
    return html


def _checkbox(is_checked: bool) -> str:
    label = escape(_("Done") if is_checked else _("Not done"))
    return f'<input type="checkbox" disabled aria-label="{label}"{" checked" if is_checked else ""}>'


def _with_footnotes(html: str, prefix: str) -> str:
    seen: set[str] = set()

    def reference(match: re.Match[str]) -> str:
        return f'<sup class="footnote-mark"><a href="#{_footnote_id(match[1], prefix)}">{match[1]}</a></sup>'

    def definition(match: re.Match[str]) -> str:
        target = _footnote_id(match[1], prefix)
        identity = "" if target in seen else f' id="{target}"'
        seen.add(target)
        return f'<div class="footnote"{identity}><span class="footnote-label">{match[1]}</span>'

    html = _REFERENCE.sub(reference, html)
    return _DEFINITION.sub(definition, html).replace("</section>", "</div>")


def _footnote_id(label: str, prefix: str) -> str:
    plain = "".join(c if _PLAIN_ID.match(c) else f"_{ord(c):x}" for c in unescape(label).casefold())
    return f"{escape(prefix)}fn-{plain}"
