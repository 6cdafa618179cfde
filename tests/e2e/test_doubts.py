"""What a job lacks on this machine is told by validate and create: its script, a container runtime, mpirun, Python."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import az
from harness.cluster import ok, show
from harness.service import Service

pytestmark = pytest.mark.invented
IN_LAB = ("-g", "research", "-w", "lab")
SHARE, BLOBS = "$AZ_BATCHAI_MOUNT_ROOT/autoafs", "$AZ_BATCHAI_MOUNT_ROOT/autobfs"
NO_FILE = "which is not there"
IMAGE = {"imageSourceRegistry": {"image": "team/train:1", "serverUrl": "https://registry.example"}}
Write = Callable[..., str]
Programs = Callable[..., None]


@pytest.fixture(scope="module")
def lab(trainers: str, service: Service) -> Path:
    """The folder of the share, with scripts on it and in the container."""
    [share] = service.home.glob("storage/*/files/batchaishare")
    [container] = service.home.glob("storage/*/blobs/batchaicontainer")
    (share / "code").mkdir()
    (share / "code" / "train.py").write_text("print('trained')\n")
    (container / "eval.py").write_text("print('done')\n")
    return share


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(**properties: object) -> str:
        path = tmp_path / "job.json"
        path.write_text(json.dumps({"nodeCount": 1, "stdOutErrPathPrefix": SHARE, **properties}))
        return str(path)

    return to_file


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """`programs(name="shell script")`: the only programs that az finds."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def add(**scripts: str) -> None:
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)

    return add


def validate(file: str) -> list[str]:
    """The warnings; what is printed on stdout is the plan alone."""
    done = az.run("batchai", "job", "validate", "-f", file, *IN_LAB, "-c", "mycluster")
    assert done.code == 0, done.stderr
    assert done.json()["ranks"]
    return done.stderr.splitlines()


def line(command: str) -> dict[str, object]:
    return {"customToolkitSettings": {"commandLine": command}}


@pytest.mark.parametrize(
    "settings",
    [
        {"pyTorchSettings": {"pythonScriptFilePath": f"{SHARE}/code/train.py"}},
        {"pyTorchSettings": {"pythonScriptFilePath": f'"{SHARE}/code/train.py"'}},
        {"pyTorchSettings": {"pythonScriptFilePath": f"{BLOBS}/eval.py"}},
        {"pyTorchSettings": {"pythonScriptFilePath": "/nowhere/train.py"}},  # of the node, of which nothing is known
        {"pyTorchSettings": {"pythonScriptFilePath": "$AZ_BATCHAI_INPUT_NONE/train.py"}},
        {"pyTorchSettings": {"pythonScriptFilePath": "$AZ_BATCHAI_JOB_MOUNT_ROOT/none/train.py"}},
        line(f"python3 -u ${{AZ_BATCHAI_MOUNT_ROOT}}/autoafs/code/train.py --data {SHARE}/none.py"),
        line(f"mkdir -p {SHARE}/new"),
        line(f"cp a {SHARE}/new.py; python3 {SHARE}/new.py"),
        line(f"echo 'print(1)' > {SHARE}/new.py && python3 {SHARE}/new.py"),
        line(f"cat <<EOF >{SHARE}/new.py\nprint(1)\nEOF\npython3 {SHARE}/new.py"),
        line(f"python3 -c 'print(1)' {SHARE}/data"),
        line(f"python3 {SHARE}/*.py; echo {SHARE}/$NAME.py"),
        line(f"python3 '{SHARE}/no end"),
    ],
)
def test_nothing_is_said_where_nothing_is_known_to_be_missing(lab: Path, write: Write, settings: dict) -> None:
    assert not validate(write(**settings))


@pytest.mark.parametrize(
    ("settings", "path", "likely"),
    [
        ({"pyTorchSettings": {"pythonScriptFilePath": f"{SHARE}/code/trian.py"}}, "code/trian.py", "code/train.py"),
        ({"horovodSettings": {"pythonScriptFilePath": f"{SHARE}/train.py"}}, "train.py", "code/train.py"),
        ({"caffeSettings": {"configFilePath": f"{SHARE}/code/deep/train.py"}}, "code/deep/train.py", "code/train.py"),
        (line(f"cd {SHARE}/code && python3 -u {SHARE}/code/tran.py 1"), "code/tran.py", "code/train.py"),
        (line(f"{SHARE}/code/run.sh"), "code/run.sh", ""),
        (line(f"torchrun --nproc_per_node 2 \"{SHARE}/nothing like it.py\""), "nothing like it.py", ""),
    ],
)  # fmt: skip
def test_a_script_that_is_not_there(lab: Path, write: Write, settings: dict, path: str, likely: str) -> None:
    [said] = validate(write(**settings))
    [key] = settings
    hint = f"there is {SHARE}/{likely}" if likely else f"{lab / path}"
    assert said.startswith(f"WARNING: '{key}.")
    assert said.endswith(f" names {SHARE}/{path}, {NO_FILE} ({hint}).")


