import uuid

import pytest

from harness.service import Service
from wire import accounts
from wire.api import Api

# These run on every engine; what an engine refuses is shown in its own tests.
ON_EVERY_ENGINE = ("test_jobs", "test_nodes", "test_restart", "test_scarcity", "test_toolkits")
NOT_ON_SLURM = (
    "test_a_size_that_promises_more_than_there_is_says_so",  # of this machine's GPUs
    "test_an_unmanaged_file_system_of_the_cluster",
    "test_an_unmanaged_file_system_of_a_job",
    "test_a_mount_command_that_fails_tells_its_reason",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = metafunc.module.__name__.rpartition(".")[2]
    if module in ON_EVERY_ENGINE and "engine" in metafunc.fixturenames:
        engines = ["local"] if metafunc.function.__name__ in NOT_ON_SLURM else ["local", "slurm"]
        metafunc.parametrize("engine", engines, indirect=True, scope="module")


@pytest.fixture
def api(service: Service) -> Api:
    """A workspace of the test's own in the module's service."""
    return Api(service, f"ws-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def account(service: Service, monkeypatch: pytest.MonkeyPatch) -> accounts.Account:
    """A storage account of the test's own, which `az storage` uses."""
    made = accounts.create(service, f"acct{uuid.uuid4().hex[:12]}")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", made.connection_string)
    return made
