"""The list of models: found, narrowed down, sorted, a page at a time; and what members see of it."""

import re
import uuid

import pytest

from app.chat.models import PAGE_SIZE
from app.database import fetch
from tests.controllers.test_facts import text_of
from tests.controllers.threads import add_model
from tests.people import Browser

HTMX = {"hx-request": "true"}
REMOVED = "tide-2b was removed."

#: name → facts, size, whether it is loaded.
FLEET = {
    "anchor": ('{"has_vision": true, "context_window": 4096, "output_price": 3}', 100, True),
    "beacon": ('{"has_tools": true, "context_window": 131072}', 300, False),
    "capstan": ('{"has_reasoning": true, "output_price": 1}', 200, None),
    "davit": ('{"is_embedding": true}', None, None),
}


@pytest.fixture
async def fleet(olive: Browser) -> uuid.UUID:
    """Four models of one server; its id."""
    provider, first = await add_model("anchor")
    await fetch("DELETE FROM model WHERE id = $1", first)
    for name, (said, size, is_loaded) in FLEET.items():
        await fetch(
            "INSERT INTO model (id, provider, name, said, size_bytes, is_loaded, seen_at, seen_since)"
            " VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, now(), now())",
            provider, name, said, size, is_loaded,
        )  # fmt: skip
    return provider


async def listed(browser: Browser, query: str = "") -> list[str]:
    """The names in the list, in order."""
    page = await browser.get(f"/models{query}")
    assert page.status_code == 200, page.text
    return re.findall(r'<a class="name" href="[^"]*">([^<]*)</a>', page.text)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["anchor", "beacon", "capstan", "davit"]),
        ("?sort=-name", ["davit", "capstan", "beacon", "anchor"]),
        ("?sort=-size", ["beacon", "capstan", "anchor", "davit"]),
        ("?sort=size", ["anchor", "capstan", "beacon", "davit"]),
        ("?sort=-context", ["beacon", "anchor", "capstan", "davit"]),
        ("?sort=price", ["capstan", "anchor", "beacon", "davit"]),
        ("?able=vision", ["anchor"]),
        ("?able=tools", ["beacon"]),
        ("?able=reasoning", ["capstan"]),
        ("?able=embedding", ["davit"]),
        ("?status=loaded", ["anchor"]),
        ("?status=local", ["anchor", "beacon", "capstan"]),
        ("?status=gone", []),
        ("?status=restricted", []),
        ("?q=BEAC", ["beacon"]),
        ("?q=%25", []),
        ("?q=%00anchor", ["anchor"]),
        ("?able=flying&status=lost&sort=sideways&provider=x&at=-7", ["anchor", "beacon", "capstan", "davit"]),
    ],
)
async def test_the_address_says_what_is_listed(olive: Browser, fleet: uuid.UUID, query: str, names: list[str]) -> None:
    assert await listed(olive, query) == names


async def test_models_of_one_server_are_listed_alone(olive: Browser, fleet: uuid.UUID) -> None:
    other, _model = await add_model("elsewhere")
    assert await listed(olive, f"?provider={other}") == ["elsewhere"]
    assert "elsewhere" not in await listed(olive, f"?provider={fleet}")


async def test_thousands_come_a_page_at_a_time_in_the_same_order(olive: Browser, fleet: uuid.UUID) -> None:
    await fetch(
        "INSERT INTO model (id, provider, name, seen_at)"
        " SELECT gen_random_uuid(), $1, 'm' || lpad(n::text, 4, '0'), now() FROM generate_series(1, 2000) AS n",
        fleet,
    )
    seen: list[str] = []
    for at in range(1, 22):
        seen += await listed(olive, f"?sort=name&at={at}")
    assert len(seen) == 2004 == len(set(seen))
    assert seen == sorted(seen)
    page = (await olive.get("/models?sort=name&at=2")).text
    assert "Page 2 of 21" in text_of(page)
    assert f"at={1}" in page
    assert "at=3" in page
    assert len(await listed(olive)) == PAGE_SIZE


async def test_what_is_gone_is_listed_with_since_when(olive: Browser, fleet: uuid.UUID) -> None:
    await fetch("UPDATE model SET gone_at = now() WHERE name = 'beacon'")
    assert "beacon" not in await listed(olive)
    assert await listed(olive, "?status=gone") == ["beacon"]
    assert re.search("Gone since .* seen since", text_of((await olive.get("/models?status=gone")).text))


async def test_a_script_gets_the_list_alone(olive: Browser, fleet: uuid.UUID) -> None:
    part = await olive.get("/models?able=tools", headers=HTMX)
    assert "<html" not in part.text
    assert "able=tools" in part.text  # and asks for the same again
    assert "anchor" not in part.text


