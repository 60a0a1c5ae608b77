"""Forms that bring files along, at the guard: read strictly, closed, with the token, within the limit."""

from collections.abc import AsyncIterator

import pytest

from app.controllers.file_form import MOST_PARTS, parse
from app.errors import Malformed
from tests.controllers.guarded import Visitor

KIND = "multipart/form-data; boundary=b"


def part(name: str, content: bytes = b"x", filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    async with Visitor() as one:
        yield one


def test_texts_and_files_are_told_apart() -> None:
    body = part("text", "späte\0r".encode()) + part("file", b"\x00\xff", "a.bin") + part("none", b"", "") + b"--b--\r\n"
    found = parse(KIND, body)
    assert found.fields == {"text": ["später"], "file": [""], "none": [""]}
    assert found.files == {"file": b"\x00\xff"}


def test_a_field_that_comes_twice_is_seen_twice() -> None:
    found = parse(KIND, part("a") + part("a", b"y", "f") + b"--b--\r\n")
    assert found.fields == {"a": ["x", ""]}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", part("a") + b"--b--\r\n"),
        ("multipart/form-data; boundary=", part("a") + b"--b--\r\n"),
        ("multipart/form-data; boundary=other", part("a") + b"--b--\r\n"),
        ("multipart/form-data; boundary=" + "b" * 2000, part("a") + b"--b--\r\n"),
        (KIND, b""),
        (KIND, part("a")),
        (KIND, part("a")[:-5]),
        (KIND, part("a", b"\xff") + b"--b--\r\n"),
        (KIND, part("a") * (MOST_PARTS + 1) + b"--b--\r\n"),
        (KIND, b"--b\r\n\r\nno head\r\n--b--\r\n"),
        (KIND, b'--b\r\nContent-Disposition: attachment; name="a"\r\n\r\nx\r\n--b--\r\n'),
        (KIND, b"--b\r\nX-Long: " + b"x" * 10_000 + b"\r\n\r\nx\r\n--b--\r\n"),
        (KIND, b"--b\r\n" + b"X-Many: x\r\n" * 50 + b"\r\nx\r\n--b--\r\n"),
    ],
)
def test_what_is_not_as_it_should_be_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(Malformed):
        parse(kind, body)


@pytest.mark.parametrize("size", [10, 60_000])
async def test_such_a_form_passes_the_guard_with_its_token_in_a_field(visitor: Visitor, size: int) -> None:
    token = await visitor.csrf()
    files = {"file": ("a.json", b"x" * size)}
    answer = await visitor.request("POST", "/echo", csrf=None, data={"text": "hello", "_csrf": token}, files=files)
    assert answer.status_code == 200
    assert answer.json()["form"] == {"text": ["hello"], "file": [""]}


async def test_without_the_token_it_does_not(visitor: Visitor) -> None:
    await visitor.csrf()
    answer = await visitor.request(
        "POST", "/echo", csrf=None, data={"text": "hello", "_csrf": "x"}, files={"file": ("a", b"x")}
    )
    assert answer.status_code == 403


async def test_one_that_is_too_large_is_refused() -> None:
    async with Visitor(max_body_bytes=10_000) as visitor:
        answer = await visitor.post("/echo", files={"file": ("a", b"x" * 20_000)})
        assert answer.status_code == 413
