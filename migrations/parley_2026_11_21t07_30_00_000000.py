"""Three sources for what is known of a model: known, said, set_by_owner. The plain columns are generated from them."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

ID = "2026-11-21T07:30:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "facts of models"

FACTS = {
    "has_vision": "boolean",
    "has_tools": "boolean",
    "has_reasoning": "boolean",
    "is_embedding": "boolean",
    "context_window": "integer",
    "max_output_tokens": "integer",
    "input_price": "numeric",
    "output_price": "numeric",
    "cached_price": "numeric",
}
OLD = [name for name in FACTS if not name.endswith("_price")]


def statements() -> list[str]:
    """What the server said so far moves into `said`; then every fact is the strongest of the three that is there."""
    was_said = ", ".join(f"'{name}', {name}" for name in OLD)
    dropped = ", ".join(f"DROP COLUMN {name}" for name in OLD)
    generated = ", ".join(
        f"ADD COLUMN {name} {kind} GENERATED ALWAYS AS (((known || said || set_by_owner) ->> '{name}')::{kind}) STORED"
        for name, kind in FACTS.items()
    )
    return [
        "ALTER TABLE model ADD COLUMN known jsonb NOT NULL DEFAULT '{}', ADD COLUMN said jsonb NOT NULL DEFAULT '{}',"
        " ADD COLUMN set_by_owner jsonb NOT NULL DEFAULT '{}'",
        f"UPDATE model SET said = jsonb_strip_nulls(jsonb_build_object({was_said}))",
        f"ALTER TABLE model {dropped}",
        f"ALTER TABLE model {generated}",
    ]


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="parley", description=DESCRIPTION)

    async def run() -> None:
        from app.database import engine

        for statement in statements():
            await engine.run_ddl(statement)

    manager.add_raw(run)
    return manager
