"""What clients do while the service is being killed, and what they were told."""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from crash.crashing_service import CrashingService, NoAnswer
from wire.api import GROUP, USER, VERSION

MAYBE, ACKNOWLEDGED = "maybe", "acknowledged"  # what a client knows of its request; '' where it made none
WORKSPACE = f"{GROUP}/providers/Microsoft.BatchAI/workspaces/lab"
STORAGE = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/crashes"
EXPERIMENT = f"{WORKSPACE}/experiments/exp"
DISKS = {"diskSizeInGB": 1, "diskCount": 1, "storageAccountType": "Standard_LRS"}
SERVER = {"properties": {"vmSize": "S", "sshConfiguration": {"userAccountSettings": USER}, "dataDisks": DISKS}}
SHARE = {
    "accountName": "crashes",
    "azureFileUrl": "https://crashes.file.core.windows.net/share",
    "credentials": {"accountKey": "c2VjcmV0LWtleQ=="},
    "relativeMountPath": "afs",
}
UNMANAGED = {"mountCommand": "mount -t tmpfs -o size=1m tmpfs", "relativeMountPath": "own"}
# A line in the ledger for each start: who, which run of it, under which start's cookie.
LEDGER = """for claim in "$AZ_BATCHAI_NODE_LOG_DIR"/../tasks/*/*/claim."$BATCHAI_TASK"; do :; done
echo "{token} ${{claim##*/tasks/}}" >> "$AZ_BATCHAI_MOUNT_ROOT/afs/ledger" || exit 97
"""
SETUP = "echo $AZ_BATCHAI_NODE_ID >> $AZ_BATCHAI_MOUNT_ROOT/afs/setups; sleep 1"
SECRETS = {"secrets": [{"name": "SECRET", "value": "s3cret"}]}
MAX_UNFINISHED = 24


@dataclass
class Thing:
    """A job, cluster or file server as the client knows it."""

    name: str
    kind: str
    created: str
    token: str = ""
    exit_code: int = 0
    terminated: str = ""
    deleted: str = ""
    targets: set[int] = field(default_factory=set)  # node counts that may be right
    born: float = field(default_factory=time.monotonic)


