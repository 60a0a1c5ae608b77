"""What settings are called on pages, and what may be chosen for them."""

from app.settings import FIELDS, Group
from app.words import gettext as _


def groups() -> dict[Group, str]:
    """The pages of settings, in order."""
    return {
        "general": _("General"),
        "models": _("Models"),
        "appearance": _("Appearance"),
        "safety": _("Safety"),
        "advanced": _("Advanced"),
    }


def labels() -> dict[str, str]:
    """Setting → what it is called."""
    return {
        "data": _("Data folder"),
        "database_url": _("Database"),
        "host": _("Address to listen on"),
        "port": _("Port"),
        "instance_name": _("Name of this instance"),
        "public_url": _("Address that people use"),
        "secret_key": _("Secret key"),
        "secure_cookies": _("Cookies for https alone"),
        "trusted_proxies": _("Trusted proxies"),
        "log_format": _("Log format"),
        "log_level": _("Console log level"),
        "log_file": _("Log file"),
        "log_file_level": _("Log file level"),
        "pool_size": _("Database connections of a process"),
        "default_model": _("Model of new threads"),
        "title_model": _("Model that names threads"),
        "default_system_prompt": _("System prompt"),
        "default_temperature": _("Temperature"),
        "default_top_p": _("Top p"),
        "default_top_k": _("Top k"),
        "default_repeat_penalty": _("Repeat penalty"),
        "default_max_tokens": _("Longest answer, in tokens"),
        "default_context_window": _("Context window, in tokens"),
        "first_token_timeout_seconds": _("Wait for the beginning of an answer, in seconds"),
        "idle_timeout_seconds": _("Wait within an answer, in seconds"),
        "generation_deadline_seconds": _("Total time for an answer, in seconds"),
        "max_generations": _("Answers at a time, for each worker"),
        "drain_seconds": _("Time to finish when told to end, in seconds"),
        "max_message_chars": _("Longest question, in characters"),
        "max_turns_per_minute": _("Questions of one person in a minute"),
        "max_body_bytes": _("Largest request, in bytes"),
        "session_days": _("Days that a sign-in lasts unused"),
        "catalog_seconds": _("Refresh the list of models every so many seconds"),
        "engine_idle_seconds": _("End the unused engine after so many seconds"),
        "engine_memory_mb": _("Memory for loaded models, in MB"),
        "ca_file": _("Trusted certificates file"),
        "hub_url": _("Address of the model hub"),
        "hub_token": _("Key for the model hub"),
        "starter_model": _("Starter model"),
        "bundled_models": _("Bundled models"),
        "default_theme": _("Theme"),
        "default_send_key": _("Send with"),
        "default_speech": _("Screen readers hear"),
        "worker_port": _("Port of a worker"),
        "metrics_token": _("Token for metrics"),
        "demo": _("Demo model"),
    }


def choices(name: str) -> list[tuple[str, str]]:
    """(value, what it is called) of a setting that offers a choice."""
    words = _choices() | {"true": _("yes"), "false": _("no")}
    return [(value, words.get(value, value)) for value in FIELDS[name].choices]


def called(name: str, value: str) -> str:
    """A value as it stands on the page; of an empty one, what holds then."""
    return dict(choices(name)).get(value, value) or _unset().get(name, _("none"))


def _unset() -> dict[str, str]:
    """What holds while a setting is empty, where that is more than none."""
    sampling = ("temperature", "top_p", "top_k", "repeat_penalty", "max_tokens", "context_window")
    return dict.fromkeys((f"default_{name}" for name in sampling), _("the server’s")) | {
        "default_model": _("the first that answers"),
        "title_model": _("the model that answered"),
        "engine_memory_mb": _("three quarters of the machine’s"),
    }


def _choices() -> dict[str, str]:
    return {
        "system": _("Like the system"),
        "quartz": _("Light Quartz"),
        "graphite": _("Dark Graphite"),
        "solarized": _("Solarized Dark"),
        "terminal": _("Terminal Green"),
        "enter": _("Enter"),
        "ctrl-enter": _("Ctrl Enter"),
        "all": _("Answers as they come"),
        "done": _("When an answer is done"),
        "off": _("Nothing by itself"),
        "always": _("always"),
        "never": _("never"),
    }
