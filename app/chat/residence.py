"""Whether a model is in memory, as SQL: as its server says, or as the rows of our own engines do (`engine_rows.py`)."""

from app.providers import PROVIDERS

#: The kinds whose models our workers run themselves, as an SQL array.
RUN_HERE = f"ARRAY[{', '.join(repr(kind) for kind, each in PROVIDERS.items() if each.runs_here)}]"

#: To be joined to `model AS m` and `provider AS p`; then these are SQL of whether, how large, and for how long still.
RESIDENCE = f"""
LEFT JOIN (
    SELECT e.model_name, bool_or(e.state = 'running') AS is_running, bool_or(e.state = 'starting') AS is_starting,
           sum(e.memory_bytes)::bigint AS memory_bytes, max(e.expires_at) AS expires_at
    FROM engine AS e JOIN worker AS w ON w.id = e.worker AND w.is_alive GROUP BY e.model_name
) AS e ON e.model_name = m.name AND p.kind = ANY({RUN_HERE})
"""
IS_LOADED = f"CASE WHEN p.kind = ANY({RUN_HERE}) THEN coalesce(e.is_running, false) ELSE m.is_loaded END"
MEMORY_BYTES = f"CASE WHEN p.kind = ANY({RUN_HERE}) THEN e.memory_bytes ELSE m.memory_bytes END"
EXPIRES_AT = f"CASE WHEN p.kind = ANY({RUN_HERE}) THEN e.expires_at ELSE m.expires_at END"
