"""What the nodes of a cluster are made of, and how many there are."""

from __future__ import annotations

from typing import Any

# alias -> publisher, offer, sku (wire.md 2)
IMAGE_ALIASES = {
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


def scale_settings(target: int | None, minimum: int | None, maximum: int | None) -> Any:
    """The SDK ScaleSettings of --target, --min and --max (validated as a pair); None where none is given."""
    from azure.mgmt.batchai import models

    if minimum is None or maximum is None:
        return None if target is None else models.ScaleSettings(manual=_manual(target))
    if minimum == maximum and target in (None, minimum):
        return models.ScaleSettings(manual=_manual(minimum))
    return models.ScaleSettings(
        auto_scale=models.AutoScaleSettings(
            minimum_node_count=minimum, maximum_node_count=maximum, initial_node_count=target or 0
        )
    )


def _manual(target: int) -> Any:
    from azure.mgmt.batchai import models

    return models.ManualScaleSettings(target_node_count=target)


def _specification(image: str) -> tuple[str, str, str, str]:
    from azure.cli.core.azclierror import InvalidArgumentValueError

    for alias, (publisher, offer, sku) in IMAGE_ALIASES.items():
        if alias.lower() == image.lower():
            return publisher, offer, sku, ""
    parts = image.split(":")
    if len(parts) == 4 and all(parts[:3]):
        return parts[0], parts[1], parts[2], parts[3]
    raise InvalidArgumentValueError(
        f"--image '{image}' is neither an alias nor publisher:offer:sku:version.",
        recommendation=f"The aliases are {' and '.join(IMAGE_ALIASES)}; the version may be empty (a:b:c:).",
    )
