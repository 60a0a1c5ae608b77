"""Indexes of the tables before: one task of a model at a time, each name of a slash-prompt once; since when models are seen."""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager

ID = "2026-11-25T08:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "indexes of settings, tasks of models, presets"

STATEMENTS = """
CREATE UNIQUE INDEX model_task_one ON model_task (provider, model_name) WHERE state IN ('queued', 'running');
CREATE INDEX model_task_newest ON model_task (created_at DESC);
CREATE UNIQUE INDEX engine_of_worker ON engine (worker, model_name);
CREATE UNIQUE INDEX slash_prompt_of_user ON slash_prompt ("user", name);
CREATE INDEX preset_of_user ON preset ("user");
UPDATE model SET seen_since = seen_at
"""


async def forwards() -> MigrationManager:
    manager = MigrationManager(migration_id=ID, app_name="parley", description=DESCRIPTION)

    async def run() -> None:
        from app.database import engine

        for statement in STATEMENTS.strip().split(";\n"):
            await engine.run_ddl(statement)

    manager.add_raw(run)
    return manager
