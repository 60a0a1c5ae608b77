"""The live log: what running answers grow by goes through Postgres to every page that shows them."""

from app.live.log import News, Row, read_log, tell, to_delta
from app.live.reader import Item, Lost, Reader, Viewer
from app.live.writer import DeltaRefused, Fenced, HandOver, Tape, Writer

__all__ = [
    "DeltaRefused",
    "Fenced",
    "HandOver",
    "Item",
    "Lost",
    "News",
    "Reader",
    "Row",
    "Tape",
    "Viewer",
    "Writer",
    "read_log",
    "tell",
    "to_delta",
]
