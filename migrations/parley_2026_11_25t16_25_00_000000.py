"""Tasks whose worker is dead are found together with its answers: the schedule that looked for them is gone."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

ID = "2026-11-25T16:25:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "no schedule for tasks"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="parley", description=DESCRIPTION)

    async def run() -> None:
        from app.database import engine

        await engine.run_ddl("DELETE FROM pgqueuer_schedules WHERE entrypoint = 'model_tasks'")

    manager.add_raw(run)
    return manager
