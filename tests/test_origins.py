"""One origin has many spellings, and no other origin has any of them; what is shown of an address has no secret in it."""

import pytest

from app.origins import hides_path, origin_of, shown_url
from app.server_url import url_fault

SAME = {
    "https://api.example.org": [
        "https://api.example.org/v1", "HTTPS://API.example.ORG:443/", "https://api.example.org./v1?x=1#y",
        "https://ann:word@api.example.org", "https://api.example.org:0443/v1",
    ],
    "http://127.0.0.1": ["http://127.0.0.1:80/v1", "http://127.1", "http://0x7f.0.0.1/", "http://2130706433", "http://127.0.0.1."],
    "http://[::1]:8080": ["http://[::1]:8080/v1", "http://[0:0:0:0:0:0:0:1]:8080", "http://[0000::0001]:8080"],
    "https://xn--bcher-kva.example": ["https://bücher.example", "https://BÜCHER.example:443/v1", "https://xn--bcher-kva.example."],
}  # fmt: skip

OTHERS = [
    "https://api.example.org", "http://api.example.org", "https://api.example.org:80", "https://api.example.org:8443",
    "https://example.org", "https://api.example.org.evil.test", "https://xn--api-example-org.test", "https://api-example.org",
    "https://аpi.example.org", "http://127.0.0.1", "http://localhost", "http://[::1]", "http://[::ffff:127.0.0.1]",
]  # fmt: skip

NONE = [
    "", "api.example.org", "//api.example.org", "ftp://api.example.org", "https://", "https://[", "http://[::1", "https://:443",
    "https://api.example.org:99999", "https://api.example.org:0", "https://a b", "https://..", "https://api.example.org..",
    "https://1.2.3.4.5", "http://0x", "https://api.example.org\\@evil.test", "https://a\nb", "https://a%2eb", "mailto:a@b",
]  # fmt: skip


@pytest.mark.parametrize("origin", SAME)
def test_every_spelling_of_an_origin_is_that_origin(origin: str) -> None:
    assert origin_of(origin) == origin
    assert {url: origin_of(url) for url in SAME[origin]} == dict.fromkeys(SAME[origin], origin)


def test_other_schemes_hosts_and_ports_are_other_origins() -> None:
    found = [origin_of(url) for url in OTHERS]
    assert len(set(found)) == len(OTHERS)
    assert all(found)


@pytest.mark.parametrize("url", NONE)
def test_what_is_no_address_has_no_origin(url: str) -> None:
    assert origin_of(url) == ""
    assert url_fault(url), "a key could be stored for no origin"


def test_every_spelling_of_an_origin_can_be_typed() -> None:
    spellings = [url for urls in SAME.values() for url in urls if not {"@", "?", "#"} & set(url)]
    assert [url for url in spellings if url_fault(url)] == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://api.openai.com/v1", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("https://gate.example/team-4711/v1", "https://gate.example/•••/v1"),
        ("https://gate.example/V1", "https://gate.example/•••"),
        ("https://gate.example/v12345", "https://gate.example/•••"),
        ("https://gate.example/v1;token=x", "https://gate.example/•••"),
        ("https://gate.example/%76%31", "https://gate.example/v1"),
        ("https://gate.example/v1?key=word", "https://gate.example/v1?•••"),
        ("https://ann:word@gate.example/v1", "https://gate.example/v1"),
        ("https://gate.example/v1#word", "https://gate.example/v1"),
        ("nonsense with a word", "•••"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_may_be_a_secret_in_an_address_is_not_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("url", "hides"),
    [
        ("https://gate.example/v1", False),
        ("https://gate.example/team-4711/v1", True),
        ("https://gate.example/v1?key=word", True),
        ("https://ann:word@gate.example/v1", True),
        ("https://ann@gate.example/v1", True),
        ("nonsense with a word", True),
        ("", False),
    ],
)
def test_an_address_that_is_not_shown_whole_is_known_to_hide_something(url: str, hides: bool) -> None:
    assert hides_path(url) is hides
