"""Texts that are safe to look at and deadly to process: they nest, repeat, almost match, or grow when they are drawn.

Each is made to a size, so that a test can compare n, 2n and 4n. `SHORT` and `LONG` are what a test usually wants.
"""

from collections.abc import Callable, Iterator

SHORT, LONG = 2_000, 200_000

#: Languages whose lexers in Pygments backtrack, and a text of at most 121 characters that does it.
LEXERS: dict[str, str] = {
    language: f"{mark}{backslashes}"
    for mark, languages in {
        '"': "cddl factor fish maple ncl rego rell scala registry",
        "'": "chapel pan smithy tcsh urbiscript ansys",
    }.items()
    for language in languages.split()
    for backslashes in ("\\" * 120,)
} | {"bash": "$'" + "\\" * 118, "tnt": "(" * 121, "fancy": "/" + "\\" * 120}


def texts(size: int) -> dict[str, str]:
    """Every text at about this many characters, by name."""
    return {name: make(size) for name, make in TEXTS.items()}


def _repeated(piece: str, *, before: str = "", behind: str = "") -> Callable[[int], str]:
    def make(size: int) -> str:
        return before + piece * max(1, (size - len(before) - len(behind)) // len(piece)) + behind

    return make


def _nested(opening: str, middle: str, closing: str) -> Callable[[int], str]:
    def make(size: int) -> str:
        times = max(1, (size - len(middle)) // (len(opening) + len(closing)))
        return opening * times + middle + closing * times

    return make


def _growing(mark: str, between: str) -> Callable[[int], str]:
    """Runs of 1, 2, 3 … marks: none closes another."""

    def make(size: int) -> str:
        pieces: list[str] = []
        left = size
        while left > 0:
            pieces.append(mark * (len(pieces) + 1) + between)
            left -= len(pieces[-1])
        return "".join(pieces)

    return make


def _numbered(form: str, *, tail: str = "") -> Callable[[int], str]:
    """A line per number; `tail` stands behind all of them as often again."""

    def make(size: int) -> str:
        count = max(1, size // (len(form) + len(tail) + 2))
        lines = [form.replace("#", str(number)) for number in range(count)]
        return "\n".join(lines) + "\n\n" + "".join(tail.replace("#", str(number)) for number in range(count))

    return make


def _indented(mark: str, step: int) -> Callable[[int], str]:
    """A list or quote that is one level deeper with every line."""

    def make(size: int) -> str:
        lines: list[str] = []
        left = size
        while left > 0:
            lines.append(" " * (step * len(lines)) + mark)
            left -= len(lines[-1]) + 1
        return "\n".join(lines)

    return make


def _wide_table(size: int) -> str:
    """A head of very many columns, and rows of one cell: each is filled up to all the columns."""
    columns = max(1, size // 6)
    return "|" + "a|" * columns + "\n|" + "-|" * columns + "\n" + "|\n" * max(1, (size - 4 * columns) // 2)


def _long_table(size: int) -> str:
    return "|a|b|\n|-|-|\n" + "|1|2|\n" * max(1, size // 6)


def _fenced(language: str, code: str) -> Callable[[int], str]:
    return _repeated(code, before=f"```{language}\n", behind="\n```\n")


def _long_links(size: int) -> str:
    """A definition with a long address, and very many uses of it."""
    address = "https://a.example/" + "x" * (size // 2)
    return f"[a]: {address}\n\n" + "[a] " * max(1, size // 8)


def _every_lexer(size: int) -> str:
    blocks = "".join(f"```{language}\n{code}\n```\n" for language, code in LEXERS.items()) or "```text\n\\\n```\n"
    return blocks * max(1, size // max(1, len(blocks)))


TEXTS: dict[str, Callable[[int], str]] = {
    # Characters that open something, and nothing that closes it.
    **{
        f"run of {name}": _repeated(piece)
        for name, piece in {
            "square brackets": "[",
            "round brackets": "(",
            "braces": "{",
            "angle brackets": "<",
            "closing angle brackets": ">",
            "closing square brackets": "]",
            "bangs and brackets": "![",
            "backslashes": "\\",
            "dollars": "$",
            "backticks": "`",
            "stars": "*",
            "underscores": "_",
            "tildes": "~",
            "dashes": "-",
            "equals": "=",
            "hashes": "#",
            "bars": "|",
            "ampersands": "&",
            "double quotes": '"',
            "single quotes": "'",
            "colons": ":",
            "dots": ".",
            "slashes": "/",
            "digits": "9",
            "letters": "a",
            "capitals": "A",
            "at signs": "@",
            "spaces": " ",
            "tabs": "\t",
            "line ends": "\n",
            "returns": "\r",
            "spaces and line ends": " \n",
            "separators": "\u2028",
            "combining marks": "\u0301",
            "joiners": "\u200d",
            "joined families": "\U0001f468\u200d\U0001f469\u200d",
            "overrides": "\u202e\u2066",
            "wide letters": "\u4f60",
            "astral letters": "\U0001d4d1",
            "controls": "\x01\x7f",
        }.items()
    },
    # Emphasis and code.
    "stars and underscores": _repeated("*_"),
    "stars and letters": _repeated("*a "),
    "strong and never closed": _repeated("**a"),
    "emphasis of every kind": _repeated("*a _b ~~c **d __e "),
    "emphasis in a deep nest": _nested("*a ", "b", " c*"),
    "strikes never closed": _repeated("~~a "),
    "backticks of growing length": _growing("`", "a "),
    "tildes of growing length": _growing("~", "a\n"),
    "fences of growing length": _growing("`", "\n"),
    "dollars of growing length": _growing("$", "a "),
    # Links, references, footnotes.
    "links in a deep nest": _nested("[", "a", "](b)"),
    "images in a deep nest": _nested("![", "a", "](b)"),
    "links never closed": _repeated("[a]("),
    "links whose title never ends": _repeated('[a](b "'),
    "links whose address never ends": _repeated("[a](<b"),
    "brackets in an address": _repeated("(", before="[a](b"),
    "empty links": _repeated("[](#)"),
    "references to nothing": _repeated("[a][b]"),
    "definitions": _numbered("[a#]: b", tail="[a#]"),
    "definitions never finished": _repeated("[a]:\n"),
    "one long address used often": _long_links,
    "footnotes": _numbered("[^#]: note", tail="[^#]"),
    "footnotes in a footnote": _repeated("[^a]: [^a] "),
    "footnotes never closed": _repeated("[^"),
    "addresses": _repeated("https://a.example/b "),
    "schemes": _repeated("http://"),
    "schemes without an end": _repeated("https:"),
    "one long address": _repeated("a", before="https://a.example/"),
    "brackets behind an address": _repeated(")", before="see https://a.example/("),
    "entities behind an address": _repeated("&amp;", before="https://a.example/?"),
    "mail addresses": _repeated("a@b.", before="mailto:"),
    "autolinks never closed": _repeated("<https://a"),
    "www and dots": _repeated("www."),
    # HTML.
    "comments never closed": _repeated("<!--"),
    "comments with dashes": _repeated("-", before="<!--"),
    "cdata never closed": _repeated("<![CDATA["),
    "processing never closed": _repeated("<?"),
    "declarations never closed": _repeated("<!A"),
    "tags never closed": _repeated("<a "),
    "closing tags": _repeated("</b>"),
    "breaks": _repeated("<br>"),
    "marks in a deep nest": _nested("<mark>", "a", "</mark>"),
    "details in a deep nest": _nested("<details>\n", "a", "</details>\n"),
    "details never closed": _repeated("<details><summary>a\n"),
    "summaries never closed": _repeated("<summary>", before="<details>"),
    "attributes without an end": _repeated(' a="b"', before="<a"),
    "an attribute that never ends": _repeated("a", before='<a b="'),
    "entities": _repeated("&amp;&lt;&#x41;&notanentity;"),
    "entities without an end": _repeated("&lt"),
    "numeric entities": _repeated("&#x110000;&#0;"),
    "long entity names": _repeated("a", before="&"),
    "own markers": _repeated('<pre title="a"><code><var><samp><dfn><section title="a">'),
    # Blocks.
    "quotes in a deep nest": _repeated("> ", behind="a"),
    "quotes deeper with every line": _growing("> ", "a\n"),
    "quotes on every line": _repeated("> a\n>\n"),
    "lists in a deep nest": _repeated("- ", behind="a"),
    "lists deeper with every line": _indented("- a", 2),
    "numbered lists deeper with every line": _indented("1. a", 3),
    "lists and quotes by turns": _repeated("> - ", behind="a"),
    "numbers too large for a list": _repeated("9", behind=". a"),
    "rules": _repeated("---\n"),
    "a rule that breaks": _repeated("- ", behind="a"),
    "setext heads": _repeated("a\n=\n"),
    "a head of hashes": _repeated("#", before="# a ", behind="b"),
    "checkboxes": _repeated("- [ ] a\n"),
    "indented code": _repeated("    a\n"),
    "indented code deeper with every line": _indented("a", 4),
    "lone tabs": _repeated("\ta\n \ta\n"),
    "very many lines": _repeated("a\n"),
    "very many paragraphs": _repeated("a\n\n"),
    "one very long line": _repeated("word "),
    "hard breaks": _repeated("a  \n\\\n"),
    # Tables.
    "a delimiter row without an end": _repeated("-", behind="!"),
    "delimiter rows": _repeated(":-:|"),
    "delimiter rows on every line": _repeated("a|b\n-|-\n"),
    "a wide table": _wide_table,
    "a long table": _long_table,
    "a table of bars": _repeated("|", before="|a|\n|-|\n"),
    "a table of code": _repeated("`|", before="|a|\n|-|\n|"),
    "a table of backslashes": _repeated("\\|", before="|a|\n|-|\n|"),
    "a quoted table": _repeated("> |a|\n> |-|\n"),
    # Formulas.
    "raised in a deep nest": _nested("^{", "x", "}"),
    "a formula raised in a deep nest": lambda size: f"$$x{_nested('^{', 'x', '}')(size)}$$",
    "a formula raised and never closed": _repeated("^{", before="$x", behind="$"),
    "a formula lowered in a deep nest": lambda size: f"$x{_nested('_{', 'x', '}')(size)}$",
    "a formula of braces": lambda size: f"${_nested('{', 'x', '}')(size)}$",
    "a formula of fractions": lambda size: f"${_nested(chr(92) + 'frac{', 'x', '}{y}')(size)}$",
    "a formula of roots": lambda size: f"${_nested(chr(92) + 'sqrt{', 'x', '}')(size)}$",
    "a formula of brackets never closed": _repeated("\\left(", before="$", behind="$"),
    "a formula of open brackets": _repeated("(", before="$x", behind="$"),
    "a formula of texts": _repeated("\\text{", before="$", behind="$"),
    "a formula of commands": _repeated("\\alpha ", before="$", behind="$"),
    "a formula of matrices": lambda size: f"${_nested(chr(92) + 'begin{matrix}', 'x', chr(92) + 'end{matrix}')(size)}$",
    "a formula of definitions": _repeated("\\def\\a{\\b}", before="$", behind="$"),
    "a formula of chemistry": _repeated("\\ce{A->[", before="$", behind="$"),
    "a formula of ampersands": _repeated("&", before="$\\begin{align}", behind="\\end{align}$"),
    "very many formulas": _repeated("$x$ "),
    "very many displays": _repeated("$$x$$\n\n"),
    "dollars and letters": _repeated("$a"),
    "prices": _repeated("$5 and "),
    "displays never closed": _repeated("\\["),
    "inline formulas never closed": _repeated("\\("),
    "environments never closed": _repeated("\\begin{align}"),
    "environments closed and never opened": _repeated("\\end{align}"),
    "labels never closed": _repeated("\\label{", before="$", behind="$"),
    "percent signs": _repeated("%", before="$", behind="$"),
    # Code.
    "code of backslashes": _fenced("bash", "\\"),
    "code of quotes": _fenced("python", '"\\'),
    "code of brackets": _fenced("scala", "["),
    "code of comments": _fenced("c", "/*"),
    "code of f-strings": _fenced("python", "f'{"),
    "code of heredocs": _fenced("bash", "<<A\n"),
    "code of regexes": _fenced("javascript", "/(("),
    "code of tags": _fenced("html", "<a <b>"),
    "code of json": _fenced("json", "[{"),
    "code whose language never ends": _repeated("a", before="```"),
    "code that never ends": _repeated("a\n", before="```python\n"),
    "a token per character": _fenced("python", "1+"),
    "very many code blocks": _repeated("```c\n1\n```\n"),
    "every lexer that backtracks": _every_lexer,
    # What servers and models send.
    "json lists in a deep nest": _nested("[", "1", "]"),
    "json objects in a deep nest": _nested('{"a":', "1", "}"),
    "json never closed": _repeated('{"a":['),
    "json strings of escapes": _repeated("\\u0041", before='"', behind='"'),
    "json numbers without an end": _repeated("9", before="1e"),
    "thoughts never closed": _repeated("<think>"),
    "thoughts closed and never opened": _repeated("</think>"),
    "thoughts in a deep nest": _nested("<think>", "a", "</think>"),
    "half a thought": _repeated("<thin"),
    "template tokens": _repeated("<|im_end|>"),
    "template tokens never closed": _repeated("<|channel"),
    "wide template tokens": _repeated("<\uff5cend"),
    "turns of others": _repeated("[/INST]\nUser: "),
    "event lines": _repeated("data: {}\n\n"),
    "event lines without an end": _repeated("data:"),
    "ansi colours": _repeated("\x1b[31m"),
    "titles in quotes": _repeated('"\u201c'),
    "titles that announce": _repeated("Title: "),
    "keys": _repeated("sk-aaaaaaaaaaaaaaaa "),
    "a key without an end": _repeated("a", before="sk-"),
    "addresses with a password": _repeated("http://a:b@"),
    "hidden elements never closed": _repeated("<script>"),
    "escapes of errors": _repeated("\\n\\u00"),
}


def all_of(*sizes: int) -> Iterator[tuple[str, str]]:
    """Names and texts, each at every size."""
    for name, make in TEXTS.items():
        for size in sizes:
            yield f"{name} ({size})", make(size)
