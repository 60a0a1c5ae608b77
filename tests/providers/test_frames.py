"""Bytes → frames, in every legal and illegal dress."""

import json

import pytest

from app.providers.frames import FrameTooLarge, NdjsonDecoder, SseDecoder, SseFrame

DRESSES = {
    "as everybody writes it": (b"data: one\n\ndata: two\n\n", ["one", "two"]),
    "no space after the colon": (b"data:one\n\ndata:two\n\n", ["one", "two"]),
    "only the first space is dropped": (b"data:  one \n\n", [" one "]),
    "CR only": (b"data: one\r\rdata: two\r\r", ["one", "two"]),
    "CRLF": (b"data: one\r\n\r\ndata: two\r\n\r\n", ["one", "two"]),
    "line ends mixed": (b"data: one\r\n\ndata: two\r\r\ndata: three\n\r", ["one", "two", "three"]),
    "a byte order mark": (b"\xef\xbb\xbfdata: one\n\n", ["one"]),
    "a byte order mark later is a field nobody knows": (b"data: one\n\n\xef\xbb\xbfdata: two\n\n", ["one"]),
    "comments": (b": ping\n\n:\n\ndata: one\n: between\n\n", ["one"]),
    "several lines of data": (b"data: one\ndata: two\ndata\ndata:\n\n", ["one\ntwo\n\n"]),
    "unknown fields": (b"id: 7\nretry: 10\nfoo: bar\nbaz\ndata: one\n\n", ["one"]),
    "no data at all": (b"event: ping\n\nid: 3\n\ndata: one\n\n", ["one"]),
    "many empty lines": (b"\n\n\ndata: one\n\n\n\n", ["one"]),
    "U+2028, U+2029, U+0085, VT and FF are text": (
        "data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode(),
        ["a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"],
    ),
    "characters of every length": ("data: aé€𝄞\n\n".encode(), ["aé€𝄞"]),
    "bytes that are not UTF-8": (b"data: a\xffb\xe2\x82c\n\n", ["a\ufffdb\ufffdc"]),
    "no line end at the end": (b"data: one\n\ndata: two", ["one", "two"]),
    "fields in capitals are unknown": (b"DATA: no\ndata: one\n\n", ["one"]),
}


def texts(decoder: SseDecoder | NdjsonDecoder, *chunks: bytes) -> list[str]:
    frames = [frame for chunk in chunks for frame in decoder.feed(chunk)]
    return [frame.data for frame in [*frames, *decoder.end()]]


@pytest.mark.parametrize("dress", DRESSES)
def test_every_dress_gives_the_same_frames_wherever_it_is_cut(dress: str) -> None:
    stream, expected = DRESSES[dress]
    assert texts(SseDecoder(), stream) == expected
    assert texts(SseDecoder(), *(bytes([byte]) for byte in stream)) == expected
    for cut in range(len(stream) + 1):
        assert texts(SseDecoder(), stream[:cut], stream[cut:]) == expected, cut
        assert texts(SseDecoder(), stream[:cut], b"", stream[cut:]) == expected, cut


def test_events_carry_their_names_and_lose_them_afterwards() -> None:
    frames = SseDecoder().feed(b"event: error\ndata: one\n\nevent:ping\n\ndata: two\n\n")
    assert frames == [SseFrame("error", "one"), SseFrame("", "two")]


def test_a_frame_comes_out_as_soon_as_its_last_byte_is_in() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: one\n") == []
    assert decoder.feed(b"\n") == [SseFrame("", "one")]
    assert decoder.feed(b"data: two\r\r") == [SseFrame("", "two")]
    assert decoder.feed(b"\ndata: three\n\n") == [SseFrame("", "three")]


@pytest.mark.parametrize("decoder", [SseDecoder(1000), NdjsonDecoder(1000)], ids=["sse", "ndjson"])
def test_a_line_without_end_is_given_up_soon_after_the_limit(decoder: SseDecoder | NdjsonDecoder) -> None:
    for _ in range(10):
        assert decoder.feed(b"x" * 100) == []
    with pytest.raises(FrameTooLarge):
        decoder.feed(b"x")
    with pytest.raises(FrameTooLarge):
        decoder.feed(b"\n\ndata: more\n\n")


def test_many_lines_of_one_frame_are_one_frame_too_large() -> None:
    decoder = SseDecoder(1000)
    for _ in range(166):
        assert decoder.feed(b"data: 12345\n") == []
    with pytest.raises(FrameTooLarge):
        decoder.feed(b"data: 12345\n")


@pytest.mark.parametrize("decoder", [SseDecoder(1000), NdjsonDecoder(1000)], ids=["sse", "ndjson"])
def test_frames_before_one_too_large_are_handed_out_first(decoder: SseDecoder | NdjsonDecoder) -> None:
    frames = decoder.feed(b"data: one\n\ndata: " + b"x" * 2000 + b"\n\n")
    assert [frame.data.removeprefix("data: ") for frame in frames] == ["one"]
    with pytest.raises(FrameTooLarge):
        decoder.feed(b"data: two\n\n")


def test_fifty_megabytes_in_one_line_cost_no_more_than_the_limit() -> None:
    decoder = SseDecoder()
    for _ in range(8 * 64):
        assert decoder.feed(b"x" * 16_384) == []
    with pytest.raises(FrameTooLarge):
        decoder.feed(b"x" * 16_384)


def test_json_lines_come_out_wherever_they_are_cut() -> None:
    lines = [json.dumps({"text": text}, ensure_ascii=False) for text in ("one", "é\u2028€𝄞", "")]
    stream = ("\r\n".join(lines) + "\n\n \n" + '{"last": 1}').encode()
    expected = [*lines, '{"last": 1}']
    assert texts(NdjsonDecoder(), stream) == expected
    for cut in range(len(stream) + 1):
        assert texts(NdjsonDecoder(), stream[:cut], stream[cut:]) == expected, cut
    assert texts(NdjsonDecoder(), *(bytes([byte]) for byte in stream)) == expected
