"""The language of slash-prompts: what is read, what is refused with which sentence, and what is filled in."""

import pytest

from app.chat.slash import MOST_TEXT_CHARS, MOST_VARIABLES, Variable, fill, read_slash_text
from app.errors import Invalid
from app.parts import clean
from tests.corpora.unicode import TEXTS
from tests.corpora.xss import PAYLOADS


def test_a_text_without_variables_stays_what_it_is() -> None:
    for text in ("Hello", "a } b { c }} d", '{"a": {"b": {"c": 1}}}', "100 % %s %(x)s {0} ${x}"):
        read = read_slash_text(text)
        assert read.variables == ()
        assert fill(read, {}) == (text, {})


def test_every_kind_of_variable_is_read() -> None:
    text = "{{name}} {{ body : long }} {{count:number=3}} {{tone:choice=formal | casual|formal}} {{day:date}} {{note=}}"
    assert read_slash_text(text).variables == (
        Variable("name"),
        Variable("body", "long"),
        Variable("count", "number", "3"),
        Variable("tone", "choice", "formal", choices=("formal", "casual")),
        Variable("day", "date"),
        Variable("note", "text", "", is_optional=True),
    )


def test_variables_are_filled_in_wherever_they_stand() -> None:
    read = read_slash_text("Dear {{name}},\n{{body:long}}\nYours, {{name}} ({{name}})")
    values = {"name": " Ann ", "body": "One.\r\nTwo.", "other": "ignored"}
    assert fill(read, values) == ("Dear Ann,\nOne.\nTwo.\nYours, Ann (Ann)", {})


def test_a_value_is_never_looked_into() -> None:
    read = read_slash_text("{{a}} {{b}}")
    hostile = "{{b}} {0.__class__} ${HOME} %(b)s {{ 7*7 }} \\1 \\g<0>"
    assert fill(read, {"a": hostile, "b": "B"}) == (f"{hostile} B", {})


@pytest.mark.parametrize("payload", PAYLOADS)
def test_attacks_are_text(payload: str) -> None:
    filled, errors = fill(read_slash_text("{{a:long}}"), {"a": payload})
    assert errors == {}
    assert filled == clean(payload.replace("\r\n", "\n")).strip()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Hello {{name", "“{{name” is opened and not closed"),
        ("{{a}} {{b} {{c", "“{{b} {{c” is opened and not closed"),
        ("{{", "“{{” is opened and not closed"),
        ("{{}}", "“” is no name of a variable"),
        ("{{ }}", "is no name of a variable"),
        ("{{{name}}}", "“{name” is no name of a variable"),
        ("{{first name}}", "is no name of a variable"),
        ("{{__class__}}", "is no name of a variable"),
        ("{{name.upper()}}", "is no name of a variable"),
        ("{{1st}}", "is no name of a variable"),
        ("{{" + "x" * 41 + "}}", "is no name of a variable"),
        ("{{<script>alert(1)</script>}}", "is no name of a variable"),
        ("{{name:password}}", "“password” is no kind of variable. There are: text, long, number, date, choice."),
        ("{{name:}}", "“” is no kind of variable"),
        ("{{name:TEXT}}", "is no kind of variable"),
        ("{{count:number=many}}", "This is not a number."),
        ("{{count:number=1e9}}", "This is not a number."),
        ("{{day:date=2026-02-30}}", "This is not a day"),
        ("{{day:date=tomorrow}}", "This is not a day"),
        ("{{tone:choice}}", "needs 2 to 50 choices"),
        ("{{tone:choice=}}", "needs 2 to 50 choices"),
        ("{{tone:choice=one|one|}}", "needs 2 to 50 choices"),
        ("{{tone:choice=" + "|".join(map(str, range(51))) + "}}", "needs 2 to 50 choices"),
        ("{{a}} {{a:number}}", "“a” stands here twice"),
        ("{{a:number=1}} {{a:number=2}}", "“a” stands here twice"),
        ("".join(f"{{{{v{n}}}}}" for n in range(MOST_VARIABLES + 1)), "At most 20 variables."),
        ("x" * (MOST_TEXT_CHARS + 1), "At most 50,000 characters."),
        ("{{" * 20_000, "is opened and not closed"),
    ],
)
def test_what_is_no_language_is_said(text: str, sentence: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_slash_text(text)
    assert sentence in caught.value.sentence
    assert caught.value.field == "text"
    assert len(caught.value.sentence) < 250


def test_a_variable_may_be_named_again_without_being_described_again() -> None:
    read = read_slash_text("{{n:number=3}} and {{n}} and {{n:number=3}}")
    assert read.variables == (Variable("n", "number", "3"),)
    assert fill(read, {"n": "5"}) == ("5 and 5 and 5", {})


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("a", "", "Please fill this in."),
        ("a", "  ", "Please fill this in."),
        ("a", "one\ntwo", "One line is enough here."),
        ("a:long", "x" * 100_001, "At most 100,000 characters."),
        ("a:number", "many", "This is not a number."),
        ("a:number", "٣", "This is not a number."),
        ("a:number", "1" * 31, "This is not a number."),
        ("a:date", "2026-02-30", "This is not a day"),
        ("a:date", "20260314", "This is not a day"),
        ("a:date", "2026-03-14T00:00", "This is not a day"),
        ("a:choice=x|y", "z", "Choose one of what is offered."),
        ("a:choice=x|y", "", "Please fill this in."),
    ],
)
def test_a_value_of_the_wrong_kind_is_said_and_nothing_is_filled(variable: str, value: str, sentence: str) -> None:
    text, errors = fill(read_slash_text(f"{{{{{variable}}}}} {{{{b}}}}"), {"a": value, "b": "B"})
    assert text == ""
    assert list(errors) == ["a"]
    assert sentence in errors["a"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("a=", ""), ("a:long=", ""), ("a:number=", ""), ("a:date=", ""), ("a:number", "-1,5"), ("a:number", "+2.50"),
        ("a:date", "2026-03-14"), ("a:choice=x|y", "y"), ("Straße", "x"), ("имя", "x"),
    ],
)  # fmt: skip
def test_a_value_of_its_kind_is_taken(variable: str, value: str) -> None:
    read = read_slash_text(f"<{{{{{variable}}}}}>")
    assert fill(read, {read.variables[0].name: value}) == (f"<{value}>", {})


def test_broken_unicode_is_put_right_and_names_are_composed() -> None:
    assert read_slash_text("{{cafe\u0301}}").variables[0].name == "caf\u00e9"
    for text in TEXTS.values():
        filled, _errors = fill(read_slash_text("{{a:long=}}"), {"a": text})
        filled.encode()
        assert "\x00" not in filled