async def test_a_member_sees_what_they_may_use_and_changes_nothing(
    olive: Browser, alice: Browser, fleet: uuid.UUID
) -> None:
    await fetch("UPDATE model SET allowed_users = '[]' WHERE name = 'beacon'")
    assert await listed(alice) == ["anchor", "capstan", "davit"]
    page = (await alice.get("/models")).text
    for word in ("Pull a model", "Unload", "Delete", "/providers", "not for everybody"):
        assert word not in page
    (anchor,) = await fetch("SELECT id FROM model WHERE name = 'anchor'")
    (beacon,) = await fetch("SELECT id FROM model WHERE name = 'beacon'")
    own = await alice.get(f"/models/{anchor['id']}")
    assert own.status_code == 200
    assert not re.search(r'<form[^>]*action="/models', own.text)
    foreign, none = await alice.get(f"/models/{beacon['id']}"), await alice.get(f"/models/{uuid.uuid4()}")
    assert (foreign.status_code, none.status_code) == (404, 404)


async def test_only_servers_that_let_us_are_told_to_load_and_delete(olive: Browser, alice: Browser) -> None:
    _provider, model = await add_model()
    assert (await olive.post(f"/models/{model}/load")).status_code == 409
    assert (await olive.delete(f"/models/{model}")).status_code == 409
    assert (await olive.get(f"/models/{model}/deletion")).status_code == 409
    assert (await olive.put(f"/models/{model}/engine", data={"slots": "2"})).status_code == 404
    assert await fetch("SELECT 1 FROM model_task") == []


async def test_new_threads_begin_with_the_default(olive: Browser, alice: Browser, fleet: uuid.UUID) -> None:
    (beacon,) = await fetch("SELECT id FROM model WHERE name = 'beacon'")
    path = f"/models/{beacon['id']}/default"
    chosen = re.compile(f'<option value="{beacon["id"]}"[^>]* selected')
    assert not chosen.search((await alice.get("/")).text)
    assert (await olive.put(path)).status_code == 303
    assert chosen.search((await alice.get("/")).text)
    assert re.search(r"beacon\s+not loaded\s+default", text_of((await olive.get("/models")).text))
    assert (await olive.delete(path)).status_code == 303
    assert not chosen.search((await alice.get("/")).text)
    assert (await alice.put(path)).status_code == 403


async def test_a_thread_says_that_its_model_is_gone(alice: Browser) -> None:
    provider, model = await add_model("tide-2b")
    form = {"text": "Hello", "model": str(model), "request_id": str(uuid.uuid4())}
    thread = (await alice.post("/threads", data=form)).headers["location"]
    assert REMOVED not in (await alice.get(thread)).text
    await fetch("UPDATE model SET gone_at = now() WHERE id = $1", model)
    assert f"{REMOVED} There is no other model." in (await alice.get(thread)).text
    await add_model("lantern-7b")
    assert f"{REMOVED} lantern-7b will answer." in text_of((await alice.get(thread)).text)
    await fetch("DELETE FROM provider WHERE id = $1", provider)
    assert f"{REMOVED} lantern-7b will answer." in text_of((await alice.get(thread)).text)


async def test_a_new_thread_begins_with_the_model_that_the_address_names(alice: Browser) -> None:
    _first, _model = await add_model("anchor")
    _second, model = await add_model("beacon")
    assert f'href="/?model={model}"' in (await alice.get(f"/models/{model}")).text
    assert re.search(rf'<option value="{model}"[^>]* selected', (await alice.get(f"/?model={model}")).text)
    assert (await alice.get(f"/?model={uuid.uuid4()}")).status_code == 200
    assert (await alice.get("/?model=x")).status_code in (400, 404, 422)


async def test_who_deletes_a_model_is_told_what_misses_it(olive: Browser) -> None:
    (model,) = await fetch(
        "WITH p AS (INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at) VALUES"
        " (gen_random_uuid(), 'ollama', 'Quay', 'http://127.0.0.1:9', '', '', now()) RETURNING id)"
        " INSERT INTO model (id, provider, name, seen_at) SELECT gen_random_uuid(), id, 'tide-2b', now() FROM p RETURNING id"
    )
    await olive.post("/presets", data={"name": "Harbour", "model": str(model["id"])})
    await olive.post(f"/models/{model['id']}/default?_method=PUT")
    asked = " ".join((await olive.get(f"/models/{model['id']}/deletion")).text.split())
    assert "tide-2b will be deleted for good from the server Quay. Threads and answers stay." in asked
    assert "New threads begin with it now." in asked
    assert "1 preset begins with it." in asked
