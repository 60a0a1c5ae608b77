"""Pulling model files: whole or not at all, and gone on with after any end."""

import asyncio
import hashlib
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from app.providers.errors import BadAnswer, BadRequest, ProviderError, TimedOut, Unreachable
from app.providers.gguf_pull import TRIES
from app.providers.keeping import Progress, Pull, SourceRefused
from app.providers.llamacpp import LlamaCpp
from app.providers.part_file import PIECE_BYTES
from tests.file_server import FileServer
from tests.programs import ROOT
from tests.providers.conftest import eventually
from tests.providers.pulling import files, folder_of, keeper, left_in, pulled, source, tiny, told, web
from tests.providers.test_gguf_header import write
from tests.tiers import crossed

__all__ = ["files", "keeper", "tiny", "web"]

MIB = 1024 * 1024


def large(content: bytes, size: int) -> bytes:
    """A model file of this size: what follows the tensors does no harm."""
    return content + bytes(size - len(content))


async def test_a_file_is_pulled_and_answers(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    found = await keeper.look_up(source(files))
    assert found == Pull("tiny", files.url("tiny.gguf"), len(tiny), "", allows_private=True)
    assert left_in(keeper) == []
    progress = await told(keeper.pull(found))
    assert progress[0] == Progress("connecting", 0, len(tiny))
    assert progress[-1] == Progress("checking", len(tiny), len(tiny))
    assert left_in(keeper) == ["tiny.gguf"]
    assert (folder_of(keeper) / "tiny.gguf").read_bytes() == tiny
    assert [model.name for model in await keeper.list_models()] == ["tiny"]


async def test_nothing_is_listed_before_all_of_it_is_there(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    files.files["big.gguf"] = large(tiny, 4 * MIB)
    files.hold_after = 3 * MIB
    pulling = asyncio.create_task(pulled(keeper, source(files, "big.gguf")))
    await eventually(lambda: part_size(keeper, "big") > MIB)
    assert await keeper.list_models() == []
    assert left_in(keeper) == [".big.gguf.part", ".big.gguf.part.json"]
    files.release()
    await pulling
    assert left_in(keeper) == ["big.gguf"]


def part_size(keeper: LlamaCpp, name: str) -> int:
    path = folder_of(keeper) / f".{name}.gguf.part"
    return path.stat().st_size if path.exists() else 0


async def killed_at(percent: int, keeper: LlamaCpp, files: FileServer, pull: Pull) -> int:
    """Pull in a process of its own, and kill that on the way. How much is there then."""
    assert pull.total_bytes is not None
    files.hold_after = pull.total_bytes * percent // 100
    arguments = [
        sys.executable,
        "-m",
        "tests.providers.pulling",
        str(folder_of(keeper)),
        msgspec.json.encode(pull).decode(),
    ]
    child = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdout=subprocess.DEVNULL)
    await eventually(lambda: part_size(keeper, pull.name) > max(0, files.hold_after - 2 * PIECE_BYTES))
    child.send_signal(signal.SIGKILL)
    await child.wait()
    files.release()
    return part_size(keeper, pull.name)


@pytest.mark.parametrize(("percent", "is_hash_known"), crossed((1, 50, 99), (False, True)))
async def test_a_killed_pull_is_gone_on_with(
    percent: int, is_hash_known: bool, keeper: LlamaCpp, files: FileServer, tiny: bytes
) -> None:
    content = files.files["big.gguf"] = large(tiny, 128 * MIB)
    sha256 = hashlib.sha256(content).hexdigest() if is_hash_known else ""
    pull = await keeper.look_up(source(files, "big.gguf", sha256))
    there = await killed_at(percent, keeper, files, pull)
    assert 0 < there < len(content)
    assert await keeper.list_models() == []
    progress = await told(keeper.pull(pull))
    rest = files.requests[-1]
    assert rest.begins_at == there
    assert rest.sent_bytes == len(content) - there
    assert progress[-1] == Progress("checking", len(content), len(content))
    assert left_in(keeper) == ["big.gguf"]
    assert (folder_of(keeper) / "big.gguf").read_bytes() == content


async def test_progress_grows_and_knows_the_whole(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    files.files["big.gguf"] = large(tiny, 8 * MIB)
    progress = await pulled(keeper, source(files, "big.gguf"))
    downloading = [each for each in progress if each.phase == "downloading"]
    assert len(downloading) >= 2
    assert [each.done_bytes for each in downloading] == sorted(each.done_bytes for each in downloading)
    assert {each.total_bytes for each in progress} == {8 * MIB}


async def begun(keeper: LlamaCpp, files: FileServer, pull: Pull, after: int) -> int:
    """Pull a part of it and leave. How much is there then."""
    before, files.hold_after = part_size(keeper, pull.name), after
    reading = asyncio.create_task(told(keeper.pull(pull)))
    await eventually(lambda: part_size(keeper, pull.name) > before + max(0, after - 2 * PIECE_BYTES))
    reading.cancel()
    await asyncio.wait((reading,))
    assert reading.cancelled()
    files.release()
    await eventually(lambda: files.open_connections == 0)
    return part_size(keeper, pull.name)


async def test_who_leaves_a_pull_closes_the_socket_and_keeps_the_part(
    keeper: LlamaCpp, files: FileServer, tiny: bytes
) -> None:
    files.files["big.gguf"] = large(tiny, 8 * MIB)
    pull = await keeper.look_up(source(files, "big.gguf"))
    assert await begun(keeper, files, pull, 3 * MIB) > MIB
    assert await begun(keeper, files, pull, 3 * MIB) > 2 * MIB
    await told(keeper.pull(pull))
    assert [asked.begins_at > 0 for asked in files.requests] == [False, False, True, True]


async def test_a_server_without_ranges_is_asked_from_the_beginning(
    keeper: LlamaCpp, files: FileServer, tiny: bytes
) -> None:
    content = files.files["big.gguf"] = large(tiny, 8 * MIB)
    pull = await keeper.look_up(source(files, "big.gguf"))
    await begun(keeper, files, pull, 3 * MIB)
    files.has_ranges = False
    await told(keeper.pull(pull))
    assert files.requests[-1].sent_bytes == len(content)
    assert (folder_of(keeper) / "big.gguf").read_bytes() == content


@pytest.mark.parametrize("etag", ['"another"', 'W/"weak"', ""])
async def test_a_file_that_changed_is_not_mixed_with_the_old_one(
    etag: str, keeper: LlamaCpp, files: FileServer, tiny: bytes
) -> None:
    files.files["big.gguf"] = large(tiny, 8 * MIB)
    pull = await keeper.look_up(source(files, "big.gguf"))
    await begun(keeper, files, pull, 3 * MIB)
    changed = files.files["big.gguf"] = tiny + b"\xff" * (8 * MIB - len(tiny))
    files.etag = etag
    await told(keeper.pull(pull))
    assert (folder_of(keeper) / "big.gguf").read_bytes() == changed


async def test_a_part_that_cannot_be_told_from_another_file_is_not_gone_on_with(
    keeper: LlamaCpp, files: FileServer, tiny: bytes
) -> None:
    files.files["big.gguf"] = large(tiny, 8 * MIB)
    files.etag = ""
    pull = await keeper.look_up(source(files, "big.gguf"))
    await begun(keeper, files, pull, 3 * MIB)
    await told(keeper.pull(pull))
    assert files.requests[-1].begins_at == 0


async def test_a_part_of_another_address_is_not_gone_on_with(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    files.files["a/big.gguf"] = large(tiny, 8 * MIB)
    content = files.files["b/big.gguf"] = tiny + b"\xff" * (8 * MIB)
    await begun(keeper, files, await keeper.look_up(source(files, "a/big.gguf")), 3 * MIB)
    await pulled(keeper, source(files, "b/big.gguf"))
    assert (folder_of(keeper) / "big.gguf").read_bytes() == content


async def test_a_line_that_breaks_is_taken_up_again(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    content = files.files["big.gguf"] = large(tiny, 8 * MIB)
    files.cut_after = MIB  # eight times: more often than one may try without getting on
    progress = await pulled(keeper, source(files, "big.gguf", hashlib.sha256(content).hexdigest()))
    assert (folder_of(keeper) / "big.gguf").read_bytes() == content
    assert [asked.begins_at for asked in files.requests[2:]] == [number * MIB for number in range(1, 8)]
    assert any("broke off" in each.line for each in progress)


async def test_a_line_that_breaks_again_and_again_is_an_error_that_may_pass(
    keeper: LlamaCpp, files: FileServer, tiny: bytes
) -> None:
    files.files["big.gguf"] = large(tiny, 4 * MIB)
    pull = await keeper.look_up(source(files, "big.gguf"))
    files.cut_after, files.has_ranges = MIB, False
    with pytest.raises(Unreachable) as failed:
        await told(keeper.pull(pull))
    assert failed.value.is_retryable
    assert len(files.requests) <= 1 + TRIES + 1
    assert part_size(keeper, "big") == MIB
    files.cut_after, files.has_ranges = None, True
    await told(keeper.pull(pull))
    assert files.requests[-1].begins_at == MIB


async def test_a_server_with_a_fault_of_its_own_is_asked_again(
    keeper: LlamaCpp, files: FileServer, tiny: bytes
) -> None:
    pull = await keeper.look_up(source(files))
    files.answers["/tiny.gguf"] = (503, {"Retry-After": "0.05"}, b"")
    pulling = asyncio.create_task(told(keeper.pull(pull)))
    await eventually(lambda: len(files.requests) > 2)
    del files.answers["/tiny.gguf"]
    progress = await pulling
    assert any("has a problem of its own" in each.line for each in progress)
    assert left_in(keeper) == ["tiny.gguf"]


async def test_a_file_that_is_gone_is_not_asked_for_again(keeper: LlamaCpp, files: FileServer) -> None:
    pull = await keeper.look_up(source(files))
    files.answers["/tiny.gguf"] = (404, {}, b"")
    with pytest.raises(SourceRefused, match="has no such file"):
        await told(keeper.pull(pull))
    assert len(files.requests) == 2


async def test_a_body_without_end_is_not_read_to_its_end(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    pull = await keeper.look_up(source(files))
    files.files["tiny.gguf"] = large(tiny, 256 * MIB)
    files.has_length = files.has_ranges = False
    with pytest.raises(BadAnswer, match="another size"):
        await told(keeper.pull(pull))
    assert files.requests[-1].sent_bytes < 64 * MIB
    assert left_in(keeper) == []


async def test_a_file_that_grew_since_it_was_looked_up_is_gone_on_with(
    keeper: LlamaCpp, files: FileServer, tiny: bytes
) -> None:
    files.files["big.gguf"] = large(tiny, 4 * MIB)
    pull = await keeper.look_up(source(files, "big.gguf"))
    content = files.files["big.gguf"] = large(tiny, 8 * MIB)
    there = await begun(keeper, files, pull, 6 * MIB)
    await told(keeper.pull(pull))
    assert files.requests[-1].begins_at == there > 4 * MIB
    assert (folder_of(keeper) / "big.gguf").read_bytes() == content


async def test_silence_is_an_error_that_may_pass(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    files.files["big.gguf"] = large(tiny, 4 * MIB)
    pull = await keeper.look_up(source(files, "big.gguf"))
    files.hold_after = 0
    keeper.limits = msgspec.structs.replace(keeper.limits, between_frames_seconds=0.1)
    with pytest.raises(TimedOut) as failed:
        await told(keeper.pull(pull))
    assert failed.value.is_retryable
    assert await keeper.list_models() == []


async def test_a_wrong_checksum_leaves_nothing(keeper: LlamaCpp, files: FileServer) -> None:
    pull = await keeper.look_up(source(files, sha256="0" * 64))
    with pytest.raises(BadAnswer, match="another checksum"):
        await told(keeper.pull(pull))
    assert left_in(keeper) == []


async def test_a_checksum_is_of_the_whole_file_also_where_a_part_was_there(
    keeper: LlamaCpp, files: FileServer, tiny: bytes
) -> None:
    content = files.files["big.gguf"] = large(tiny, 8 * MIB)
    pull = await keeper.look_up(source(files, "big.gguf", hashlib.sha256(content).hexdigest()))
    await begun(keeper, files, pull, 3 * MIB)
    with (folder_of(keeper) / ".big.gguf.part").open("r+b") as part:
        part.seek(2 * MIB)
        part.write(b"damage")
    with pytest.raises(BadAnswer, match="another checksum"):
        await told(keeper.pull(pull))
    assert left_in(keeper) == []
    await told(keeper.pull(pull))
    assert left_in(keeper) == ["big.gguf"]


CONTENTS = {
    "a truncated model": lambda tiny: tiny[:-1000],
    "half a header": lambda tiny: tiny[:300],
    "four letters": lambda tiny: b"GGUF",
}


@pytest.mark.parametrize("name", CONTENTS)
async def test_what_is_no_whole_model_is_thrown_away(
    name: str, keeper: LlamaCpp, files: FileServer, tiny: bytes
) -> None:
    files.files["x.gguf"] = CONTENTS[name](tiny)
    pull = await keeper.look_up(source(files, "x.gguf"))
    with pytest.raises(BadAnswer, match="thrown away"):
        await told(keeper.pull(pull))
    assert left_in(keeper) == []


async def test_what_cannot_chat_is_thrown_away(keeper: LlamaCpp, files: FileServer, tmp_path: Path) -> None:
    files.files["x.gguf"] = write(tmp_path / "x.gguf", "clip").read_bytes()
    pull = await keeper.look_up(source(files, "x.gguf"))
    with pytest.raises(BadAnswer, match="no model of its own"):
        await told(keeper.pull(pull))
    assert left_in(keeper) == []


@pytest.mark.parametrize("error", [-1000, 1000])
async def test_a_wrong_length_never_makes_a_model(error: int, keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    files.length_error, files.has_ranges = error, False
    with pytest.raises(ProviderError):
        await pulled(keeper, source(files))
    assert [name for name in left_in(keeper) if not name.startswith(".")] == []
    files.length_error, files.has_ranges = 0, True
    await pulled(keeper, source(files))
    assert (folder_of(keeper) / "tiny.gguf").read_bytes() == tiny


async def test_a_file_of_unknown_length_is_pulled_too(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    files.has_length = files.has_ranges = False
    pull = await keeper.look_up(source(files))
    assert pull.total_bytes is None
    progress = await told(keeper.pull(pull))
    assert progress[-1] == Progress("checking", len(tiny), len(tiny))
    assert left_in(keeper) == ["tiny.gguf"]


async def test_two_at_once_are_one_and_a_refusal(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    files.files["big.gguf"] = large(tiny, 8 * MIB)
    pull = await keeper.look_up(source(files, "big.gguf"))
    files.hold_after = 3 * MIB
    first = asyncio.create_task(told(keeper.pull(pull)))
    await eventually(lambda: part_size(keeper, "big") > MIB)
    with pytest.raises(BadRequest, match="big is being pulled already"):
        await told(keeper.pull(pull))
    with pytest.raises(BadRequest, match="big is being pulled already"):
        await keeper.discard(pull)
    files.release()
    await first
    assert left_in(keeper) == ["big.gguf"]


async def test_two_processes_at_once_are_one_and_a_refusal(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    files.files["big.gguf"] = large(tiny, 8 * MIB)
    pull = await keeper.look_up(source(files, "big.gguf"))
    files.hold_after = 3 * MIB
    arguments = [
        sys.executable,
        "-m",
        "tests.providers.pulling",
        str(folder_of(keeper)),
        msgspec.json.encode(pull).decode(),
    ]
    child = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stdout=subprocess.DEVNULL)
    await eventually(lambda: part_size(keeper, "big") > MIB)
    with pytest.raises(BadRequest, match="big is being pulled already"):
        await told(keeper.pull(pull))
    files.release()
    assert await child.wait() == 0
    assert left_in(keeper) == ["big.gguf"]


async def test_a_pull_whose_end_was_not_noticed_is_done(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    pull = await keeper.look_up(source(files))
    await told(keeper.pull(pull))
    asked = len(files.requests)
    assert await told(keeper.pull(pull)) == [Progress("checking", len(tiny), len(tiny))]
    assert len(files.requests) == asked
    assert left_in(keeper) == ["tiny.gguf"]


async def test_a_model_that_is_there_is_not_written_over(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    pull = await keeper.look_up(source(files))
    (folder_of(keeper) / "tiny.gguf").write_bytes(b"mine")
    with pytest.raises(SourceRefused, match="a model named tiny already"):
        await keeper.look_up(source(files))
    with pytest.raises(BadRequest, match="a model named tiny already"):
        await told(keeper.pull(pull))
    assert (folder_of(keeper) / "tiny.gguf").read_bytes() == b"mine"
    assert left_in(keeper) == ["tiny.gguf"]


async def test_what_is_not_wanted_any_more_is_thrown_away(keeper: LlamaCpp, files: FileServer, tiny: bytes) -> None:
    files.files["big.gguf"] = large(tiny, 8 * MIB)
    pull = await keeper.look_up(source(files, "big.gguf"))
    await begun(keeper, files, pull, 3 * MIB)
    await keeper.discard(pull)
    assert left_in(keeper) == []
    await keeper.discard(pull)


@pytest.fixture
def limited_disk(keeper: LlamaCpp) -> Iterator[None]:
    """The models folder on a disk of six megabytes; who may not mount one has a limit for every file instead."""
    folder = str(folder_of(keeper))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", folder], check=False, capture_output=True
    )
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    if mounted.returncode:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6 * MIB, usual[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    if not mounted.returncode:
        subprocess.run(["umount", folder], check=True)


async def test_a_file_that_does_not_fit_is_refused_before_anything_is_stored(
    keeper: LlamaCpp, files: FileServer
) -> None:
    files.length_error, files.has_ranges = 10**15, False
    with pytest.raises(SourceRefused, match=r"no room for it: 1000000\.0 GB more are needed"):
        await keeper.look_up(source(files))
    with pytest.raises(BadRequest, match="no room"):
        await told(keeper.pull(Pull("tiny", files.url("tiny.gguf"), allows_private=True)))
    assert part_size(keeper, "tiny") == 0


async def test_a_disk_that_fills_up_on_the_way_leaves_nothing(
    keeper: LlamaCpp, files: FileServer, tiny: bytes, limited_disk: None
) -> None:
    files.files["big.gguf"] = large(tiny, 8 * MIB)
    files.has_length = files.has_ranges = False  # so that nobody knows before
    pull = await keeper.look_up(source(files, "big.gguf"))
    with pytest.raises(BadRequest, match="no room left in the models folder"):
        await told(keeper.pull(pull))
    assert left_in(keeper) == []
    files.files["big.gguf"] = large(tiny, 3 * MIB)
    await told(keeper.pull(pull))
    assert left_in(keeper) == ["big.gguf"]
