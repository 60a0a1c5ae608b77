"""The protocols that the scripted server speaks. A new one: copy the nearest neighbour and add it to `DIALECTS`.

`SPOKEN` has in addition what a provider speaks beside the protocol that it is named for, and `KNOWN` what has no stream.
"""

from tests.scripted.dialects.anthropic import AnthropicDialect
from tests.scripted.dialects.deepai import DeepAIDialect
from tests.scripted.dialects.dialect import Dialect
from tests.scripted.dialects.gemini import GeminiDialect
from tests.scripted.dialects.ollama import OllamaDialect
from tests.scripted.dialects.openai import OpenAIDialect
from tests.scripted.dialects.responses import ResponsesDialect

ANTHROPIC = AnthropicDialect()
OPENAI = OpenAIDialect()
OLLAMA = OllamaDialect()
GEMINI = GeminiDialect()
RESPONSES = ResponsesDialect()
DIALECTS: tuple[Dialect, ...] = (OPENAI, ANTHROPIC, OLLAMA, GEMINI)
DEEPAI = DeepAIDialect()
SPOKEN: tuple[Dialect, ...] = (*DIALECTS, RESPONSES)
KNOWN: tuple[Dialect, ...] = (DEEPAI, *SPOKEN)  # the others read JSON alone

__all__ = ["ANTHROPIC", "DEEPAI", "DIALECTS", "GEMINI", "KNOWN", "OLLAMA", "OPENAI", "RESPONSES", "SPOKEN", "Dialect"]
