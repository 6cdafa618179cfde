"""What a credential allows: an account key everything, a signature what it names."""

from __future__ import annotations

from dataclasses import dataclass

from azext_batchai.service.storage.faults import forbidden

SERVICE, CONTAINER, OBJECT = "s", "c", "o"


@dataclass(frozen=True)
class Grant:
    """`permissions` of a signature, one letter each; None allows all. `types` are those of an account's signature.

    `replies` are the headers that a signature gives to downloads.
    """

    permissions: str | None
    types: str = SERVICE + CONTAINER + OBJECT
    replies: tuple[tuple[str, str], ...] = ()

    def allows(self, letters: str) -> bool:
        return self.permissions is None or any(letter in self.permissions for letter in letters)

    def require(self, letters: str, resource_type: str) -> None:
        """Raises StorageFault unless one of the letters is granted for this type of resource."""
        if resource_type not in self.types:
            raise forbidden(
                "This request is not authorized to perform this operation using this resource type.",
                "AuthorizationResourceTypeMismatch",
            )
        if not self.allows(letters):
            raise forbidden(
                "This request is not authorized to perform this operation using this permission.",
                "AuthorizationPermissionMismatch",
            )


EVERYTHING = Grant(None)
