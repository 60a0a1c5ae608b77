"""What a new thread begins with: whose word on the model comes first."""

import uuid

import pytest

from app.chat import beginning, catalog
from app.chat.beginning import default_of_instance, find_beginning, starters_last
from app.chat.new_message import NewMessage
from app.chat.options import Options, changed
from app.chat.presets import NewPreset, add_preset
from app.chat.turn import start_thread
from app.database import fetch, new_id
from app.tables.user import User
from tests.controllers.threads import add_model
from tests.people import add_user


async def _model(user: User, preset: uuid.UUID | None = None) -> uuid.UUID | None:
    found = await User.find(user.id)
    assert found is not None
    return (await find_beginning(found, preset, await catalog.list_models(user.id))).model


async def test_the_model_is_the_presets_then_the_persons_then_the_last_used(database: str) -> None:
    user = await add_user("Alice")
    assert await _model(user) is None
    names = ("of-preset", "of-person", "last-used")
    first, own, last = [(await add_model(name))[1] for name in names]
    assert await _model(user) is None
    await start_thread(user.id, NewMessage("Hello", last, new_id()), options="{}", system_prompt="")
    assert await _model(user) == last
    await user.change(default_model=own)
    assert await _model(user) == own
    preset = await add_preset(user.id, NewPreset("P", first, "of-preset", Options()))
    assert await _model(user, preset) == first
    await fetch("UPDATE model SET gone_at = now() WHERE id = ANY($1)", [first, own])
    assert await _model(user, preset) is None
    await user.change(default_model=None)
    assert await _model(user, preset) == last


async def test_a_starter_model_yields_to_a_better_one_unless_it_was_chosen(database: str) -> None:
    user = await add_user("Alice")
    starter = (await add_model("starter"))[1]
    await fetch("UPDATE model SET is_bundled = true WHERE id = $1", starter)
    await start_thread(user.id, NewMessage("Hello", starter, new_id()), options="{}", system_prompt="")
    assert await _model(user) == starter
    provider, better = await add_model("better")
    assert await _model(user) is None
    assert [row["id"] for row in starters_last(await catalog.list_models(user.id))] == [better, starter]
    await fetch("UPDATE provider SET state = 'down' WHERE id = $1", provider)
    assert await _model(user) == starter
    await fetch("UPDATE provider SET state = 'ok'")
    await user.change(default_model=starter)
    assert await _model(user) == starter


@pytest.mark.parametrize(
    ("wanted", "found"), [("lamp", 1), ("Second/lamp", 2), ("Third/lamp", None), ("", None), ("Second/", None)]
)
def test_the_instances_default_is_named_with_or_without_its_provider(
    monkeypatch: pytest.MonkeyPatch, wanted: str, found: int | None
) -> None:
    monkeypatch.setattr(beginning, "settings", _Named(wanted))
    models = [
        {"id": uuid.UUID(int=1), "name": "lamp", "provider_name": "First"},
        {"id": uuid.UUID(int=2), "name": "lamp", "provider_name": "Second"},
    ]
    assert default_of_instance(models) == (uuid.UUID(int=found) if found else None)


def test_what_is_set_and_differs_is_changed() -> None:
    defaults = Options("Be kind.", temperature=0.5)
    assert changed(Options(), defaults) == frozenset()
    assert changed(Options("Be kind.", temperature=0.5), defaults) == frozenset()
    assert changed(Options("Be brief.", temperature=0.0, stop=("END",)), defaults) == {
        "system_prompt",
        "temperature",
        "stop",
    }


class _Named:
    """Settings of an instance with a default model."""

    def __init__(self, name: str) -> None:
        self.default_model = name
