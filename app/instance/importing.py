"""Taking a file in: all of it is looked at first, then stored in one transaction; what the environment locks is left out."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from app.chat.slash import read_slash_text
from app.database import fetch, fetch_row, new_id, transaction
from app.errors import Invalid
from app.instance import changing, holding
from app.instance.file import File, FileModel, FilePreset, FileProvider, FileSlashPrompt, Secrets
from app.instance.file_providers import (
    addresses_in,
    has_matching_secrets,
    lost_keys,
    lost_path,
    no_origin,
    store_provider,
)
from app.instance.words import labels
from app.providers import PROVIDERS
from app.providers.base import is_model_name
from app.settings import FIELDS, effective
from app.settings.values import from_json, sentence_of
from app.tables.provider import Address
from app.tables.setting import Setting, Stored
from app.words import gettext as _

#: What is wrong with a provider's address, as a sentence: (address, whether it may be private) → '' for nothing.
CheckAddress = Callable[[str, bool], Awaitable[str]]


class Outcome(msgspec.Struct, frozen=True):
    """What an import came to, in sentences and names for the person."""

    changed: list[str]
    skipped: list[str]


async def check_file(file: File, secrets: Secrets, check_address: CheckAddress) -> dict[str, Any]:
    """The settings of a file that can be stored, with their types. Raises `Invalid` with the first thing that is wrong."""
    if not has_matching_secrets(file.providers, secrets):
        raise _wrong(_("its secrets do not belong to its providers"))
    if not set(secrets.settings) <= {name for name, field in FIELDS.items() if field.is_secret}:
        raise _wrong(_("its secrets are not all secrets of this version"))
    if any(FIELDS[name].is_secret for name in file.settings if name in FIELDS):
        raise _wrong(_("a secret stands there in the clear"))
    bound = {name: value for name, value in secrets.settings.items() if not _lacks_origin(name, secrets)}
    values = _settings(file.settings | bound)
    for provider, address in zip(file.providers, addresses_in(file.providers, secrets), strict=True):
        await _check_provider(provider, address, check_address)
    for prompt in file.slash_prompts:
        _check_slash_prompt(prompt)
    change = await changing.check(changing.Change(values), with_model=False)
    for name, fault in change.faults.items():
        raise _wrong(f"{labels()[name]}: {fault}")
    return values


async def take_in(file: File, secrets: Secrets, values: dict[str, Any], *, by: uuid.UUID) -> Outcome:
    """Store what was checked: together or not at all. It holds in this process when this returns."""
    rows = {row.name: row for row in await Setting.list_all() if not row.fault}
    values = {name: value for name, value in values.items() if not _is_here(rows.get(name), value, secrets)}
    changed = [labels()[name] for name in values]
    skipped = [*_locked(file, secrets), *_without_origin(file, secrets)]
    async with transaction():
        await changing.store(changing.Change(values, origins=secrets.origins), by=by, with_model=False)
        for provider, address in zip(file.providers, addresses_in(file.providers, secrets), strict=True):
            if await store_provider(provider, address):
                changed.append(_("Provider %(name)s") % {"name": provider.name})
                skipped += lost_path(provider, address)
        for preset in file.presets:
            changed.append(_("Preset %(name)s") % {"name": preset.name})
            if not await _store_preset(preset, by):
                skipped.append(_("The model of the preset %(name)s: it is not here.") % {"name": preset.name})
        for prompt in file.slash_prompts:
            if await _store_slash_prompt(prompt, by):
                changed.append(f"/{prompt.name}")
            else:
                skipped.append(_("/%(name)s: you have one of that name, which is not shared.") % {"name": prompt.name})
    await holding.take()
    return Outcome(changed, skipped)


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in FIELDS:
            raise _wrong(_("this version has no setting %(name)s") % {"name": name[:100]})
        if not FIELDS[name].is_live:
            raise _wrong(f"{labels()[name]}: {changing.fixed_fault(name)}")
        try:
            converted = from_json(name, value)
        except ValueError as error:  # msgspec's own, too
            raise _wrong(f"{labels()[name]}: {sentence_of(name, value)}") from error
        if converted == "" or "\0" in str(converted):
            raise _wrong(f"{labels()[name]}: {sentence_of(name, '')}")
        if not effective().is_locked(name):
            values[name] = converted
    return values


def _locked(file: File, secrets: Secrets) -> list[str]:
    names = [name for name in file.settings | secrets.settings if effective().is_locked(name)]
    return [f"{labels()[name]}: {changing.fixed_fault(name)}" for name in names]


def _is_here(row: Stored | None, value: Any, secrets: Secrets) -> bool:
    return row is not None and row.value == value and row.origin == secrets.origins.get(row.name, "")


def _lacks_origin(name: str, secrets: Secrets) -> bool:
    """Whether it is a secret for some address, and an older version did not say for which."""
    return bool(FIELDS[name].address) and not secrets.origins.get(name)


def _without_origin(file: File, secrets: Secrets) -> list[str]:
    said = [f"{labels()[name]}: {no_origin()}" for name in secrets.settings if _lacks_origin(name, secrets)]
    return said + lost_keys(file.providers, secrets)


def _check_slash_prompt(prompt: FileSlashPrompt) -> None:
    try:
        read_slash_text(prompt.text)
    except Invalid as error:
        raise _wrong(f"/{prompt.name}: {error.sentence}") from error


async def _check_provider(provider: FileProvider, address: Address, check_address: CheckAddress) -> None:
    if provider.kind not in PROVIDERS or PROVIDERS[provider.kind].is_builtin:
        raise _wrong(_("%(name)s is of a kind that this version does not connect") % {"name": provider.name})
    if not (address.key.isprintable() and address.key.isascii()):
        raise _wrong(_("the key of %(name)s has letters that no key has") % {"name": provider.name})
    if not all(map(is_model_name, provider.models)):
        raise _wrong(_("a model of %(name)s has an invalid name") % {"name": provider.name})
    if fault := await check_address(address.base_url, provider.allows_private):
        raise _wrong(f"{provider.name}: {fault}")


def _wrong(reason: str) -> Invalid:
    sentence = _("Nothing was stored. In the file: %(reason)s.") % {"reason": reason.rstrip(".")}
    return Invalid(sentence, field="file")


async def _store_preset(preset: FilePreset, owner: uuid.UUID) -> bool:
    """False if its model is not here: then it begins without one."""
    model = await _find_model(preset.model) if preset.model else None
    options = {name: value for name, value in msgspec.structs.asdict(preset.options).items() if value not in (None, ())}
    label = preset.model.name if preset.model else ""
    columns = (preset.name, model, label, preset.system_prompt, msgspec.json.encode(options).decode())
    if here := await fetch_row("SELECT id FROM preset WHERE name = $1 AND is_shared LIMIT 1", preset.name):
        await fetch(_CHANGE_PRESET, here["id"], *columns[1:])
    else:
        await fetch(_ADD_PRESET, new_id(), owner, *columns)
    return preset.model is None or model is not None


async def _find_model(model: FileModel) -> uuid.UUID | None:
    row = await fetch_row(_FIND_MODEL, model.name, model.provider)
    return row["id"] if row else None


async def _store_slash_prompt(prompt: FileSlashPrompt, owner: uuid.UUID) -> bool:
    """False if the owner has one of that name to themself: what is somebody's own is not written over."""
    return (
        await fetch_row(_STORE_SLASH_PROMPT, new_id(), owner, prompt.name, prompt.description, prompt.text) is not None
    )


