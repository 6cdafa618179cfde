"""Images of nodes: --image and --custom-image."""

from __future__ import annotations

from typing import Any

# alias -> publisher, offer, sku (wire.md 2)
ALIASES = {
    "UbuntuLTS": ("Canonical", "UbuntuServer", "16.04-LTS"),
    "UbuntuDSVM": ("microsoft-ads", "linux-data-science-vm-ubuntu", "linuxdsvmubuntu"),
}


def image_reference(image: str | None, custom_image: str | None) -> Any:
    """The SDK ImageReference of --image and --custom-image."""
    from azure.cli.core.azclierror import RequiredArgumentMissingError
    from azure.mgmt.batchai import models

    if not image:
        raise RequiredArgumentMissingError(
            "--custom-image is given without --image.",
            recommendation="Say with --image which image the custom one was made from.",
        )
    publisher, offer, sku, version = _specification(image)
    return models.ImageReference(
        publisher=publisher, offer=offer, sku=sku, version=version or None, virtual_machine_image_id=custom_image
    )


def _specification(image: str) -> tuple[str, str, str, str]:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    for alias, (publisher, offer, sku) in ALIASES.items():
        if alias.lower() == image.lower():
            return publisher, offer, sku, ""
    parts = image.split(":")
    if len(parts) == 4 and all(parts[:3]):
        return parts[0], parts[1], parts[2], parts[3]
    raise InvalidArgumentValueError(
        f"--image '{image}' is neither an alias nor publisher:offer:sku:version.",
        recommendation=f"The aliases are {' and '.join(ALIASES)}; the version may be empty (a:b:c:).",
    )
