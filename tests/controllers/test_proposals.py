"""An address that is nearly right, or the kind that is wrong: the right one is proposed, and one click takes it."""

import asyncio
import html
import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.accounts import accounts
from tests.authorities import Authority
from tests.controllers.test_providers import HTMX, beside, connected, form_of
from tests.people import Browser
from tests.scripted import ANTHROPIC, GEMINI, OLLAMA, OPENAI, Dialect, ScriptedServer
from tests.scripted.steps import Script, whole

NOTHING = whole(b"404 page not found", 404, "text/plain")
DIALECTS = {dialect.kind: dialect for dialect in (OPENAI, ANTHROPIC, GEMINI, OLLAMA)}


def lists(dialect: Dialect, name: str = "lantern-7b") -> Script:
    """The list of this dialect, whoever asks for it."""
    entries = {
        "openai": {"object": "list", "data": [{"id": name, "object": "model"}]},
        "anthropic": {"data": [{"type": "model", "id": name}], "has_more": False},
        "gemini": {"models": [{"name": f"models/{name}", "supportedGenerationMethods": ["generateContent"]}]},
        "ollama": {"models": [{"name": name, "digest": "d"}]},
    }
    return whole(json.dumps(entries[dialect.kind]).encode())


def speak_only(server: ScriptedServer, dialect: Dialect) -> None:
    """From now on it speaks one protocol, and has nothing at the paths of the others."""
    paths = [path for each in DIALECTS.values() for path in (each.listing_path, each.chat_path)]
    server.answers |= dict.fromkeys([*paths, "/v1beta/models/parley:generateContent", "/v1/responses"], NOTHING)
    del server.answers[dialect.chat_path]
    server.answers[dialect.listing_path] = lists(dialect)


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with ScriptedServer(["lantern-7b"]) as running:
        yield running


def proposed(answer: httpx.Response) -> str:
    """What the button sends; '' if there is none."""
    found = re.search(r'<button class="proposal" name="proposal" value="([^"]*)"', answer.text)
    return html.unescape(found[1]) if found else ""


async def rows() -> list[tuple[str, str]]:
    return [(row["kind"], row["base_url"]) for row in await accounts("WHERE kind <> 'llamacpp'")]


PASTED = [
    ("openai", OPENAI, "/v1/chat/completions", "/v1"),
    ("openai", OPENAI, "/v1/models", "/v1"),
    ("openai", OPENAI, "/v1/responses", "/v1"),
    ("openai", OPENAI, "/v1/v1", "/v1"),
    ("openai", OPENAI, "/v1/v1/chat/completions/", "/v1"),
    ("openai", OPENAI, "", "/v1"),
    ("openai", OPENAI, "/?x=1", "/v1"),
    ("openai", OPENAI, "/#/chat", "/v1"),
    ("openai", OPENAI, "/v1beta", "/v1"),
    ("anthropic", ANTHROPIC, "/v1/messages", ""),
    ("anthropic", ANTHROPIC, "/v1/v1", "/v1"),
    ("gemini", GEMINI, "/v1beta/models/x:generateContent", "/v1beta"),
    ("gemini", GEMINI, "", "/v1beta"),
    ("gemini", GEMINI, "/v1beta/v1beta", "/v1beta"),
    ("ollama", OLLAMA, "/api/chat", ""),
    ("ollama", OLLAMA, "/api/generate", ""),
    ("ollama", OLLAMA, "/api", ""),
    ("ollama", OLLAMA, "/v1", ""),
]


@pytest.mark.parametrize(("kind", "dialect", "typed", "meant"), PASTED, ids=[f"{one[0]} {one[2]}" for one in PASTED])
async def test_what_was_pasted_is_put_right_with_one_click(
    olive: Browser, server: ScriptedServer, kind: str, dialect: Dialect, typed: str, meant: str
) -> None:
    speak_only(server, dialect)
    form = form_of(server.url + typed, kind=kind)
    answer = await olive.post("/providers", data=form)
    assert (answer.status_code, bool(beside(answer, "base_url"))) == (422, True)
    assert proposed(answer) == f"{kind} {server.url}{meant}"
    assert beside(answer, "base_url").endswith(f" Did you mean {server.url}{meant}?")
    assert beside(answer, "base_url").count("Did you mean") == 1
    assert await rows() == []
    taken = await olive.post("/providers", data=form | {"proposal": proposed(answer)})
    assert taken.status_code == 303, beside(taken, "base_url")
    assert await rows() == [(kind, server.url + meant)]