_FIND_MODEL = """
SELECT m.id FROM model AS m JOIN provider AS p ON p.id = m.provider
WHERE m.name = $1 AND p.name = $2 AND p.is_enabled ORDER BY m.gone_at NULLS FIRST LIMIT 1
"""

_ADD_PRESET = """
INSERT INTO preset (id, "user", name, is_shared, model, model_name, system_prompt, options, created_at, updated_at)
VALUES ($1, $2, $3, true, $4, $5, $6, $7, now(), now())
"""

_CHANGE_PRESET = """
UPDATE preset SET model = $2, model_name = $3, system_prompt = $4, options = $5, updated_at = now() WHERE id = $1
"""

_STORE_SLASH_PROMPT = """
WITH shared AS (
    UPDATE slash_prompt SET description = $4, text = $5, updated_at = now() WHERE name = $3 AND is_shared RETURNING id
), added AS (
    INSERT INTO slash_prompt (id, "user", name, description, text, is_shared, created_at, updated_at)
    SELECT $1, $2, $3, $4, $5, true, now(), now() WHERE NOT EXISTS (SELECT 1 FROM slash_prompt WHERE name = $3 AND is_shared)
    ON CONFLICT ("user", name) DO NOTHING RETURNING id
)
SELECT id FROM shared UNION ALL SELECT id FROM added
"""
