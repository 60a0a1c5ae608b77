"""JSON as servers write it: decoded into types, with lone surrogates and raw control characters repaired."""

import json
from typing import Any, TypeVar

import msgspec

from app.parts import clean

T = TypeVar("T")


def decode(text: str | bytes, expected: type[T]) -> T:
    """JSON → a value. Raises `ValueError` for what is no JSON, or of another shape."""
    try:
        return msgspec.json.decode(text, type=expected)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        loose = json.loads(text if isinstance(text, str) else text.decode("utf-8", "replace"), strict=False)
        return msgspec.json.decode(clean(json.dumps(loose, ensure_ascii=False)), type=expected)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def find_value(text: str | bytes) -> Any:
    """JSON → what it says; `NOT_JSON` where it is none."""
    try:
        return decode(text, Any)
    except ValueError:
        return NOT_JSON


#: No value of JSON.
NOT_JSON = object()
