"""The schema of Parley at its first release: tables as Piccolo classes, then in SQL what Piccolo cannot say.

The classes are frozen copies. Nothing here is imported from `app`, so `app/tables` may change, move and be renamed; later
migrations hold the differences. Columns keep the order that they had before there was a baseline (docs/decisions/0065).
"""

from piccolo.apps.migrations.auto.migration_manager import MigrationManager
from piccolo.columns import (
    JSONB,
    UUID,
    BigInt,
    Boolean,
    Bytea,
    DoublePrecision,
    ForeignKey,
    Integer,
    Numeric,
    SmallInt,
    Text,
    Timestamptz,
    Varchar,
)
from piccolo.columns.base import OnDelete
from piccolo.constraints import Check
from piccolo.engine import engine_finder
from piccolo.table import Table

ID = "2026-11-30T12:00:00:000000"
VERSION = "1.38.0"
DESCRIPTION = "baseline"


# Providers and their models


class ProviderRow(Table, tablename="provider"):
    id = UUID(primary_key=True, default=None)
    kind = Varchar(length=30)
    name = Varchar(length=100)
    base_url = Text()
    key_sealed = Text()
    is_enabled = Boolean(default=True)
    state = Varchar(length=20, default="unknown")
    error = Text()
    latency_ms = Integer(default=None, null=True)
    refreshed_at = Timestamptz(default=None, null=True)
    created_at = Timestamptz()
    failures = Integer(default=0)
    failing_since = Timestamptz(default=None, null=True)
    probes = Integer(default=0)
    down_since = Timestamptz(default=None, null=True)
    probe_at = Timestamptz(default=None, null=True)
    allows_private = Boolean(default=True)
    answered_at = Timestamptz(default=None, null=True)
    lists_models = Boolean(default=True)
    version = Varchar(length=50)
    base_url_sealed = Text()
    shown_url = Text()


class ModelRow(Table, tablename="model"):
    id = UUID(primary_key=True, default=None)
    provider = ForeignKey(references=ProviderRow, null=False)
    name = Text()
    size_bytes = BigInt(default=None, null=True)
    family = Varchar(length=100, default=None, null=True)
    quantisation = Varchar(length=50, default=None, null=True)
    is_loaded = Boolean(default=None, null=True)
    seen_at = Timestamptz()
    gone_at = Timestamptz(default=None, null=True)
    has_vision = Boolean(default=None, null=True)  # from here to `max_output_tokens`: FACTS makes them generated
    has_tools = Boolean(default=None, null=True)
    has_reasoning = Boolean(default=None, null=True)
    is_embedding = Boolean(default=None, null=True)
    context_window = Integer(default=None, null=True)
    max_output_tokens = Integer(default=None, null=True)
    fallbacks = JSONB(default="[]")
    allowed_users = JSONB(default=None, null=True)
    engine = JSONB(default="{}")
    expires_at = Timestamptz(default=None, null=True)
    memory_bytes = BigInt(default=None, null=True)
    seen_since = Timestamptz(default=None, null=True)
    refused = JSONB(default="[]")
    is_bundled = Boolean(default=False)
    is_hidden = Boolean(default=False)
    failures = Integer(default=0)
    failing_since = Timestamptz(default=None, null=True)
    down_since = Timestamptz(default=None, null=True)
    trial_at = Timestamptz(default=None, null=True)
    error = Text()
    is_by_hand = Boolean(default=False)


# People


class User(Table, tablename="users"):
    id = UUID(primary_key=True, default=None)
    name = Varchar(length=100)
    email = Varchar(length=254, unique=True)
    password_hash = Text()
    is_owner = Boolean(default=False)
    is_active = Boolean(default=True)
    theme = Varchar(length=20, default="system")
    send_key = Varchar(length=20, default="enter")
    speech = Varchar(length=20, default="all")
    draft = Text()
    created_at = Timestamptz()
    seen_at = Timestamptz(default=None, null=True)
    default_model = ForeignKey(references=ModelRow, null=True, default=None, on_delete=OnDelete.set_null)
    language = Varchar(length=20)


