"""A process that writes answers, so that others can tell whether it lives."""

from piccolo.columns import BigInt, Boolean, Timestamptz, Varchar
from piccolo.table import Table

from app.database import engine


class Worker(Table, tablename="worker", db=engine):
    """`id` is also the key of the advisory lock that the worker's own connection holds; `is_alive` is its fence."""

    id = BigInt(primary_key=True, default=None)
    name = Varchar(length=200)
    is_alive = Boolean(default=True)
    started_at = Timestamptz()
    seen_at = Timestamptz()
