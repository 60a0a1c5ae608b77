"""Finding out whether questions are taken at an address, without asking one: for servers that list no models."""

import asyncio
from typing import Any

from app.providers.errors import (
    NOTHING_THERE,
    AddressRefused,
    BadAnswer,
    KeyRejected,
    ModelMissing,
    ProviderError,
    WrongOrigin,
)
from app.providers.http import Wire

#: A server that accepts a question and takes this long to answer counts as there.
PROBE_SECONDS = 5.0


async def takes_questions(wire: Wire, path: str, body: dict[str, Any]) -> bool:
    """Whether something at this path takes questions, whatever it says to this one, which names no model.

    A refusal of the question itself is a yes. Raises `KeyRejected`.
    """
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await wire.ask("POST", path, body)
    except TimeoutError:
        return True
    except (KeyRejected, WrongOrigin):
        raise
    except ModelMissing as error:
        return path not in error.sentence  # else it is the path that is not found, in which the word "models" stands
    except (AddressRefused, BadAnswer):  # a web page, a redirect
        return False
    except ProviderError as error:
        return error.status not in NOTHING_THERE
    return True
