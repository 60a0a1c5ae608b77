"""What editors and developers are told agrees with what the tools are told."""

import configparser
import json
import re
import tomllib

import pytest

from tests.programs import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()
#: Where the text files of the checkout are, and what they are called.
PATTERNS = ["*", ".ci/*", ".github/**/*", ".vscode/*"]
PATTERNS += [
    f"{folder}/**/*" for folder in ("app", "docs", "locale", "migrations", "scripts", "static", "templates", "tests")
]
SUFFIXES = {"", ".cfg", ".css", ".html", ".js", ".json", ".lock", ".md", ".po", ".py", ".svg", ".toml", ".yml"}
PYTHON = (ROOT / ".python-version").read_text().strip()


@pytest.fixture(scope="module")
def editor() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string("[top]\n" + (ROOT / ".editorconfig").read_text())
    return parser


def test_editors_break_lines_and_indent_as_ruff_and_djlint_do(editor: configparser.ConfigParser) -> None:
    assert editor["top"]["root"] == "true"
    assert editor["*.py"]["max_line_length"] == str(PYPROJECT["tool"]["ruff"]["line-length"])
    assert editor["*.html"]["max_line_length"] == str(PYPROJECT["tool"]["djlint"]["max_line_length"])
    assert editor["*.html"]["indent_size"] == str(PYPROJECT["tool"]["djlint"]["indent"])
    assert editor["*"]["indent_size"] == "4"  # ruff's own default, which pyproject.toml leaves alone
    assert "indent-width" not in PYPROJECT["tool"]["ruff"]
    assert editor["Makefile"]["indent_style"] == "tab"


def test_every_text_file_is_as_editors_would_save_it() -> None:
    apart = ("static/vendor/", "tests/vendor/", "tests/corpora/")
    wrong: list[str] = []
    for path in (path for pattern in PATTERNS for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        if not path.is_file() or name.startswith(apart) or path.suffix not in SUFFIXES:
            continue
        text = path.read_bytes().decode()
        if "\r" in text or re.search(r"[ \t]+$", text, re.MULTILINE) or (text and not text.endswith("\n")):
            wrong.append(name)
    assert not wrong


def test_every_file_names_the_same_oldest_python() -> None:
    assert PYPROJECT["project"]["requires-python"].startswith(f">={PYTHON},")
    assert PYPROJECT["tool"]["mypy"]["python_version"] == PYTHON
    assert PYPROJECT["tool"]["ruff"]["target-version"] == "py" + PYTHON.replace(".", "")
    assert f"--python-version {PYTHON} " in MAKEFILE
    assert f"({PYTHON.replace('.', ', ')}) <= sys.version_info" in MAKEFILE


def test_editors_are_offered_the_tools_of_make_check() -> None:
    offered = json.loads((ROOT / ".vscode" / "extensions.json").read_text())["recommendations"]
    assert len(set(offered)) == len(offered)
    for tool in ("ruff", "mypy", "djlint", "editorconfig"):
        assert any(tool in name for name in offered)


def test_check_is_lint_and_types() -> None:
    rules = {target: rule_of(target) for target in ("lint", "check")}
    assert all(tool in rules["lint"] for tool in ("ruff check", "ruff format --quiet --check", "djlint"))
    assert "mypy" not in rules["lint"]
    assert "mypy" in rules["check"]
    assert re.search(r"^check: lint$", MAKEFILE, re.MULTILINE)
    assert PYPROJECT["tool"]["mypy"]["files"] == ["app", "scripts"]


def test_every_command_is_declared_and_explained() -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.split()) == targets
    explained = (ROOT / "CONTRIBUTING.md").read_text()
    assert not [target for target in targets if f"`make {target}" not in explained]


def test_run_and_dev_read_the_same_settings() -> None:
    for target, module in (("run", "app serve"), ("dev", "scripts.reload")):
        assert rule_of(target) == f"\t@$(WITH_SETTINGS) -m {module} $(ARGS)\n"


def rule_of(target: str) -> str:
    """What the Makefile runs for a target."""
    return re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)[1]
