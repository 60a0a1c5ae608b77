"""Where an open page stands: what a browser sends back as `Last-Event-ID` when its stream was cut."""

import re

import msgspec

_FORM = re.compile(r"(\d{1,9})(?:\.([0-9a-z]{1,20})(?:\.\d{1,9})?\.(\d{1,9}))?", re.ASCII)


class Cursor(msgspec.Struct, frozen=True):
    """The thread's version, and up to which delta (`seq`) the answer with that short name is shown."""

    version: int = 0
    short: str = ""
    seq: int = 0

    def __str__(self) -> str:
        return f"{self.version}.{self.short}.{self.seq}" if self.short else str(self.version)

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read a cursor, whoever made it: `version`, `version.short.seq` or a frame's id. A forged one is only a wrong one."""
        found = _FORM.fullmatch(text.strip())
        if found is None:
            return cls()
        version, short, seq = found.groups()
        return cls(int(version), short or "", int(seq or 0))
