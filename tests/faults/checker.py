"""What holds after every experiment: one query or one comparison for each invariant of the durability promise."""

import asyncpg

from app.chat.calls import MOST_CALLS
from tests.faults.ledger import Ledger


class Checker:
    """Looks at the database of an experiment. `check_log` may be called often: deltas are thrown away after minutes."""

    def __init__(self, database: "asyncpg.Pool[asyncpg.Record]", ledger: Ledger) -> None:
        self._database = database
        self._ledger = ledger
        self.logs_checked: set[object] = set()

    async def check(self) -> None:
        """I1, I2, I3, I4, I5, I6 and I8, when nothing is running any more."""
        await self.check_turns()
        await self.check_ends()
        await self.check_log()
        await self.check_shown()
        await self.check_calls()

    async def check_turns(self) -> None:
        """I1, I2: every acknowledged question is stored with its answer, and every request made one turn."""
        rows = await self._database.fetch(
            "SELECT q.thread, q.request_id, q.id AS question, min(a.id::text) AS answer, q.content AS text"
            " FROM message q JOIN message a ON a.parent = q.id WHERE q.role = 'user' GROUP BY q.id"
        )
        stored = {(row["thread"], row["request_id"]): row for row in rows}
        assert len(stored) == len(rows), "a request made two turns"
        for turn in self._ledger.turns:
            row = stored.get((turn.thread, turn.request_id))
            assert row is not None, f"lost: {turn}"
            assert row["text"] == turn.text
            assert turn.question in (None, row["question"])
            assert turn.answer is None or str(turn.answer) == row["answer"]

    async def check_ends(self) -> None:
        """I3, I4: nothing is left half-done, and every end has its reason."""
        left = await self._database.fetch(
            "SELECT m.id, m.status, g.state, g.worker FROM message m LEFT JOIN generation g ON g.message = m.id"
            " WHERE m.status IN ('queued', 'running') OR g.state <> 'ended' OR (m.role = 'assistant' AND m.finish_reason = '')"
        )
        assert not left, left[:5]

    async def check_log(self) -> None:
        """I4: of every ended answer whose log is still kept, `seq` is 1…n and the log's text is the stored text."""
        broken = await self._database.fetch(_LOG)
        assert not [row for row in broken if row["is_broken"]], [dict(row) for row in broken if row["is_broken"]][:3]
        self.logs_checked |= {row["id"] for row in broken}

    async def check_shown(self) -> None:
        """I5: what any page showed is the beginning of what is stored."""
        assert not self._ledger.torn, self._ledger.torn[:3]
        rows = await self._database.fetch("SELECT id, content FROM message WHERE role = 'assistant'")
        stored = {row["id"]: " ".join(row["content"].split()) for row in rows}
        for message, shown in self._ledger.shown.items():
            if message in stored:
                assert stored[message].startswith(shown), (message, shown[-200:], stored[message][-200:])

    async def check_calls(self) -> None:
        """I6, I8: at most three calls of a model for an answer, one more for each that was tried before it; each on record."""
        wrong = await self._database.fetch(
            "SELECT g.id, g.attempt, g.provider_attempts, m.tried FROM generation g JOIN message m ON m.id = g.message"
            " WHERE g.attempt > $1 + jsonb_array_length(m.tried)"
            " OR jsonb_array_length(g.provider_attempts) > g.attempt"
            " OR (jsonb_array_length(g.provider_attempts) < g.attempt AND g.provider_attempts = '[]'"
            " AND g.worker IS NOT NULL AND m.error_code <> 'all_down')",
            MOST_CALLS,
        )
        assert not wrong, wrong[:3]


# A continued answer begins with what it had: there the log is the end of the text alone.
_LOG = """
SELECT g.id, m.status, count(*) AS count, max(d.seq) AS last, right(string_agg(d.body, '' ORDER BY d.seq), 80) AS logged,
       right(m.content, 80) AS stored,
       count(*) <> max(d.seq) OR min(d.seq) <> 1
           OR m.content <> string_agg(d.body, '' ORDER BY d.seq) FILTER (WHERE d.kind = 'text') AS is_broken
FROM delta AS d JOIN generation AS g ON g.id = d.generation_id JOIN message AS m ON m.id = g.message
WHERE g.state = 'ended' AND NOT g.is_continuation
GROUP BY g.id, m.id
"""
