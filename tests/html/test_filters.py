"""What templates say about values."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import jinja2
import pytest

from app import words
from app.html.filters import browser, dom_id, icon, in_bytes, in_seconds, install, number, short_id, when

IDENTIFIER = uuid.UUID("01960000-0000-7000-8000-abcdef123456")


class Message:
    id = IDENTIFIER


def test_an_element_is_named_after_its_row() -> None:
    assert dom_id(Message()) == f"message-{IDENTIFIER}"
    assert dom_id(Message(), "tools") == f"message-{IDENTIFIER}-tools"


def test_what_streams_has_short_names() -> None:
    assert dom_id(Message(), "body") == "b-abcdef123456"
    assert dom_id(Message(), "tail") == "t-abcdef123456"
    assert short_id(IDENTIFIER) == "abcdef123456"


def test_a_time_is_sent_in_utc() -> None:
    moment = datetime(2026, 3, 14, 9, 26, 53, tzinfo=timezone(timedelta(hours=5)))
    assert when(moment) == '<time datetime="2026-03-14T04:26:53Z">2026-03-14 04:26 UTC</time>'
    assert when(moment) == when(moment.astimezone(UTC))


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (999, "999"), (1234567, "1,234,567"), (43.52, "43.5"), (7.0, "7"), (-1500, "-1,500")]
)
def test_a_number_is_grouped(value: float, shown: str) -> None:
    assert number(value).striptags() == shown


def test_a_number_keeps_its_value_for_the_readers_own_notation() -> None:
    assert number(1234) == '<data value="1234" data-as="number">1,234</data>'


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (512_000, "512 kB"),
        (999_600, "1 MB"),
        (4_700_000_000, "4.7 GB"),
        (2_000_000_000_000_000, "2000 TB"),
    ],
)
def test_a_size_is_given_as_models_are_advertised(size: int, shown: str) -> None:
    assert in_bytes(size).striptags() == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (0, "0 ms"),
        (80, "80 ms"),
        (310, "0.3 s"),
        (1234, "1.2 s"),
        (45_400, "45 s"),
        (125_000, "2 min 5 s"),
        (59_999, "1 min 0 s"),
    ],
)
def test_a_duration_is_as_exact_as_it_is_short(milliseconds: float, shown: str) -> None:
    assert in_seconds(milliseconds).striptags() == shown


def test_an_icon_says_nothing_to_screen_readers() -> None:
    assert icon("plus", "/static/icons.svg") == (
        '<svg class="icon" aria-hidden="true"><use href="/static/icons.svg#plus"/></svg>'
    )


@pytest.fixture
def environment() -> jinja2.Environment:
    made = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    install(made, lambda name: f"/static/{name}?v=1")
    return made


def draw(environment: jinja2.Environment, source: str, **context: object) -> str:
    return environment.from_string(source).render(**context)


def test_templates_know_the_filters_and_icons(environment: jinja2.Environment) -> None:
    assert draw(environment, "{{ m | dom_id('tail') }} {{ n | bytes }}", m=Message(), n=1000) == (
        't-abcdef123456 <data value="1000" data-as="bytes">1\u202fkB</data>'
    )
    assert '<use href="/static/vendor/icons.svg?v=1#copy"/>' in draw(environment, "{{ icon('copy') }}")


def test_what_is_put_into_a_translated_sentence_is_escaped(environment: jinja2.Environment) -> None:
    source = "{{ _('Waiting for %(model)s', model=name) }}"
    assert draw(environment, source, name="<b>") == "Waiting for &lt;b&gt;"


def test_a_percent_sign_in_a_name_is_no_placeholder(environment: jinja2.Environment) -> None:
    assert draw(environment, "{{ _('Delete “%(title)s”?', title=title) }}", title="100 %s") == "Delete “100 %s”?"


def test_a_sentence_that_was_said_before_is_said_in_another_language(environment: jinja2.Environment) -> None:
    source = "{{ language() }} {{ _('Send') }} {{ _('Deactivate %(name)s?', name=name) }}"
    for _ in range(2):
        assert draw(environment, source, name="<b>") == "en Send Deactivate &lt;b&gt;?"
        with words.speaking("de"):
            assert draw(environment, source, name="<b>") == "de Senden &lt;b&gt; sperren?"


@pytest.mark.parametrize(("count", "shown"), [(1, "1 model"), (2, "2 models"), (0, "0 models")])
def test_plurals_follow_the_count(environment: jinja2.Environment, count: int, shown: str) -> None:
    assert draw(environment, "{{ ngettext('%(num)s model', '%(num)s models', count) }}", count=count) == shown


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/150.0 Safari/537.36 Edg/150.0", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1", "Safari on iPhone"),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/150.0 Safari/537.36",
            "Chrome on macOS",
        ),
        ("something else", "something else"),
        ("", ""),
    ],
)
def test_a_browser_is_named_in_words(user_agent: str, words: str) -> None:
    assert browser(user_agent) == words
