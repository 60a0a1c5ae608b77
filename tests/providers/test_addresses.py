"""Which addresses are called: the rules themselves, and that a name cannot get around them."""

import ipaddress
import socket
from typing import Any

import pytest

from app.parts import TextPart
from app.providers.addresses import fault_of_ip, fault_of_url
from app.providers.base import Account, ChatMessage, ChatRequest
from app.providers.client import make_client
from app.providers.errors import AddressRefused
from app.providers.names import LookUps
from app.providers.openai import OpenAI
from tests.scripted import OPENAI, ScriptedServer

QUESTION = ChatRequest("scripted", (ChatMessage("user", (TextPart("Hello"),)),))


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "169.254.0.1", "fe80::1", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16",
     "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "192.0.0.192", "::169.254.169.254",
     "64:ff9b:1::a9fe:a9fe"],
)  # fmt: skip
@pytest.mark.parametrize("allows_private", [True, False])
def test_metadata_addresses_are_never_called(address: str, allows_private: bool) -> None:
    assert fault_of_ip(ipaddress.ip_address(address), allows_private=allows_private) == "metadata"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.5.5", "192.168.1.1", "100.64.0.1", "0.0.0.0", "255.255.255.255",
     "224.0.0.1", "::1", "::", "fd12::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1",
     "fec0::1", "192.0.0.8", "64:ff9b:1::808:808", "::127.0.0.1"],
)  # fmt: skip
def test_private_addresses_are_called_where_that_is_allowed(address: str) -> None:
    ip = ipaddress.ip_address(address)
    assert fault_of_ip(ip, allows_private=False) == "private"
    assert fault_of_ip(ip, allows_private=True) is None


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_public_addresses_are_called(address: str) -> None:
    assert fault_of_ip(ipaddress.ip_address(address), allows_private=False) is None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]"]
)
async def test_every_way_to_write_an_address_is_seen_through(host: str) -> None:
    assert await fault_of_url(f"http://{host}:8080/v1", allows_private=False) == "private"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_server_at_a_private_address_hears_nothing_unless_it_may(host: str) -> None:
    async with ScriptedServer() as server, make_client() as client:
        url = server.url_for(OPENAI).replace("127.0.0.1", host)
        provider = OpenAI(Account("Harbour", url, allows_private=False), client)
        with pytest.raises(AddressRefused, match="which the owner has not allowed for Harbour"):
            await provider.list_models()
        with pytest.raises(AddressRefused):
            await anext(provider.stream(QUESTION))
        assert server.requests == []
        allowed = OpenAI(Account("Harbour", url), client)
        assert [model.name for model in await allowed.list_models()] == ["scripted"]
        heard = len(server.requests)
        with pytest.raises(AddressRefused):  # nor over the connection that is open now
            await provider.list_models()
        assert len(server.requests) == heard


async def test_a_name_that_changes_its_address_is_checked_where_it_is_connected() -> None:
    """DNS rebinding: public when the form was checked, this machine when the question is sent."""
    answers = iter(["93.184.215.14", "127.0.0.1"])

    def getaddrinfo(_host: str, _port: None, **_options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), 0))]

    look_ups = LookUps(getaddrinfo)
    async with ScriptedServer() as server, make_client(look_ups=look_ups) as client:
        url = server.url_for(OPENAI).replace("127.0.0.1", "rebinding.example")
        assert await fault_of_url(url, allows_private=False, look_ups=look_ups) is None
        with pytest.raises(AddressRefused):
            await OpenAI(Account("Harbour", url, allows_private=False), client).list_models()
        assert server.requests == []
