"""Kills under load, round after round, and what they found."""

import random
import re
import shutil
import sys
import time
from collections import Counter
from pathlib import Path

from crash import machine
from crash.crashing_service import CrashingService, NoAnswer, end
from crash.invariants import Invariants
from crash.load import Load

# How often each way to die is taken.
WAYS = ("random",) * 5 + ("acknowledged",) * 5 + ("fault",) * 8 + ("launcher",) * 3 + ("runner",) * 1
# What is counted for a fault point, and the highest number taken.
FAULTS = (
    ("*", 300),
    ("commit", 60),
    ("file", 400),
    ("process", 60),
    ("fork", 20),
    ("rename", 10),
    ("replace", 20),
    ("link", 8),
    ("symlink", 8),
)
CALM_EVERY = 20  # kills between two settlements


class Campaign:
    """One service and one load; `run` kills and returns what is wrong."""

    def __init__(self, folder: Path, seed: int, say: bool = False) -> None:
        self.seed = seed
        self._say = say
        self._dice = random.Random(seed)
        settings = {"AZURE_BATCHAI_NODE_IDLE_SECONDS": "1", **machine.CONTAINERS}
        self.service = CrashingService(folder / "home", settings)
        mpi = bool(shutil.which("mpirun"))
        self.load = Load(self.service, seed, machine.image(folder), mpi, machine.can_mount(folder))
        self.invariants = Invariants(self.service, self.load)
        self.figures: Counter[str] = self.load.figures
        self.violations: list[str] = []

    @property
    def kills(self) -> int:
        return sum(count for name, count in self.figures.items() if name.startswith("kills"))

    def run(self, kills: int, seconds: float = 1e9) -> list[str]:
        """Kill until there were so many or time is up; returns the violations found."""
        deadline = time.monotonic() + seconds
        assert self.service.run({})
        self.load.set_up()
        self.load.begin()
        try:
            calm = CALM_EVERY
            while self.kills < kills and time.monotonic() < deadline:
                self._round()
                if self.kills >= calm:
                    self._settle()
                    calm = self.kills + CALM_EVERY
        finally:
            self.load.end()
        self._settle(again=False)
        return self.violations

    def close(self) -> None:
        self.load.end()
        if self.service.process and self.service.process.poll() is None:
            self.service.request("POST", "/_local/reset")
            self.service.process.wait(120)  # it has much to remove
        self.service.destroy()

    def _round(self) -> None:
        """One way to die, and the start after it."""
        way = self._dice.choice(WAYS)
        if way in ("launcher", "runner"):
            time.sleep(self._dice.random() * 0.4)
            getattr(self, f"_kill_{way}")()
            return
        faults = {}
        if way == "fault":
            # Shorter distances more often: the first moments of a service are special.
            what, most = self._dice.choice(FAULTS)
            faults = {"CRASH_AT": f"{what}:{int(most ** self._dice.random()) + 1}"}
            self._restart(faults)
            if not self.service.died(3):
                self._kill("kills at random times")
        elif way == "acknowledged":
            self.load.kill_after = self._dice.choice(("any", "POST", "DELETE", "PUT"))
            if not self.service.died(3):
                self.load.kill_after = ""
                self._kill("kills at random times")
        else:
            time.sleep(self._dice.random() ** 2 * 1.5)
            self._kill("kills at random times")
        self._restart({})

    def _restart(self, faults: dict[str, str]) -> None:
        """Start the service with these faults, again until it lives long enough to be asked."""
        if self.service.process and self.service.process.poll() is None:
            self._kill("kills at random times")
        if self._dice.random() < 0.2:
            faults = {**faults, "CRASH_RUNNERS": "0.05"}
        if self._dice.random() < 0.3:
            faults = {**faults, "CRASH_LAUNCHER": f"process:{self._dice.randint(1, 20)}"}
        while not self.service.run(faults):
            self._at_fault_point()
            faults = {}
        self.figures["restarts"] += 1
        try:
            self._found(self.invariants.at_once())
        except NoAnswer:
            pass  # it died at its fault point

    def _kill(self, name: str) -> None:
        if self.service.process and self.service.process.poll() is None:
            self.service.kill()
            self.figures[name] += 1
        else:
            self.service.up.clear()
        self._at_fault_point()

    def _at_fault_point(self) -> None:
        """Count those that have killed themselves; runs that lost their runner may fail for it."""
        words = self.service.last_words
        text = words.read_text() if words.exists() else ""
        words.unlink(missing_ok=True)
        for line in text.splitlines():
            what, _, task = line.rpartition(" ")
            self.figures["kills at fault points"] += 1
            self.figures[f"  {re.sub(r'/.*/', '', what)}"] += 1
            if task:
                self._lost(Path(task))

    def _kill_launcher(self) -> None:
        pid = self.service.launcher()
        if pid and end(pid):
            self.figures["kills of the launcher"] += 1

    def _kill_runner(self) -> None:
        claims = list(self.service.claims().items())
        if claims:
            claim, pid = self._dice.choice(claims)
            self._lost(claim)
            if end(pid):
                self.figures["kills of runners"] += 1
            for other in self.service.claims_of(pid):  # it may have had the next task by then
                self._lost(other)

    def _lost(self, claim: Path) -> None:
        self.invariants.lost.add(claim.parts[-3].rpartition("-")[0])

    def _settle(self, again: bool = True) -> None:
        """No load and no kill for a while: then everything must be as it was promised."""
        self.load.end()
        self._restart_calmly()
        self._found(self.invariants.settled())
        self.figures["settlements"] += 1
        self.load.forget_ended()
        if again:
            self.load.begin()

    def _restart_calmly(self) -> None:
        """Without fault points from here on, those of the launcher and its runners too."""
        self._kill("kills at random times")
        assert self.service.run({})
        self._at_fault_point()
        self.figures["restarts"] += 1

    def _found(self, violations: object) -> None:
        for violation in violations:  # type: ignore[attr-defined]
            self.violations.append(violation)
            if self._say:
                sys.stdout.write(f"VIOLATION after {self.kills} kills: {violation}\n")
                sys.stdout.flush()

    def report(self) -> str:
        lines = [f"seed {self.seed}: {self.kills} kills, {len(self.violations)} violations"]
        lines += [f"  {count:6} {name}" for name, count in sorted(self.figures.items())]
        return "\n".join([*lines, *(f"  VIOLATION {violation}" for violation in self.violations)])
