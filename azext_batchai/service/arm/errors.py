"""Errors as Azure Resource Manager writes them: `{"error":{"code","message"}}` (wire.md 4)."""

from __future__ import annotations

from typing import Any


class ArmError(Exception):
    """A refusal that the client gets as an ARM error body."""

    def __init__(self, status: int, code: str, message: str, target: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.target = target

    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.target:
            error["target"] = self.target
        return {"error": error}


def bad_request(message: str, target: str | None = None, code: str = "InvalidRequestContent") -> ArmError:
    return ArmError(400, code, message, target)


def not_found(noun: str, name: str) -> ArmError:
    """The provider's 404, e.g. ClusterNotFound "The specified cluster c is not found" (wire.md 4)."""
    words = {"fileserver": ("FileServer", "file server")}
    code, text = words.get(noun, (noun[0].upper() + noun[1:], noun))
    return ArmError(404, f"{code}NotFound", f"The specified {text} {name} is not found")


def conflict(message: str, code: str = "Conflict") -> ArmError:
    return ArmError(409, code, message)


def not_supported(message: str) -> ArmError:
    """501: never a silent success for something this service cannot do."""
    return ArmError(501, "NotSupported", message)
