"""`parley migrate`: bring the database to this version."""

from app.cli.opening import begin, opened, prepare_schema, run, say
from app.settings import Settings


def migrate() -> None:
    """Apply the migrations that the database lacks; run it before a new version starts."""
    run(_migrate(begin()))


async def _migrate(settings: Settings) -> None:
    async with opened(settings, "either") as url:
        await prepare_schema(url, may_migrate=True)
        say("The database matches this version.")
