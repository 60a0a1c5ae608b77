"""A scripted model server: real sockets, raw bytes, every fault on demand. See `ScriptedServer`."""

from tests.scripted.dialects import ANTHROPIC, DEEPAI, DIALECTS, GEMINI, OLLAMA, OPENAI, RESPONSES, SPOKEN, Dialect
from tests.scripted.manners import Manners
from tests.scripted.request import Request
from tests.scripted.server import ScriptedServer
from tests.scripted.steps import (
    LAST_CHUNK,
    Close,
    Do,
    Paced,
    Repeat,
    Reset,
    Script,
    Send,
    Sleep,
    Stall,
    Step,
    Wait,
    chunk,
    head,
    whole,
)

__all__ = [
    "ANTHROPIC",
    "DEEPAI",
    "DIALECTS",
    "GEMINI",
    "LAST_CHUNK",
    "OLLAMA",
    "OPENAI",
    "RESPONSES",
    "SPOKEN",
    "Close",
    "Dialect",
    "Do",
    "Manners",
    "Paced",
    "Repeat",
    "Request",
    "Reset",
    "Script",
    "ScriptedServer",
    "Send",
    "Sleep",
    "Stall",
    "Step",
    "Wait",
    "chunk",
    "head",
    "whole",
]
