"""Every setting: its type, unit, default, limits and help. The environment wins over the default.

A setting `x` is read from `PARLEY_X`; three carry names that the rest of the world gives (`ENVIRONMENT_NAMES`).
"""

import ipaddress
import os
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

ENVIRONMENT_NAMES = {"database_url": "DATABASE_URL", "data": "PARLEY_DATA", "secret_key": "PARLEY_SECRET_KEY"}


def _default_data_folder() -> pathlib.Path:
    checkout = pathlib.Path(__file__).resolve().parent.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / ".parley"
    import platformdirs

    return platformdirs.user_data_path("parley")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance can be told from outside. Every field has a help text; a test reads them."""

    data: Annotated[pathlib.Path, Meta(description="Folder for the embedded database, the key file and models.")]
    database_url: Annotated[
        str,
        Meta(description="Postgres 16 or newer (18 is tested) to use instead of the embedded one, as postgres://…"),
    ] = ""
    host: Annotated[str, Meta(description="Address to listen on. Anything but loopback asks for a token once.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Meta(ge=0, le=65535, description="Port to listen on; 0 lets the system choose.")] = 8000
    public_url: Annotated[str, Meta(description="Address people use, when a proxy stands in front: https://…")] = ""
    secret_key: Annotated[
        str, Meta(description="Key for secrets at rest (32 url-safe base64 bytes). Without it: a file, mode 0600.")
    ] = ""
    secure_cookies: Annotated[
        Literal["auto", "always", "never"],
        Meta(description="Mark cookies Secure: auto does so when the request came by https."),
    ] = "auto"
    trusted_proxies: Annotated[
        tuple[str, ...], Meta(description="Addresses of proxies whose X-Forwarded-For and -Proto are believed.")
    ] = ()
    log_format: Annotated[
        Literal["auto", "text", "json"], Meta(description="auto: text in a terminal, JSON lines otherwise.")
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least that is logged.")
    ] = "info"
    log_file: Annotated[str, Meta(description="Also write the log to this file, rotated at 10 MB, five kept.")] = ""
    pool_size: Annotated[int, Meta(ge=4, le=200, description="Most database connections of one process.")] = 12
    max_generations: Annotated[
        int, Meta(ge=1, le=10_000, description="Most answers that one worker writes at a time; the rest wait.")
    ] = 400
    first_token_timeout_seconds: Annotated[
        float, Meta(ge=1, le=3600, description="How long a model may take to begin its answer.")
    ] = 120.0
    idle_timeout_seconds: Annotated[
        float, Meta(ge=1, le=3600, description="How long a model may be silent within its answer.")
    ] = 60.0
    generation_deadline_seconds: Annotated[
        float, Meta(ge=1, le=86_400, description="Longest total time for one answer, retries included.")
    ] = 1800.0
    drain_seconds: Annotated[
        float, Meta(ge=0, le=3600, description="How long a worker that is told to end lets running answers go on.")
    ] = 20.0
    max_message_chars: Annotated[
        int, Meta(ge=1, le=10_000_000, description="Longest question that a person may send, in characters.")
    ] = 200_000
    max_turns_per_minute: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="How many questions one person may send within a minute, to each web process; 0: as many as they like.",
        ),
    ] = 60
    max_body_bytes: Annotated[
        int, Meta(ge=10_000, le=1_000_000_000, description="Largest request body accepted, in bytes.")
    ] = 4_000_000
    session_days: Annotated[int, Meta(ge=1, le=3650, description="A sign-in ends after this many days unused.")] = 30
    catalog_seconds: Annotated[
        int, Meta(ge=10, le=86_400, description="How often the list of models is refreshed, in seconds.")
    ] = 60
    engine_idle_seconds: Annotated[
        int, Meta(ge=5, le=86_400, description="The embedded engine is ended when unused for this long, in seconds.")
    ] = 300
    engine_memory_mb: Annotated[
        int | None,
        Meta(
            ge=16,
            le=100_000_000,
            description="Most memory in MB that loaded model files may take; unset: three quarters of the machine's.",
        ),
    ] = None
    hub_url: Annotated[str, Meta(max_length=500, description="Where hf:org/repo/file.gguf is pulled from.")] = (
        "https://huggingface.co"
    )
    hub_token: Annotated[
        str, Meta(max_length=500, description="Key for the hub, for models that it shows to signed-in people alone.")
    ] = ""
    starter_model: Annotated[
        str, Meta(max_length=500, description="The small model that is offered to who has none; “none” offers nothing.")
    ] = "hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_k_m.gguf"
    default_system_prompt: Annotated[
        str, Meta(max_length=100_000, description="System prompt of threads that have none of their own.")
    ] = ""
    default_temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | None,
        Meta(description="Temperature where a thread sets none; unset: the server's."),
    ] = None
    default_top_p: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="top_p of threads that do not set it; unset: the server's."),
    ] = None
    default_top_k: Annotated[
        Annotated[int, Meta(ge=0, le=1000)] | None,
        Meta(description="top_k of threads that do not set it; unset: the server's."),
    ] = None
    default_repeat_penalty: Annotated[
        float | None,
        Meta(gt=0, le=10, description="Repeat penalty where a thread sets none; unset: the server's."),
    ] = None
    default_max_tokens: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        Meta(description="Longest answer in tokens where a thread sets none."),
    ] = None
    default_context_window: Annotated[
        Annotated[int, Meta(ge=256, le=10_000_000)] | None,
        Meta(description="Context window in tokens where a thread sets none."),
    ] = None
    worker_port: Annotated[
        int,
        Meta(ge=0, le=65535, description="Port on which `parley worker` answers /health and /metrics; 0: on none."),
    ] = 0
    metrics_token: Annotated[
        str,
        Meta(
            min_length=16,
            max_length=500,
            description="Opens /metrics and /api/health to who sends it as a bearer; unset: /metrics is off.",
        ),
    ] = ""
    demo: Annotated[bool, Meta(description="Offer the demo model, which needs no model server.")] = False

    @property
    def models_folder(self) -> pathlib.Path:
        """Where `*.gguf` files are looked for."""
        return self.data / "models"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach us: then the first visitor may make the owner without a token."""
        return self.host in ("127.0.0.1", "::1", "localhost")


