"""Files made by others are what their READMEs say: these files, these bytes, nothing else."""

import base64
import hashlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = [ROOT / "static" / "vendor", ROOT / "tests" / "vendor"]
ROW = re.compile(r"^\| (\S+) \| (\S+) \| (\d+\.\d+\.\d+) \| (\S+) \| .+ \| `(sha384-\S+)` \|$", re.MULTILINE)


@pytest.mark.parametrize("folder", FOLDERS, ids=["shipped", "for tests"])
def test_every_file_is_listed_with_its_digest(folder: Path) -> None:
    listed = {
        name: digest for name, _package, _version, _licence, digest in ROW.findall((folder / "README.md").read_text())
    }
    found = {path.name: digest_of(path) for path in folder.iterdir() if path.name != "README.md"}
    assert listed == found


def test_every_icon_that_is_used_is_in_the_sprite_and_no_other() -> None:
    sprite = (ROOT / "static" / "vendor" / "icons.svg").read_text()
    templates = "".join(path.read_text() for path in (ROOT / "templates").rglob("*.html"))
    called = set(re.findall(r"icon\(\"([a-z0-9-]+)\"\)", templates))
    called |= set(re.findall(r"forms\.button\([^}]*?, \"([a-z0-9-]+)\"[,)]", templates))
    assert called == set(re.findall(r'<symbol id="([^"]+)"', sprite))


def digest_of(path: Path) -> str:
    return "sha384-" + base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()