class Session(Table, tablename="session"):
    id = UUID(primary_key=True, default=None)
    user = ForeignKey(references=User, null=False)
    token_hash = Bytea(unique=True)
    user_agent = Varchar(length=300)
    created_at = Timestamptz()
    seen_at = Timestamptz()
    expires_at = Timestamptz()
    address = Varchar(length=64)
    confirmed_at = Timestamptz(default=None, null=True)


class Invitation(Table, tablename="invitation"):
    id = UUID(primary_key=True, default=None)
    created_by = ForeignKey(references=User, null=False)
    email = Varchar(length=254)
    token_hash = Bytea(unique=True)
    created_at = Timestamptz()
    expires_at = Timestamptz()
    used_at = Timestamptz(default=None, null=True)
    used_by = ForeignKey(references=User, null=True, default=None)


class SignInAttempt(Table, tablename="sign_in_attempt"):
    key = Varchar(length=80, primary_key=True, default=None)
    failures = Integer(default=0)
    failed_at = Timestamptz()
    user = ForeignKey(references=User, null=True, default=None, index=True)


class Setting(Table, tablename="setting"):
    name = Varchar(length=100, primary_key=True, default=None)
    value = JSONB(default="null")
    changed_by = ForeignKey(references=User, null=True, default=None, on_delete=OnDelete.set_null)
    changed_at = Timestamptz()


class Preset(Table, tablename="preset"):
    id = UUID(primary_key=True, default=None)
    user = ForeignKey(references=User, null=False)
    name = Varchar(length=100)
    is_shared = Boolean(default=False)
    model = ForeignKey(references=ModelRow, null=True, default=None, on_delete=OnDelete.set_null)
    system_prompt = Text()
    options = JSONB(default="{}")
    created_at = Timestamptz()
    updated_at = Timestamptz()
    model_name = Text()


class SlashPrompt(Table, tablename="slash_prompt"):
    id = UUID(primary_key=True, default=None)
    user = ForeignKey(references=User, null=False)
    name = Varchar(length=40)
    description = Varchar(length=200)
    text = Text()
    is_shared = Boolean(default=False)
    created_at = Timestamptz()
    updated_at = Timestamptz()


# Threads and their messages


class Thread(Table, tablename="thread"):
    id = UUID(primary_key=True, default=None)
    user = ForeignKey(references=User, null=False)
    title = Varchar(length=200)
    is_named = Boolean(default=False)
    status = Varchar(length=20, default="active")
    summary = Text()
    metadata = JSONB(default="{}")
    is_pinned = Boolean(default=False)
    model = ForeignKey(references=ModelRow, null=True, default=None, on_delete=OnDelete.set_null)
    system_prompt = Text()
    options = JSONB(default="{}")
    draft = Text()
    leaf = UUID(default=None, null=True)
    version = Integer(default=1)
    created_at = Timestamptz()
    updated_at = Timestamptz()


class Message(Table, tablename="message"):
    id = UUID(primary_key=True, default=None)
    thread = ForeignKey(references=Thread, null=False)
    sender = ForeignKey(references=User, null=True, default=None, on_delete=OnDelete.set_null)
    parent = UUID(default=None, null=True)
    depth = Integer(default=0)
    role = Varchar(length=20)
    type = Varchar(length=20, default="text")
    metadata = JSONB(default="{}")
    status = Varchar(length=20, default="complete")
    parts = JSONB(default="[]")
    content = Text()
    request_id = UUID(default=None, null=True)
    model = ForeignKey(references=ModelRow, null=True, default=None, on_delete=OnDelete.set_null)
    model_label = Varchar(length=300)
    is_demo = Boolean(default=False)
    input_tokens = Integer(default=None, null=True)
    output_tokens = Integer(default=None, null=True)
    cached_tokens = Integer(default=None, null=True)
    usage_is_exact = Boolean(default=True)
    cost = Numeric(default=None, null=True)
    first_token_ms = Integer(default=None, null=True)
    duration_ms = Integer(default=None, null=True)
    tokens_per_second = DoublePrecision(default=None, null=True)
    finish_reason = Varchar(length=30)
    error_code = Varchar(length=50)
    error_sentence = Text()
    html = Text()
    html_version = Integer(default=0)
    created_at = Timestamptz()
    finished_at = Timestamptz(default=None, null=True)
    tried = JSONB(default="[]")
    retry_at = Timestamptz(default=None, null=True)
    writers = JSONB(default="[]")
    cost_is_partial = Boolean(default=False)
    failed_renders = SmallInt(default=0)

    message_role_check = Check("role IN ('user', 'assistant', 'system', 'tool')")


