"""What Piccolo has no words for: the live log, the queue, search, and the indexes that queries rest on."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

ID = "2026-11-21T02:10:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "live log, queue, search, indexes"

STATEMENTS = """
CREATE TABLE delta (
    generation_id uuid NOT NULL,
    seq integer NOT NULL,
    kind text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (generation_id, seq)
);
CREATE INDEX thread_newest ON thread ("user", status, updated_at DESC, id DESC);
CREATE INDEX message_branch ON message (thread, depth);
CREATE INDEX message_parent ON message (parent);
CREATE UNIQUE INDEX message_once ON message (thread, request_id);
CREATE INDEX generation_message ON generation (message);
CREATE UNIQUE INDEX generation_one_per_thread ON generation (thread) WHERE state <> 'ended';
CREATE UNIQUE INDEX model_of_provider ON model (provider, name);
ALTER TABLE message ADD COLUMN search tsvector
    GENERATED ALWAYS AS (to_tsvector('simple', left(content, 100000))) STORED;
CREATE INDEX message_search ON message USING gin (search);
CREATE INDEX session_of_user ON session ("user");
"""


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="parley", description=DESCRIPTION)

    async def run() -> None:
        from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment

        from app.database import engine

        for statement in STATEMENTS.strip().split(";\n"):
            await engine.run_ddl(statement)
        connection = engine.current_transaction.get().connection
        await connection.execute(QueryBuilderEnvironment().build_install_query())

    manager.add_raw(run)
    return manager
