"""uvicorn promises few names; these are used all the same. A release without one of them must not come unnoticed."""

import inspect
from importlib.metadata import version

import h11
import uvicorn
from uvicorn.protocols.http import h11_impl
from uvicorn.server import ServerState

from harness.sandbox import CHECKOUT


def test_the_names_that_are_used_are_there() -> None:
    for name in ("_serve", "main_loop", "startup", "shutdown"):
        assert inspect.iscoroutinefunction(getattr(uvicorn.Server, name)), name
    used = inspect.getsource(uvicorn.Server._serve)
    for part in ("self.startup(", "self.main_loop()", "self.shutdown(", "self.lifespan"):
        assert part in used, part
    used = inspect.getsource(uvicorn.Server.shutdown)
    for part in ("in self.servers", "server.close()", "server_state.connections"):
        assert part in used, part
    state = ServerState()
    assert isinstance(state.connections, set) and isinstance(state.tasks, set)


def test_the_protocol_has_what_is_looked_at() -> None:
    config = uvicorn.Config(lambda *_: None, http="h11", ws="none", lifespan="off", log_config=None)
    config.load()
    parameters = list(inspect.signature(h11_impl.H11Protocol.__init__).parameters)
    assert parameters[:4] == ["self", "config", "server_state", "app_state"]
    for name in ("connection_made", "data_received", "on_response_complete", "connection_lost"):
        assert callable(getattr(h11_impl.H11Protocol, name)), name
    source = inspect.getsource(h11_impl)
    for part in ("self.cycle:", "self.conn = h11.Connection(", "self.flow", "self.loop", "self.transport"):
        assert part in source, part
    cycle = inspect.getsource(h11_impl.RequestResponseCycle)
    assert "self.response_started = False" in cycle and "self.response_complete = False" in cycle
    assert "self.read_paused" in inspect.getsource(inspect.getmodule(h11_impl.FlowControl) or h11_impl)
    assert isinstance(h11.Connection(h11.SERVER).trailing_data, tuple)


def test_the_installed_releases_are_those_that_were_tried() -> None:
    from packaging.requirements import Requirement

    lines = (CHECKOUT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for requirement in (Requirement(line.split(" #")[0]) for line in lines if line):
        if requirement.name in ("uvicorn", "starlette", "h11"):
            assert any(part.operator == "<" for part in requirement.specifier), requirement
            assert version(requirement.name) in requirement.specifier
