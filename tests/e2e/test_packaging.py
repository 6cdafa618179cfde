"""The wheel: what is in it, and that stock az installs it and then runs it instead of the module it ships."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from e2e import readme
from harness import az
from harness.sandbox import CHECKOUT, version
from harness.service import Service

SOURCES = ("azext_batchai", "setup.py", "pyproject.toml", "requirements.txt", "README.md", "HISTORY.rst", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        path = CHECKOUT / name
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, source / name)
    (source / "tests").mkdir()
    (source / "tests" / "__init__.py").touch()  # must not get in
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(out), str(source)], check=True)
    [built] = out.iterdir()
    return built


@pytest.fixture(scope="module")
def extensions(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of extensions with the wheel, as az installs it: with all it requires."""
    folder = tmp_path_factory.mktemp("extensions")
    env = {"AZURE_EXTENSION_DIR": str(folder), "AZURE_CONFIG_DIR": str(tmp_path_factory.mktemp("azure"))}
    added = az.run_process("extension", "add", "--source", str(wheel), "-y", env=env, cwd=wheel.parent, timeout=280)
    assert added.code == 0, added.stderr
    return folder


@pytest.mark.slow
def test_what_the_wheel_holds(wheel: Path) -> None:
    assert wheel.name == f"batchai-{version()}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = message_from_string(archive.read(f"batchai-{version()}.dist-info/METADATA").decode())
    assert {name.split("/")[0] for name in names} == {"azext_batchai", f"batchai-{version()}.dist-info"}
    assert "azext_batchai/azext_metadata.json" in names
    assert "azext_batchai/service/__main__.py" in names
    assert "azext_batchai/py.typed" in names
    assert "azext_batchai/schemas/job.json" in names
    static = "azext_batchai/service/ui/static/"  # the page, with its libraries and their licences
    others = [name for name in names if not name.startswith(static)]
    assert not [name for name in others if not re.search(r"\.(py|json|typed)$|\.dist-info/", name)]  # nothing compiled
    for file in [*(CHECKOUT / "azext_batchai").rglob("*.py"), *(CHECKOUT / static).rglob("*.*")]:
        assert file.relative_to(CHECKOUT).as_posix() in names
    assert {f"{static}vendor/{name}.LICENSE" for name in ("idiomorph", "uPlot")} <= set(names)
    assert metadata["Requires-Python"] == ">=3.10"
    needed = {re.split(r"[<>=]", requirement)[0] for requirement in metadata.get_all("Requires-Dist") or []}
    assert needed == {"azure-mgmt-batchai", "msrest", "starlette", "uvicorn", "h11", "asyncssh", "azure-identity"}


@pytest.mark.slow
def test_stock_az_runs_the_installed_wheel(extensions: Path, home: Path, tmp_path: Path) -> None:
    def stock(*args: str, extensions: Path = extensions) -> az.Outcome:
        env = {"AZURE_CONFIG_DIR": str(tmp_path / "azure"), "AZURE_EXTENSION_DIR": str(extensions)}
        # Elsewhere, because `python -m` looks into the current folder first, where the checkout may be.
        return az.run_process(*args, env=env, cwd=tmp_path)

    built_in = stock("batchai", "workspace", "list", extensions=tmp_path / "none")
    assert built_in.code == 1
    assert "az login" in built_in.stderr  # the module that ships with az knows no other service than Azure

    listed = stock("extension", "list").json()
    assert [(found["name"], found["version"]) for found in listed] == [("batchai", version())]

    # Now the extension answers...
    outcome = stock("batchai", "workspace", "list")
    assert (outcome.code, outcome.json()) == (0, []), outcome.stderr
    # ...with the service that is in the wheel.
    installed = extensions / "batchai"
    service = Path(f"/proc/{Service(home).info['pid']}/cmdline").read_bytes().decode()
    assert str(installed / "azext_batchai") in service

    quiet = stock("batchai", "workspace", "create", "-g", "research", "-n", "lab")
    assert quiet.code == 0, quiet.stderr
    assert quiet.stderr == ""  # neither "altered by the following extension" nor "deprecated"
    for package in ("starlette", "uvicorn", "asyncssh"):
        assert (installed / package).is_dir()


@pytest.mark.slow
def test_the_quickstart_runs_inside_the_clone(extensions: Path, home: Path, tmp_path: Path) -> None:
    """az looks for packages in the current folder first; the installed extension is to run all the same."""
    clone = tmp_path / "clone"
    shutil.copytree(CHECKOUT / "azext_batchai", clone / "azext_batchai", ignore=shutil.ignore_patterns("__pycache__"))
    # az's own Python has none of what the extension brings with it; here the tests have it.
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    for package in ("starlette", "uvicorn", "asyncssh"):
        text = f"raise ModuleNotFoundError(\"No module named '{package}'\")\n"
        (lacking / f"{package}.py").write_text(text, encoding="utf-8")
    env = {
        "AZURE_CONFIG_DIR": str(tmp_path / "azure"),
        "AZURE_EXTENSION_DIR": str(extensions),
        "HOME": str(tmp_path),
        "PYTHONPATH": str(lacking),
    }
    commands, job = readme.quickstart()
    (clone / "job.json").write_text(job, encoding="utf-8")
    for arguments in commands:
        outcome = az.run_process(*arguments, env=env, cwd=clone)
        assert outcome.code == 0, outcome.stderr
        if arguments[:4] == ["batchai", "job", "file", "stream"]:
            assert re.fullmatch(r"hello from \S+\n", outcome.output)
    service = Path(f"/proc/{Service(home).info['pid']}/cmdline").read_bytes().decode()
    assert str(extensions / "batchai" / "azext_batchai") in service


def test_no_warning_about_the_module_it_replaces(home: Path) -> None:
    Service(home).start()
    for command in ("workspace list", "cluster list -g g -w w", "list-usages -l eastus", "job -h", "cluster create -h"):
        stderr = az.run_process("batchai", *command.split()).stderr
        assert "altered" not in stderr
        assert "deprecated" not in stderr


def test_importing_the_package_imports_nothing() -> None:
    code = "import sys; before = set(sys.modules); import azext_batchai; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['azext_batchai']"


def test_the_service_does_not_load_az(home: Path) -> None:
    service = Service(home)
    service.start()
    maps = Path(f"/proc/{service.info['pid']}/maps").read_text()
    assert "azure/cli" not in maps
    code = (
        "import pkgutil, sys, importlib, azext_batchai.service as s\n"
        "for m in pkgutil.walk_packages(s.__path__, 'azext_batchai.service.'):\n"
        "    m.name.endswith(('__main__', 'slurm.agent')) or importlib.import_module(m.name)\n"
        "print(sorted(n for n in sys.modules if n.startswith(('azure', 'knack', 'msrest'))\n"
        "             or (n.startswith('azext_batchai.') and not n.startswith('azext_batchai.service')\n"
        "                 and not n.startswith('azext_batchai.formats') and n != 'azext_batchai._version')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    # A namespace package's .pth file may put `azure` itself there at start-up; nothing of az is.
    assert [name for name in eval(done.stdout) if name != "azure"] == []


def test_what_az_is_told_of_the_extension() -> None:
    metadata = json.loads((CHECKOUT / "azext_batchai/azext_metadata.json").read_text(encoding="utf-8"))
    assert metadata["azext.isPreview"] is bool(re.search("[a-z]", version()))
    assert f"azure-cli {metadata['azext.minCliCoreVersion']} or newer" in readme.TEXT


def test_one_version(home: Path) -> None:
    assert Service(home).start()["version"] == version()
