"""One request to the page, and what a page answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from azext_batchai.service.service import Service
from azext_batchai.service.ui import addresses
from azext_batchai.service.ui.html import Html
from azext_batchai.service.ui.sessions import Session
from azext_batchai.service.ui.wire import Wire

T = TypeVar("T")


class Memory:
    """What modules of the page keep between requests: one thing of each class, made when it is first asked for."""

    def __init__(self) -> None:
        self._made: dict[type[Any], Any] = {}

    def of(self, kind: type[T]) -> T:
        if kind not in self._made:
            self._made[kind] = kind()
        made: T = self._made[kind]
        return made

    def close(self) -> None:
        """The service stops, or all sessions end."""
        for made in self._made.values():
            if hasattr(made, "close"):
                made.close()


@dataclass(frozen=True)
class View:
    """`names` are those of the address in order, `tail` is what stands behind them, decoded; `form` that of a POST."""

    service: Service
    wire: Wire
    session: Session
    names: tuple[str, ...] = ()
    tail: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)

    def address(self, resource_id: str, *more: str) -> str:
        """The page of a Batch AI resource."""
        return addresses.of(resource_id, self.service.subscription, *more)

    @property
    def other_subscription(self) -> str:
        """The subscription that is looked at, '' where it is the service's own."""
        return "" if self.wire.subscription == self.service.subscription.lower() else self.wire.subscription

    def storage_address(self, *words: str) -> str:
        """The page of what `addresses.storage` names."""
        return addresses.storage(*words, other_subscription=self.other_subscription)

    def scope(self, group: str = "") -> tuple[str, ...]:
        """The options of `az batchai` that say where something is: its subscription, its resource group."""
        other = self.other_subscription
        return (*(("--subscription", other) if other else ()), *(("-g", group) if group else ()))


@dataclass(frozen=True)
class Page:
    """`trail` leads here: names and addresses of the pages above. `topics`: prefixes of the keys that it shows.

    `scripts` are modules in static/ that this page needs beside those of every page, `libraries` those of others.
    """

    title: str
    body: Html
    topics: tuple[str, ...] = ("",)
    trail: tuple[tuple[str, str], ...] = ()
    scripts: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    styles: tuple[str, ...] = ()
    status: int = 200


@dataclass(frozen=True)
class Redirect:
    """Where a form leads when it is done."""

    address: str


@dataclass(frozen=True)
class Data:
    """JSON for a module of the page."""

    content: Any
