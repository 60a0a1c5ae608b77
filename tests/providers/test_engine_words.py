"""An engine that does not get so far as to load a model: its own last words stand below the answer and in the log."""

from pathlib import Path

import pytest
import structlog

from app.providers.errors import BadAnswer
from app.providers.llamacpp import LlamaCpp
from tests.providers.conftest import ask, collect


@pytest.mark.parametrize(
    ("code", "reason", "advice"),
    [
        (
            'raise ImportError("libgomp.so.1: cannot open shared object file: No such file or directory")',
            "ImportError: libgomp.so.1: cannot open shared object file: No such file or directory",
            "Install the system package that provides libgomp.so.1.",
        ),
        ("raise OSError(28, 'No space left on device')", "[Errno 28] No space left on device", "Free up space"),
        (
            "import os, sys; os.write(2, b'0.00.1 E llama_model_load: error loading model: no tensor\\n'"
            " b'0.00.2 E load: failed to load model\\nFailed to init server, please check the input params\\n'); os._exit(1)",
            "error loading model: no tensor",
            "",
        ),
        ("import os; os.kill(os.getpid(), 4)", "signal 4", "It was built for another processor."),
        ("import os; os._exit(3)", "gave no reason", ""),
    ],
    ids=["library", "space", "model", "processor", "silent"],
)
async def test_its_last_words_are_heard(
    code: str, reason: str, advice: str, local: LlamaCpp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "xllamacpp").mkdir()
    (tmp_path / "xllamacpp" / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with structlog.testing.capture_logs() as logs:
        error = (await collect(local.stream(ask()))).error
    assert isinstance(error, BadAnswer)
    assert reason in error.sentence
    [said] = [entry for entry in logs if entry["event"] == "engine_failed"]
    assert said["advice"].startswith(advice) if advice else said["advice"] == ""
    assert said["log_level"] == "warning"
    assert reason in said["reason"] or reason == "gave no reason"
    assert "check the input params" not in said["reason"], "it says nothing"
