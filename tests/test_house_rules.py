"""The rules that keep the code as it is meant to be: layers, sizes, names, choke points."""

import ast
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from babel.messages import pofile

from app.settings import Settings, environment_name, help_of

ROOT = pathlib.Path(__file__).parent.parent
SOURCES = sorted((ROOT / "app").rglob("*.py"))
STYLES_AND_SCRIPTS = sorted(
    path for kind in ("css/*.css", "js/*.js") for path in (ROOT / "static").glob(kind)
) + sorted((ROOT / "templates").rglob("*.html"))
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))

#: From the top down: a module may import from its own layer and from those below it.
LAYERS = [
    {"main", "lifespan", "cli", "__main__"},
    {"controllers", "api"},
    {"chat", "tools", "files", "instance"},
    {"html"},
    {"providers", "tables"},
    {
        "children",
        "live", "jobs", "parts", "settings", "certificates", "expected", "errors", "logs", "secrets", "database", "database_url",
        "embedded", "event_loop", "last_words", "origins", "postmaster", "principals", "schema", "server_url", "paths",
        "piccolo_app", "piccolo_conf", "words",
    },
]  # fmt: skip

#: Exceptions, each with its reason.
ALLOWED = {
    ("piccolo_app", "tables"): "Piccolo's own configuration must name the tables",
}

FORBIDDEN_NAMES = re.compile(r"\b(utils?|helpers?|commons?|misc|managers?|services?|repositor(y|ies)|data|base)\b")
#: What a library calls a method that it has us write.
LIBRARIES_NAMES = ("handle_async_request",)
FORBIDDEN_VERBS = re.compile(r"^_?(handle|process|do|manage)_")


def name_of(path: pathlib.Path) -> str:
    return path.relative_to(ROOT).as_posix()


def layer_of(module: str) -> int:
    return next(index for index, names in enumerate(LAYERS) if module in names)