@pytest.mark.parametrize("typed", ["/v1", "/v1/", "/v1//", "/v1#", "/v1/#", "/v1?", " /v1 "])
async def test_what_means_nothing_at_the_end_is_taken_off_without_a_word(
    olive: Browser, server: ScriptedServer, typed: str
) -> None:
    url = f" {server.url}{typed.strip()} " if typed.startswith(" ") else server.url + typed
    assert (await olive.post("/providers", data=form_of(url))).status_code == 303
    assert await rows() == [("openai", f"{server.url}/v1")]


async def test_an_address_without_a_scheme_is_completed(olive: Browser, server: ScriptedServer) -> None:
    bare = server.url.removeprefix("http://")
    for kind, typed, meant in (("openai", f"{bare}/v1", "/v1"), ("ollama", bare, ""), ("openai", bare, "/v1")):
        speak_only(server, DIALECTS[kind])
        answer = await olive.post("/providers", data=form_of(typed, kind=kind))
        assert "An address begins with http" in beside(answer, "base_url")
        assert proposed(answer) == f"{kind} {server.url}{meant}"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("harbour.invalid", "https://harbour.invalid"),
        ("https://https://harbour.invalid/v1", "https://harbour.invalid/v1"),
        ("http:/localhost:9/v1", "http://localhost:9/v1"),
        ("harbour.invalid/v1/chat/completions", "https://harbour.invalid/v1"),
        ("localhost:9", "http://localhost:9"),
        ("http://127.0.0.1:9/v1/chat/completions", "http://127.0.0.1:9/v1"),
        ("http://127.0.0.1:9/v1/v1", "http://127.0.0.1:9/v1"),
    ],
)
async def test_what_is_no_base_url_by_its_form_is_put_right_though_nobody_answers(
    olive: Browser, typed: str, meant: str
) -> None:
    answer = await olive.post("/providers", data=form_of(typed))
    assert (answer.status_code, proposed(answer)) == (422, f"openai {meant}")
    # What is left is a server that is away: it is connected, and looked at later.
    assert (await olive.post("/providers", data=form_of(typed, proposal=proposed(answer)))).status_code == 303
    assert await rows() == [("openai", meant)]


@pytest.mark.parametrize("spoken", DIALECTS)
@pytest.mark.parametrize("chosen", DIALECTS)
async def test_the_kind_that_is_spoken_is_found_out(
    olive: Browser, server: ScriptedServer, chosen: str, spoken: str
) -> None:
    speak_only(server, DIALECTS[spoken])
    form = form_of(server.url_for(DIALECTS[chosen]), kind=chosen)
    tested = await olive.post("/providers/test", data=form, headers=HTMX)
    if chosen == spoken:
        assert ("1 model" in tested.text, proposed(tested)) == (True, "")
        return
    kind, _space, url = proposed(tested).partition(" ")
    assert (kind, url.startswith(server.url)) == (spoken, True)
    again = await olive.post("/providers/test", data=form | {"proposal": proposed(tested)}, headers=HTMX)
    assert ("1 model" in again.text, proposed(again)) == (True, "")
    assert f'<option value="{spoken}" selected>' in again.text
    assert f'value="{url}"' in again.text
    assert await rows() == []


@pytest.mark.parametrize("answer", [b'{"data": [{"id": "a"}]}', b'[{"id": "a"}]', b'["a"]'], ids=bytes.decode)
@pytest.mark.parametrize(("chosen", "spoken"), [("anthropic", "openai"), ("openai", "anthropic")])
async def test_the_kind_is_found_out_though_the_list_could_be_either_s(
    olive: Browser, server: ScriptedServer, chosen: str, spoken: str, answer: bytes
) -> None:
    speak_only(server, DIALECTS[spoken])
    server.answers["/v1/models"] = whole(answer)
    found = await olive.post("/providers/test", data=form_of(f"{server.url}/v1", kind=chosen), headers=HTMX)
    assert "This server lists models but does not accept" in beside(found, "kind")
    assert proposed(found).startswith(f"{spoken} {server.url}")


