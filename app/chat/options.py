"""The options of a thread: its system prompt and parameters, as a form gives them and over the instance's defaults."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

from app.parts import clean
from app.providers.base import Parameters, ReasoningEffort
from app.settings import Settings
from app.words import gettext as _


class Options(msgspec.Struct, frozen=True):
    """What a person may set for a thread. None or empty: as the instance, or the model's server, decides."""

    system_prompt: Annotated[str, Meta(max_length=100_000)] = ""
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=1000)] | None = None
    repeat_penalty: Annotated[float, Meta(gt=0, le=10)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    context_window: Annotated[int, Meta(ge=256, le=10_000_000)] | None = None
    stop: Annotated[tuple[Annotated[str, Meta(max_length=200)], ...], Meta(max_length=8)] = ()
    reasoning_effort: ReasoningEffort | None = None

    @property
    def parameters(self) -> Parameters:
        """The parameters alone."""
        return Parameters(**{name: getattr(self, name) for name in Parameters.__struct_fields__})


def read_options(form: Mapping[str, str]) -> tuple[Options, dict[str, str]]:
    """A form's fields → options, and a sentence for each field that cannot be taken (then it is left unset)."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name in Options.__struct_fields__:
        text = clean(form.get(name, "")).replace("\r\n", "\n").strip()
        if not text:
            continue
        raw: Any = tuple(line for line in text.split("\n") if line) if name == "stop" else text
        if name in _DECIMALS and "." not in text:
            raw = text.replace(",", ".", 1)  # as half of the world writes it
        try:
            values[name] = msgspec.convert(raw, _hints[name], strict=False)
        except msgspec.ValidationError:
            errors[name] = _expected(name)
    return Options(**values), errors


def of_thread(system_prompt: str, options: str) -> Options:
    """The options as they are stored: the prompt in its own column, parameters as JSON."""
    stored = msgspec.json.decode(options, type=Parameters)
    return Options(
        system_prompt=system_prompt, **{name: getattr(stored, name) for name in Parameters.__struct_fields__}
    )


def defaults(settings: Settings) -> Options:
    """The instance's defaults."""
    return Options(
        system_prompt=settings.default_system_prompt,
        temperature=settings.default_temperature,
        top_p=settings.default_top_p,
        top_k=settings.default_top_k,
        repeat_penalty=settings.default_repeat_penalty,
        max_tokens=settings.default_max_tokens,
        context_window=settings.default_context_window,
    )


def changed(chosen: Options, defaults: Options) -> frozenset[str]:
    """The names of what is set, and differs from the instance's defaults."""
    unset = Options()
    return frozenset(
        name
        for name in Options.__struct_fields__
        if getattr(chosen, name) not in (getattr(unset, name), getattr(defaults, name))
    )


_hints = get_type_hints(Options, include_extras=True)
_DECIMALS = frozenset({"temperature", "top_p", "repeat_penalty"})


def _expected(name: str) -> str:
    if name == "system_prompt":
        return _("At most 100,000 characters.")
    if name == "stop":
        return _("At most 8 sequences of at most 200 characters, one per line.")
    if name == "reasoning_effort":
        return _("One of: low, medium, high.")
    kind, meta = get_args(get_args(_hints[name])[0])
    limits = {"kind": _("A whole number") if kind is int else _("A number"), "most": f"{meta.le:,}"}
    if meta.ge is None:
        return _("%(kind)s more than %(least)s to %(most)s.") % {**limits, "least": f"{meta.gt:,}"}
    return _("%(kind)s from %(least)s to %(most)s.") % {**limits, "least": f"{meta.ge:,}"}
