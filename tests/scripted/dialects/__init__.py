"""The protocols that the scripted server speaks. A new one: copy the nearest neighbour and add it to `DIALECTS`.

`SPOKEN` has in addition what a provider speaks beside the protocol that it is named for.
"""

from tests.scripted.dialects.anthropic import AnthropicDialect
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
SPOKEN: tuple[Dialect, ...] = (*DIALECTS, RESPONSES)

__all__ = ["ANTHROPIC", "DIALECTS", "GEMINI", "OLLAMA", "OPENAI", "RESPONSES", "SPOKEN", "Dialect"]
