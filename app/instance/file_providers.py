"""The providers of a file of settings: a key goes to the address that was sealed beside it, whatever the open part says."""

import uuid

import asyncpg

from app.chat.added_models import add_model, list_added
from app.database import fetch, new_id
from app.errors import Unavailable
from app.instance.file import FileProvider, Secrets
from app.origins import is_same_url, origin_of
from app.providers import PROVIDERS
from app.tables.provider import Address, open_address, seal_base_url, seal_key
from app.words import gettext as _


def no_origin() -> str:
    return _("an older version made this file, which does not say for which address it is. Enter it again.")


def has_matching_secrets(providers: list[FileProvider], secrets: Secrets) -> bool:
    """Whether the secrets are of these providers: as many, and each at the origin that the open part of the file names."""
    for entries in (secrets.keys, secrets.base_urls):
        if entries and len(entries) != len(providers):
            return False
    pairs = zip(providers, secrets.base_urls, strict=False)
    return all(origin_of(url) == origin_of(provider.base_url) for provider, url in pairs)


def addresses_in(providers: list[FileProvider], secrets: Secrets) -> list[Address]:
    """Address and key of each provider of a file; no key where the file does not say for which address it is."""
    if not secrets.base_urls:
        return [Address(provider.base_url) for provider in providers]
    keys = secrets.keys or [""] * len(providers)
    return [Address(url, key, origin_of(url)) for url, key in zip(secrets.base_urls, keys, strict=True)]


def lost_keys(providers: list[FileProvider], secrets: Secrets) -> list[str]:
    """The keys that are left out, in sentences: the file does not say for which address they are."""
    if secrets.base_urls:
        return []
    names = [provider.name for provider, key in zip(providers, secrets.keys, strict=False) if key]
    return [_("The key of %(name)s") % {"name": name} + ": " + no_origin() for name in names]


def lost_path(provider: FileProvider, address: Address) -> list[str]:
    """Says that the address of a provider that was taken in lacks what is among the file's secrets."""
    if not provider.hides_path or not is_same_url(address.base_url, provider.base_url):
        return []
    sentence = _("Provider %(name)s: all of its address is among the secrets. Complete it under Model servers.")
    return [sentence % {"name": provider.name}]


async def store_provider(provider: FileProvider, address: Address) -> bool:
    """False if it was here already, just so."""
    if (here := await _find_same(provider, address)) is None:
        await fetch(
            _ADD, provider_id := new_id(), provider.kind, provider.name, *_columns(address), provider.allows_private
        )
        await _add_models(provider_id, provider, address.base_url)
        return True
    has_new_models = await _add_models(here["id"], provider, address.base_url)
    if not address.key and here["allows_private"] == provider.allows_private:
        return has_new_models
    key_sealed = seal_key(address.key, address.key_origin) or here["key_sealed"]
    await fetch(_CHANGE, here["id"], key_sealed, provider.allows_private)
    return True


async def _find_same(provider: FileProvider, address: Address) -> asyncpg.Record | None:
    """The row of this kind and name at this address, or where the file has its origin alone, at that."""
    for row in await fetch(_NAMESAKES, provider.kind, provider.name):
        try:
            base_url = open_address(row).base_url
        except Unavailable:
            continue
        is_at_origin = provider.hides_path and address.base_url == provider.base_url
        if is_same_url(base_url, address.base_url) or (
            is_at_origin and origin_of(base_url) == origin_of(address.base_url)
        ):
            return row
    return None


def _columns(address: Address) -> tuple[str, str, str]:
    return (*seal_base_url(address.base_url), seal_key(address.key, address.key_origin))


async def _add_models(provider_id: uuid.UUID, provider: FileProvider, base_url: str) -> bool:
    """Whether one of the models that were added by name is new here."""
    here = (await list_added([provider_id])).get(provider_id, [])
    as_listed = PROVIDERS[provider.kind].model_name
    new = [name for name in dict.fromkeys(provider.models) if not {name, as_listed(name)} & set(here)]
    for name in new:
        await add_model(provider_id, provider.kind, base_url, name)
    return bool(new)


# Locked before its models are added, as in `circuit.py`.
_NAMESAKES = """
SELECT id, base_url, base_url_sealed, key_sealed, allows_private FROM provider
WHERE kind = $1 AND name = $2 AND is_enabled ORDER BY created_at, id FOR NO KEY UPDATE
"""

_ADD = """
INSERT INTO provider (id, kind, name, base_url, base_url_sealed, shown_url, key_sealed, allows_private, error, created_at)
VALUES ($1, $2, $3, '', $4, $5, $6, $7, '', now())
"""

_CHANGE = """
UPDATE provider SET key_sealed = $2, allows_private = $3, refreshed_at = NULL WHERE id = $1
"""