class Generation(Table, tablename="generation"):
    id = UUID(primary_key=True, default=None)
    message = ForeignKey(references=Message, null=False)
    thread = ForeignKey(references=Thread, null=False)
    attempt = Integer(default=0)
    worker = BigInt(default=None, null=True)
    state = Varchar(length=20, default="queued")
    is_continuation = Boolean(default=False)
    is_stop_requested = Boolean(default=False)
    request = JSONB(default="{}")
    provider_attempts = JSONB(default="[]")
    queued_at = Timestamptz()
    started_at = Timestamptz(default=None, null=True)
    ended_at = Timestamptz(default=None, null=True)
    naming = JSONB(default="{}")
    language = Varchar(length=10)


# What runs


class Worker(Table, tablename="worker"):
    id = BigInt(primary_key=True, default=None)
    name = Varchar(length=200)
    is_alive = Boolean(default=True)
    started_at = Timestamptz()
    seen_at = Timestamptz()


class EngineRow(Table, tablename="engine"):
    id = UUID(primary_key=True, default=None)
    worker = BigInt()
    model_name = Text()
    state = Varchar(length=20, default="starting")
    memory_bytes = BigInt(default=None, null=True)
    context_tokens = Integer(default=0)
    slots = Integer(default=1)
    started_at = Timestamptz()
    expires_at = Timestamptz(default=None, null=True)


class ModelTask(Table, tablename="model_task"):
    id = UUID(primary_key=True, default=None)
    kind = Varchar(length=20)
    provider = ForeignKey(references=ProviderRow, null=False)
    model_name = Text()
    source = Text()
    options = JSONB(default="{}")
    state = Varchar(length=20, default="queued")
    is_cancel_requested = Boolean(default=False)
    attempt = Integer(default=0)
    worker = BigInt(default=None, null=True)
    phase = Varchar(length=30)
    done_bytes = BigInt(default=0)
    total_bytes = BigInt(default=None, null=True)
    bytes_per_second = DoublePrecision(default=None, null=True)
    log = Text()
    error = Text()
    user = ForeignKey(references=User, null=True, default=None, on_delete=OnDelete.set_null)
    created_at = Timestamptz()
    started_at = Timestamptz(default=None, null=True)
    ended_at = Timestamptz(default=None, null=True)


TABLES = [
    *(ProviderRow, ModelRow),
    *(User, Session, Invitation, SignInAttempt, Setting, Preset, SlashPrompt),
    *(Thread, Message, Generation),
    *(Worker, EngineRow, ModelTask),
]

#: What is known of a model: `set_by_owner` before `said` (by its server) before `known` (docs/decisions/0019).
FACTS = """
ALTER TABLE model
    DROP COLUMN has_vision, DROP COLUMN has_tools, DROP COLUMN has_reasoning, DROP COLUMN is_embedding,
    DROP COLUMN context_window, DROP COLUMN max_output_tokens;
ALTER TABLE model
    ADD COLUMN known jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN said jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN set_by_owner jsonb NOT NULL DEFAULT '{}';
ALTER TABLE model
    ADD COLUMN has_vision boolean
        GENERATED ALWAYS AS (((known || said || set_by_owner) ->> 'has_vision')::boolean) STORED,
    ADD COLUMN has_tools boolean
        GENERATED ALWAYS AS (((known || said || set_by_owner) ->> 'has_tools')::boolean) STORED,
    ADD COLUMN has_reasoning boolean
        GENERATED ALWAYS AS (((known || said || set_by_owner) ->> 'has_reasoning')::boolean) STORED,
    ADD COLUMN is_embedding boolean
        GENERATED ALWAYS AS (((known || said || set_by_owner) ->> 'is_embedding')::boolean) STORED,
    ADD COLUMN context_window integer
        GENERATED ALWAYS AS (((known || said || set_by_owner) ->> 'context_window')::integer) STORED,
    ADD COLUMN max_output_tokens integer
        GENERATED ALWAYS AS (((known || said || set_by_owner) ->> 'max_output_tokens')::integer) STORED,
    ADD COLUMN input_price numeric
        GENERATED ALWAYS AS (((known || said || set_by_owner) ->> 'input_price')::numeric) STORED,
    ADD COLUMN output_price numeric
        GENERATED ALWAYS AS (((known || said || set_by_owner) ->> 'output_price')::numeric) STORED,
    ADD COLUMN cached_price numeric
        GENERATED ALWAYS AS (((known || said || set_by_owner) ->> 'cached_price')::numeric) STORED;
"""

