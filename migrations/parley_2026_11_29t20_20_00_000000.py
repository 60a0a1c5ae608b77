"""Models that the owner adds by name, servers that list none, and the version that a server says."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.column_types import Boolean, Varchar
from piccolo.columns.indexes import IndexMethod

ID = "2026-11-29T20:20:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "models by hand"

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
    manager.add_column(
        table_class_name="ModelRow",
        tablename="model",
        column_name="is_by_hand",
        db_column_name="is_by_hand",
        column_class_name="Boolean",
        column_class=Boolean,
        params={"default": False, **COMMON},
        schema=None,
    )
    manager.add_column(
        table_class_name="ProviderRow",
        tablename="provider",
        column_name="lists_models",
        db_column_name="lists_models",
        column_class_name="Boolean",
        column_class=Boolean,
        params={"default": True, **COMMON},
        schema=None,
    )
    manager.add_column(
        table_class_name="ProviderRow",
        tablename="provider",
        column_name="version",
        db_column_name="version",
        column_class_name="Varchar",
        column_class=Varchar,
        params={"length": 50, "default": "", **COMMON},
        schema=None,
    )
    return manager
