"""DeepAI as the last of a chain: it answers where the model before it did not, and all that was sent can be read."""

import msgspec

from app.chat import catalog
from app.chat.requests import list_sent
from app.chat.worker import Worker
from app.database import fetch, fetch_row, new_id
from app.providers.client import make_client
from tests.chat.conftest import SETTINGS, Chat
from tests.scripted import DEEPAI, OPENAI, whole
from tests.scripted.dialects.deepai import text_of


async def test_it_answers_for_a_model_that_does_not(chat: Chat, worker: Worker) -> None:
    provider = new_id()
    await fetch(
        "INSERT INTO provider (id, kind, name, base_url, key_sealed, error, created_at, is_enabled)"
        " VALUES ($1, 'deepai', 'DeepAI', $2, '', '', now(), true)",
        provider, chat.server.url_for(DEEPAI),
    )  # fmt: skip
    async with make_client() as client:
        assert await catalog.refresh(provider, catalog.connector(client, SETTINGS)) == ""
    spare = await fetch_row("SELECT id FROM model WHERE provider = $1", provider)
    assert spare is not None
    await fetch(
        "UPDATE model SET fallbacks = $2::jsonb WHERE id = $1",
        chat.model,
        msgspec.json.encode([str(spare["id"])]).decode(),
    )
    chat.server.script(*whole(OPENAI.error_body("out of oil"), 503))
    chat.server.script(*DEEPAI.answer(("The moon is near.",)))
    turn = await chat.ask("What is near?")
    answer = await chat.final(turn.answer)
    assert (answer["status"], answer["content"], answer["model"]) == ("complete", "The moon is near.", spare["id"])
    assert answer["output_tokens"] == len("The moon is near.") // 4
    assert answer["usage_is_exact"] is False
    sent = (await list_sent(turn.answer))[-1]
    assert sent.body == {"text": text_of(chat.server.questions[-1])}
    assert sent.body["text"] == "User: What is near?\n\nAssistant:"