class Load:
    """Threads that create, end, delete and resize. `lost` are the tokens of jobs whose runner was killed."""

    def __init__(self, service: CrashingService, seed: int, image: str, mpi: bool, mounts: bool) -> None:
        self.service = service
        self.figures: Counter[str] = Counter()
        self.jobs: dict[str, Thing] = {}
        self.clusters: dict[str, Thing] = {}
        self.servers: dict[str, Thing] = {}
        self.operations: list[str] = []
        self.kill_after = ""  # the kind of acknowledgement after which a client kills the service at once
        self._image = image
        self._seed = seed
        self._mounts = mounts
        self._kinds = ["true", "true", "code", "sleep", "sleep", "gang", "prepared", "writer", "stubborn", "limited"]
        self._kinds += ["mpi"] * mpi + ["unmanaged"] * mounts + ["container"] * bool(image)
        self._next = 0
        self._lock = threading.Lock()
        self._resizing = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    # What was there before the first kill

    def set_up(self) -> None:
        for path, body in (
            (WORKSPACE, {"location": "eastus"}),
            (EXPERIMENT, None),
            (STORAGE, {"location": "eastus"}),
            (f"{STORAGE}/fileServices/default/shares/share", {}),
        ):
            assert self.service.ask("PUT", f"{path}?{VERSION}", body)[0] in (200, 201)
        self._put_server("server")
        self._put_cluster("main", 3)
        mounts: dict[str, Any] = {"azureFileShares": [SHARE]}
        server = {"fileServer": {"id": f"{WORKSPACE}/fileservers/server"}, "relativeMountPath": "nfs"}
        mounts["fileServers"] = [{**server, "mountOptions": "rw"}]
        if self._mounts:
            mounts["unmanagedFileSystems"] = [UNMANAGED]
        setup = {"commandLine": SETUP, "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs/setup"}
        self._put_cluster("mounted", 1, nodeSetup={"mountVolumes": mounts, "setupTask": setup})
        self._put_cluster("low", 1, vmPriority="lowpriority")
        scale = {"autoScale": {"minimumNodeCount": 0, "maximumNodeCount": 2}}
        self._put_cluster("auto", None, scaleSettings=scale)

    def begin(self) -> None:
        self._stop.clear()
        self._threads = [threading.Thread(target=self._work, args=(index,)) for index in range(4)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def forget_ended(self) -> None:
        """What has been looked at needs not be looked at again."""
        self.jobs.clear()
        for things in (self.clusters, self.servers):
            for name in [name for name, thing in things.items() if thing.deleted == ACKNOWLEDGED]:
                del things[name]

    def _work(self, index: int) -> None:
        dice = random.Random(f"{self._seed} {index} {self._next}")
        acts = [self._create_job] * 10 + [self._terminate] * 2 + [self._delete_job] * 2 + [self._look] * 3
        acts += [self._resize, self._side_cluster, self._side_server, self._preempt]
        while not self._stop.is_set():
            if self.service.up.wait(0.1):
                try:
                    dice.choice(acts)(dice)
                except NoAnswer:
                    pass
                time.sleep(dice.random() * 0.04)

    # Requests

    def _ask(self, method: str, path: str, body: Any = None) -> int:
        status, headers, answer = self.service.ask(method, f"{path}?{VERSION}", body)
        if status == 202 and self.kill_after in ("any", method):
            self.kill_after = ""
            self.service.kill()
            self.figures["kills after an acknowledgement"] += 1
        if status == 202 and headers["azure-asyncoperation"]:
            self.operations.append("/" + headers["azure-asyncoperation"].split("/", 3)[3])
        if status in (401, 500) or (status == 503 and answer):
            self.figures[f"answers {status}"] += 1
        return status

    def _unfinished(self) -> int:
        return sum(not job.deleted for job in self.jobs.values() if time.monotonic() - job.born < 4)

    def _create_job(self, dice: random.Random) -> None:
        if self._unfinished() >= MAX_UNFINISHED:
            return
        kind = dice.choice(self._kinds)
        with self._lock:
            self._next += 1
            gone = [job.name for job in self.jobs.values() if job.deleted == "gone"]
            name = dice.choice(gone) if gone and dice.random() < 0.5 else f"job{self._next}"
            if name in self.jobs and self.jobs[name].deleted != "gone":
                return
            job = Thing(name, kind, MAYBE, f"t{self._next}x")
            self.jobs[name] = job
        body = self._job_body(job, dice)
        if self._ask("PUT", f"{EXPERIMENT}/jobs/{name}", body) in (200, 202):
            job.created = ACKNOWLEDGED
            self.figures["jobs created"] += 1

    def _job_body(self, job: Thing, dice: random.Random) -> dict[str, Any]:
        job.exit_code = dice.choice((0, 0, 3, 7)) if job.kind in ("code", "sleep", "prepared", "container") else 0
        pause = {"sleep": dice.random() * 2, "stubborn": 0.7, "gang": 0.3, "mpi": 0.3, "container": 0.3}
        ledger = LEDGER.format(token=job.token)
        line = f"{ledger}sleep {pause.get(job.kind, 0):.2f}; exit {job.exit_code}"
        more: dict[str, Any] = {}
        cluster = dice.choice(("main", "main", "auto", "low"))
        if job.kind == "code":
            more.update(SECRETS)
            line = f'[ "$SECRET" = s3cret ] || exit 96; {line}'
        elif job.kind == "limited":
            more["constraints"] = {"maxWallClockTime": "PT1S"}
            line = f"{ledger}sleep 100"
        elif job.kind == "writer":
            line = f"{ledger}for n in 1 2 3 4 5 6 7 8; do echo {job.token} $n; sleep 0.05; done"
        elif job.kind == "stubborn":
            line = f"trap '' TERM; {line}"
        elif job.kind == "prepared":
            more["jobPreparation"] = {"commandLine": f"{LEDGER.format(token=job.token + '-prep')}echo ready > ready"}
            line = f"test -e ready || exit 99; {line}"
        elif job.kind == "unmanaged":
            cluster = dice.choice(("main", "mounted"))
            root = "AZ_BATCHAI_JOB_MOUNT_ROOT" if cluster == "main" else "AZ_BATCHAI_MOUNT_ROOT"
            if cluster == "main":
                more["mountVolumes"] = {"unmanagedFileSystems": [UNMANAGED]}
            line = f"{ledger}grep -q \" $(readlink -f ${root}/own) \" /proc/self/mountinfo || exit 98; sleep 0.2"
        elif job.kind == "container":
            cluster = dice.choice(("main", "mounted"))
            more["containerSettings"] = {"imageSourceRegistry": {"image": self._image}}
        toolkit: dict[str, Any] = {"customToolkitSettings": {"commandLine": line}}
        if job.kind in ("gang", "mpi"):
            cluster, more["nodeCount"] = "main", 2
        if job.kind == "mpi":
            toolkit = {"customMpiSettings": {"commandLine": line, "processCount": 2}}
        elif job.kind == "gang":
            script = f"-c '{line}' x" if "'" not in line else ""
            toolkit = {
                "pyTorchSettings": {
                    "pythonScriptFilePath": script,
                    "pythonInterpreterPath": "/bin/sh",
                    "processCount": 2,
                    "communicationBackend": "tcp",
                }
            }
        return {
            "properties": {
                "cluster": {"id": f"{WORKSPACE}/clusters/{cluster}"},
                "nodeCount": 1,
                "stdOutErrPathPrefix": "$AZ_BATCHAI_MOUNT_ROOT/afs",
                **toolkit,
                **more,
            }
        }

    def _some_job(self, dice: random.Random) -> Thing | None:
        with self._lock:
            young = [job for job in self.jobs.values() if job.created == ACKNOWLEDGED and not job.deleted]
        return dice.choice(young[-20:]) if young else None

    def _terminate(self, dice: random.Random) -> None:
        job = self._some_job(dice)
        if not job:
            return
        token, job.terminated = job.token, job.terminated or MAYBE
        status = self._ask("POST", f"{EXPERIMENT}/jobs/{job.name}/terminate")
        if status == 202 and job.token == token:
            job.terminated = ACKNOWLEDGED
            self.figures["terminations"] += 1

    def _delete_job(self, dice: random.Random) -> None:
        self._delete(f"{EXPERIMENT}/jobs", self._some_job(dice))

    def _delete(self, collection: str, thing: Thing | None) -> None:
        if not thing:
            return
        with self._lock:
            if thing.deleted:
                return
            thing.deleted = MAYBE
        if self._ask("DELETE", f"{collection}/{thing.name}") == 202:
            thing.deleted = ACKNOWLEDGED
            self.figures["deletions"] += 1

    def _look(self, dice: random.Random) -> None:
        """Read something, and find out which deletions have ended."""
        with self._lock:
            going = [job for job in self.jobs.values() if job.deleted == ACKNOWLEDGED]
        for job in going[-5:]:
            if self._ask("GET", f"{EXPERIMENT}/jobs/{job.name}") == 404:
                job.deleted = "gone"
        self._ask("GET", f"{WORKSPACE}/clusters/{dice.choice(('main', 'auto', 'mounted'))}")

    def _put_cluster(self, name: str, target: int | None, **more: Any) -> None:
        targets = set() if target is None else {target}
        cluster = self.clusters.setdefault(name, Thing(name, "cluster", MAYBE, targets=targets))
        body = {
            "vmSize": "Standard_D1",
            "scaleSettings": {"manual": {"targetNodeCount": target}},
            "userAccountSettings": USER,
            "nodeSetup": {"mountVolumes": {"azureFileShares": [SHARE]}},
            **more,
        }
        if self._ask("PUT", f"{WORKSPACE}/clusters/{name}", {"properties": body}) in (200, 202):
            cluster.created = ACKNOWLEDGED

    def _resize(self, dice: random.Random) -> None:
        cluster, target = self.clusters["main"], dice.choice((2, 3, 4))
        body = {"properties": {"scaleSettings": {"manual": {"targetNodeCount": target}}}}
        with self._resizing:
            cluster.targets.add(target)  # until it is acknowledged either may be right
            if self._ask("PATCH", f"{WORKSPACE}/clusters/main", body) == 200:
                cluster.targets = {target}
                self.figures["resizes"] += 1

    def _preempt(self, dice: random.Random) -> None:
        path = f"{WORKSPACE}/clusters/low/listRemoteLoginInformation?{VERSION}"
        for login in self.service.ask("POST", path)[2]["value"]:
            if self.service.ask("POST", f"/_local/preempt/{login['nodeId']}")[0] == 200:
                self.figures["preemptions"] += 1

    def _side_cluster(self, dice: random.Random) -> None:
        there = [thing for name, thing in self.clusters.items() if name.startswith("side") and not thing.deleted]
        if len(there) < 2:
            self._next += 1
            self._put_cluster(f"side{self._next}", dice.choice((0, 1, 2)))
        else:
            self._delete(f"{WORKSPACE}/clusters", dice.choice(there))

    def _side_server(self, dice: random.Random) -> None:
        there = [thing for name, thing in self.servers.items() if name != "server" and not thing.deleted]
        if len(there) < 2:
            self._next += 1
            self._put_server(f"fs{self._next}")
        else:
            self._delete(f"{WORKSPACE}/fileServers", dice.choice(there))

    def _put_server(self, name: str) -> None:
        server = self.servers.setdefault(name, Thing(name, "fileserver", MAYBE))
        if self._ask("PUT", f"{WORKSPACE}/fileServers/{name}", SERVER) in (200, 202):
            server.created = ACKNOWLEDGED
