"""The real program with renderers that obey a text, and that may take their time."""

import asyncio
from collections.abc import Mapping

from tests.faults.site import UNLIMITED, Site
from tests.programs import Program


class Poisonable(Program):
    """The program, with renderers that obey a text."""

    module = "tests.children.program"


async def serve(site: Site, *, seconds: float, environment: Mapping[str, str] | None = None) -> Program:
    """`parley serve` with such renderers, on the site's database. Each text may take them so long."""
    known = {"DATABASE_URL": site.url, "PARLEY_DRAIN_SECONDS": "1", "RENDERER_SECONDS": str(seconds), **UNLIMITED}
    new = Poisonable("serve", "--port", "0", data=site.data, environment=known | dict(environment or {}))
    site.programs.append(new)
    await asyncio.to_thread(new.start)
    return new
