"""What was typed and not sent yet, on the page of a new thread."""

from app.database import new_id
from tests.controllers.threads import add_model
from tests.people import Browser


async def test_a_draft_that_comes_later_than_its_question_is_not_kept(alice: Browser) -> None:
    _provider, model = await add_model()
    question = {"text": "How far is the moon?", "request_id": str(new_id())}
    assert (await alice.put("/draft", data=question)).status_code == 204
    assert "How far is the moon?</textarea>" in (await alice.get("/")).text
    assert (await alice.post("/threads", data=question | {"model": str(model)})).status_code == 303
    assert (await alice.put("/draft", data=question)).status_code == 204
    assert "How far is the moon?</textarea>" not in (await alice.get("/")).text
    assert (await alice.put("/draft", data=question | {"request_id": str(new_id())})).status_code == 204
    assert "How far is the moon?</textarea>" in (await alice.get("/")).text
