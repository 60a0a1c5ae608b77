"""Signatures of parts: each is stored behind the kind of provider that gave it, and goes back only to that kind.

A thread may change its model at any turn; one provider's signature is nonsense to another, which refuses it.
"""

from app.parts import clean


def kept(kind: str, signature: str | None) -> str | None:
    """A signature as it is stored with its part."""
    return f"{kind}:{clean(signature)}" if signature else None


def own(kind: str, stored: str | None) -> str | None:
    """What this kind once gave, unchanged; None if there is no signature, or another kind's."""
    before, _mark, signature = (stored or "").partition(":")
    return signature if before == kind and signature else None
