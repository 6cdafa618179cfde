"""The `batchai` extension of the Azure CLI.

Importing this package imports nothing: the embedded service starts through it as well, without the Azure CLI.
"""


def __getattr__(name: str) -> object:
    if name == "COMMAND_LOADER_CLS":
        from azext_batchai._loader import BatchAICommandsLoader

        return BatchAICommandsLoader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
