"""Jobs that run: states, output, ends, scaling for them (wire.md 3, 5)."""

import contextlib
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from harness.processes import alive, wait_until
from wire.api import Api


def folder_of_share(api: Api) -> Path:
    return api.service.home / "storage" / api.account / "files" / "share"


@pytest.mark.recorded
@pytest.mark.operation("Jobs_Get")
def test_a_failed_job(api: Api) -> None:
    api.create_cluster()
    api.create_job("job", "echo partial; echo why >&2; exit 3")
    done = api.wait_for_job("job")
    info = done["executionInfo"]
    assert (done["executionState"], info["exitCode"]) == ("failed", 3)
    assert list(info) == ["startTime", "endTime", "exitCode", "errors"]
    [error] = info["errors"]
    assert (error["code"], error["message"]) == ("JobFailed", "Job failed with non-zero exit code")
    assert {"name": "StdErr", "value": "why"} in error["details"]
    assert done["executionStateTransitionTime"] == info["endTime"]
    assert api.output("job") == b"partial\n"


@pytest.mark.recorded
def test_job_preparation_and_its_failure(api: Api) -> None:
    api.create_cluster(nodes=2)
    api.create_job("good", "cat prepared", jobPreparation={"commandLine": "echo ready | tee prepared"})
    assert api.wait_for_job("good")["executionState"] == "succeeded"
    assert (api.output("good"), api.output("good", "stdout-job_prep.txt")) == (b"ready\n", b"ready\n")
    api.create_job("bad", "echo never", nodeCount=2, jobPreparation={"commandLine": "exit 9"})
    info = api.wait_for_job("bad")["executionInfo"]
    assert info["exitCode"] == 9
    assert info["errors"][0]["code"] == "JobPreparationFailed"
    assert info["errors"][0]["message"] == "Job preparation task failed with non-zero exit code"
    _, _, listed = api.call("POST", f"{api.job('bad')}/listOutputFiles", query="&outputdirectoryid=stdouterr")
    names = [item["name"] for item in listed["value"]]
    assert "stdout.txt" not in names
    assert len([name for name in names if re.fullmatch(r"stdout-job_prep-tvm-\d+_[12]-\d{8}t\d{6}z\.txt", name)]) == 2
    assert len([name for name in names if re.fullmatch(r"execution-tvm-.*\.log", name)]) == 2


@pytest.mark.recorded
@pytest.mark.operation("Jobs_Create")
def test_environment_variables_and_secrets(api: Api) -> None:
    api.create_cluster()
    api.create_job(
        "job",
        "echo $PLAIN $SECRET",
        environmentVariables=[{"name": "PLAIN", "value": "VALUE"}],
        secrets=[{"name": "SECRET", "value": "SECRET-9f3a"}],
        jobPreparation={"commandLine": "echo $PLAIN $SECRET"},
    )
    done = api.wait_for_job("job")
    assert done["secrets"] == [{"name": "SECRET"}]
    assert done["environmentVariables"] == [{"name": "PLAIN", "value": "VALUE"}]
    assert api.output("job") == api.output("job", "stdout-job_prep.txt") == b"VALUE SECRET-9f3a\n"
    share = folder_of_share(api)
    for path in api.service.home.rglob("*"):
        if path.is_file() and not path.is_relative_to(share):
            with contextlib.suppress(FileNotFoundError):  # what the job left goes by and by
                assert b"SECRET-9f3a" not in path.read_bytes(), path


@pytest.mark.documented
def test_the_documented_variables_lead_to_real_places(api: Api) -> None:
    api.create_cluster()
    checks = """
set -eu
test -d "$AZ_BATCHAI_MOUNT_ROOT/afs"; test -d "$AZ_BATCHAI_JOB_MOUNT_ROOT/mine"
test -w "$AZ_BATCHAI_JOB_TEMP"; test -w "$AZ_BATCHAI_SHARED_JOB_TEMP"; test -d "$AZ_BATCHAI_JOB_TEMP_DIR"
test "$AZ_BATCHAI_INPUT_DATA" = "$AZ_BATCHAI_MOUNT_ROOT/afs/data"
test -d "$AZ_BATCHAI_OUTPUT_MODEL"; echo model > "$AZ_BATCHAI_OUTPUT_MODEL/m.bin"
test -f "$AZ_BATCHAI_STDOUTERR_DIR/execution.log"
grep -qE '^[^ ]+ slots=[0-9]+ max-slots=[0-9]+$' "$AZ_BATCHAI_MPI_HOST_FILE"
case "$PWD" in */wd) ;; *) exit 8;; esac
case "$HOME" in "${AZ_BATCHAI_MOUNT_ROOT%/mounts}"/home) ;; *) exit 9;; esac
expr "$AZ_BATCHAI_NUM_GPUS" : '[0-9]*$' > /dev/null
"""
    api.create_job(
        "job",
        checks,
        mountVolumes={"azureFileShares": [{**api.mounts()["azureFileShares"][0], "relativeMountPath": "mine"}]},
        inputDirectories=[{"id": "DATA", "path": "$AZ_BATCHAI_MOUNT_ROOT/afs/data"}],
        outputDirectories=[{"id": "MODEL", "pathPrefix": "$AZ_BATCHAI_JOB_MOUNT_ROOT/mine", "pathSuffix": "models"}],
    )
    done = api.wait_for_job("job")
    assert done["executionState"] == "succeeded", (done, api.output("job", "stderr.txt"))
    assert api.output("job", "m.bin", "MODEL") == b"model\n"
    segment = done["jobOutputDirectoryPathSegment"]
    assert (folder_of_share(api) / segment / "outputs" / "models" / "m.bin").is_file()
    assert (folder_of_share(api) / segment / "stdouterr" / "stdout.txt").is_file()


