"""Who brings a token instead of a sign-in: monitoring."""

import hmac

from app.controllers.visit import Connection, visit_of


def brings(connection: Connection, token: str) -> bool:
    """Whether the request brings this token as `Authorization: Bearer …`. Never, where the token is empty."""
    scheme, _space, given = visit_of(connection).header(b"authorization").partition(" ")
    if not token or scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode("utf-8", "replace"), token.encode())
