"""Where files are fetched from: every redirect is checked, keys stay at home, and what is no file is said."""

from collections.abc import AsyncIterator, Callable

import httpx
import msgspec
import pytest

from app.providers.errors import AddressRefused
from app.providers.keeping import Pull, Source, SourceRefused
from app.providers.llamacpp import LlamaCpp
from tests.file_server import FileServer
from tests.providers.pulling import files, folder_of, keeper, left_in, pulled, source, tiny, told, web

__all__ = ["files", "keeper", "tiny", "web"]


@pytest.fixture
async def elsewhere(tiny: bytes) -> AsyncIterator[FileServer]:
    """Another server at a private address, which nobody has allowed."""
    async with FileServer(files={"tiny.gguf": tiny}) as server:
        yield server


async def refusal(keeper: LlamaCpp, asked: Source) -> str:
    with pytest.raises(SourceRefused) as refused:
        await keeper.look_up(asked)
    assert refused.value.field == "source"
    assert left_in(keeper) == []
    return refused.value.sentence


ANSWERS: dict[str, tuple[tuple[int, dict[str, str], bytes], str]] = {
    "not there": ((404, {}, b"gone"), "127.0.0.1 has no such file."),
    "gone": ((410, {}, b"gone"), "127.0.0.1 has no such file."),
    "a key is wanted": ((401, {}, b""), "has no such file, or shows it only to who has a key"),
    "forbidden": ((403, {}, b""), "has no such file, or shows it only to who has a key"),
    "a web page": ((200, {"Content-Type": "text/html"}, b"<html>"), "127.0.0.1 sent a web page instead"),
    "nothing": ((200, {}, b""), "The file at 127.0.0.1 is empty."),
    "another format": ((200, {}, b"PK\x03\x04" + bytes(100)), "The file at 127.0.0.1 is no GGUF file."),
    "a web page in disguise": ((200, {}, b"<!doctype html>"), "The file at 127.0.0.1 is no GGUF file."),
    "three letters": ((200, {}, b"GGU"), "The file at 127.0.0.1 is no GGUF file."),
    "compressed": ((200, {"Content-Encoding": "gzip"}, b"GGUF"), "127.0.0.1 sent a compressed file"),
    "a fault of its own": ((500, {}, b""), "127.0.0.1 has a problem of its own."),
    "too often": ((429, {}, b""), "127.0.0.1 asks to slow down."),
    "nowhere": ((302, {}, b""), "redirects to an address that is none"),
    "to a file of this machine": ((302, {"Location": "file:///etc/passwd"}, b""), "redirects to an address that is none"),
    "to nonsense": ((302, {"Location": "http://[::1/"}, b""), "redirects to an address that is none"),
    "to metadata": ((302, {"Location": "http://169.254.169.254/latest"}, b""), "where clouds keep their own secrets"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
async def test_what_cannot_be_pulled_says_why(name: str, keeper: LlamaCpp, files: FileServer) -> None:
    files.answers["/x.gguf"], sentence = ANSWERS[name]
    assert sentence in await refusal(keeper, source(files, "x.gguf"))


async def test_an_empty_file_is_refused_by_servers_with_ranges_too(keeper: LlamaCpp, files: FileServer) -> None:
    files.files["x.gguf"] = b""
    assert await refusal(keeper, source(files, "x.gguf")) == "The file at 127.0.0.1 is empty."


async def test_a_server_that_is_not_there_is_said(keeper: LlamaCpp) -> None:
    assert "could not be reached" in await refusal(keeper, Source("http://127.0.0.1:1/x.gguf", allows_private=True))
    assert "was not found" in await refusal(keeper, Source("https://no-such-server.invalid/x.gguf"))


async def test_a_private_address_hears_nothing_unless_it_may(keeper: LlamaCpp, elsewhere: FileServer) -> None:
    for host in ("127.0.0.1", "localhost"):
        for scheme in ("http", "https"):
            url = elsewhere.url("tiny.gguf").replace("127.0.0.1", host).replace("http:", f"{scheme}:")
            assert "say so under More" in await refusal(keeper, Source(url))
    pull = Pull("tiny", elsewhere.url("tiny.gguf"))
    with pytest.raises(AddressRefused):
        await told(keeper.pull(pull))
    assert elsewhere.requests == []
    assert (await keeper.look_up(source(elsewhere))).total_bytes


@pytest.mark.parametrize("allows_private", [True, False])
async def test_public_addresses_are_asked_with_https_alone(allows_private: bool, keeper: LlamaCpp) -> None:
    sentence = await refusal(keeper, Source("http://1.1.1.1/x.gguf", allows_private=allows_private))
    assert sentence.startswith("Without https")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]"])
async def test_a_redirect_to_a_private_address_is_not_followed(
    host: str, keeper: LlamaCpp, files: FileServer, elsewhere: FileServer
) -> None:
    """The hub may be at a private address, being the operator's choice; where it redirects to may not."""
    files.redirects["/a/b/resolve/main/x.gguf"] = elsewhere.url("tiny.gguf").replace("127.0.0.1", host)
    sentence = await refusal(keeper, Source("hf:a/b/x.gguf"))
    assert "which was not allowed" in sentence or "address that is none" in sentence
    pull = Pull("x", files.url("a/b/resolve/main/x.gguf"))
    with pytest.raises((AddressRefused, SourceRefused)):
        await told(keeper.pull(pull))
    assert elsewhere.requests == []


async def test_a_redirect_that_comes_only_with_the_pull_is_checked_too(
    keeper: LlamaCpp, files: FileServer, elsewhere: FileServer, tiny: bytes
) -> None:
    files.files["/a/b/resolve/main/x.gguf"] = tiny
    pull = await keeper.look_up(Source("hf:a/b/x.gguf"))
    files.redirects["/a/b/resolve/main/x.gguf"] = elsewhere.url("tiny.gguf")
    with pytest.raises(AddressRefused):
        await told(keeper.pull(pull))
    assert elsewhere.requests == []
    assert await keeper.list_models() == []


def public_site(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    """A client in whose world there is one server, at every address."""
    return httpx.AsyncClient(transport=httpx.MockTransport(answer))  # opens nothing that had to be closed


@pytest.mark.parametrize("location", ["http://1.1.1.1/x.gguf", "http://10.0.0.1/x.gguf"])
@pytest.mark.parametrize("allows_private", [True, False])
async def test_https_never_becomes_http(location: str, allows_private: bool, keeper: LlamaCpp) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": location})

    keeper.client = public_site(answer)
    sentence = await refusal(keeper, Source("https://1.1.1.1/x.gguf", allows_private=allows_private))
    assert sentence == "1.1.1.1 redirects to an address without https, which is not followed."
    assert asked == ["https://1.1.1.1/x.gguf"]


async def test_a_public_server_cannot_lead_into_the_private_network(keeper: LlamaCpp) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(307, headers={"Location": "https://192.168.0.1/x.gguf"})

    keeper.client = public_site(answer)
    sentence = await refusal(keeper, Source("https://1.1.1.1/x.gguf"))
    assert (
        sentence == "1.1.1.1 redirects to 192.168.0.1, on this machine or in a private network, which was not allowed."
    )
    assert asked == ["1.1.1.1"]


async def test_a_few_redirects_are_followed_and_no_more(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    for number in range(5):
        files.redirects[f"/{number}.gguf"] = f"/{number + 1}.gguf"
    files.files["5.gguf"] = tiny
    assert (await keeper.look_up(source(files, "0.gguf"))).total_bytes == len(tiny)
    files.redirects["/5.gguf"] = "/0.gguf"
    assert "again and again" in await refusal(keeper, source(files, "0.gguf"))
    assert len(files.requests) == 6 + 6


async def test_the_hub_says_size_and_checksum(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    files.add_to_hub("org/repo/file.gguf", tiny)
    pull = await keeper.look_up(Source("hf:org/repo/file.gguf"))
    assert (pull.name, pull.total_bytes, len(pull.sha256)) == ("file", len(tiny), 64)
    await told(keeper.pull(pull))
    assert (folder_of(keeper) / "file.gguf").read_bytes() == tiny


async def test_a_checksum_that_the_hub_contradicts_is_refused_at_once(
    keeper: LlamaCpp, files: FileServer, tiny: bytes
) -> None:
    files.add_to_hub("org/repo/file.gguf", tiny)
    with pytest.raises(SourceRefused, match="another checksum") as refused:
        await keeper.look_up(Source("hf:org/repo/file.gguf", sha256="0" * 64))
    assert refused.value.field == "sha256"


async def test_the_hubs_key_goes_to_the_hub_alone(
    keeper: LlamaCpp, files: FileServer, elsewhere: FileServer, tiny: bytes
) -> None:
    keeper.account = msgspec.structs.replace(keeper.account, hub_token="hf_secret")
    files.key = "hf_secret"
    files.add_to_hub("org/repo/file.gguf", tiny)
    await pulled(keeper, Source("hf:org/repo/file.gguf"))
    assert [(asked.path.startswith("/cdn/"), asked.headers.get("authorization")) for asked in files.requests] == [
        (False, "Bearer hf_secret"),
        (True, None),
    ] * 2
    files.redirects["/org/repo/resolve/main/x.gguf"] = elsewhere.url("tiny.gguf")
    await pulled(keeper, source(files, "org/repo/resolve/main/x.gguf"))
    await pulled(keeper, source(elsewhere))
    assert len(elsewhere.requests) == 4
    assert [asked.headers.get("authorization") for asked in elsewhere.requests] == [None] * 4


async def test_a_file_that_wants_a_key_says_so(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    files.key = "hf_secret"
    files.add_to_hub("org/repo/file.gguf", tiny)
    assert "see the settings" in await refusal(keeper, Source("hf:org/repo/file.gguf"))
    keeper.account = msgspec.structs.replace(keeper.account, hub_token="hf_wrong")
    sentence = await refusal(keeper, Source("hf:org/repo/file.gguf"))
    assert "without a key that may see it" in sentence
    assert "hf_wrong" not in sentence


async def test_a_hub_token_that_is_no_header_is_not_sent(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    keeper.account = msgspec.structs.replace(keeper.account, hub_token="a\r\nX-Evil: 1")
    files.add_to_hub("org/repo/file.gguf", tiny)
    sentence = await refusal(keeper, Source("hf:org/repo/file.gguf"))
    assert sentence == "The key of the hub has characters in it that no key has."
    assert files.requests == []
