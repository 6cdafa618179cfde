"""Changes as they are committed, told to the pages that show them (server-sent events)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager

from azext_batchai.service.store import Store

_PAUSE_SECONDS = 0.1  # between two events to one page, however much changes meanwhile
_KEEP_ALIVE_SECONDS = 25.0


class Feed:
    """Costs nothing while nobody listens."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._listeners: dict[asyncio.Event, tuple[str, ...]] = {}
        self._watch = ExitStack()
        self._closed = False

    @property
    def version(self) -> int:
        """Goes up with each change of the state."""
        return self._store.commits

    @contextmanager
    def _listening(self, topics: tuple[str, ...]) -> Iterator[asyncio.Event]:
        if not self._listeners:
            self._watch.enter_context(self._store.watched_by(self._tell))
        changed = asyncio.Event()
        self._listeners[changed] = topics
        try:
            yield changed
        finally:
            del self._listeners[changed]
            if not self._listeners:
                self._watch.close()

    def _tell(self, keys: set[str]) -> None:
        for changed, topics in self._listeners.items():
            if not changed.is_set() and any(key.startswith(topics) for key in keys):
                changed.set()

    async def events(self, topics: tuple[str, ...], since: int) -> AsyncIterator[str]:
        """An event `change` for each change of what has a key below one of the topics; at once if `since` is old."""
        with self._listening(topics) as changed:
            yield "retry: 1000\n\n"
            if since != self.version:
                changed.set()
            while not self._closed:
                try:
                    await asyncio.wait_for(changed.wait(), _KEEP_ALIVE_SECONDS)
                except asyncio.TimeoutError:
                    yield ": nothing new\n\n"
                    continue
                changed.clear()
                if not self._closed:
                    yield f"event: change\ndata: {self.version}\n\n"
                await asyncio.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        """The service stops: end all streams."""
        self._closed = True
        for changed in self._listeners:
            changed.set()