async def test_a_server_that_speaks_both_is_what_was_chosen(olive: Browser, server: ScriptedServer) -> None:
    server.answers["/v1/models"] = lists(OPENAI)  # llama.cpp answers Anthropic's questions, and lists as OpenAI does
    await connected(olive, server.url, kind="anthropic")
    assert await rows() == [("anthropic", server.url)]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_in_the_wrong_header_gives_the_kind_away(
    olive: Browser, server: ScriptedServer, status: int
) -> None:
    """Kind Anthropic sends x-api-key; a server of OpenAI's protocol sees no key at all."""
    async with Bearers(["lantern-7b"], "sk-lantern", status) as strict:
        form = form_of(strict.url, kind="anthropic", key="sk-lantern")
        answer = await olive.post("/providers", data=form)
        assert "did not accept the key" in beside(answer, "key")
        assert proposed(answer) == f"openai {strict.url}/v1"
        assert "sk-lantern" not in answer.text
        assert (await olive.post("/providers", data=form | {"proposal": proposed(answer)})).status_code == 303
        assert await rows() == [("openai", f"{strict.url}/v1")]


class Bearers(ScriptedServer):
    """Speaks OpenAI's protocol alone, with who brings the right key."""

    def __init__(self, models: list[str], key: str, status: int) -> None:
        super().__init__(models)
        speak_only(self, OPENAI)
        self._bearer, self._status = f"Bearer {key}", status

    def _answer_to(self, request: object) -> Script:
        headers = getattr(request, "headers", {})
        if headers.get("authorization") != self._bearer:
            return whole(OPENAI.error_body("who are you"), self._status)
        return super()._answer_to(request)  # type: ignore[arg-type]


async def test_a_list_without_models_is_believed(olive: Browser, server: ScriptedServer) -> None:
    speak_only(server, OPENAI)
    server.answers["/v1/models"] = whole(b'{"data": []}')
    await connected(olive, f"{server.url}/v1")


@pytest.mark.parametrize("failure", [whole(b"busy", 503), whole(b"slow down", 429)], ids=["503", "429"])
async def test_a_server_that_is_busy_says_nothing_about_its_address(
    olive: Browser, server: ScriptedServer, failure: Script
) -> None:
    server.answers["/v1/models"] = failure
    await connected(olive, f"{server.url}/v1")
    assert [asked.path for asked in server.requests] == ["/v1/models"]


async def test_where_nothing_answers_nothing_is_proposed(olive: Browser, server: ScriptedServer) -> None:
    speak_only(server, OPENAI)
    server.answers["/v1/models"] = NOTHING
    server.answers["/v1/chat/completions"] = NOTHING
    answer = await olive.post("/providers", data=form_of(f"{server.url}/v1"))
    assert ("has nothing at this address" in beside(answer, "base_url"), proposed(answer)) == (True, "")


async def test_a_change_is_put_right_too_and_stays_of_its_kind(olive: Browser, server: ScriptedServer) -> None:
    provider = await connected(olive, f"{server.url}/v1", key="sk-lantern")
    speak_only(server, OPENAI)
    change = {"name": "Pier", "base_url": f"{server.url}/v1/chat/completions", "key": "", "allows_private": "true"}
    answer = await olive.patch(f"/providers/{provider}", data=change)
    assert (answer.status_code, bool(beside(answer, f"base_url-{provider}"))) == (422, True)
    assert proposed(answer) == f"openai {server.url}/v1"
    assert f'formaction="/providers/{provider}?_method=PATCH"' in answer.text
    taken = await olive.patch(f"/providers/{provider}", data=change | {"proposal": proposed(answer)})
    assert (taken.status_code, await rows()) == (303, [("openai", f"{server.url}/v1")])
    speak_only(server, OLLAMA)
    answer = await olive.patch(f"/providers/{provider}", data=change | {"base_url": f"{server.url}/v2"})
    assert (answer.status_code, proposed(answer)) == (422, "")


