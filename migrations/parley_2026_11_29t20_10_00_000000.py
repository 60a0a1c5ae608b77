"""The circuit of each model, and when a provider last answered: one model that fails shuts out no other."""

from typing import Any

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.column_types import Integer, Text, Timestamptz
from piccolo.columns.indexes import IndexMethod

ID = "2026-11-29T20:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "circuits of models"

COMMON = {
    "primary_key": False,
    "unique": False,
    "index": False,
    "index_method": IndexMethod.btree,
    "choices": None,
    "db_column_name": None,
    "secret": False,
}

COLUMNS: list[tuple[str, str, str, type[Any], dict[str, Any]]] = [
    ("ModelRow", "model", "failures", Integer, {"default": 0, "null": False}),
    ("ModelRow", "model", "failing_since", Timestamptz, {"default": None, "null": True}),
    ("ModelRow", "model", "down_since", Timestamptz, {"default": None, "null": True}),
    ("ModelRow", "model", "trial_at", Timestamptz, {"default": None, "null": True}),
    ("ModelRow", "model", "error", Text, {"default": "", "null": False}),
    ("ProviderRow", "provider", "answered_at", Timestamptz, {"default": None, "null": True}),
]


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="parley", description=DESCRIPTION)
    for table_class_name, tablename, column, kind, params in COLUMNS:
        manager.add_column(
            table_class_name=table_class_name,
            tablename=tablename,
            column_name=column,
            db_column_name=column,
            column_class_name=kind.__name__,
            column_class=kind,
            params=params | COMMON,
            schema=None,
        )
    return manager
