"""HTTP in, HTML out: one noun per file."""

from app.controllers import (
    access,
    catalog,
    fallbacks,
    first_run,
    generations,
    health,
    invitations,
    messages,
    models,
    profiles,
    providers,
    revisions,
    sessions,
    static,
    threads,
    users,
)

ROUTES = [
    static.show_static,
    *first_run.ROUTES,
    *access.ROUTES,
    *sessions.ROUTES,
    *profiles.ROUTES,
    *users.ROUTES,
    *invitations.ROUTES,
    *health.ROUTES,
    *threads.ROUTES,
    *messages.ROUTES,
    *generations.ROUTES,
    *revisions.ROUTES,
    *providers.ROUTES,
    *catalog.ROUTES,
    *models.ROUTES,
    *fallbacks.ROUTES,
]