#: What one person or one instance can have only once.
UNIQUE_INDEXES = """
CREATE UNIQUE INDEX model_of_provider ON model (provider, name);
CREATE UNIQUE INDEX slash_prompt_of_user ON slash_prompt ("user", name);
CREATE UNIQUE INDEX message_once ON message (thread, request_id);
CREATE UNIQUE INDEX generation_one_per_thread ON generation (thread) WHERE state <> 'ended';
CREATE UNIQUE INDEX engine_of_worker ON engine (worker, model_name);
CREATE UNIQUE INDEX model_task_one ON model_task (provider, model_name) WHERE state IN ('queued', 'running');
"""

#: What lists, branches and cascading deletions look up.
INDEXES = """
CREATE INDEX session_of_user ON session ("user");
CREATE INDEX preset_of_user ON preset ("user");
CREATE INDEX thread_newest ON thread ("user", status, updated_at DESC, id DESC);
CREATE INDEX message_branch ON message (thread, depth);
CREATE INDEX message_parent ON message (parent);
CREATE INDEX message_root ON message (thread) WHERE parent IS NULL;
CREATE INDEX generation_message ON generation (message);
CREATE INDEX generation_of_thread ON generation (thread);
CREATE INDEX model_task_newest ON model_task (created_at DESC);
"""

#: The live log has a key of two columns. It keeps its pages when it is emptied: plans that were made meanwhile suit it when
#: it is full again.
LIVE_LOG = """
CREATE TABLE delta (
    generation_id uuid NOT NULL,
    seq integer NOT NULL,
    kind text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (generation_id, seq)
) WITH (vacuum_truncate = off);
"""

#: The blocks that requests were made of have a key of two columns: each belongs to a thread and is deleted with it.
BLOCKS = """
CREATE TABLE block (
    thread uuid NOT NULL REFERENCES thread ON DELETE CASCADE,
    hash bytea NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (thread, hash)
);
"""

