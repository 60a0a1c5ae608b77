"""What the owner may know better than a model's server: seen, set, refused with a sentence, taken back."""

import json
import re
import uuid
from typing import Any

import pytest

from app.database import fetch, fetch_row
from tests.controllers.threads import add_model
from tests.people import Browser

HTMX = {"hx-request": "true"}


async def facts_of(model: uuid.UUID) -> dict[str, Any]:
    row = await fetch_row("SELECT * FROM model WHERE id = $1", model)
    assert row is not None
    return dict(row)


def text_of(page: str) -> str:
    """A page without its tags."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


async def test_what_is_known_stands_on_a_page_with_who_says_it(olive: Browser) -> None:
    _provider, model = await add_model("talkative")
    _other, silent = await add_model("silent")
    await fetch(
        """UPDATE model SET known = '{"has_tools": true}', said = '{"context_window": 4096, "has_vision": false}',
        set_by_owner = '{"input_price": 0.15}', is_loaded = true WHERE id = $1""",
        model,
    )
    said = text_of((await olive.get(f"/models/{model}")).text)
    assert "set by hand $0.15 in" in said
    assert re.search(r"the server says no vision · a context of 4,096 tokens", said)
    assert re.search(r"documented tools", said)
    assert "Nothing is known of it" in text_of((await olive.get(f"/models/{silent}")).text)


async def test_what_is_set_by_hand_holds_at_once(olive: Browser) -> None:
    _provider, model = await add_model()
    await fetch("""UPDATE model SET said = '{"context_window": 4096}' WHERE id = $1""", model)
    form = {
        "has_vision": "true",
        "has_tools": "false",
        "context_window": "512",
        "input_price": "0,15",
        "output_price": "0",
    }
    answer = await olive.put(f"/models/{model}/facts", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/models/{model}")
    found = await facts_of(model)
    assert (found["has_vision"], found["has_tools"], found["has_reasoning"]) == (True, False, None)
    assert (found["context_window"], str(found["input_price"]), found["output_price"]) == (512, "0.15", 0)
    page = await olive.get(f"/models/{model}")
    assert "Saved." in page.text
    assert re.search(r'name="context_window"[^>]*value="512"[^>]*placeholder="4096"', page.text)
    assert "Set by hand · the server says: 4,096" in text_of(page.text)


async def test_a_field_left_empty_takes_its_fact_back(olive: Browser) -> None:
    _provider, model = await add_model()
    await fetch("""UPDATE model SET said = '{"context_window": 4096, "has_vision": true}' WHERE id = $1""", model)
    await olive.put(f"/models/{model}/facts", data={"context_window": "512", "has_vision": "false"})
    await olive.put(f"/models/{model}/facts", data={"context_window": "", "has_vision": "false"})
    found = await facts_of(model)
    assert (found["context_window"], found["has_vision"]) == (4096, False)


async def test_everything_is_taken_back_at_once(olive: Browser) -> None:
    _provider, model = await add_model()
    path = f"/models/{model}"
    assert "Take back everything" not in (await olive.get(path)).text
    await olive.put(f"{path}/facts", data={"context_window": "512", "has_vision": "true"})
    assert "Take back everything" in (await olive.get(path)).text
    answer = await olive.post(f"{path}/facts?_method=DELETE")
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    found = await facts_of(model)
    assert (found["context_window"], found["has_vision"], found["set_by_owner"]) == (None, None, "{}")


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("input_price", "-1", "A number from 0 to 100,000."),
        ("output_price", "cheap", "A number from 0 to 100,000."),
        ("cached_price", "nan", "A number from 0 to 100,000."),
        ("input_price", "1e999", "A number from 0 to 100,000."),
        ("context_window", "0", "A whole number from 1 to 1,000,000,000."),
        ("context_window", "128k", "A whole number from 1 to 1,000,000,000."),
        ("max_output_tokens", "99999999999", "A whole number from 1 to 1,000,000,000."),
        ("has_vision", "maybe", "Choose one of what is offered."),
    ],
)
async def test_a_mistake_is_said_beside_its_field_and_nothing_is_stored(
    olive: Browser, field: str, typed: str, sentence: str
) -> None:
    _provider, model = await add_model()
    await olive.put(f"/models/{model}/facts", data={"context_window": "512"})
    for headers in ({}, HTMX):
        answer = await olive.put(f"/models/{model}/facts", data={field: typed, "has_tools": "true"}, headers=headers)
        assert answer.status_code == 422
        assert re.search(rf'id="error-{field}">.*{re.escape(sentence)}', answer.text)
        assert field.startswith("has_") or f'value="{typed}"' in answer.text
        assert '<option value="true" selected>' in answer.text
        assert ("<html" in answer.text) == (not headers)
    found = await facts_of(model)
    assert json.loads(found["set_by_owner"]) == {"context_window": 512}


async def test_a_script_gets_the_form_alone(olive: Browser) -> None:
    _provider, model = await add_model()
    answer = await olive.put(f"/models/{model}/facts", data={"has_tools": "true"}, headers=HTMX)
    assert answer.status_code == 200
    assert "<html" not in answer.text
    assert "Saved." in answer.text
    assert "set by hand tools" in text_of(answer.text)


async def test_fields_that_nobody_asked_for_are_refused(olive: Browser) -> None:
    _provider, model = await add_model()
    answer = await olive.put(f"/models/{model}/facts", data={"said": "{}", "known": "{}"})
    assert answer.status_code == 400
    assert json.loads((await facts_of(model))["set_by_owner"]) == {}


async def test_a_name_of_a_model_is_only_text(olive: Browser) -> None:
    _provider, model = await add_model("<img src=x onerror=alert(1)>")
    for path in ("/models", f"/models/{model}"):
        assert "<img" not in (await olive.get(path)).text


async def test_of_a_model_that_is_gone_nothing_is_set_any_more(olive: Browser) -> None:
    _provider, model = await add_model()
    await fetch("UPDATE model SET gone_at = now() WHERE id = $1", model)
    page = await olive.get(f"/models/{model}")
    assert "Gone since" in page.text
    assert "/facts" not in page.text
    assert (await olive.put(f"/models/{model}/facts", data={"has_tools": "true"})).status_code == 404


async def test_a_model_that_makes_embeddings_is_not_offered_for_chats(olive: Browser) -> None:
    _provider, model = await add_model("vectors")
    assert "vectors" in (await olive.get("/")).text
    await olive.put(f"/models/{model}/facts", data={"is_embedding": "true"})
    assert "vectors" not in (await olive.get("/")).text


async def test_the_picker_tells_what_a_model_can_do_and_costs(olive: Browser) -> None:
    _provider, model = await add_model("able")
    await olive.put(
        f"/models/{model}/facts",
        data={
            "has_vision": "true",
            "has_tools": "true",
            "has_reasoning": "false",
            "input_price": "2.5",
            "output_price": "10",
        },
    )
    page = (await olive.get("/")).text
    option = re.search(rf'<option value="{model}".*?</option>', page, re.DOTALL)
    assert option is not None
    assert "able · vision, tools" in text_of(option[0])
    assert "reasoning" not in text_of(option[0])
    assert 'title="$2.50 in, $10.00 out, per million tokens"' in option[0]
    assert "reasoning_effort" in option[0]
