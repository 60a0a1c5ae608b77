"""The wire protocols that Parley speaks. A new one: copy the nearest neighbour and add a line here."""

from app.providers.anthropic import Anthropic
from app.providers.base import Provider
from app.providers.deepai import DeepAI
from app.providers.gemini import Gemini
from app.providers.llamacpp import LlamaCpp
from app.providers.ollama import Ollama
from app.providers.openai import OpenAI
from app.providers.scripted import Scripted

PROVIDERS: dict[str, type[Provider]] = {
    "openai": OpenAI,
    "anthropic": Anthropic,
    "gemini": Gemini,
    "ollama": Ollama,
    "deepai": DeepAI,
    "llamacpp": LlamaCpp,
    "scripted": Scripted,
}
