"""Fallbacks: which models are tried next, what was tried before an answer was written, when a call is made again."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.column_types import JSONB
from piccolo.columns.column_types import Timestamptz
from piccolo.columns.indexes import IndexMethod

ID = "2026-11-21T07:50:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "fallbacks"

COMMON = {
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
    for table_class_name, tablename, column_name in (("ModelRow", "model", "fallbacks"), ("Message", "message", "tried")):
        manager.add_column(
            table_class_name=table_class_name,
            tablename=tablename,
            column_name=column_name,
            db_column_name=column_name,
            column_class_name="JSONB",
            column_class=JSONB,
            params={"default": "[]", "null": False, **COMMON},
            schema=None,
        )
    manager.add_column(
        table_class_name="Message",
        tablename="message",
        column_name="retry_at",
        db_column_name="retry_at",
        column_class_name="Timestamptz",
        column_class=Timestamptz,
        params={"default": None, "null": True, **COMMON},
        schema=None,
    )
    return manager
