"""The two pictures of the README: `make pictures` takes those that this test makes into docs/images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.processes import wait_until
from harness.service import Service
from ui.looks import FOLDER
from wire.api import SUBSCRIPTION, Api

pytestmark = pytest.mark.invented

MOST_BYTES = 150_000
TRAIN = """
import json, math, os, random, sys, time
rate, seconds = float(os.environ["PARAM_LR"]), float(sys.argv[1])
random.seed(rate)
with open(os.path.join(os.environ["AZ_BATCHAI_STDOUTERR_DIR"], "metrics.jsonl"), "w") as metrics:
    for step in range(60):
        loss = math.exp(-rate * step / 4) + 0.3 * rate + random.random() * 0.08
        metrics.write(json.dumps({"step": step, "loss": loss, "accuracy": 1 - loss / 2}) + "\\n")
print("trained", flush=True)
time.sleep(seconds)
"""


def test_the_pictures_of_the_readme(home: Path, sign_in: Callable[..., Any]) -> None:
    service = Service(home)
    service.start()
    lab = Api(service, "digits")
    lab.create_cluster("gpus", nodes=4, vmSize="Standard_NC6")
    experiment = f"{lab.workspace}/experiments/learning-rates"
    assert lab.call("PUT", experiment)[0] == 200

    def start(name: str, rate: str, command: str) -> None:
        variables = [{"name": "PARAM_LR", "value": rate}]
        body = lab.job_body(command, "gpus", environmentVariables=variables)
        assert lab.call("PUT", f"{experiment}/jobs/{name}", body)[0] == 202

    def state(name: str) -> Any:
        return lab.properties(f"{experiment}/jobs/{name}")["executionState"]

    def train(seconds: int) -> str:
        return f"cat > $AZ_BATCHAI_JOB_TEMP_DIR/t.py <<'E'\n{TRAIN}\nE\npython3 $AZ_BATCHAI_JOB_TEMP_DIR/t.py {seconds}"

    start("lr-9", "9", "echo 'step 3: loss is NaN' >&2; exit 1")
    wait_until(lambda: state("lr-9") == "failed", "the job has failed")
    ended, going, waiting = {"lr-1": "0.9"}, {"lr-2": "0.5", "lr-3": "0.2", "lr-4": "0.1"}, {"lr-5": "0.05"}
    for name, rate in ended.items():
        start(name, rate, train(0))
        wait_until(lambda name=name: state(name) == "succeeded", "the job has succeeded")
    for name, rate in going.items():
        start(name, rate, train(1000))
    start("lr-8", "0.8", "sleep 1000")
    wait_until(lambda: all(state(name) == "running" for name in (*going, "lr-8")), "the jobs run")
    for name, rate in waiting.items():
        start(name, rate, train(0))

    page = sign_in(service, viewport={"width": 1180, "height": 760}, reduced_motion="reduce")
    page.wait_for_selector("main >> text=4 running, 1 queued")
    taken(page, "overview")
    base = f"{service.info['endpoint']}/ui/subscriptions/{SUBSCRIPTION}/groups/Lab/workspaces/digits/experiments"
    page.set_viewport_size({"width": 1180, "height": 800})
    page.goto(f"{base}/learning-rates?view=compare&metric=loss&parameter=lr")
    page.wait_for_selector(".curve canvas")
    drawn = "[...document.querySelectorAll('.curve')].every(one => one.textContent.includes('lr-4'))"
    page.wait_for_function(f"() => {drawn}")
    taken(page, "experiment")


def taken(page: Any, name: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    picture = FOLDER / f"readme-{name}.png"
    page.screenshot(path=picture)
    assert 10_000 < picture.stat().st_size < MOST_BYTES
