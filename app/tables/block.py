"""Pieces of requests that were sent to models, stored once however often they were sent."""

from piccolo.columns import Bytea, Text
from piccolo.table import Table

from app.database import engine


class Block(Table, tablename="block", db=engine):
    """`hash` is the SHA-256 of `body`, which is JSON text exactly as it was sent."""

    hash = Bytea(primary_key=True, default=None)
    body = Text()
