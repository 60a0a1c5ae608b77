"""Where a page stands, in one word that anybody may forge."""

import pytest

from app.chat.cursor import Cursor


@pytest.mark.parametrize("cursor", [Cursor(), Cursor(7), Cursor(7, "a1b2c3", 0), Cursor(7, "a1b2c3", 57)])
def test_a_cursor_is_read_as_it_was_written(cursor: Cursor) -> None:
    assert Cursor.parse(str(cursor)) == cursor


def test_the_id_of_a_frame_stands_at_its_end() -> None:
    assert Cursor.parse("7.a1b2c3.12.57") == Cursor(7, "a1b2c3", 57)


@pytest.mark.parametrize(
    "forged",
    ["", "x", "-1", "7.", "7.a1", "7.A1.5", "7.a1.-5", "7.a1.5.6.7", "9999999999", "7.a1.9999999999", "٧", "7\n8", "7.a1.5\x00"],
)  # fmt: skip
def test_a_forged_cursor_is_a_page_that_shows_nothing(forged: str) -> None:
    assert Cursor.parse(forged) == Cursor()
