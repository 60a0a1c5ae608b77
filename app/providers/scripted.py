"""A provider without a model and without a network: for `parley serve --demo`, and tests that need any answer."""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from app.parts import Finish, TextDelta, Usage, text_of
from app.providers.base import ChatRequest, Event, Model, Provider
from app.providers.completions import messages_of
from app.words import gettext as _

MODEL = "demo"
TOKENS_PER_SECOND = 50

TOUR = """\
# What an answer may look like

This is the **demo**: no model thinks here, the text is *always* this one. It shows what Parley draws.

## Lists and tables

1. Numbered lists
   - with others inside
2. and tasks:

- [x] ask a question
- [ ] connect a model

| Thing | Works | Note |
|---|:-:|---:|
| Tables | yes | aligned |
| `code` | yes | in a line |

## Code

```python
def greet(name: str) -> str:
    return f"Hello, {name}!"
```

```html
<p onclick="alert('never')">What looks like a page stays text.</p>
```

## Formulas

The sum \\(1 + 2 + \\dots + n\\) is

$$
\\sum_{k=1}^{n} k = \\frac{n(n+1)}{2}
$$

## Quotes, notes and links

> A quote, with a footnote.[^1]

[A link](https://example.org/) opens elsewhere. ![A picture from elsewhere](https://example.org/picture.png) stays
a link until you ask for it.

[^1]: Footnotes stand at the end.
"""


class Scripted(Provider):
    """Asked to "show me", it tours what the page can draw; asked for a title, it gives the first words of the thread;
    anything else it gives back, word by word."""

    kind = "scripted"
    is_builtin = True
    takes = frozenset({"max_tokens"})

    @classmethod
    def label(cls) -> str:
        return _("Demo")

    async def read_models(self) -> Iterable[Model]:
        return [
            Model(name=MODEL, context_window=8192, family="demo", is_loaded=True, has_vision=False, has_tools=False)
        ]

    def body(self, request: ChatRequest) -> dict[str, Any]:
        return {"model": request.model, "messages": messages_of(self.account, request, prefills=True)}

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Event, None]:
        asked = [text_of(message.parts) for message in request.messages]
        words = _words(_rest(request))
        limit = request.parameters.max_tokens
        for word in words[:limit]:
            await asyncio.sleep(1 / TOKENS_PER_SECOND)
            yield TextDelta(word)
        said = len(words[:limit])
        yield Usage(sum(len(_words(text)) for text in asked), said, is_exact=False)
        yield Finish("stop" if said == len(words) else "length")


def _rest(request: ChatRequest) -> str:
    """The answer; of an answer to go on from, what is left to say."""
    questions = [text_of(message.parts) for message in request.messages if message.role == "user"]
    question = questions[-1] if questions else ""
    if len(questions) > 1 and " a title " in question:
        answer = " ".join(questions[0].split()[:6])
    elif "show me" in question.lower():
        answer = TOUR
    else:
        answer = f"You said:\n\n{_quoted(question)}\n\nThis is the **demo**.\n"
    said = text_of(request.messages[-1].parts) if request.continues else ""
    return answer.removeprefix(said)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.splitlines())


def _words(text: str) -> list[str]:
    """Words with the space before them: joined, they are the text again."""
    return re.findall(r"\s*\S+|\s+$", text)
