"""The one schema of settings: each one's type, unit, default, limits, help, and what else the pages say of it."""

import ipaddress
import pathlib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

#: The pages of settings, in order.
Group = Literal["general", "models", "appearance", "safety", "advanced"]

Theme = Literal["system", "quartz", "graphite", "solarized", "terminal"]
SendKey = Literal["enter", "ctrl-enter"]
Speech = Literal["all", "done", "off"]

#: Of `title_model`: threads keep the first words of their question.
TITLE_OFF = "off"


def _default_data_folder() -> pathlib.Path:
    checkout = pathlib.Path(__file__).resolve().parent.parent.parent
    if (checkout / "pyproject.toml").is_file():
        return checkout / ".parley"
    import platformdirs

    return platformdirs.user_data_path("parley")


def _live(
    group: Group,
    description: str,
    *,
    is_secret: bool = False,
    is_sensitive: bool = False,
    is_long: bool = False,
    address: str = "",
    **limits: Any,
) -> Meta:
    """Said of a setting that takes effect at once, in every process: it can be set on the pages, too.

    `address`: the setting with the address that a secret is for.
    """
    sensitive = is_secret or is_sensitive
    extra = {
        "group": group,
        "is_live": True,
        "is_secret": is_secret,
        "is_sensitive": sensitive,
        "is_long": is_long,
        "address": address,
    }
    return Meta(description=description, extra=extra, **limits)


