"""Options of a thread, as a form gives them."""

import pytest

from app.chat.options import Options, defaults, of_thread, read_options
from app.settings import read


def test_an_empty_form_leaves_everything_to_the_instance() -> None:
    assert read_options({}) == (Options(), {})
    assert read_options({"temperature": " ", "stop": "\r\n"}) == (Options(), {})


def test_values_are_taken_as_people_write_them() -> None:
    options, errors = read_options(
        {
            "system_prompt": "Be brief.\r\nBe kind.", "temperature": "0.7", "top_p": "1", "top_k": "40",
            "repeat_penalty": "1.1", "max_tokens": "200", "context_window": "8192", "stop": "END\r\n\r\nSTOP",
        }
    )  # fmt: skip
    assert errors == {}
    assert options == Options("Be brief.\nBe kind.", 0.7, 1.0, 40, 1.1, 200, 8192, ("END", "STOP"))


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("temperature", "hot", "A number from 0 to 2."),
        ("temperature", "-0.1", "A number from 0 to 2."),
        ("temperature", "nan", "A number from 0 to 2."),
        ("temperature", "1e400", "A number from 0 to 2."),
        ("top_p", "1.01", "A number from 0 to 1."),
        ("top_k", "1.5", "A whole number from 0 to 1,000."),
        ("repeat_penalty", "0", "A number more than 0 to 10."),
        ("max_tokens", "0", "A whole number from 1 to 1,000,000."),
        ("context_window", "10", "A whole number from 256 to 10,000,000."),
        ("stop", "\n".join("abcdefghi"), "At most 8 sequences of at most 200 characters, one per line."),
        ("system_prompt", "x" * 100_001, "At most 100,000 characters."),
    ],
)
def test_what_cannot_be_taken_is_said_beside_its_field(name: str, text: str, sentence: str) -> None:
    options, errors = read_options({name: text, "seed": "1"})
    assert errors == {name: sentence}
    assert options == Options()


@pytest.mark.parametrize(("text", "number"), [("0,7", 0.7), (" 1.5 ", 1.5), ("1", 1.0)])
def test_a_number_may_have_a_comma_or_a_point(text: str, number: float) -> None:
    assert read_options({"temperature": text}) == (Options(temperature=number), {})
    assert read_options({"temperature": "1,000.5"})[1] == {"temperature": "A number from 0 to 2."}
    assert read_options({"top_k": "1,5"})[1] == {"top_k": "A whole number from 0 to 1,000."}


def test_a_reasoning_effort_is_one_of_three() -> None:
    assert read_options({"reasoning_effort": ""}) == (Options(), {})
    assert read_options({"reasoning_effort": "high"}) == (Options(reasoning_effort="high"), {})
    assert read_options({"reasoning_effort": "utmost"})[1] == {"reasoning_effort": "One of: low, medium, high."}


def test_stored_options_come_back() -> None:
    assert of_thread("Be brief.", '{"temperature": 0.5, "stop": ["END"]}') == Options(
        "Be brief.", temperature=0.5, stop=("END",)
    )


def test_the_instance_has_defaults() -> None:
    settings = read({"PARLEY_DEFAULT_TEMPERATURE": "0.2", "PARLEY_DEFAULT_SYSTEM_PROMPT": "Be kind."})
    assert defaults(settings) == Options("Be kind.", temperature=0.2)
