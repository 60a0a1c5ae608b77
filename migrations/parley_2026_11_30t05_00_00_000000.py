"""Nothing reads the index over messages yet, and Postgres takes 9 s of processor time to tell some texts apart."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

ID = "2026-11-30T05:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "no text parser of Postgres"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="parley", description=DESCRIPTION)

    async def run() -> None:
        from app.database import engine

        await engine.run_ddl("ALTER TABLE message DROP COLUMN search")

    manager.add_raw(run)
    return manager
