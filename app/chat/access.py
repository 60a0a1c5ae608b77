"""Who may use a model: everybody, the owner alone, or the owner and those who were chosen. Every way to a model asks here."""


def may_use(user: str, model: str = "m") -> str:
    """SQL of whether a person may use `model AS m`. `user`: SQL of their id."""
    return (
        f"({model}.allowed_users IS NULL OR {model}.allowed_users ? {user}::text"
        f" OR EXISTS (SELECT 1 FROM users AS o WHERE o.id = {user} AND o.is_owner))"
    )


def is_offered(model: str = "m") -> str:
    """SQL condition: `model AS m` can be used at all. Its server lists it, and the owner has not hidden it."""
    return f"({model}.gone_at IS NULL AND NOT {model}.is_hidden)"
