"""The call that names a thread is kept with the generation it came after; the roots of a thread's tree are found at once."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.column_types import JSONB
from piccolo.columns.indexes import IndexMethod

ID = "2026-11-25T08:13:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "kept calls for titles, versions of a first question"


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="parley", description=DESCRIPTION)
    manager.add_column(
        table_class_name="Generation",
        tablename="generation",
        column_name="naming",
        db_column_name="naming",
        column_class_name="JSONB",
        column_class=JSONB,
        params={
            "default": "{}",
            "null": False,
            "primary_key": False,
            "unique": False,
            "index": False,
            "index_method": IndexMethod.btree,
            "choices": None,
            "db_column_name": None,
            "secret": False,
        },
        schema=None,
    )
    # Whether a thread wants a name is asked of the thread itself: one whose first answer was stopped wants one too.
    manager.drop_column(
        table_class_name="Generation",
        tablename="generation",
        column_name="is_first_turn",
        db_column_name="is_first_turn",
    )

    async def run() -> None:
        from app.database import engine

        await engine.run_ddl("CREATE INDEX message_root ON message (thread) WHERE parent IS NULL")

    manager.add_raw(run)
    return manager
