"""`python -m tests.children.asks FAULT`: a process whose child is busy with a fault when it is killed."""

import asyncio
import sys

from app.children.pool import Pool
from app.html.render_requests import RenderParts, encode_request
from app.parts import TextPart


async def main() -> None:
    pool = Pool("tests.children.broken")
    await pool.ask(encode_request(RenderParts([TextPart("fine")], "a")))
    asking = asyncio.create_task(pool.ask(encode_request(RenderParts([TextPart(sys.argv[1])], "a")), seconds=3600))
    await asyncio.sleep(0)
    print("asked", flush=True)
    await asking
    await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main())