#: The queue, as PgQueuer 1.6 installs it; a test compares it with the PgQueuer that is installed.
QUEUE = """
CREATE TYPE pgqueuer_status AS ENUM ('queued', 'picked', 'successful', 'exception', 'canceled', 'deleted', 'failed');

CREATE TABLE pgqueuer (
    id bigserial PRIMARY KEY,
    priority integer NOT NULL,
    queue_manager_id uuid,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    heartbeat timestamptz NOT NULL DEFAULT now(),
    execute_after timestamptz NOT NULL DEFAULT now(),
    status pgqueuer_status NOT NULL,
    entrypoint text NOT NULL,
    dedupe_key text,
    payload bytea,
    headers jsonb,
    attempts integer NOT NULL DEFAULT 0,
    slot bigint
);

CREATE TABLE pgqueuer_log (
    id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    created timestamptz NOT NULL DEFAULT now(),
    job_id bigint NOT NULL,
    status pgqueuer_status NOT NULL,
    priority integer NOT NULL,
    entrypoint text NOT NULL,
    traceback jsonb,
    aggregated boolean DEFAULT false
);

CREATE TABLE pgqueuer_schedules (
    id bigserial PRIMARY KEY,
    expression text NOT NULL,
    entrypoint text NOT NULL,
    heartbeat timestamptz NOT NULL DEFAULT now(),
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    next_run timestamptz NOT NULL DEFAULT now(),
    last_run timestamptz,
    status pgqueuer_status DEFAULT 'queued',
    UNIQUE (expression, entrypoint)
);

CREATE TABLE pgqueuer_statistics (
    id bigserial PRIMARY KEY,
    created timestamptz NOT NULL DEFAULT date_trunc('sec', now()),
    count bigint NOT NULL,
    priority integer NOT NULL,
    status pgqueuer_status NOT NULL,
    entrypoint text NOT NULL
);

CREATE INDEX pgqueuer_ep_ea_idx ON pgqueuer (entrypoint, execute_after) WHERE status = 'queued';
CREATE INDEX pgqueuer_ep_prio_id_idx ON pgqueuer (entrypoint, priority DESC, id) WHERE status = 'queued';
CREATE INDEX pgqueuer_priority_id_id1_idx ON pgqueuer (priority, id DESC) INCLUDE (id) WHERE status = 'queued';
CREATE INDEX pgqueuer_updated_id_id1_idx ON pgqueuer (updated, id DESC) INCLUDE (id) WHERE status = 'picked';
CREATE INDEX pgqueuer_picked_heartbeat_idx ON pgqueuer (heartbeat) WHERE status = 'picked';
CREATE UNIQUE INDEX pgqueuer_picked_slot_idx ON pgqueuer (entrypoint, slot) WHERE status = 'picked' AND slot IS NOT NULL;
CREATE INDEX pgqueuer_queue_manager_id_idx ON pgqueuer (queue_manager_id) WHERE queue_manager_id IS NOT NULL;
CREATE UNIQUE INDEX pgqueuer_unique_dedupe_key ON pgqueuer (dedupe_key)
    WHERE status IN ('queued', 'picked') AND dedupe_key IS NOT NULL;
CREATE INDEX pgqueuer_log_created ON pgqueuer_log (created);
CREATE INDEX pgqueuer_log_job_id_status ON pgqueuer_log (job_id, created DESC);
CREATE INDEX pgqueuer_log_not_aggregated ON pgqueuer_log ((1)) WHERE NOT aggregated;
CREATE INDEX pgqueuer_log_status ON pgqueuer_log (status);
CREATE UNIQUE INDEX pgqueuer_statistics_unique_count ON pgqueuer_statistics
    (priority, date_trunc('sec', timezone('UTC', created)), status, entrypoint);

CREATE FUNCTION fn_pgqueuer_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    to_emit BOOLEAN := false;  -- Flag to decide whether to emit a notification
BEGIN
    -- Check operation type and set the emit flag accordingly
    IF TG_OP = 'UPDATE' AND OLD IS DISTINCT FROM NEW THEN
        to_emit := true;
    ELSIF TG_OP = 'DELETE' THEN
        to_emit := true;
    ELSIF TG_OP = 'INSERT' THEN
        to_emit := true;
    ELSIF TG_OP = 'TRUNCATE' THEN
        to_emit := true;
    END IF;

    -- Perform notification if the emit flag is set
    IF to_emit THEN
        PERFORM pg_notify(
            'ch_pgqueuer',
            json_build_object(
                'channel', 'ch_pgqueuer',
                'operation', lower(TG_OP),
                'sent_at', NOW(),
                'table', TG_TABLE_NAME,
                'type', 'table_changed_event'
            )::text
        );
    END IF;

    -- Return appropriate value based on the operation
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' THEN
        RETURN OLD;
    ELSE
        RETURN NULL; -- For TRUNCATE and other non-row-specific contexts
    END IF;

END;
$$;

CREATE TRIGGER tg_pgqueuer_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgqueuer
    EXECUTE FUNCTION fn_pgqueuer_changed();
"""


class Baseline(MigrationManager):
    """Runs the SQL after Piccolo has made the tables: Piccolo runs what `add_raw` is given before it."""

    async def run(self, backwards: bool = False) -> None:
        async with engine_finder().transaction() as transaction:
            await super().run(backwards=backwards)
            if not (self.preview or backwards):
                for block in (FACTS, UNIQUE_INDEXES, INDEXES, LIVE_LOG, BLOCKS, QUEUE):
                    await transaction.connection.execute(block)


async def forwards() -> MigrationManager:
    manager = Baseline(migration_id=ID, app_name="parley", description=DESCRIPTION)
    for table in TABLES:
        names = {"table_class_name": table.__name__, "tablename": table._meta.tablename}
        manager.add_table(table.__name__, table._meta.tablename)
        for column in table._meta.columns:
            manager.add_column(
                **names, column_name=column._meta.name, column_class=type(column), params=column._meta.params
            )
        for constraint in table._meta.constraints:
            name, kind, params = constraint._meta.name, type(constraint), constraint._meta.params
            manager.add_constraint(**names, constraint_name=name, constraint_class=kind, params=params)
    return manager