def _start(
    group: Group, description: str, *, is_secret: bool = False, is_sensitive: bool = False, **limits: Any
) -> Meta:
    """Said of a setting that a process reads once, when it starts: only the environment sets it."""
    sensitive = is_secret or is_sensitive
    extra = {"group": group, "is_live": False, "is_secret": is_secret, "is_sensitive": sensitive, "is_long": False}
    return Meta(description=description, extra=extra, **limits)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an instance can be told from outside. Every field has a help text; a test reads them."""

    data: Annotated[pathlib.Path, _start("advanced", "Folder for the embedded database, the key file and models.")] = (
        msgspec.field(default_factory=_default_data_folder)
    )
    database_url: Annotated[
        str,
        _start(
            "advanced",
            "Postgres 15 or newer (18 is tested) to use instead of the embedded one, as postgres://…",
            is_secret=True,
        ),
    ] = ""
    host: Annotated[
        str, _start("advanced", "Address to listen on.", is_sensitive=True)
    ] = "127.0.0.1"  # fmt: skip
    port: Annotated[int, _start("advanced", "Port to listen on; 0 lets the system choose.", ge=0, le=65535)] = 8000
    instance_name: Annotated[
        str,
        _live(
            "general",
            "What this instance is called on its pages.",
            min_length=1,
            max_length=60,
            pattern=r"^[^\x00-\x1f\x7f-\x9f]*$",
        ),
    ] = "Parley"
    public_url: Annotated[
        str,
        _live(
            "general", "Address people use, when a proxy stands in front: https://…", is_sensitive=True, max_length=500
        ),
    ] = ""
    secret_key: Annotated[
        str,
        _start(
            "safety",
            "Key for secrets at rest (32 url-safe base64 bytes). Without it: a file, mode 0600.",
            is_secret=True,
        ),
    ] = ""
    secure_cookies: Annotated[
        Literal["auto", "always", "never"],
        _start("safety", "Mark cookies Secure: auto does so when the request came by https.", is_sensitive=True),
    ] = "auto"
    trusted_proxies: Annotated[
        tuple[str, ...],
        _start("safety", "Addresses of proxies whose X-Forwarded-For and -Proto are believed.", is_sensitive=True),
    ] = ()
    log_format: Annotated[
        Literal["auto", "text", "json"], _start("advanced", "auto: text in a terminal, JSON lines otherwise.")
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _start("advanced", "Lowest level that is written to the console."),
    ] = "info"
    log_file: Annotated[
        str, _start("advanced", "Also write the log to this file, rotated at 10 MB, five kept.")
    ] = ""  # fmt: skip
    log_file_level: Annotated[
        Literal["auto", "debug", "info", "warning", "error"],
        _start("advanced", "Lowest level that is written to the log file; auto: the console's."),
    ] = "auto"
    pool_size: Annotated[int, _start("advanced", "Most database connections of one process.", ge=4, le=200)] = 12
    max_generations: Annotated[
        int,
        _live("advanced", "Most answers that one worker writes at a time; the rest wait.", ge=1, le=10_000),
    ] = 400
    default_model: Annotated[
        str,
        _live(
            "models",
            "What new threads begin with where a person chose none, as name or provider/name.",
            max_length=500,
        ),
    ] = ""
    title_model: Annotated[
        str,
        _live(
            "models",
            "Model that names threads, as name or provider/name; unset: the one that answered; “off”: first words as title.",
            max_length=500,
        ),
    ] = ""
    default_system_prompt: Annotated[
        str,
        _live("models", "System prompt of threads that have none of their own.", is_long=True, max_length=100_000),
    ] = ""
    default_temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | None,
        _live("models", "Temperature where a thread sets none; unset: the server's."),
    ] = None
    default_top_p: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        _live("models", "top_p of threads that do not set it; unset: the server's."),
    ] = None
    default_top_k: Annotated[
        Annotated[int, Meta(ge=0, le=1000)] | None,
        _live("models", "top_k of threads that do not set it; unset: the server's."),
    ] = None
    default_repeat_penalty: Annotated[
        Annotated[float, Meta(gt=0, le=10)] | None,
        _live("models", "Repeat penalty where a thread sets none; unset: the server's."),
    ] = None
    default_max_tokens: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        _live("models", "Longest answer in tokens where a thread sets none."),
    ] = None
    default_context_window: Annotated[
        Annotated[int, Meta(ge=256, le=10_000_000)] | None,
        _live("models", "Context window in tokens where a thread sets none."),
    ] = None
    first_token_timeout_seconds: Annotated[
        float, _live("models", "How long a model may take to begin its answer.", ge=1, le=3600)
    ] = 120.0
    idle_timeout_seconds: Annotated[
        float, _live("models", "How long a model may be silent within its answer.", ge=1, le=3600)
    ] = 60.0
    generation_deadline_seconds: Annotated[
        float, _live("models", "Longest total time for one answer, retries included.", ge=1, le=86_400)
    ] = 1800.0
    drain_seconds: Annotated[
        float,
        _live("advanced", "How long a worker that is told to end lets running answers go on.", ge=0, le=3600),
    ] = 20.0
    max_message_chars: Annotated[
        int, _live("safety", "Longest question that a person may send, in characters.", ge=1, le=10_000_000)
    ] = 200_000
    max_turns_per_minute: Annotated[
        int,
        _live(
            "safety",
            "How many questions one person may send within a minute, to each web process; 0: as many as they like.",
            ge=0,
            le=100_000,
        ),
    ] = 60
    max_body_bytes: Annotated[
        int, _live("safety", "Largest request body accepted, in bytes.", ge=10_000, le=1_000_000_000)
    ] = 4_000_000
    session_days: Annotated[
        int, _live("safety", "A sign-in ends after this many days unused.", is_sensitive=True, ge=1, le=3650)
    ] = 30  # fmt: skip
    catalog_seconds: Annotated[
        int, _live("models", "How often the list of models is refreshed, in seconds.", ge=10, le=86_400)
    ] = 60
    engine_idle_seconds: Annotated[
        int,
        _live("models", "The embedded engine is ended when unused for this long, in seconds.", ge=5, le=86_400),
    ] = 300
    engine_memory_mb: Annotated[
        Annotated[int, Meta(ge=16, le=100_000_000)] | None,
        _live(
            "models",
            "Most memory in MB that loaded model files may take; unset: three quarters of the machine's.",
        ),
    ] = None
    ca_file: Annotated[
        str,
        _start(
            "models",
            "PEM file of certificates to trust, besides those of this machine, for model servers called over https.",
            is_sensitive=True,
        ),
    ] = ""
    hub_url: Annotated[
        str, _live("models", "Where hf:org/repo/file.gguf is pulled from.", is_sensitive=True, max_length=500)
    ] = "https://huggingface.co"
    hub_token: Annotated[
        str,
        _live(
            "models",
            "Key for the hub, for models that it shows to signed-in people alone. It is never sent to another hub.",
            is_secret=True,
            address="hub_url",
            max_length=500,
        ),
    ] = ""
    starter_model: Annotated[
        str,
        _live("models", "The small model that is offered to who has none; “none” offers nothing.", max_length=500),
    ] = "hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF/qwen2.5-0.5b-instruct-q4_k_m.gguf"
    bundled_models: Annotated[
        bool,
        _start("models", "List model files from installed packages, such as the starter model."),
    ] = True
    default_theme: Annotated[Theme, _live("appearance", "Theme of new people, and of pages before a sign-in.")] = (
        "system"
    )
    default_send_key: Annotated[SendKey, _live("appearance", "What sends a question, for new people.")] = "enter"
    default_speech: Annotated[
        Speech, _live("appearance", "What screen readers say by themselves of an answer, for new people.")
    ] = "all"
    worker_port: Annotated[
        int,
        _start("advanced", "Port on which `parley worker` answers /health and /metrics; 0: on none.", ge=0, le=65535),
    ] = 0
    metrics_token: Annotated[
        str,
        _live(
            "safety",
            "Opens /metrics and /api/health to who sends it as a bearer; unset: /metrics is off.",
            is_secret=True,
            min_length=16,
            max_length=500,
        ),
    ] = ""
    demo: Annotated[bool, _start("general", "Offer the demo model, which needs no model server.")] = False

    @property
    def models_folder(self) -> pathlib.Path:
        """Where `*.gguf` files are looked for."""
        return self.data / "models"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach us."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"
