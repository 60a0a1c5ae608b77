"""The words of the app: which language is spoken, and what its translations are made of."""

import asyncio
import gettext
import io
import re

import pytest
from babel.messages import mofile, pofile
from babel.messages.catalog import Catalog, Message

from app import words
from app.paths import folder

SHIPPED = [language for language in words.languages() if language != words.SOURCE]
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd%]|\{\w*\}")


@pytest.fixture(params=SHIPPED)
def catalog(request: pytest.FixtureRequest) -> Catalog:
    """One shipped language."""
    with (folder("locale") / request.param / "LC_MESSAGES" / "parley.po").open("rb") as file:
        return pofile.read_po(file, locale=request.param, abort_invalid=True)


def messages_of(catalog: Catalog) -> list[Message]:
    return [message for message in catalog if message.id]


def forms_of(text: str | tuple[str, ...] | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text)


def test_german_is_shipped() -> None:
    assert "de" in SHIPPED
    assert [words.own_name(language) for language in ("en", "de")] == ["English", "Deutsch"]


def test_a_translation_has_the_same_placeholders(catalog: Catalog) -> None:
    wrong: list[object] = []
    for message in messages_of(catalog):
        source, translated = forms_of(message.id), forms_of(message.string)
        if not any(translated):
            continue
        for form, text in enumerate(translated):
            wanted, found = (sorted(PLACEHOLDER.findall(one)) for one in (source[min(form, len(source) - 1)], text))
            # “1 model” may be said without its number.
            is_singular = form == 0 and len(source) > 1 and set(found) <= set(wanted)
            wrong += [] if wanted == found or is_singular else [(message.id, text)]
    assert not wrong


def test_what_is_read_was_made_from_what_translators_write(catalog: Catalog) -> None:
    """`make translations` makes it."""
    made = io.BytesIO()
    mofile.write_mo(made, catalog)
    made.seek(0)
    place = folder("locale") / str(catalog.locale) / "LC_MESSAGES" / "parley.mo"
    with place.open("rb") as file:
        shipped = gettext.GNUTranslations(file)
    assert _entries(shipped) == _entries(gettext.GNUTranslations(made))


def test_how_much_is_translated_is_said(catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    messages = messages_of(catalog)
    done = [message for message in messages if all(forms_of(message.string)) and not message.fuzzy]
    with capsys.disabled():
        print(f"\n{catalog.locale}: {len(done)} of {len(messages)} sentences are translated.")
    assert done


def test_a_sentence_is_said_in_the_language_that_is_spoken() -> None:
    assert words.gettext("Send") == "Send"
    with words.speaking("de"):
        assert words.language() == "de"
        assert words.gettext("Send") == "Senden"
        assert words.gettext("Nobody has ever said this.") == "Nobody has ever said this."
        assert words.ngettext("%(num)s dog", "%(num)s dogs", 1) == "%(num)s dog"
        assert words.ngettext("%(num)s dog", "%(num)s dogs", 2) == "%(num)s dogs"
    assert words.language() == "en"


async def test_two_requests_speak_each_their_own() -> None:
    async def say(language: str) -> list[str]:
        words.speak(language)
        said = []
        for _ in range(3):
            await asyncio.sleep(0)
            said.append(words.gettext("Send"))
        return said

    assert await asyncio.gather(say("de"), say("en")) == [["Senden"] * 3, ["Send"] * 3]


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        ("", "", "en"),
        ("", "de", "de"),
        ("", "de-AT,de;q=0.9,en;q=0.8", "de"),
        ("", "en-GB,en;q=0.9,de;q=0.8", "en"),
        ("", "en;q=0.5,de;q=0.9", "de"),
        ("", "xx-YY,de;q=0.3", "de"),
        ("", "de;q=0", "en"),
        ("", "DE-de", "de"),
        ("", "*", "en"),
        ("", "de;q=high", "en"),
        ("", ";;;,,,=,q=,de;q=-1,de;q=nan", "en"),
        ("", "x" * 100_000, "en"),
        ("", "\xff\xfe../../etc/passwd", "en"),
        ("de", "en", "de"),
        ("en", "de", "en"),
        ("../../../tmp", "de", "de"),
        ("xx", "", "en"),
    ],
)
def test_the_language_is_the_one_chosen_or_the_best_that_the_browser_takes(
    chosen: str, accepted: str, language: str
) -> None:
    assert words.choose(chosen, accepted) == language


def _entries(translations: gettext.GNUTranslations) -> dict[object, str]:
    entries: dict[object, str] = dict(translations._catalog)  # type: ignore[attr-defined]
    entries.pop("", None)
    return entries


def test_one_thing_has_one_german_name() -> None:
    with (folder("locale") / "de" / "LC_MESSAGES" / "parley.po").open("rb") as file:
        catalog = pofile.read_po(file, locale="de")
    said = "\n".join(text for message in messages_of(catalog) for text in forms_of(message.string))
    assert "System-Prompt" in said
    assert re.findall(r"Systemprompt|[Vv]erträglich|\b(?:Million|in) Token\b|%\(\w+\)s Token\b|Token/s", said) == []
