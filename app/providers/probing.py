"""Finding out whether questions are taken at an address, without asking one: for servers that list no models."""

from typing import Any

from app.providers.errors import NOTHING_THERE, AddressRefused, BadAnswer, KeyRejected, ModelMissing, ProviderError
from app.providers.http import Wire


async def takes_questions(wire: Wire, path: str, body: dict[str, Any]) -> bool:
    """Whether something at this path takes questions, whatever it says to this one, which names no model.

    A refusal of the question itself is a yes. Raises `KeyRejected`.
    """
    try:
        await wire.ask("POST", path, body)
    except KeyRejected:
        raise
    except ModelMissing:
        return True
    except (AddressRefused, BadAnswer):  # a web page, a redirect
        return False
    except ProviderError as error:
        return error.status not in NOTHING_THERE
    return True