@pytest.mark.parametrize(
    ("proposal", "said"),
    [
        ("llamacpp http://127.0.0.1:9", "kind"),
        ("nonsense http://127.0.0.1:9", "kind"),
        ("openai ftp://harbour", "base_url"),
        ("openai http://169.254.169.254/v1", "base_url"),
        ("openai http://10.0.0.1/v1", "base_url"),
        ("openai", ""),
    ],
)
async def test_a_proposal_is_looked_at_like_what_is_typed(
    olive: Browser, server: ScriptedServer, proposal: str, said: str
) -> None:
    form = form_of("https://harbour.invalid/v1", proposal=proposal) | {"allows_private": ""}
    del form["allows_private"]
    answer = await olive.post("/providers/test", data=form)
    assert answer.status_code == 200
    if said:
        assert beside(answer, said)
    assert await rows() == []


async def test_enter_sends_the_form_and_not_the_proposal(olive: Browser, server: ScriptedServer) -> None:
    """A browser takes the first button of a form."""
    speak_only(server, OPENAI)
    answer = await olive.post("/providers", data=form_of(server.url))
    start = answer.text.index('<form method="post" action="/providers" novalidate')
    buttons = re.findall(r"<button[^>]*>", answer.text[start : answer.text.index("</form>", start)])
    assert ['name="proposal"' in button for button in buttons] == [False, False, True]


async def test_a_kind_of_one_service_is_found_out_too_and_never_guessed(olive: Browser, server: ScriptedServer) -> None:
    speak_only(server, OPENAI)
    server.answers["/api/text-generator"] = NOTHING
    form = form_of(f"{server.url}/api", kind="deepai")
    answer = await olive.post("/providers", data=form)
    assert (answer.status_code, proposed(answer)) == (422, f"openai {server.url}/v1")
    del server.answers["/api/text-generator"]
    server.answers |= {"/v1/models": NOTHING, "/v1/chat/completions": NOTHING}
    assert proposed(await olive.post("/providers", data=form_of(f"{server.url}/v1"))) == ""
    assert (await olive.post("/providers", data=form)).status_code == 303
    assert await rows() == [("deepai", f"{server.url}/api")]


async def test_https_is_one_click_away_though_its_certificate_is_not_trusted_yet(olive: Browser) -> None:
    async with ScriptedServer(tls=Authority().server_context()) as server:
        address = server.url.removeprefix("https://")
        form = form_of(f"http://{address}/of-ann/v1")
        answer = await olive.post("/providers", data=form)
        assert beside(answer, "base_url").endswith(f" Did you mean https://{address}/of-ann/v1?")
        assert proposed(answer) == f"openai https://{address}/of-ann/v1"
        assert await rows() == []
        tested = await olive.post("/providers/test", data=form | {"proposal": proposed(answer)}, headers=HTMX)
        assert "this machine does not trust its issuer" in tested.text


async def test_http_is_one_click_away_from_https_where_only_that_is_spoken(olive: Browser) -> None:
    async def welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(welcome, "127.0.0.1", 0) as listener:
        address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        answer = await olive.post("/providers", data=form_of(f"https://{address}/v1"))
    assert proposed(answer) == f"openai http://{address}/v1"


@pytest.mark.parametrize("wants_key", [False, True], ids=["open", "with a key"])
@pytest.mark.parametrize("scheme", ["https://", ""], ids=["https", "no scheme"])
async def test_a_key_goes_in_the_clear_only_once_that_was_accepted(
    olive: Browser, scheme: str, wants_key: bool
) -> None:
    strict = Bearers(["lantern-7b"], "sk-lantern", 401) if wants_key else ScriptedServer(["lantern-7b"])
    async with strict as server:
        form = form_of(scheme + server.url.removeprefix("http://") + "/v1", key="sk-lantern")
        answer = await olive.post("/providers/test", data=form, headers=HTMX)
        assert proposed(answer) == f"openai {server.url}/v1"
        assert server.requests
        assert not any("sk-lantern" in str(asked.headers) for asked in server.requests)
        await olive.post("/providers", data=form | {"proposal": proposed(answer)})
        assert server.requests[-1].headers["authorization"] == "Bearer sk-lantern"
        assert await rows() == [("openai", f"{server.url}/v1")]
