"""The SDK of Batch AI with as little of the libraries below it as it uses."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any


def batchai() -> Any:
    """The module `azure.mgmt.batchai`."""
    _import_msrest_in_part()
    from azure.mgmt import batchai as sdk

    return sdk


def _import_msrest_in_part() -> None:
    """Leave out what `msrest` imports for clients of its own: `requests`, `oauthlib` and what these stand on.

    The SDK takes its two classes of serialization alone. Whoever takes something else from the package finds all of it.
    """
    name = "msrest"
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if not spec or not spec.loader:
        return
    loader = spec.loader
    module = importlib.util.module_from_spec(spec)

    def whole(attribute: str) -> Any:
        """Called by Python for what the module has not."""
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        del module.__getattr__  # type: ignore[attr-defined]
        loader.exec_module(module)
        return getattr(module, attribute)

    sys.modules[name] = module
    try:
        serialization = importlib.import_module(f"{name}.serialization")
        module.Serializer = serialization.Serializer  # type: ignore[attr-defined]
        module.Deserializer = _frugal(serialization.Deserializer)  # type: ignore[attr-defined]
        module.__getattr__ = whole  # type: ignore[method-assign]
    except (ImportError, AttributeError):
        del sys.modules[name]


def _frugal(deserializer: Any) -> Any:
    """The class of `msrest` that imports its clients only for what no pipeline has read yet."""

    class Deserializer(deserializer):  # type: ignore[misc]  # pylint: disable=too-few-public-methods
        @staticmethod
        def _unpack_content(raw_data: Any, content_type: str | None = None) -> Any:
            read = getattr(raw_data, "context", None) or {}
            if "deserialized_data" in read:  # by azure-core, as the class itself would find it
                return read["deserialized_data"]
            if isinstance(raw_data, dict | list):
                return raw_data
            return deserializer._unpack_content(raw_data, content_type)  # pylint: disable=protected-access

    return Deserializer
