"""Answers that several models wrote: which ones, in order, and whether a part of the cost is unknown."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.column_types import JSONB, Boolean
from piccolo.columns.indexes import IndexMethod

ID = "2026-11-25T08:18:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "writers of an answer"

COMMON = {
    "null": False,
    "primary_key": False,
    "unique": False,
    "index": False,
    "index_method": IndexMethod.btree,
    "choices": None,
    "db_column_name": None,
    "secret": False,
}


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="parley", description=DESCRIPTION)
    for column_name, column_class, default in (("writers", JSONB, "[]"), ("cost_is_partial", Boolean, False)):
        manager.add_column(
            table_class_name="Message",
            tablename="message",
            column_name=column_name,
            db_column_name=column_name,
            column_class_name=column_class.__name__,
            column_class=column_class,
            params={"default": default, **COMMON},
            schema=None,
        )
    return manager