@pytest.mark.recorded
@pytest.mark.operation("Jobs_Terminate")
def test_terminating_a_queued_a_running_and_a_finished_job(api: Api) -> None:
    api.create_cluster()
    api.create_job("running", "echo $$ > $AZ_BATCHAI_MOUNT_ROOT/afs/pid; sleep 1000")
    api.create_job("queued")
    api.wait_for_job("running", "running")
    pid_file = folder_of_share(api) / "pid"
    wait_until(lambda: pid_file.exists() and pid_file.read_text(), "the job has begun")
    for name in ("queued", "running"):
        status, headers, _ = api.call("POST", f"{api.job(name)}/terminate")
        assert (status, api.finish(headers)["status"]) == (202, "Succeeded")
        done = api.properties(api.job(name))
        assert done["executionState"] == "failed"
        assert list(done["executionInfo"]) == ["startTime", "endTime", "errors"]
        assert done["executionInfo"]["errors"] == [
            {"code": "JobTerminated", "message": "The specified job has been terminated by the user"}
        ]
    assert not alive(int(pid_file.read_text()))
    status, headers, body = api.call("POST", f"{api.job('running')}/terminate")
    assert (status, body, headers["content-length"]) == (200, None, "0")
    assert "azure-asyncoperation" not in headers


@pytest.mark.recorded
@pytest.mark.operation("Jobs_Delete")
def test_deleting_a_running_job_ends_it(api: Api) -> None:
    api.create_cluster()
    api.create_job("job", "sleep 1000")
    api.wait_for_job("job", "running")
    status, headers, _ = api.call("DELETE", api.job("job"))
    assert (status, api.finish(headers)["status"]) == (202, "Succeeded")
    assert api.call("GET", api.job("job"))[2]["error"]["code"] == "JobNotFound"
    assert api.wait_for_cluster(idle=1)


@pytest.mark.recorded
def test_a_job_on_a_cluster_without_nodes_stays_queued(api: Api) -> None:
    api.create_cluster(nodes=0)
    api.create_job("job")
    time.sleep(0.3)
    found = api.properties(api.job("job"))
    assert found["executionState"] == "queued"
    assert "executionInfo" not in found


@pytest.mark.documented
def test_a_gang_waits_for_all_its_nodes_and_runs_on_the_master(api: Api) -> None:
    api.create_cluster(nodes=1)
    api.create_job("gang", "echo once", nodeCount=2)
    time.sleep(0.2)
    assert api.properties(api.job("gang"))["executionState"] == "queued"
    api.call("PATCH", f"{api.workspace}/clusters/cluster", _manual(2))
    assert api.wait_for_job("gang")["executionState"] == "succeeded"
    assert api.output("gang") == b"once\n"


def _manual(nodes: int, option: str = "requeue") -> dict[str, Any]:
    manual = {"targetNodeCount": nodes, "nodeDeallocationOption": option}
    return {"properties": {"scaleSettings": {"manual": manual}}}


@pytest.mark.documented
@pytest.mark.operation("Clusters_Update")
def test_resize_requeues_running_jobs(api: Api) -> None:
    api.create_cluster()
    api.create_job(
        "job",
        "echo run >> $AZ_BATCHAI_MOUNT_ROOT/afs/runs; [ $(wc -l < $AZ_BATCHAI_MOUNT_ROOT/afs/runs) = 2 ] || sleep 1000",
    )
    wait_until(lambda: (folder_of_share(api) / "runs").exists(), "the job has begun")
    api.call("PATCH", f"{api.workspace}/clusters/cluster", _manual(0))
    api.wait_for_cluster()
    found = api.properties(api.job("job"))
    assert found["executionState"] == "queued"
    assert "executionInfo" not in found
    api.call("PATCH", f"{api.workspace}/clusters/cluster", _manual(1))
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    assert (folder_of_share(api) / "runs").read_text() == "run\nrun\n"


