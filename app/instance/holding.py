"""The stored settings in this process: taken at its start, and again whenever some process says that they changed."""

import asyncio
import weakref
from collections.abc import Callable

import asyncpg
import structlog

from app.database import AWAY, Outage
from app.instance.consistency import strayed_secrets, usable
from app.live import News
from app.settings import over_stored, take_stored
from app.tables.setting import NEWS, Setting
from app.words import SOURCE, speaking

log = structlog.get_logger()

#: One look at a time: of two, the later one might be overtaken. A lock belongs to a loop; a process has one, tests have many.
_looking: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]" = weakref.WeakKeyDictionary()


async def take() -> None:
    """From now on this process holds what is stored now. What cannot be used is logged, and ignored."""
    async with _looking.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
        with speaking(SOURCE):  # the log, and pages in any language
            rows = await Setting.list_all()
            stored, broken = usable({row.name: row.value for row in rows if not row.fault}, over_stored({}))
            strayed = strayed_secrets(over_stored(stored).values, {row.name: row.origin for row in rows})
        ignored = {row.name: row.fault for row in rows if row.fault} | broken | strayed
        stored = {name: value for name, value in stored.items() if name not in strayed}
        for name, fault in ignored.items():
            log.warning("setting_ignored", setting=name, reason=fault)
        take_stored(stored, ignored)


class Follower:
    """Takes the settings again after every change, through restarts of Postgres. `tells`: who is to know that they did."""

    def __init__(self) -> None:
        self.tells: list[Callable[[], None]] = []
        self._is_stale = asyncio.Event()

    def hear(self, news: News) -> None:
        """Somebody changed them, in whatever process."""
        if news.key == NEWS.key:
            self._is_stale.set()

    def doubt(self) -> None:
        """Nobody listened for a while: they may have changed."""
        self._is_stale.set()

    async def run(self) -> None:
        """Until cancelled."""
        outage = Outage("settings")
        while True:
            await self._is_stale.wait()
            self._is_stale.clear()
            try:
                await take()
                outage.end()
                for tell in self.tells:
                    tell()
            except (*AWAY, asyncpg.PostgresError) as error:
                outage.note(error)
                self._is_stale.set()
                await asyncio.sleep(0.2)
