"""Output that is on no volume: told at create, kept until the job is deleted, listed like any other."""

from typing import Any

import pytest

from wire.api import Api


def advice(api: Api, name: str, **more: Any) -> str:
    status, headers, body = api.call("PUT", api.job(name), api.job_body("echo found; echo other >&2", **more))
    assert status == 202, body
    text: str = headers.get("Warning", "")
    return text


@pytest.mark.invented
def test_a_mistyped_mount_is_told_with_the_likely_one(api: Api) -> None:
    api.create_cluster()
    text = advice(api, "typo", stdOutErrPathPrefix="$AZ_BATCHAI_MOUNT_ROOT/afz")
    assert "stdOutErrPathPrefix '$AZ_BATCHAI_MOUNT_ROOT/afz' is on no mounted volume" in text
    assert "Did you mean '$AZ_BATCHAI_MOUNT_ROOT/afs'?" in text
    outputs = [{"id": "MODEL", "pathPrefix": "${AZ_BATCHAI_JOB_MOUNT_ROOT}/afs"}]
    assert "pathPrefix of output directory MODEL" in advice(api, "other-root", outputDirectories=outputs)


@pytest.mark.invented
@pytest.mark.parametrize(
    "prefix", ["$AZ_BATCHAI_MOUNT_ROOT/afs", "${AZ_BATCHAI_MOUNT_ROOT}/afs/deeper", "/tmp"], ids=["it", "deeper", "own"]
)
def test_nothing_is_said_of_a_path_that_is_meant(api: Api, prefix: str) -> None:
    api.create_cluster(nodes=0)
    assert advice(api, "fine", stdOutErrPathPrefix=prefix) == ""


@pytest.mark.invented
def test_that_output_outlives_the_node_and_goes_with_the_job(api: Api) -> None:
    api.create_cluster()
    outputs = [{"id": "MODEL", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT", "pathSuffix": "models"}]
    advice(api, "job", stdOutErrPathPrefix="$AZ_BATCHAI_MOUNT_ROOT/autofs", outputDirectories=outputs)
    api.wait_for_job("job")
    assert api.call("DELETE", f"{api.workspace}/clusters/cluster")[0] == 202
    assert api.output("job") == b"found\n"
    assert api.output("job", "stderr.txt") == b"other\n"
    assert api.call("POST", f"{api.job('job')}/listOutputFiles", query="&outputdirectoryid=MODEL")[2] == {"value": []}
    segment = api.properties(api.job("job"))["jobOutputDirectoryPathSegment"]
    kept = api.service.home / "kept" / segment.rsplit("/", 1)[-1]
    assert {entry.name for entry in kept.iterdir()} == {"stdouterr", "MODEL"}
    status, headers, _ = api.call("DELETE", api.job("job"))
    assert status == 202 and api.finish(headers)["status"] == "Succeeded"
    assert not kept.exists()


@pytest.mark.invented
def test_a_path_suffix_may_not_lead_out(api: Api) -> None:
    api.create_cluster(nodes=0)
    outputs = [{"id": "MODEL", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs", "pathSuffix": "../../elsewhere"}]
    status, _, body = api.call("PUT", api.job("job"), api.job_body(outputDirectories=outputs))
    assert status == 400
    assert "properties.outputDirectories[0].pathSuffix" in body["error"]["message"]


@pytest.mark.invented
def test_a_mount_inside_another_is_refused(api: Api) -> None:
    mounts = api.mounts()
    [volume] = mounts["azureFileShares"]
    inner = {**volume, "relativeMountPath": f"{volume['relativeMountPath']}/inner"}
    body = api.cluster_body(nodes=0, nodeSetup={"mountVolumes": {"azureFileShares": [inner, volume]}})
    status, _, answer = api.call("PUT", f"{api.workspace}/clusters/nested", body)
    assert status == 400
    assert "'afs/inner', inside the one at 'afs'" in answer["error"]["message"]


@pytest.mark.invented
def test_a_long_listing_is_read_page_by_page(api: Api) -> None:
    api.create_cluster()
    api.create_job("job", "cd $AZ_BATCHAI_STDOUTERR_DIR; for i in 1 2 3 4 5; do : > file-$i; done")
    api.wait_for_job("job")
    path, query = f"{api.job('job')}/listOutputFiles", "&outputdirectoryid=stdouterr&maxresults=2"
    names: list[str] = []
    _, _, page = api.call("POST", path, query=query)
    while True:
        assert len(page["value"]) <= 2
        names += [item["name"] for item in page["value"]]
        if "nextLink" not in page:
            break
        page = api.service.request("GET", page["nextLink"][len(api.service.info["endpoint"]) :])[2]
    assert names == ["execution.log", *(f"file-{i}" for i in range(1, 6)), "stderr.txt", "stdout.txt"]


@pytest.mark.invented
def test_a_loop_of_links_is_neither_listed_nor_entered(api: Api) -> None:
    api.create_cluster()
    api.create_job("job", "cd $AZ_BATCHAI_STDOUTERR_DIR; ln -s loop loop; echo found")
    api.wait_for_job("job")
    assert api.output("job") == b"found\n"
    path, query = f"{api.job('job')}/listOutputFiles", "&outputdirectoryid=stdouterr"
    assert "loop" not in [item["name"] for item in api.call("POST", path, query=query)[2]["value"]]
    status, _, body = api.call("POST", path, query=f"{query}&directory=loop")
    assert (status, body["error"]["code"]) == (400, "InvalidRequestContent")
