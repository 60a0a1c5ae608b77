"""What people type to get a model file: addresses, names on the hub, checksums; and names with tricks in them."""

import pytest

from app.providers.keeping import SourceRefused
from app.providers.sources import Named, check_name, read_sha256, read_source

HUB = "https://hub.example/"

SOURCES = {
    "https://a.example/x/tiny.gguf": Named("https://a.example/x/tiny.gguf", "tiny"),
    " https://a.example/tiny.GGUF?download=true#top ": Named("https://a.example/tiny.GGUF?download=true", "tiny"),
    "http://10.0.0.1:8000/Big%20Model.Q4_K_M.gguf": Named(
        "http://10.0.0.1:8000/Big%20Model.Q4_K_M.gguf", "Big Model.Q4_K_M"
    ),
    "hf:org/repo/file.gguf": Named("https://hub.example/org/repo/resolve/main/file.gguf", "file"),
    "HF:org/repo.v2/sub/a b.gguf": Named("https://hub.example/org/repo.v2/resolve/main/sub/a%20b.gguf", "a b"),
    "https://hub.example/org/repo/blob/main/file.gguf": Named(
        "https://hub.example/org/repo/resolve/main/file.gguf", "file"
    ),
    "https://other.example/org/blob/main/file.gguf": Named("https://other.example/org/blob/main/file.gguf", "file"),
    "hf:org/repo/x-00001-of-00001.gguf": Named(
        "https://hub.example/org/repo/resolve/main/x-00001-of-00001.gguf", "x-00001-of-00001"
    ),
}


@pytest.mark.parametrize("text", SOURCES)
def test_sources_are_read(text: str) -> None:
    assert read_source(text, HUB) == SOURCES[text]


REFUSED = [
    "", " ", "tiny", "tiny.gguf", "/etc/passwd.gguf", "file:///etc/x.gguf", "ftp://a.example/x.gguf", "https://", "https:///x.gguf",
    "https://a.example", "https://a.example/", "https://a.example/x", "https://a.example/x.gguf/", "https://a.example/x.bin",
    "https://a.example/?x.gguf", "https://a.example/.gguf", "https://a.example/.hidden.gguf", "https://a.example/..gguf",
    "https://a.example/..%2Fx.gguf", "https://a.example/%2e%2e%2fx.gguf", "https://a.example/a%5Cb.gguf", "https://a.example/x%00.gguf",
    "https://a.example/x%0A.gguf", "https://a.example/%E2%80%AEx.gguf", "https://a.example/%20x.gguf", "https://a.example/C%3Ax.gguf",
    f"https://a.example/{'x' * 151}.gguf", f"https://a.example/{'%E2%82%AC' * 100}.gguf",
    f"https://a.example/{'x' * 3000}/y.gguf", "https://a.example%2f@b/x.gguf", "https://a..b\\@c/x.gguf",
    "https://user:word@a.example/x.gguf", "https://a.example/x\n.gguf", "https://a.example:99999/x.gguf", "https://[::1/x.gguf",
    "https://a.example/m-00001-of-00003.gguf", "javascript:x.gguf", "hf:", "hf:org", "hf:org/repo",
    "hf:org/repo/", "hf:org/repo/x.bin",
    "hf:../../x.gguf", "hf:org/../x.gguf", "hf:org/repo/../x.gguf", "hf:org/repo/..%2fx.gguf/", "hf:org/repo//x.gguf",
    "hf:org/re po/x.gguf",
    "hf:org/repo/a\\b.gguf", "hf:/org/repo/x.gguf", "hf:org/repo/.x.gguf", "hf:https://a.example/x.gguf",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_sources_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(SourceRefused) as refused:
        read_source(text, HUB)
    assert refused.value.field == "source"
    assert refused.value.sentence.endswith(".")


def test_a_hub_without_an_address_has_no_files() -> None:
    with pytest.raises(SourceRefused, match="in the settings"):
        read_source("hf:org/repo/x.gguf", "nonsense")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a\\b", "../x", "/x", "x\0", "x\n", " x", "x ", "C:x", "x" * 151, "\ud800"]
)
def test_names_with_tricks_in_them_are_none(name: str) -> None:
    with pytest.raises(SourceRefused):
        check_name(name)


@pytest.mark.parametrize("name", ["x", "Qwen2.5-0.5B Instruct (Q4_K_M)", "モデル", "x" * 150])
def test_ordinary_names_are_names(name: str) -> None:
    check_name(name)


def test_a_checksum_is_64_digits() -> None:
    digits = "0123456789abcdef" * 4
    assert read_sha256("") == read_sha256("  ") == ""
    assert read_sha256(f" SHA256:{digits.upper()} ") == digits
    for wrong in ("0" * 63, "0" * 65, "g" * 64, "0x" + "0" * 62, "٣" * 64, "0" * 63 + "\n0"):
        with pytest.raises(SourceRefused) as refused:
            read_sha256(wrong)
        assert refused.value.field == "sha256"
