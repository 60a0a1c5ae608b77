"""The owner's Health page: what is to be looked at is named at its top, and leads to its row."""

import re

from app.database import fetch
from tests.controllers.threads import add_model
from tests.people import Browser


async def test_what_is_to_be_looked_at_is_named_first_and_linked(olive: Browser) -> None:
    for _ in range(2):
        await add_model()
    await fetch("UPDATE provider SET state = 'down', error = 'Gone.', down_since = now() WHERE name = 'Nobody'")
    page = (await olive.get("/status")).text
    summary = page[page.index('class="lead') : page.index("</p>", page.index('class="lead'))]
    links = dict(re.findall(r'<a href="#([\w-]+)">([^<]+)</a>', summary))
    assert list(links.values()).count("Nobody") == 2, "of two that are called the same each has its own"
    assert f"{len(links)} things to look at:" in summary
    for anchor, part in links.items():
        row = page[page.index(f'<tr id="{anchor}">') :]
        assert f'<th scope="row">{part}</th>' in row[:200]
        assert '<span class="tag ok">' not in row[: row.index("</tr>")]