class BadSetting(Exception):
    """The environment holds a value that a setting does not take; the text is one sentence for the console."""


def read(environment: Mapping[str, str]) -> Settings:
    """The settings that this environment gives. Raises `BadSetting`; unset and empty variables mean the default."""
    values: dict[str, object] = {"data": _default_data_folder()}
    for name in Settings.__struct_fields__:
        variable = environment_name(name)
        if text := environment.get(variable, "").strip():
            values[name] = _convert(name, variable, text)
    return Settings(**values)  # type: ignore[arg-type]  # each value was converted to its field's type just above


def environment_name(name: str) -> str:
    """The environment variable that sets this setting."""
    return ENVIRONMENT_NAMES.get(name, f"PARLEY_{name.upper()}")


def help_of(name: str) -> str:
    """The help text of a setting."""
    return next(str(m.description) for m in get_args(_hints[name]) if isinstance(m, Meta))


_hints = get_type_hints(Settings, include_extras=True)


def _convert(name: str, variable: str, text: str) -> object:
    kind = get_args(_hints[name])[0]
    raw: object = tuple(part.strip() for part in text.split(",") if part.strip()) if kind == tuple[str, ...] else text
    if kind is pathlib.Path:
        return pathlib.Path(text).expanduser().resolve()
    if kind is bool:
        raw = {
            "1": True,
            "true": True,
            "yes": True,
            "on": True,
            "0": False,
            "false": False,
            "no": False,
            "off": False,
        }.get(text.lower(), text)
    try:
        if name == "trusted_proxies":
            for proxy in raw if isinstance(raw, tuple) else ():
                ipaddress.ip_network(proxy, strict=False)
        return msgspec.convert(raw, _hints[name], strict=False)
    except ValueError as error:  # msgspec's own, too
        raise BadSetting(f"{variable}={text!r} cannot be used: {str(error).rstrip('.')}.") from error


settings: Settings

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Settings:
        """`settings`: this process's own, read when it is first asked for, so that a bad one is not an import error."""
        if name != "settings":
            raise AttributeError(name)
        globals()["settings"] = value = read(os.environ)
        return value
