"""Who may use a model: everybody, the owner alone, or the owner and those who were chosen. Every way to a model asks here."""


def may_use(user: str) -> str:
    """SQL of whether a person may use `model AS m`. `user`: SQL of their id."""
    return (
        f"(m.allowed_users IS NULL OR m.allowed_users ? {user}::text"
        f" OR EXISTS (SELECT 1 FROM users AS o WHERE o.id = {user} AND o.is_owner))"
    )
