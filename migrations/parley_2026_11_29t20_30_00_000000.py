"""What was sent for an answer belongs to its thread, and an accepted invitation to its person: both are deleted with it."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns.base import OnDelete
from piccolo.columns.column_types import ForeignKey

ID = "2026-11-29T20:30:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "blocks belong to a thread"

#: A block that several threads sent is copied to each; one that no thread names is dropped with the old table.
STATEMENTS = """
ALTER INDEX block_pkey RENAME TO block_before_pkey;
ALTER TABLE block RENAME TO block_before;
CREATE TABLE block (
    thread uuid NOT NULL REFERENCES thread ON DELETE CASCADE,
    hash bytea NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (thread, hash)
);
WITH sent AS (
    SELECT thread, request AS body FROM generation WHERE request ? 'head'
    UNION ALL
    SELECT thread, call.value FROM generation, jsonb_each(request) AS call WHERE NOT request ? 'head'
    UNION ALL
    SELECT thread, naming -> 'request' FROM generation WHERE naming ? 'request'
), named AS (
    SELECT DISTINCT sent.thread, decode(element.hash, 'hex') AS hash
    FROM sent, unnest(ARRAY['messages', 'contents', 'input']) AS field (name),
        jsonb_array_elements_text(sent.body -> field.name) AS element (hash)
)
INSERT INTO block (thread, hash, body) SELECT named.thread, hash, old.body FROM named JOIN block_before AS old USING (hash);
CREATE INDEX generation_of_thread ON generation (thread)
"""


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="parley", description=DESCRIPTION)

    async def run() -> None:
        from app.database import engine

        for statement in STATEMENTS.strip().split(";\n"):
            await engine.run_ddl(statement)

    manager.add_raw(run)
    # Piccolo's tables have one column for a key: the new one is no longer among them.
    manager.drop_table(class_name="Block", tablename="block_before")
    manager.alter_column(
        table_class_name="Invitation",
        tablename="invitation",
        column_name="used_by",
        db_column_name="used_by",
        params={"on_delete": OnDelete.cascade},
        old_params={"on_delete": OnDelete.set_null},
        column_class=ForeignKey,
        old_column_class=ForeignKey,
    )
    return manager