def imports_of(path: pathlib.Path) -> Iterator[str]:
    """The modules right below `app` that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "app":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("app."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("app."))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_down(path: pathlib.Path) -> None:
    parts = path.relative_to(ROOT / "app").with_suffix("").parts
    if parts == ("__init__",):
        return
    here = parts[0]
    for imported in set(imports_of(path)) - {here, "__version__"}:
        if (here, imported) in ALLOWED:
            continue
        assert layer_of(imported) >= layer_of(here), f"{here} imports {imported}, which stands above it"
        assert {here, imported} != {"providers", "tables"}, "providers and tables do not know each other"


@pytest.mark.parametrize("path", [*SOURCES, *STYLES_AND_SCRIPTS], ids=name_of)
def test_files_end_before_three_hundred_lines(path: pathlib.Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_every_module_says_what_it_owns(path: pathlib.Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert len(docstring.splitlines()) <= 30


def test_names_are_the_fields_own() -> None:
    wrong: list[str] = []
    for path in SOURCES:
        if path.stem != "base":
            wrong += [name_of(path)] if FORBIDDEN_NAMES.search(path.stem.replace("_", " ")) else []
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", node.name).lower()
                wrong += [f"{name_of(path)}: {node.name}"] if FORBIDDEN_NAMES.search(words) else []
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                if node.name in LIBRARIES_NAMES:
                    continue
                is_wrong = FORBIDDEN_VERBS.match(node.name) or node.name in (
                    "utils",
                    "helper",
                    "helpers",
                    "data",
                    "base",
                )
                wrong += [f"{name_of(path)}: {node.name}"] if is_wrong else []
    assert not wrong


def test_templates_trust_no_text() -> None:
    """`|safe` stands nowhere: HTML comes as Markup from the places below, which are tested to make it safe."""
    assert not [name_of(path) for path in TEMPLATES if re.search(r"\|\s*safe\b|autoescape\s+false", path.read_text())]


def test_markup_is_made_in_few_places() -> None:
    makers = {name_of(path) for path in SOURCES if re.search(r"\bMarkup\((?!\))", path.read_text())}
    assert makers <= {"app/html/filters.py", "app/chat/drawing.py"}


def test_there_is_one_factory_of_http_clients() -> None:
    makers = [name_of(path) for path in SOURCES if re.search(r"\bAsyncClient\(|ClientSession\(", path.read_text())]
    assert makers == ["app/providers/client.py"]


def test_what_runs_answers_cannot_render_them() -> None:
    """A text that kills its renderer would kill the next worker too, and the one after it."""
    code = "import sys, app.chat.worker, app.chat.title, app.chat.resolution, app.chat.stop; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, timeout=240, capture_output=True, text=True
    )
    renderers = {"app.html.markdown", "app.html.stream", "app.html.offload", "app.chat.rendering", "nh3", "math_core"}
    assert not renderers & set(loaded.stdout.split())


def test_there_is_one_place_that_sends_keys() -> None:
    """Nothing else names a header that signs a request in; what has a key says which origin that key is for.

    `bearer` and `bodies` read those of our own visitors, and `logs` leaves out what a log must not hold.
    """
    header = re.compile(r"[\"'](?:Proxy-)?Authorization[\"']|\bBasicAuth\(|\bauth=\(", re.IGNORECASE)
    writers = {name_of(path) for path in SOURCES if header.search(path.read_text())}
    assert writers == {
        "app/api/bearer.py",
        "app/controllers/bodies.py",
        "app/logs.py",
        "app/providers/authorization.py",
    }
    for path in SOURCES:
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "Account":
                names = {keyword.arg for keyword in call.keywords}
                has_key = "key" in names or len(call.args) > 2
                assert not has_key or "key_origin" in names, f"{name_of(path)}:{call.lineno}"


def test_exceptions_are_named() -> None:
    """`except Exception` stands at the top of a generation; the last-resort answer is registered, not caught."""
    found = {name_of(path) for path in SOURCES if re.search(r"except (Exception|BaseException)?:", path.read_text())}
    broad = {
        name_of(path)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "Exception")
    }
    assert broad == {"app/chat/generation.py"}
    assert found >= broad


@pytest.mark.parametrize("name", Settings.__struct_fields__)
def test_every_setting_is_explained(name: str) -> None:
    assert len(help_of(name)) > 20
    assert environment_name(name).isupper()
    assert environment_name(name) in (ROOT / ".env.example").read_text()


def test_every_element_that_htmx_moves_carries_the_nonce() -> None:
    """hx-csp strips `hx-*` from elements without it: a control that lacks it is dead."""
    wrong: list[str] = []
    for path in TEMPLATES:
        tags = re.findall(r"<[a-z][^<>]*?\bhx-[a-z][^<>]*>", path.read_text().replace("{%", "").replace("%}", ""))
        bare = [tag for tag in tags if not tag.startswith("<hx-partial") and "hx-nonce" not in tag]
        wrong += [f"{name_of(path)}: {tag[:80]}" for tag in bare]
    assert not wrong


def test_every_sentence_goes_through_gettext() -> None:
    """Errors, endings, faults of fields: what a person reads stands in `_()` or `ngettext()`, or comes from elsewhere.

    The console speaks to operators, in English.
    """
    errors = error_classes()
    assert {"AppError", "NotFound", "Unreachable", "NoOwnerYet"} <= errors
    wrong = [
        f"{name_of(path)}:{sentence.lineno}: {ast.unparse(sentence)}"
        for path in SOURCES
        if path.parent.name != "cli"
        for node in ast.walk(ast.parse(path.read_text()))
        for sentence in sentences_of(node, errors)
        if is_bare(sentence)
    ]
    assert not wrong


def test_sentences_are_looked_up_when_they_are_said() -> None:
    """`_()` outside of functions would keep the language of the import; an f-string in it could not be gathered."""
    wrong: list[str] = []
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        late = {id(node) for function in functions for line in function.body for node in ast.walk(line)}
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call) and is_translation(node)):
            is_plain = isinstance(call.args[0], ast.Constant) or name_of(path) in (
                "app/words.py",
                "app/html/filters.py",
            )
            wrong += [] if is_plain and id(call) in late else [f"{name_of(path)}:{call.lineno}"]
    assert not wrong


def test_sentences_stand_outside_of_f_strings() -> None:
    """Within one they are not gathered for translators before Python 3.12."""
    wrong = [
        f"{name_of(path)}:{call.lineno}"
        for path in SOURCES
        for text in ast.walk(ast.parse(path.read_text()))
        if isinstance(text, ast.JoinedStr)
        for call in ast.walk(text)
        if isinstance(call, ast.Call) and is_translation(call)
    ]
    assert not wrong


def test_one_module_knows_which_language_is_spoken() -> None:
    """The standard gettext would answer in the language of the process, whoever asks."""
    imports = re.compile(r"^\s*(from gettext import|import gettext)", re.MULTILINE)
    assert [name_of(path) for path in SOURCES if imports.search(path.read_text())] == ["app/words.py"]


def test_what_the_app_says_can_be_gathered_for_translators(tmp_path: pathlib.Path) -> None:
    arguments = ["--mapping=babel.cfg", f"--output={tmp_path / 'messages.pot'}", "."]
    command = [sys.executable, "-m", "babel.messages.frontend", "--quiet", "extract", *arguments]
    subprocess.run(command, cwd=ROOT, check=True, timeout=240)
    with (tmp_path / "messages.pot").open("rb") as file:
        gathered = {message.id for message in pofile.read_po(file)}
    assert {
        "You stopped this answer.",
        ("%(num)s model", "%(num)s models"),
        "There is no such thread.",
        "%(name)s did not accept the key%(because)s",
        "The answer was interrupted: the process that wrote it, or the model server, went away.",
        "Your password is changed. Every other sign-in of yours was ended.",
    } <= gathered


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b|#.*\bfor now\b")
    assert not [name_of(path) for path in (*SOURCES, *TEMPLATES) if marks.search(path.read_text())]


def error_classes() -> set[str]:
    """The names of AppError, ProviderError and all that inherit from them."""
    nodes = [node for path in SOURCES for node in ast.walk(ast.parse(path.read_text()))]
    parents = {node.name: set(map(ast.unparse, node.bases)) for node in nodes if isinstance(node, ast.ClassDef)}
    names = {"AppError", "ProviderError"}
    while more := {name for name, above in parents.items() if above & names} - names:
        names |= more
    return names


def sentences_of(node: ast.AST, errors: set[str]) -> list[ast.expr]:
    """Where a sentence for a person stands: what an error, an end or a fault is given, and what is kept to be given."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            place = 0 if name in errors else {"fail": 1, "cut": 1, "wrong": 2}.get(name, len(node.args))
            named = [keyword.value for keyword in node.keywords if keyword.arg == "sentence"]
            return [*node.args[place : place + 1], *named]
        case ast.Assign(targets=[ast.Name(id="sentence") | ast.Subscript(value=ast.Name(id="errors"))]):
            return [node.value]
        case ast.FunctionDef(name=name) if name.endswith(("fault", "sentence", "expected")):
            return [line.value for line in ast.walk(node) if isinstance(line, ast.Return) and line.value]
        case _:
            return []


def is_bare(node: ast.expr) -> bool:
    """Whether words stand in an expression outside of `_()`."""
    match node:
        case ast.Constant(value=str(text)):
            return any(letter.isalpha() for letter in text)
        case ast.JoinedStr(values=pieces) | ast.BoolOp(values=pieces):
            return any(is_bare(piece) for piece in pieces)
        case ast.IfExp(body=first, orelse=second) | ast.BinOp(left=first, op=ast.Add(), right=second):
            return is_bare(first) or is_bare(second)
        case ast.BinOp(left=template, op=ast.Mod()) | ast.Call(func=ast.Attribute(value=template)):
            return is_bare(template)
        case _:
            return False


def is_translation(call: ast.Call) -> bool:
    return ast.unparse(call.func) in ("_", "ngettext", "gettext", "words.gettext", "words.ngettext")


def test_events_of_the_log_are_words_joined_by_underscores() -> None:
    calls = re.compile(r"\blog\.(?:debug|info|warning|error|exception)\(\s*f?[\"']([^\"']*)")
    events = [event for path in SOURCES for event in calls.findall(path.read_text())]
    assert len(events) > 40
    assert [event for event in events if not re.fullmatch(r"[a-z]+(_[a-z]+)+", event)] == []
