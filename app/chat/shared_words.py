"""What may be shown to everyone about a failed call: a server's own words may quote one person's question."""

from app.providers.errors import AddressRefused, BadAnswer, ProviderError, StreamCut, TimedOut, Unreachable
from app.words import gettext as _


def told_to_all(error: ProviderError) -> str:
    """A sentence without the server's own words: it is shown to others and outlives the thread."""
    match error:
        case Unreachable() | AddressRefused() | TimedOut() if not error.status:
            return error.sentence  # all of it is ours: nothing was answered
        case StreamCut():
            return _("Its answers break off.")
        case BadAnswer():
            return _("Its answers cannot be read.")
        case _:
            return _("It answers with errors.")
