"""Numbers of nodes: --target, --min and --max."""

from __future__ import annotations

from typing import Any


def scale_settings(target: int | None, minimum: int | None, maximum: int | None) -> Any:
    """The SDK ScaleSettings of --target, --min and --max (validated as a pair); None where none is given."""
    if minimum is None or maximum is None:
        return None if target is None else manual(target)
    if minimum == maximum and target in (None, minimum):
        return manual(minimum)
    return auto_scale(minimum, maximum, target or 0)


def auto_scale(minimum: int, maximum: int, initial: int = 0) -> Any:
    """The SDK ScaleSettings of a cluster that grows and shrinks, even where both limits are equal."""
    from azure.mgmt.batchai import models

    return models.ScaleSettings(
        auto_scale=models.AutoScaleSettings(
            minimum_node_count=minimum, maximum_node_count=maximum, initial_node_count=initial
        )
    )


def manual(target: int) -> Any:
    """The SDK ScaleSettings of a cluster that has this number of nodes."""
    from azure.mgmt.batchai import models

    return models.ScaleSettings(manual=models.ManualScaleSettings(target_node_count=target))
