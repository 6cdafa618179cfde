"""Put one small fault at a time into the control plane and see whether the tests find it.

python tests/mutants [MODULE ...] [--minutes N] [--sample N] [--seed N] [--workers N]

Each mutant is a process forked from this one, which has imported what the tests need; the module with the fault is
given to it in place of the file. `equivalent.txt` lists faults that change nothing that anybody could see.
"""

from __future__ import annotations

import argparse
import ast
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import math
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).resolve().parent)]

from mutations import Mutant, mutants  # noqa: E402

SERVICE = ROOT / "azext_batchai" / "service"
MODULES = {
    Path(name).stem: name
    for name in (
        "control/scheduler.py",
        "control/controller.py",
        "control/node_pool.py",
        "control/fleet.py",
        "control/deletions.py",
        "control/file_servers.py",
        "model/job_states.py",
        "model/job_plans.py",
        "model/node_specs.py",
        "model/parents.py",
        "model/quotas.py",
        "model/mounts.py",
        "model/mount_paths.py",
        "model/vm_sizes.py",
        "model/node_states.py",
        "model/logins.py",
        "engine/job_run.py",
    )
}
# In this order, so that most faults are found soon; a service that is killed at every step comes last.
TESTS = (
    "service/test_scheduler.py",
    "control/test_nodes.py",
    "control/test_scaling.py",
    "control/test_job_states.py",
    "control/test_deletions.py",
    "control/test_writes.py",
    "control/test_resources.py",
    "control/test_full_disk.py",
    "control/test_job_run.py",
    "control/test_model.py",
    "control/test_crashes.py",
)
# What is asked before those, where another knows better.
FIRST = {
    "control/controller.py": "control/test_scaling.py",
    "control/node_pool.py": "control/test_nodes.py",
    "control/fleet.py": "control/test_deletions.py",
    "control/deletions.py": "control/test_deletions.py",
    "control/file_servers.py": "control/test_deletions.py",
    "model/job_states.py": "control/test_job_states.py",
    "model/job_plans.py": "control/test_model.py",
    "model/node_specs.py": "control/test_model.py",
    "model/parents.py": "control/test_deletions.py",
    "model/quotas.py": "control/test_model.py",
    "model/mounts.py": "control/test_model.py",
    "model/mount_paths.py": "control/test_model.py",
    "model/vm_sizes.py": "control/test_model.py",
    "model/node_states.py": "control/test_nodes.py",
    "model/logins.py": "control/test_nodes.py",
    "engine/job_run.py": "control/test_job_run.py",
}
EQUIVALENT = Path(__file__).with_name("equivalent.txt")


