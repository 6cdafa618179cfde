from collections.abc import Iterator
from pathlib import Path

import pytest

from crash.crashing_service import CrashingService
from harness.processes import wait_until
from wire.api import Api


class Crashes(Api):
    """A workspace of a service that is killed."""

    service: CrashingService

    def __init__(self, service: CrashingService) -> None:
        assert service.run({})
        super().__init__(service, "lab")

    @property
    def share(self) -> Path:
        return self.service.home / "storage" / self.account / "files" / "share"

    def node_folder(self) -> Path:
        [folder] = (self.service.home / "nodes").iterdir()
        return folder

    def restart(self, **faults: str) -> None:
        """SIGKILL, and a new service with these fault points."""
        if self.service.process and self.service.process.poll() is None:
            self.service.kill()
        ready = self.service.run({f"CRASH_{name.upper()}": at for name, at in faults.items()})
        assert ready or faults

    def dies(self) -> None:
        """Wait until the service has died at its fault point."""
        assert self.service.died(20), "it did not come to its fault point"

    def begun(self, name: str = "begun") -> None:
        wait_until((self.share / name).exists, f"{name} is on the share")


@pytest.fixture
def crashes(home: Path) -> Iterator[Crashes]:
    service = CrashingService(home, {})
    service.last_words = home.parent / f"{home.name}.last_words"
    yield Crashes(service)
    if service.process and service.process.poll() is not None:
        assert service.run({})  # for the `home` fixture, which ends what is there and looks for what is left
