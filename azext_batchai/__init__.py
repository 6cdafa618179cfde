"""The `batchai` extension of the Azure CLI.

Importing this package imports nothing: the embedded service starts through it as well, without the Azure CLI.
"""


def __getattr__(name: str) -> object:
    if name == "COMMAND_LOADER_CLS":
        _become_the_installed_one()
        from azext_batchai._loader import BatchAICommandsLoader

        return BatchAICommandsLoader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _become_the_installed_one() -> None:
    """Load the modules of this package from the installed extension, wherever Python found the package itself.

    Python looks into the current folder first (`python -m azure.cli`, which `az` is), and az adds the folder of an
    extension last. In a clone of this project the clone's modules would run in place of the installed ones, and the
    service would be started from the clone, without the packages that are installed with the extension.
    """
    import os

    from azure.cli.core.extension import DEV_EXTENSION_SOURCES, get_extension_path

    # Where the extension is developed (`azdev extension add`), its sources are meant.
    folder = None if DEV_EXTENSION_SOURCES else get_extension_path("batchai")
    package = os.path.join(folder, __name__) if folder else ""
    if os.path.isdir(package) and not os.path.samefile(package, __path__[0]):
        __path__[:] = [package]
