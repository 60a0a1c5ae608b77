"""What everybody may read of a failed call: a server's own words may quote the question of one person."""

from app.providers.errors import AddressRefused, BadAnswer, ProviderError, StreamCut, TimedOut, Unreachable
from app.words import gettext as _


def told_to_all(error: ProviderError) -> str:
    """A sentence without any word of the server's. It outlives the thread, and stands where others look."""
    match error:
        case Unreachable() | AddressRefused() | TimedOut() if not error.status:
            return error.sentence  # all of it is ours: nothing was answered
        case StreamCut():
            return _("It breaks off its answers.")
        case BadAnswer():
            return _("Its answers cannot be read.")
        case _:
            return _("It answers with errors.")
