"""Run `azdev style` and `azdev linter` on the extension, without an azure-cli checkout and without a network.

azdev wants both: it looks for rule files in a checkout, else at GitHub. Here it gets a folder with what it needs.
The service (azext_batchai/service) is left out: a program of its own that az never loads, checked by `make lint`.
Run it with the Python of an environment that has azdev: `make azdev`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
WORK = CHECKOUT / "build" / "azdev"
EXTENSION = WORK / "extensions" / "batchai"
PACKAGING = ("setup.py", "requirements.txt", "README.md", "HISTORY.rst", "linter_exclusions.yml")
RULES = {"params", "commands", "command_groups", "help_entries"}  # the others compare with a branch of azure-cli
# Read at import by commands that are not used here; any pattern will do.
PATTERNS = """\
CMD_PATTERN: [a, b, c, d]
QUO_PATTERN: a
END_PATTERN: a
DOCS_END_PATTERN: a
NOT_END_PATTERN: a
NUMBER_SIGN_PATTERN: a
"""
LISTS = "GLOBAL_PARAMETERS GENERIC_UPDATE_PARAMETERS WAIT_CONDITION_PARAMETERS OTHER_PARAMETERS CLI_OWN_MODULES"
TABLES = "EXCLUDE_COMMANDS GLOBAL_EXCLUDE_COMMANDS EXCLUDE_MODULES"
WORDS = "ENCODING RED ORANGE GREEN BLUE GOLD RED_PCT ORANGE_PCT GREEN_PCT BLUE_PCT"


def main() -> int:
    prepare()
    passed = check("style", "azext_batchai")
    passed &= check("linter", "azext_batchai", "--min-severity", "low", "-t", *sorted(RULES))
    return 0 if passed else 1


def prepare() -> None:
    """Lay out what azdev looks for: the extension in a folder of extensions, rule files, its own configuration."""
    import azdev

    shutil.rmtree(WORK, ignore_errors=True)
    unwanted = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "azext_batchai", EXTENSION / "azext_batchai", ignore=unwanted)
    for name in PACKAGING:
        shutil.copy(CHECKOUT / name, EXTENSION)
    subprocess.run([sys.executable, "setup.py", "-q", "egg_info"], cwd=EXTENSION, check=True)

    scripts = WORK / "azure-cli" / "scripts" / "ci"
    scripts.mkdir(parents=True)
    more = [f"{name}: []" for name in LISTS.split()] + [f"{name}: {{}}" for name in TABLES.split()]
    more += [f"{name}: a" for name in WORDS.split()]
    (scripts / "cmdcov.yml").write_text(PATTERNS + "\n".join(more) + "\n", encoding="utf-8")

    config = WORK / "config"
    rules = Path(f"{config}/env_config{sys.prefix}") / "config_files"
    rules.mkdir(parents=True)
    (config / "config").write_text(
        f"[cli]\nrepo_path={WORK / 'azure-cli'}\n[ext]\nrepo_paths={EXTENSION.parent}\n", encoding="utf-8"
    )
    for file in (Path(azdev.__file__).parent / "config").glob("*[!y]"):
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            text = text.replace("ignore=tests,", "ignore=service,tests,").replace("*/vendored_sdks", "*/service")
            (rules / file.name).write_text(text, encoding="utf-8")


def check(*arguments: str) -> bool:
    environment = {
        **os.environ,
        "VIRTUAL_ENV": sys.prefix,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "AZDEV_CONFIG_DIR": str(WORK / "config"),
        "AZURE_CONFIG_DIR": str(WORK / "azure"),
        "AZURE_EXTENSION_DIR": str(WORK / "none"),
        "AZURE_EXTENSION_DEV_SOURCES": str(EXTENSION.parent),
        "AZURE_CORE_COLLECT_TELEMETRY": "no",
        "AZURE_CORE_NO_COLOR": "yes",
    }
    command = [sys.executable, __file__, "--inside", *arguments]
    done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    sys.stdout.write(done.stdout)
    # A fault of medium severity makes no exit code.
    return done.returncode == 0 and "FAIL" not in done.stdout


def inside(arguments: list[str]) -> None:
    """Be azdev, with nothing to fetch and with an azure-cli that is its core alone."""
    import requests
    from azure.cli.core.commands import AzCliCommandInvoker

    def no_network(*_: object, **__: object) -> requests.Response:
        response = requests.Response()
        response.status_code = 404
        return response

    create = AzCliCommandInvoker.__init__

    def create_with_command(self: AzCliCommandInvoker, *args: object, **options: object) -> None:
        create(self, *args, **options)
        self.data["command_string"] = ""

    requests.get = no_network
    AzCliCommandInvoker.__init__ = create_with_command

    from azdev.__main__ import main as azdev

    sys.argv = ["azdev", *arguments]
    azdev()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        inside(sys.argv[2:])
    else:
        sys.exit(main())