@pytest.mark.documented
def test_resize_may_terminate_running_jobs_or_wait_for_them(api: Api) -> None:
    api.create_cluster()
    api.create_job("ended", "sleep 1000")
    api.wait_for_job("ended", "running")
    api.call("PATCH", f"{api.workspace}/clusters/cluster", _manual(0, "terminate"))
    assert api.wait_for_job("ended")["executionState"] == "failed"
    api.wait_for_cluster()
    api.call("PATCH", f"{api.workspace}/clusters/cluster", _manual(1))
    gate = folder_of_share(api) / "gate"
    api.create_job("awaited", "while [ ! -e $AZ_BATCHAI_MOUNT_ROOT/afs/gate ]; do sleep 0.02; done")
    api.wait_for_job("awaited", "running")
    api.call("PATCH", f"{api.workspace}/clusters/cluster", _manual(0, "waitforjobcompletion"))
    api.create_job("later")
    time.sleep(0.2)
    assert api.properties(f"{api.workspace}/clusters/cluster")["allocationState"] == "resizing"
    gate.touch()
    assert api.wait_for_job("awaited")["executionState"] == "succeeded"
    api.wait_for_cluster()
    assert api.properties(api.job("later"))["executionState"] == "queued"


@pytest.mark.documented
@pytest.mark.operation("Clusters_Update")
def test_auto_scale_brings_nodes_up_for_jobs_and_takes_idle_ones_away(api: Api) -> None:
    auto = {"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 2}}
    api.create_cluster(nodes=0, scaleSettings=auto)
    assert api.wait_for_cluster()["currentNodeCount"] == 0
    for number in range(4):
        api.create_job(f"job{number}", "sleep 0.2")
    nodes = wait_until(
        lambda: api.properties(f"{api.workspace}/clusters/cluster")["currentNodeCount"], "nodes come up", every=0.01
    )
    assert nodes <= 2
    for number in range(4):
        assert api.wait_for_job(f"job{number}")["executionState"] == "succeeded"
    found = api.wait_for_cluster()
    assert found["scaleSettings"] == {"autoScale": {**auto["autoScale"], "initialNodeCount": 0}}


@pytest.mark.documented
def test_a_job_may_not_run_longer_than_its_limit(api: Api) -> None:
    api.create_cluster()
    api.create_job("job", "sleep 1000", constraints={"maxWallClockTime": "PT0.3S"})
    done = api.wait_for_job("job")
    assert done["executionState"] == "failed"
    assert done["executionInfo"]["errors"][0]["code"] == "JobTimedOut"
    assert "exitCode" not in done["executionInfo"]


@pytest.mark.documented
@pytest.mark.parametrize(
    ("volume", "code", "says"),
    [
        ("missing", "AZFMountError", "share 'missing'"),
        ("Not_A_Name", "AZFMountError", "Not_A_Name"),
    ],
)
def test_a_bad_mount_makes_the_node_unusable_and_names_the_volume(api: Api, volume: str, code: str, says: str) -> None:
    api.create_cluster(nodeSetup={"mountVolumes": api.mounts(volume)})
    [error] = api.wait_for_cluster(unusable=1)["errors"]
    assert error["code"] == code
    details = {item["name"]: item["value"] for item in error["details"]}
    assert says.lower() in details["Info"].lower()
    assert details["NodeId"].startswith("tvm-")


@pytest.mark.invented
@pytest.mark.parametrize("prefix", ["relative/path", "/proc/no/such/place"])
def test_an_output_path_that_cannot_be_used(api: Api, prefix: str) -> None:
    api.create_cluster()
    api.create_job("job", stdOutErrPathPrefix=prefix)
    [error] = api.wait_for_job("job")["executionInfo"]["errors"]
    assert error["code"] == "InvalidPath"
    assert {"name": "Path", "value": prefix} in error["details"]
    assert api.wait_for_cluster(idle=1)


# Output files


def files(api: Api, job: str, query: str = "") -> tuple[int, Any]:
    if "outputdirectoryid" not in query:
        query += "&outputdirectoryid=OUT"
    status, _, body = api.call("POST", f"{api.job(job)}/listOutputFiles", query=query)
    return status, body


def fetch(url: str, **headers: str) -> tuple[int, bytes, Any]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read(), response.headers
    except urllib.error.HTTPError as exc:
        with exc:
            return exc.code, exc.read(), exc.headers


@pytest.fixture
def written(api: Api) -> Api:
    api.create_cluster()
    api.create_job(
        "job",
        "cd $AZ_BATCHAI_OUTPUT_OUT; printf 0123456789 > b.txt; mkdir a; echo in > a/in.txt; "
        "ln -s /etc/passwd out.txt; : > empty",
        outputDirectories=[{"id": "OUT", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs"}],
    )
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    return api


@pytest.mark.recorded
@pytest.mark.operation("Jobs_ListOutputFiles")
def test_files_and_directories_are_listed_by_name(written: Api) -> None:
    _, body = files(written, "job")
    assert body["value"][0] == {"name": "a", "fileType": "directory"}
    file = body["value"][1]
    assert list(file) == ["name", "fileType", "downloadUrl", "properties"]
    assert file["properties"]["contentLength"] == 10
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", file["properties"]["lastModified"])
    [inner] = files(written, "job", "&directory=a")[1]["value"]
    assert inner["name"] == "in.txt"
    assert fetch(inner["downloadUrl"])[:2] == (200, b"in\n")
    assert files(written, "job", "&directory=none")[1] == {"value": []}


@pytest.mark.documented
@pytest.mark.operation("Jobs_ListOutputFiles")
def test_ranges_as_a_follower_asks_for_them(written: Api) -> None:
    urls = {item["name"]: item.get("downloadUrl") for item in files(written, "job")[1]["value"]}
    url = urls["b.txt"]
    assert fetch(url)[:2] == (200, b"0123456789")
    status, content, headers = fetch(url, Range="bytes=4-")
    assert (status, content, headers["content-range"]) == (206, b"456789", "bytes 4-9/10")
    assert fetch(url, Range="bytes=2-3")[:2] == (206, b"23")
    assert fetch(url, Range="bytes=-3")[:2] == (206, b"789")
    assert fetch(url, Range="bytes=10-")[0] == 416
    assert fetch(urls["empty"])[:2] == (200, b"")
    assert fetch(urls["empty"], Range="bytes=0-")[0] == 416


@pytest.mark.invented
def test_links_cannot_be_forged_or_widened(written: Api) -> None:
    urls = {item["name"]: item.get("downloadUrl") for item in files(written, "job")[1]["value"]}
    url = urls["b.txt"]
    assert fetch(url.replace("b.txt", "empty"))[0] == 403
    assert fetch(re.sub(r"se=[^&]*", "se=2999-01-01T00%3A00%3A00Z", url))[0] == 403
    assert fetch(url.partition("?")[0])[0] == 403
    assert fetch(urls["out.txt"])[0] == 404  # a link that leads out of the share


@pytest.mark.invented
@pytest.mark.parametrize("directory", ["..", "a/../..", "../../../../..", "%2E%2E"])
def test_no_directory_leads_out(written: Api, directory: str) -> None:
    status, body = files(written, "job", f"&directory={directory}")
    assert (status, body["error"]["target"]) == (400, "directory")


@pytest.mark.documented
@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("&outputdirectoryid=nothing", "nothing"),
        ("&outputdirectoryid=OUT&linkexpiryinminutes=4", "linkexpiryinminutes"),
        ("&outputdirectoryid=OUT&linkexpiryinminutes=601", "linkexpiryinminutes"),
    ],
)
def test_listing_refusals(written: Api, query: str, named: str) -> None:
    status, body = files(written, "job", query)
    assert (status, named in body["error"]["message"]) == (400, True)


@pytest.mark.documented
@pytest.mark.operation("Jobs_ListOutputFiles")
def test_a_directory_that_is_on_no_mount(api: Api, tmp_path: Path) -> None:
    api.create_cluster()
    api.create_job("job", stdOutErrPathPrefix=str(tmp_path))
    assert api.wait_for_job("job")["executionState"] == "succeeded"
    status, body = files(api, "job", "&outputdirectoryid=stdouterr")
    assert status == 400
    assert body["error"]["message"] == "The specified outputDirectoryId stdouterr is not present on a mount root"


@pytest.mark.invented
@pytest.mark.operation("Jobs_ListOutputFiles")
def test_a_queued_job_has_written_nothing(api: Api) -> None:
    api.create_cluster(nodes=0)
    api.create_job("job")
    assert files(api, "job", "&outputdirectoryid=stdouterr") == (200, {"value": []})


@pytest.mark.swagger
@pytest.mark.operation("Jobs_ListOutputFiles")
def test_long_listings_are_linked_on(written: Api) -> None:
    status, body = files(written, "job", "&outputdirectoryid=OUT&maxresults=3")
    assert (status, len(body["value"])) == (200, 3)
    path = body["nextLink"][len(written.service.info["endpoint"]) :]
    for method in ("GET", "POST"):  # the SDK follows with GET
        assert [item["name"] for item in written.service.request(method, path)[2]["value"]] == ["out.txt"]
