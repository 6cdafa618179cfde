"""Images and numbers of nodes."""

import pytest
from azure.cli.core.azclierror import InvalidArgumentValueError, RequiredArgumentMissingError

from azext_batchai.command_line.image import image_reference
from azext_batchai.command_line.scale import scale_settings


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, None, None), None),
        ((0, None, None), {"manual": {"targetNodeCount": 0, "nodeDeallocationOption": "requeue"}}),
        ((2, None, None), {"manual": {"targetNodeCount": 2, "nodeDeallocationOption": "requeue"}}),
        ((None, 0, 0), {"manual": {"targetNodeCount": 0, "nodeDeallocationOption": "requeue"}}),
        ((3, 3, 3), {"manual": {"targetNodeCount": 3, "nodeDeallocationOption": "requeue"}}),
        ((None, 0, 4), {"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 4, "initialNodeCount": 0}}),
        ((2, 0, 4), {"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 4, "initialNodeCount": 2}}),
        ((1, 3, 3), {"autoScale": {"minimumNodeCount": 3, "maximumNodeCount": 3, "initialNodeCount": 1}}),
    ],
)
def test_scale_settings(given, expected):
    settings = scale_settings(*given)
    assert (settings.serialize() if settings else None) == expected


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("ubuntults", {"publisher": "Canonical", "offer": "UbuntuServer", "sku": "16.04-LTS"}),
        (
            "UbuntuDSVM",
            {"publisher": "microsoft-ads", "offer": "linux-data-science-vm-ubuntu", "sku": "linuxdsvmubuntu"},
        ),
        ("a:b:c:1.0", {"publisher": "a", "offer": "b", "sku": "c", "version": "1.0"}),
        ("a:b:c:", {"publisher": "a", "offer": "b", "sku": "c"}),
    ],
)
def test_image(image, expected):
    assert image_reference(image, None).serialize() == expected
    assert image_reference(image, "/id").serialize() == {**expected, "virtualMachineImageId": "/id"}


@pytest.mark.parametrize("image", ["Windows", "a:b:c", "a:b:c:d:e", "a::c:1", ":b:c:1"])
def test_no_image(image):
    with pytest.raises(InvalidArgumentValueError, match="neither an alias nor publisher:offer:sku:version"):
        image_reference(image, None)


def test_custom_image_needs_its_base():
    with pytest.raises(RequiredArgumentMissingError, match="--custom-image is given without --image"):
        image_reference(None, "/id")
