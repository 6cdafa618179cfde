"""The story of the demo as somebody sees it on the page, and what a hostile job can write there."""

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from azure.storage.blob import BlobSasPermissions, BlobServiceClient, generate_blob_sas

from harness.browser import Watch
from harness.processes import wait_until
from harness.service import Service
from ui.looks import looks_right
from wire import accounts
from wire.api import SUBSCRIPTION, Api

pytestmark = pytest.mark.invented

LIVE = "#live[data-state=live]"
FIRST_PAGE_BYTES = 200_000
# Breaks out of text, of attributes in either quotes, of a script and of JSON, wherever one forgets to escape.
HOSTILE = "<img src=x onerror=hacked=1>\"onfocus='hacked=1'autofocus=\"'</script><script>hacked=1</script>&lt;${1}"
PLANTED = "[window.hacked, document.querySelectorAll('main img[src=x], main i, main script').length]"
FILE_NAME = "<img src=x onerror=hacked=1>\"'&lt;`${hacked=1}`.txt"
TRAIN = """
import json, os, sys, time
with open(os.path.join(os.environ["AZ_BATCHAI_STDOUTERR_DIR"], "metrics.jsonl"), "w", buffering=1) as metrics:
    for step in range(int(sys.argv[1])):
        metrics.write(json.dumps({"step": step, "loss": 1 / (step + 1), "accuracy": 1 - 1 / (step + 1)}) + "\\n")
        print(f"step {step} of the training", flush=True)
        time.sleep(0.05)
print("the training is over", flush=True)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def lab(service: Service) -> Iterator[Api]:
    api = Api(service, f"ws-{uuid.uuid4().hex[:8]}")
    yield api
    api.call("DELETE", f"{api.workspace}/clusters/cluster")


def address(base: str, api: Api, *words: str) -> str:
    workspace = api.workspace.rpartition("/")[2]
    return "/".join((f"{base}/ui/subscriptions/{SUBSCRIPTION}/groups/Lab/workspaces/{workspace}", *words))


def training(api: Api, name: str, steps: int, seconds: float) -> None:
    script = f"cat > $AZ_BATCHAI_JOB_TEMP_DIR/train.py <<'E'\n{TRAIN}\nE\n"
    api.create_job(name, f"{script}python3 $AZ_BATCHAI_JOB_TEMP_DIR/train.py {steps} {seconds}")


def test_from_an_empty_service_to_a_terminated_job(signed_in: tuple[Any, str], lab: Api) -> None:
    page, base = signed_in
    page.wait_for_selector(LIVE)
    page.evaluate("window.same = true")
    cluster, experiment = (address("", lab, *words) for words in (("clusters", "cluster"), ("experiments", "exp")))

    # The overview follows what is made elsewhere.
    lab.create_cluster(nodes=1)
    page.wait_for_selector("main .cell.idle")
    training(lab, "train", 10, 1000)
    training(lab, "waits", 1, 0)
    page.wait_for_selector("main .cell.running")
    page.wait_for_selector("main >> text=1 running, 1 queued")
    assert page.evaluate("window.same")

    # By links to the cluster, back, to the experiment and to the job.
    page.click(f'main a[href="{cluster}" i] >> nth=0')
    page.wait_for_selector("h1 >> text=cluster")
    page.wait_for_selector("main >> text=train")
    page.go_back()
    page.wait_for_selector("h1 >> text=Overview")
    page.click(f'main a[href="{experiment}" i] >> nth=0')
    page.wait_for_selector("h1 >> text=exp")
    page.click(f'main a[href="{experiment}/jobs/train" i] >> nth=0')
    page.wait_for_selector("h1 >> text=train")

    # What it writes is seen while it runs, and its curve.
    page.wait_for_selector("main >> text=the training is over")
    page.wait_for_selector("main >> text=accuracy")

    # The address of the job leads there in another tab, too.
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector(LIVE)
    assert "running" in other.inner_text("h1 .state")

    # Its end is asked for in one tab, and seen in both.
    page.click("button >> text=Terminate…")
    page.wait_for_selector("[popover]:popover-open >> text=az batchai job terminate")
    page.click("[popover]:popover-open button.danger")
    for tab in (page, other):
        tab.wait_for_selector("h1 .state.failed")
    assert lab.properties(lab.job("train"))["executionState"] == "failed"
    lab.wait_for_job("waits", "succeeded")

    # The way back.
    page.click("nav.trail >> text=exp")
    page.wait_for_selector("h1 >> text=exp")
    page.wait_for_selector("main .state.succeeded")


def test_nothing_that_a_job_or_its_maker_writes_is_more_than_text(signed_in: tuple[Any, str], lab: Api) -> None:
    """The console stays clean as well: the policy of the page has nothing to refuse."""
    page, base = signed_in
    lab.call("PUT", lab.workspace, {"location": "eastus", "tags": {"a": HOSTILE}})
    setup = {"commandLine": f"cat <<'E'\n{HOSTILE}\nE", "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs"}
    setup["environmentVariables"] = [{"name": "SETUP_WORD", "value": HOSTILE}]
    lab.create_cluster(nodes=1, nodeSetup={"mountVolumes": lab.mounts(), "setupTask": setup})
    lab.wait_for_cluster(idle=1)
    metric = HOSTILE.replace('"', '\\"')
    command = (
        "cd $AZ_BATCHAI_OUTPUT_MODEL\n"
        f"cat <<'E'\n{HOSTILE}\nE\n"
        f"cat > \"$(cat <<'E'\n{FILE_NAME}\nE\n)\" <<'E'\n{HOSTILE}\nE\n"
        f"cat > metrics.jsonl <<'E'\n"
        f'{{"step": 1, "{metric}": 1}}\n{{"step": 2, "{metric}": 2}}\nE\n'
        f"cat >&2 <<'E'\n{HOSTILE}\nE\n"
    )
    more = {
        "environmentVariables": [{"name": "PARAM_WORD", "value": HOSTILE}, {"name": "A_WORD", "value": HOSTILE}],
        "outputDirectories": [
            {"id": "MODEL", "pathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs", "pathSuffix": "<i>model"},
        ],
        "constraints": {"maxWallClockTime": "PT1H"},
    }
    lab.create_job("hostile", command, **more)
    lab.create_job("fails", f"{command}exit 3", **more)
    for name in ("hostile", "fails"):
        lab.wait_for_job(name)
    page.evaluate("window.hacked = undefined")
    job = address(base, lab, "experiments", "exp", "jobs", "hostile")
    listed = lab.call("POST", f"{lab.job('hostile')}/listOutputFiles", query="&outputdirectoryid=MODEL")[2]["value"]
    assert FILE_NAME in [one["name"] for one in listed]
    experiment = address(base, lab, "experiments", "exp")
    seen = {
        "overview": (f"{base}/ui/", HOSTILE),
        "workspace": (address(base, lab), None),
        "cluster": (address(base, lab, "clusters", "cluster"), HOSTILE),
        "experiment": (experiment, None),
        "sweep": (f"{experiment}?view=compare&metric=loss", None),
        "job": (job, HOSTILE),
        "failed": (address(base, lab, "experiments", "exp", "jobs", "fails"), HOSTILE),
        "folder": (f"{job}/files/MODEL/", FILE_NAME),
        "query": (f"{experiment}?name=%3Cimg%20src=x%20onerror=hacked=1%3E&sort=%22'", None),
        "storage": (f"{base}/ui/storage", None),
        "usage": (f"{base}/ui/usage", None),
    }
    for what, (url, text) in seen.items():
        assert page.goto(url).status == 200, what
        page.wait_for_selector(LIVE)
        if text:
            page.wait_for_function("text => document.body.textContent.includes(text)", arg=text)
        assert page.evaluate(PLANTED) == [None, 0], what
    page.goto(seen["folder"][0])
    page.click(f'main a:has-text("{FILE_NAME[:12]}")')
    page.wait_for_function("text => document.querySelector('main').textContent.includes(text)", arg=HOSTILE)
    assert page.evaluate("window.hacked") is None


def test_the_first_page_is_small(signed_in: tuple[Any, str], lab: Api) -> None:
    page, base = signed_in
    lab.create_cluster(nodes=1)
    sizes: dict[str, int] = {}
    fresh = page.context.new_page()

    def count(request: Any) -> None:
        size = request.sizes()
        sizes[request.url] = size["responseBodySize"] + size["responseHeadersSize"]

    fresh.on("requestfinished", count)
    fresh.goto(f"{base}/ui/")
    fresh.wait_for_selector(LIVE)
    wait_until(lambda: fresh.evaluate("1") and len(sizes) >= 4, "the page, its style and its scripts are there")
    assert sum(sizes.values()) < FIRST_PAGE_BYTES, sizes


def test_how_it_looks_while_things_run(signed_in: tuple[Any, str], lab: Api) -> None:
    page, base = signed_in
    lab.create_cluster(nodes=2)
    lab.create_job("broken", "echo 'ModuleNotFoundError: No module named torch' >&2; exit 1")
    lab.wait_for_job("broken")
    training(lab, "train", 40, 1000)
    training(lab, "train-more", 20, 1000)
    training(lab, "waits", 1, 0)
    for name in ("train", "train-more"):
        lab.wait_for_job(name, "running")
    pages = {
        "overview": f"{base}/ui/",
        "workspace": address(base, lab),
        "job": address(base, lab, "experiments", "exp", "jobs", "train"),
        "job-failed": address(base, lab, "experiments", "exp", "jobs", "broken"),
        "usage": f"{base}/ui/usage",
    }
    for name, url in pages.items():
        page.goto(url)
        page.wait_for_selector(LIVE)
        if name == "job":
            page.wait_for_selector("main >> text=the training is over")
        looks_right(page, name)
    lab.call("DELETE", f"{lab.workspace}/clusters/cluster")


def test_a_file_of_a_job_runs_nothing_in_a_browser(
    signed_in: tuple[Any, str], lab: Api, watch: Watch
) -> None:
    """Signed links and storage have the origin of the page: a script there could do all that its reader can."""
    page, base = signed_in
    script = "<script>fetch('/ui/').then(() => { document.title = 'hacked'; })</script><p>harmless</p>"
    lab.create_cluster(nodes=1)
    lab.create_job("writes", f"cat > $AZ_BATCHAI_STDOUTERR_DIR/page.html <<'E'\n{script}\nE\n")
    lab.wait_for_job("writes", "succeeded")
    job = address(base, lab, "experiments", "exp", "jobs", "writes")
    raw = page.request.get(f"{job}/raw/stdouterr/page.html")
    assert "sandbox" in raw.headers["content-security-policy"]
    listed = lab.call("POST", f"{lab.job('writes')}/listOutputFiles", query="&outputdirectoryid=stdouterr")[2]["value"]
    [link] = [one["downloadUrl"] for one in listed if one["name"] == "page.html"]
    signed = page.request.get(link)
    assert signed.headers["content-security-policy"] == "sandbox"
    assert signed.headers["x-content-type-options"] == "nosniff"
    # A blob is served with the type that its name gives it, and opened by a link from elsewhere.
    made = accounts.create(lab.service, f"acct{uuid.uuid4().hex[:12]}")
    storage = BlobServiceClient.from_connection_string(made.connection_string)
    blob = storage.create_container("pages").upload_blob("page.html", script.encode())
    signature = generate_blob_sas(
        made.name,
        "pages",
        "page.html",
        account_key=made.keys[0],
        permission=BlobSasPermissions(read=True),
        expiry=datetime.now(timezone.utc) + timedelta(hours=1),
    )
    storage.close()
    watch.expect("sandboxed")  # the browser says that it has run nothing
    assert blob.url.startswith(base)
    answer = page.goto(f"{blob.url}?{signature}")
    assert answer.headers["content-type"].startswith("text/html")
    page.wait_for_selector("text=harmless")
    assert page.evaluate("[document.title, origin]") == ["", "null"]
