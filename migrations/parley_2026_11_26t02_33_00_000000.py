"""The live log keeps its pages when it is emptied: plans that were made meanwhile suit it when it is full again."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

ID = "2026-11-26T02:33:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "the live log keeps its pages"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="parley", description=DESCRIPTION)

    async def run() -> None:
        from app.database import engine

        await engine.run_ddl("ALTER TABLE delta SET (vacuum_truncate = off)")

    manager.add_raw(run)
    return manager
