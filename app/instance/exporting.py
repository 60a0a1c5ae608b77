"""What goes into the file: what was set, connected and shared here."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from app.chat.added_models import list_added
from app.database import fetch
from app.instance.file import (
    File,
    FileModel,
    FileOptions,
    FilePreset,
    FileProvider,
    FileSlashPrompt,
    Secrets,
    seal_secrets,
)
from app.origins import hides_path, origin_of
from app.providers import PROVIDERS
from app.settings import FIELDS
from app.tables.provider import open_address
from app.tables.setting import Setting


async def make_file(words: str = "") -> File:
    """The file. Its secrets are sealed with the passphrase, or left out where there is none.

    Raises `Unavailable` if a secret cannot be read.
    """
    settings = [row for row in await Setting.list_all() if not row.fault]
    stored = {row.name: row.value for row in settings}
    providers = await fetch(_PROVIDERS, [kind for kind, provider in PROVIDERS.items() if not provider.is_builtin])
    added = await list_added([row["id"] for row in providers])
    addresses = [open_address(row) for row in providers]
    file = File(
        made_at=datetime.now(UTC).replace(microsecond=0),
        settings={name: value for name, value in stored.items() if not FIELDS[name].is_secret},
        providers=[
            FileProvider(
                kind=row["kind"],
                name=row["name"],
                base_url=origin_of(address.base_url) if hides_path(address.base_url) else address.base_url,
                hides_path=hides_path(address.base_url),
                allows_private=row["allows_private"],
                models=added.get(row["id"], []),
            )
            for row, address in zip(providers, addresses, strict=True)
        ],
        presets=[_preset(row) for row in await fetch(_PRESETS)],
        slash_prompts=[
            FileSlashPrompt(name=row["name"], text=row["text"], description=row["description"])
            for row in await fetch(_SLASH_PROMPTS)
        ],
    )
    if not words:
        return file
    kept = Secrets(
        settings={name: value for name, value in stored.items() if FIELDS[name].is_secret},
        origins={row.name: row.origin for row in settings if row.origin},
        keys=[address.key if address.key_origin == origin_of(address.base_url) else "" for address in addresses],
        base_urls=[address.base_url for address in addresses],
    )
    return msgspec.structs.replace(file, secrets=await seal_secrets(kept, words))


def _preset(row: Any) -> FilePreset:
    known = {
        name: value
        for name, value in msgspec.json.decode(row["options"]).items()
        if name in FileOptions.__struct_fields__ and value is not None
    }
    return FilePreset(
        name=row["name"],
        model=FileModel(provider=row["provider_name"], name=row["model_name"]) if row["model_name"] else None,
        system_prompt=row["system_prompt"],
        options=msgspec.convert(known, FileOptions),
    )


_PROVIDERS = """
SELECT id, kind, name, base_url, base_url_sealed, allows_private, key_sealed FROM provider
WHERE kind = ANY($1) AND is_enabled ORDER BY created_at, id
"""

_PRESETS = """
SELECT s.name, s.system_prompt, s.options, m.name AS model_name, p.name AS provider_name
FROM preset AS s LEFT JOIN model AS m ON m.id = s.model LEFT JOIN provider AS p ON p.id = m.provider
WHERE s.is_shared ORDER BY s.created_at, s.id
"""

_SLASH_PROMPTS = """
SELECT DISTINCT ON (name) name, text, description FROM slash_prompt WHERE is_shared ORDER BY name, created_at, id
"""
