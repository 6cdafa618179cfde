"""A request as the handlers see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azext_batchai.service.arm.errors import bad_request
from azext_batchai.service.arm.ids import ArmPath


@dataclass(frozen=True)
class Call:
    """`query` has lower-case names; `body` is None where the request had none.

    `engine` is the header x-batchai-engine: the engine of a cluster that is created.
    """

    method: str
    path: ArmPath
    raw_path: str
    query: Mapping[str, str]
    body: Any
    base_url: str
    engine: str = ""

    def __post_init__(self) -> None:
        """Raises ArmError 400 for a NUL in the query string: no name or path that it may hold can have one."""
        for name, value in self.query.items():
            if "\0" in value:
                raise bad_request(f"'{name}' holds a NUL character.", name)

    @property
    def subscription(self) -> str:
        return self.path.subscription

    @property
    def group(self) -> str:
        return self.path.group

    @property
    def names(self) -> tuple[str, ...]:
        return self.path.names

    @property
    def name(self) -> str:
        return self.path.names[-1]

    def integer(self, name: str, default: int, minimum: int, maximum: int) -> int:
        """A number of the query string. Raises ArmError 400 outside its range."""
        text = self.query.get(name)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            raise bad_request(f"'{name}' must be an integer.", name) from None
        if not minimum <= value <= maximum:
            raise bad_request(f"'{name}' is {value}; it must be from {minimum} to {maximum}.", name)
        return value

    def properties(self) -> Any:
        """The `properties` of the body. Raises ArmError 400 where there is no such object."""
        if not isinstance(self.body, dict) or not isinstance(self.body.get("properties"), dict):
            raise bad_request("The request body must be a JSON object with 'properties'.", "properties")
        return self.body["properties"]
