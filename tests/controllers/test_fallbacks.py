"""Which models are tried next: chosen by the owner, kept in order, refused where they are none."""

import uuid

import msgspec

from app.database import fetch, fetch_row, new_id
from tests.controllers.threads import add_model
from tests.people import Browser

HTMX = {"hx-request": "true"}


async def chain_of(model: uuid.UUID) -> list[str]:
    row = await fetch_row("SELECT fallbacks FROM model WHERE id = $1", model)
    assert row is not None
    return msgspec.json.decode(row["fallbacks"], type=list[str])


async def test_the_order_is_kept_without_gaps_and_doubles(olive: Browser) -> None:
    _provider, model = await add_model("first")
    (_p, second), (_q, third) = await add_model("second"), await add_model("third")
    answer = await olive.put(
        f"/models/{model}/fallbacks", data={"first": "", "second": str(third), "third": str(second)}
    )
    assert answer.status_code == 303
    assert await chain_of(model) == [str(third), str(second)]
    again = {"first": str(second), "second": str(second), "third": ""}
    assert (await olive.put(f"/models/{model}/fallbacks", data=again, headers=HTMX)).status_code == 200
    assert await chain_of(model) == [str(second)]
    page = (await olive.get(f"/models/{model}")).text
    assert f'<option value="{second}" selected>second</option>' in page
    assert f'<option value="{model}"' not in page, "a model is not its own fallback"


async def test_what_is_no_model_of_ours_is_refused(olive: Browser) -> None:
    _provider, model = await add_model("first")
    _other, gone = await add_model("gone")
    await fetch("UPDATE model SET gone_at = now() WHERE id = $1", gone)
    for wrong in (str(gone), str(new_id()), str(model), "everything"):
        answer = await olive.put(f"/models/{model}/fallbacks", data={"first": wrong}, headers=HTMX)
        assert answer.status_code == 422, wrong
        assert 'id="error-first"' in answer.text
        whole = await olive.put(f"/models/{model}/fallbacks", data={"first": wrong})
        assert (whole.status_code, "<h1" in whole.text) == (422, True), "without scripts it is the same page"
        assert 'id="error-first"' in whole.text
    assert await chain_of(model) == []


async def test_one_that_has_gone_since_keeps_its_place_until_it_is_taken_out(olive: Browser) -> None:
    _provider, model = await add_model("first")
    (_p, gone), (_q, there) = await add_model("gone-7b"), await add_model("there-7b")
    await olive.put(f"/models/{model}/fallbacks", data={"first": str(gone)})
    await fetch("UPDATE model SET gone_at = now() WHERE id = $1", gone)
    page = (await olive.get(f"/models/{model}")).text
    assert f'<option value="{gone}" selected>gone-7b · gone</option>' in page
    answer = await olive.put(
        f"/models/{model}/fallbacks", data={"first": str(gone), "second": str(there)}, headers=HTMX
    )
    assert answer.status_code == 200
    assert await chain_of(model) == [str(gone), str(there)]
    await olive.put(f"/models/{model}/fallbacks", data={"first": str(there)}, headers=HTMX)
    assert str(gone) not in (await olive.get(f"/models/{model}")).text