class _Faulty(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module of the service with a fault in it."""

    def __init__(self, module: str, tree: ast.Module) -> None:
        self.module = module
        self._file = SERVICE / module
        self._name = "azext_batchai.service." + module.removesuffix(".py").replace("/", ".")
        self._tree = tree

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._tree, str(self._file), "exec"), vars(module))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/mutants")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(MODULES)}; all of them")
    parser.add_argument("--minutes", type=float, default=60, help="stop after so long")
    parser.add_argument("--sample", type=int, default=0, help="so many of each module; all of them")
    parser.add_argument("--seed", type=int, default=1, help="of the order and the sample")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    unknown = set(options.modules) - set(MODULES)
    if unknown:
        parser.error(f"no such module: {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}")
    _prepare()
    seconds = _baseline()
    if not seconds:
        print("The tests fail without any fault: nothing to learn.")
        return 1
    found = _choose(options)
    print(f"{len(found)} mutants; the tests take {seconds:.1f} s of a processor without a fault", flush=True)
    trials = _Trials(limit=math.ceil(3 * seconds))
    trials.run(found, options.workers, time.monotonic() + options.minutes * 60)
    return _tell(trials.results, len(found))


def _prepare() -> None:
    """Import once what every mutant needs, but nothing of the service."""
    os.chdir(ROOT)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in ("pytest", "cryptography.fernet", "starlette.responses", "uvicorn", "asyncssh", "azext_batchai"):
        importlib.import_module(name)
    gc.freeze()  # what is collected here is not copied for every mutant
    assert not [name for name in sys.modules if name.startswith("azext_batchai.service")]


def _choose(options: argparse.Namespace) -> list[tuple[str, Mutant]]:
    chance = random.Random(options.seed)
    found: list[tuple[str, Mutant]] = []
    for module in options.modules or MODULES:
        every = list(mutants((SERVICE / MODULES[module]).read_text(encoding="utf-8")))
        if options.sample:
            every = chance.sample(every, min(options.sample, len(every)))
        found += [(module, mutant) for mutant in every]
    chance.shuffle(found)
    return found


def _baseline() -> float:
    """How long a processor works on the tests without a fault; 0 where they fail."""
    _, status, used = os.wait4(_fork(None), 0)
    return used.ru_utime + used.ru_stime if status == 0 else 0.0


def _fork(finder: _Faulty | None, limit: int = resource.RLIM_INFINITY) -> int:
    """Run the tests in a process of its own, for so many seconds of a processor at most; exit status 0: they pass."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        signal.alarm(180)  # it may also wait for what never comes
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        if finder:
            sys.meta_path.insert(0, finder)
        import pytest

        options = ["-x", "-q", "-p", "no:cacheprovider", "--confcutdir=tests/control", "-W", "ignore", "--tb=no"]
        first = FIRST.get(finder.module) if finder else None
        for test in sorted(TESTS, key=lambda test: test != first):  # one at a time: none is collected in vain
            status = int(pytest.main([*options, f"tests/{test}"]))
            if status:
                break
    finally:
        os._exit(status)


class _Trials:
    """Mutants under test, each for `limit` seconds of a processor. `results` says of each: killed or survived."""

    def __init__(self, limit: int) -> None:
        self.results: dict[tuple[str, str], str] = {}
        self._limit = limit
        self._running: dict[int, tuple[str, Mutant]] = {}

    def run(self, found: list[tuple[str, Mutant]], workers: int, end: float) -> None:
        """Try them in this order, so many at a time; none is begun when the time is over."""
        waiting = list(reversed(found))
        try:
            while self._running or (waiting and time.monotonic() < end):
                while waiting and len(self._running) < workers and time.monotonic() < end:
                    module, mutant = waiting.pop()
                    pid = _fork(_Faulty(MODULES[module], mutant.tree()), self._limit)
                    self._running[pid] = (module, mutant)
                time.sleep(0.02)
                self._look()
        finally:  # interrupted: nothing goes on
            for pid in self._running:
                os.killpg(pid, signal.SIGKILL)

    def _look(self) -> None:
        for pid, (module, mutant) in list(self._running.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if not done:
                continue
            del self._running[pid]
            self.results[module, mutant.name] = "killed" if status else "survived"
            if not status:
                print(f"survived: {MODULES[module]}:{mutant.line} {mutant.name}", flush=True)
            if len(self.results) % 50 == 0:
                print(f"{len(self.results)} tried", flush=True)


def equivalents() -> set[tuple[str, str]]:
    """(module, name) of the faults that change nothing; each stands below its reason."""
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines()
    return {
        (module, name)
        for module, _, name in (line.partition(" ") for line in lines if line and not line.startswith("#"))
    }


def _tell(results: dict[tuple[str, str], str], total: int) -> int:
    same = equivalents()
    table: dict[str, Counter[str]] = {}
    for key, outcome in results.items():
        verdict = "equivalent" if outcome == "survived" and key in same else outcome
        table.setdefault(key[0], Counter())[verdict] += 1
    print(f"\n{'module':14}{'killed':>8}{'survived':>10}{'equivalent':>12}{'killed of the rest':>20}")
    whole: Counter[str] = Counter()
    for module in sorted(table):
        whole += table[module]
        _row(module, table[module])
    _row("all", whole)
    if len(results) < total:
        print(f"{total - len(results)} mutants were not run: the time was over")
    stale = {key for key in same if results.get(key, "survived") != "survived"}
    for module, name in sorted(stale):
        print(f"listed as equivalent, but killed: {module} {name}")
    return 0 if whole["killed"] >= 0.9 * (whole["killed"] + whole["survived"]) else 1


def _row(name: str, counts: Counter[str]) -> None:
    share = counts["killed"] / max(counts["killed"] + counts["survived"], 1)
    print(f"{name:14}{counts['killed']:>8}{counts['survived']:>10}{counts['equivalent']:>12}{share:>20.1%}")


if __name__ == "__main__":
    sys.exit(main())
