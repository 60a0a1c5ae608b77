"""The closed list of languages whose code is coloured."""

import subprocess
import sys
import time
from typing import Any

import pytest

from app.html import pieces
from app.html.highlight import highlight
from app.html.languages import LEXERS
from app.html.markdown import render_marked
from tests.html.page import parse

SAMPLE = 'def f(x): return "a" # 1\n$ ls "b"\n<a b="c"> {x: 1} $a = 3; // *c*\n# d\n+ e\n'


@pytest.mark.parametrize("name", LEXERS)
def test_every_language_is_coloured_and_keeps_its_text(name: str) -> None:
    html = highlight(SAMPLE, name)
    assert '<span class="h-' in html
    shown = "".join(
        str(child) if isinstance(child, str) else "".join(map(str, child.children)) for child in parse(html).children
    )
    assert shown == SAMPLE


class Interrupted(str):
    """Code in whose middle the machine stands still for longer than a lexer may take."""

    has_stopped = False

    def startswith(self, *arguments: Any) -> bool:
        if not self.has_stopped:
            self.has_stopped = True
            time.sleep(1)
        return super().startswith(*arguments)


def test_a_busy_machine_costs_no_colours() -> None:
    assert highlight(Interrupted(SAMPLE), "python") == highlight(SAMPLE, "python") != highlight(SAMPLE, "text")


@pytest.mark.parametrize(
    "name", ["chapel", "fish", "common-lisp", "html+jinja", "rst", "text", "nobody", "", "__class__"]
)
def test_other_languages_stay_as_they_are(name: str) -> None:
    assert "<span" not in highlight(SAMPLE, name)
    assert not pieces.code_in(render_marked(f"```{name}\n{SAMPLE}```"))


@pytest.mark.parametrize(
    ("written", "name"),
    list(
        zip(
            "py js ts sh shell zsh yml c++ cs golang rs kt rb ps1 latex dockerfile jsonc json5 sh-session".split(),
            "python javascript typescript bash bash bash yaml cpp csharp go rust kotlin ruby powershell tex docker json json "
            "console".split(),
            strict=True,
        )
    ),
)
def test_names_that_people_write_mean_a_language(written: str, name: str) -> None:
    assert highlight(SAMPLE, written) == highlight(SAMPLE, written.upper()) == highlight(SAMPLE, name) != SAMPLE


def test_a_child_has_all_lexers_before_it_gives_up_its_rights() -> None:
    """Also code within code names no other lexer."""
    program = (
        "import sys\n"
        "from app.html.highlight import highlight, preload\n"
        "from app.html.languages import LEXERS\n"
        "preload()\n"
        "before = set(sys.modules)\n"
        f"sample = {SAMPLE!r} * 3 + '```chapel\\nx\\n```\\n<script>x</script><style>y</style>'\n"
        "for name in LEXERS:\n"
        "    highlight(sample, name)\n"
        "sys.exit(' '.join(set(sys.modules) - before))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=240)
    assert ended.stderr.strip() == ""
