"""The child processes that render. Knows nothing of what they render: a process that only writes answers has none of it."""

from typing import Final

from app.children.pool import Pool

RENDERERS: Final = Pool("app.html.renderer")