def test_a_script_in_the_container_and_in_an_input_directory(lab: Path, write: Write) -> None:
    [said] = validate(write(**line(f"python3 {BLOBS}/eva.py")))
    assert f"(there is {BLOBS}/eval.py)" in said
    inputs = {"inputDirectories": [{"id": "CODE", "path": f"{SHARE}/code"}]}
    assert not validate(write(**line("bash -e $AZ_BATCHAI_INPUT_CODE/train.py"), **inputs))
    [said] = validate(write(**line("bash -e $AZ_BATCHAI_INPUT_CODE/trainer.py"), **inputs))
    assert "(there is $AZ_BATCHAI_INPUT_CODE/train.py)" in said


def test_a_script_on_a_share_of_the_job(lab: Path, write: Write, service: Service) -> None:
    """`job create` looks when it has made what is missing."""
    account = show("lab")["nodeSetup"]["mountVolumes"]["azureFileShares"][0]["accountName"]
    script = {"pyTorchSettings": {"pythonScriptFilePath": "$AZ_BATCHAI_JOB_MOUNT_ROOT/afs/train.py"}}
    flags = ("--storage-account-name", account, "--afs-name", "mine")
    of_job = (*IN_LAB, "-e", "exp", "-n", "own")
    made = az.run("batchai", "job", "create", *of_job, "-c", "mycluster", "-f", write(**script), *flags)
    assert made.code == 0, made.stderr
    assert f"$AZ_BATCHAI_JOB_MOUNT_ROOT/afs/train.py, {NO_FILE}" in made.stderr
    [share] = service.home.glob("storage/*/files/mine")
    assert f"({share / 'train.py'})" in made.stderr
    ok(az.run("batchai", "job", "delete", *of_job, "--yes"))


def test_strict_refuses_what_others_warn_of(lab: Path, write: Write) -> None:
    script = {"pyTorchSettings": {"pythonScriptFilePath": f"{SHARE}/code/trian.py"}}
    create = ("batchai", "job", "create", *IN_LAB, "-e", "exp", "-n", "doubtful", "-c", "mycluster", "-f")
    dry = az.run(*create, write(**script), "--dry-run")
    assert (dry.code, dry.stderr.count(NO_FILE)) == (0, 1)
    assert dry.json()["properties"]
    for more in ((), ("--dry-run",)):
        refused = az.run(*create, write(**script), "--strict", *more)
        assert (refused.code, refused.output, refused.stderr.count(NO_FILE)) == (1, "", 1)
        assert "ERROR" in refused.stderr
    prepared = {**script, "jobPreparation": {"commandLine": "git clone ..."}}
    may_be = az.run(*create, write(**prepared), "--strict", "--dry-run")
    assert may_be.code == 0
    assert "train.py), unless job preparation makes it." in may_be.stderr
    made = az.run(*create, write(**script))
    assert (made.code, made.stderr.count(NO_FILE)) == (0, 1)
    ok(az.run("batchai", "job", "delete", *IN_LAB, "-e", "exp", "-n", "doubtful", "--yes"))


def test_a_secret_without_a_value_is_wrong(lab: Path, write: Write) -> None:
    file = write(**line("true"), secrets=[{"name": "FIRST", "value": "SESAME"}, {"name": "TOKEN"}])
    done = az.run("batchai", "job", "validate", "-f", file)
    assert (done.code, done.output) == (1, "")
    assert "'secrets[1].value' is required: nobody is shown the value of TOKEN again." in done.stderr
    assert "SESAME" not in done.stderr
    refused = az.run("batchai", "job", "create", *IN_LAB, "-e", "exp", "-n", "s", "-c", "mycluster", "-f", file)
    assert refused.code == 1, "the service takes such a job"


def test_containers(lab: Path, write: Write, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(**line("true"), containerSettings=IMAGE)
    [said] = validate(file)
    assert "'containerSettings' needs a container runtime: no podman and no docker. apt install podman." in said
    strict = ("batchai", "job", "create", *IN_LAB, "-e", "exp", "-n", "x", "-c", "mycluster", "-f", file, "--strict")
    assert az.run(*strict, "--dry-run").code == 1

    programs(docker='[ "$1" = info ]')
    [said] = validate(file)
    assert "Image registry.example/team/train:1 is not on this machine: it is pulled when the job starts." in said
    assert az.run(*strict, "--dry-run").code == 0
    programs(docker='[ "$*" = "image inspect registry.example/team/train:1" ]')
    assert not validate(file)
    programs(docker="echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    [said] = validate(file)
    assert "docker is installed and does not work: Cannot connect to the Docker daemon." in said

    monkeypatch.setenv("AZURE_BATCHAI_CONTAINERS_ON_HOST", "1")
    [said] = validate(file)
    assert "is not used: AZURE_BATCHAI_CONTAINERS_ON_HOST runs the job on the node itself." in said


def test_a_container_runtime_that_hangs(
    lab: Path, write: Write, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("azext_batchai.jobs.programs._SECONDS", 0.2)
    programs(docker="exec /bin/sleep 600")
    [said] = validate(write(**line("true"), containerSettings=IMAGE))
    assert "docker is installed and does not work: no answer in" in said


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"customMpiSettings": {"commandLine": "true"}}, 1),
        ({"horovodSettings": {"pythonScriptFilePath": "train.py"}}, 1),
        ({"caffeSettings": {"pythonScriptFilePath": "train.py", "processCount": 2}}, 1),
        ({"caffeSettings": {"pythonScriptFilePath": "train.py"}}, 0),
        ({"pyTorchSettings": {"pythonScriptFilePath": "train.py", "communicationBackend": "MPI"}}, 1),
        ({"pyTorchSettings": {"pythonScriptFilePath": "train.py", "communicationBackend": "gloo"}}, 0),
        ({"customToolkitSettings": {"commandLine": "mpirun true"}}, 0),
    ],
)
def test_mpirun(lab: Path, write: Write, programs: Programs, tmp_path: Path, settings: dict, count: int) -> None:
    said = validate(write(**settings))
    assert len(said) == count
    [key] = settings
    assert all(f"'{key}' needs the mpirun of Open MPI: not found. apt install openmpi-bin." in text for text in said)
    programs(mpirun="echo 'mpirun (Open MPI) 4.1.4'", docker='[ "$1 $2" = "image inspect" ]')
    assert not validate(write(**settings))
    (tmp_path / "bin" / "mpirun").unlink()
    assert not validate(write(**settings, containerSettings=IMAGE))


def test_python(lab: Path, write: Write, tmp_path: Path) -> None:
    def settings(python: Path | str) -> dict[str, object]:
        return {"pyTorchSettings": {"pythonScriptFilePath": "train.py", "pythonInterpreterPath": str(python)}}

    [said] = validate(write(**settings(tmp_path / "python")))
    text = f"'pyTorchSettings.pythonInterpreterPath' is {tmp_path / 'python'}, which is no program of this machine"
    assert said == f"WARNING: {text}."
    [said] = validate(write(**settings(tmp_path / "python"), jobPreparation={"commandLine": "true"}))
    assert said == f"WARNING: {text}, unless job preparation or the setup task installs it."
    for known in ("python3", "/bin/sh", "/mnt/batch/tasks/shared/python", "$HOME/python", "env /nowhere/python"):
        assert not validate(write(**settings(known)))


def test_nodes_that_may_be_elsewhere(lab: Path, write: Write, service: Service) -> None:
    """The shares are looked at, the programs are not."""
    profiles = service.home / "engines.json"
    profiles.write_text('{"gpu": {"type": "slurm", "partition": "gpu"}}')
    try:
        assert not validate(write(pyTorchSettings={"pythonScriptFilePath": "x", "pythonInterpreterPath": "/no/python"}))
        [said] = validate(write(**line(f"python3 {SHARE}/none.py")))
        assert NO_FILE in said
    finally:
        profiles.unlink()


def test_a_service_elsewhere_is_not_judged(
    lab: Path, write: Write, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_BATCHAI_ENDPOINT", service.info["endpoint"])
    monkeypatch.setenv("AZURE_BATCHAI_TOKEN", service.info["token"])
    monkeypatch.setenv("AZURE_BATCHAI_SUBSCRIPTION", service.info["subscription"])
    assert not validate(write(**line(f"python3 {SHARE}/none.py"), containerSettings=IMAGE))
