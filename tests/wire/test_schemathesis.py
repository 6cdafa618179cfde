"""Generated requests against the published OpenAPI file: every operation, alone and one after another.

No generated text is ever executed: see `openapi.harmless`, which every request passes through just before it is sent.
BATCHAI_EXAMPLES is the number of requests an operation gets.
"""

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import Case
from schemathesis.checks import negative_data_rejection, response_schema_conformance, status_code_conformance
from schemathesis.core.parameters import ParameterLocation

from harness.service import Service
from wire import openapi

pytestmark = [pytest.mark.swagger, pytest.mark.timeout(1200)]

EXAMPLES = int(os.environ.get("BATCHAI_EXAMPLES", "25"))
BASE = f"/subscriptions/{openapi.SUBSCRIPTION}/resourceGroups/{openapi.GROUP}/providers/Microsoft.BatchAI/workspaces"
CLUSTER = f"{BASE}/known/clusters/known"
KNOWN = {
    "resourceGroupName": openapi.GROUP,
    "workspaceName": "known",
    "experimentName": "known",
    "clusterName": "known",
    "jobName": "known",
    "fileServerName": "known",
}
RUN = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    database=None,
)

document = openapi.load()
openapi.link(document)
schema = schemathesis.openapi.from_dict(document)


@schemathesis.hook
def before_call(context: Any, case: Case, kwargs: dict[str, Any]) -> None:
    case.body = openapi.harmless(case.body)


def _is_valid(case: Case, part: ParameterLocation) -> bool:
    """Whether this part of the request was generated to fit the file."""
    info = case.meta.components.get(part) if case.meta else None
    return info is None or info.mode.is_positive


def no_server_error(context: Any, response: Any, case: Case) -> None:
    """501 is an answer where the service says that it does not do this."""
    if response.status_code >= 500:
        assert (response.status_code, response.json()["error"]["code"]) == (501, "NotSupported"), response.text


def errors_are_said(context: Any, response: Any, case: Case) -> None:
    """Every refusal has a code and a message, and an answer with a body is JSON."""
    if response.content:
        assert response.headers["content-type"] == ["application/json; charset=utf-8"], response.headers
    if response.status_code >= 400:
        error = response.json()["error"]
        assert error["code"] and error["message"], response.text


def every_operation_is_there(context: Any, response: Any, case: Case) -> None:
    """What the file describes is never an unknown path; methods that it does not have are tried as well."""
    described = case.method.lower() == case.operation.method.lower() and _is_valid(case, ParameterLocation.PATH)
    if described and response.status_code in (404, 405):
        assert response.json()["error"]["code"] not in ("ResourceNotFound", "MethodNotAllowed"), response.text


def wrong_requests_are_refused(context: Any, response: Any, case: Case) -> None:
    """A null is no wrong value: it stands for an absent property."""
    if not openapi.has_null(case.body):
        negative_data_rejection(context, response, case)


CHECKS = [
    no_server_error,
    errors_are_said,
    every_operation_is_there,
    status_code_conformance,
    response_schema_conformance,
    wrong_requests_are_refused,
]


@pytest.fixture(scope="module")
def target(service: Service) -> Iterator[Service]:
    """A service with one of everything; afterwards, its log shows that it never stumbled."""
    _make(service, STORAGE, {"location": "eastus"})
    _make(service, f"{STORAGE}/fileServices/default/shares/share", {})
    for path, body in BODIES.items():
        _make(service, f"{BASE}/known{path}", body, name="known")
    yield service
    assert "Traceback" not in service.log()


STORAGE = BASE.replace("Microsoft.BatchAI/workspaces", "Microsoft.Storage/storageAccounts/fuzz")
USER = {"adminUserName": "demo", "adminUserPassword": "Secret-of-the-cluster"}
SHARE = {
    "accountName": "fuzz",
    "azureFileUrl": "https://fuzz.file.core.windows.net/share",
    "credentials": {"accountKey": "a2V5"},
    "relativeMountPath": "afs",
}
BODIES: dict[str, Any] = {
    "": {"location": "eastus"},
    "/experiments/{}": None,
    "/clusters/{}": {
        "properties": {
            "vmSize": "Standard_D1",
            "userAccountSettings": USER,
            "scaleSettings": {"manual": {"targetNodeCount": 1}},
            "nodeSetup": {"mountVolumes": {"azureFileShares": [SHARE]}},
        }
    },
    "/fileServers/{}": {
        "properties": {
            "vmSize": "Standard_D1",
            "sshConfiguration": {"userAccountSettings": USER},
            "dataDisks": {"diskSizeInGB": 1, "diskCount": 1, "storageAccountType": "Standard_LRS"},
        }
    },
    "/experiments/known/jobs/{}": {
        "properties": {
            "cluster": {"id": CLUSTER},
            "nodeCount": 1,
            "customToolkitSettings": {"commandLine": "true"},
            "stdOutErrPathPrefix": openapi.MOUNT,
        }
    },
}


def _make(service: Service, path: str, body: Any, name: str = "") -> None:
    status, _, answer = service.request("PUT", f"{path.format(name)}?api-version=2018-05-01", body)
    assert status < 300, answer


def _aim(service: Service, case: Case) -> None:
    """Turn most requests to what is there, with bodies that will be taken; give a deletion a resource of its own."""
    target = (re.findall(r"{(\w+)}", case.path) or [""])[-1]
    if _is_valid(case, ParameterLocation.PATH):
        for name, value in case.path_parameters.items():
            if name in KNOWN and openapi.dice(value) % 3:
                case.path_parameters[name] = KNOWN[name]
    if _is_valid(case, ParameterLocation.BODY) and openapi.dice(case.body) % 4:
        case.body = openapi.plausible(case.body, CLUSTER)
        if case.method.upper() == "PUT" and case.path_parameters.get(target) == "known" and target != "workspaceName":
            case.path_parameters[target] = f"n{openapi.dice(case.body)}"
    if _is_valid(case, ParameterLocation.QUERY) and "outputdirectoryid" in case.query and openapi.dice(case.query) % 4:
        case.query |= {"outputdirectoryid": "stdouterr", "directory": "."}
    if case.method.upper() != "DELETE":
        return
    if case.path_parameters.get(target) == "known":
        case.path_parameters[target] = "victim"
    for child, body in BODIES.items():
        path = f"{BASE}/{'known' if child else 'victim'}{child.format('victim')}"
        if case.formatted_path == path:
            status, _, answer = service.request("PUT", f"{path}?api-version=2018-05-01", body)
            assert status in (200, 202, 409), answer  # 409: the last victim is still being deleted


def _send(service: Service) -> dict[str, Any]:
    return {
        "base_url": service.info["endpoint"],
        "headers": {"Authorization": f"Bearer {service.info['token']}"},
    }


@schema.parametrize()
@RUN
def test_operation(case: Case, target: Service) -> None:
    _aim(target, case)
    case.call_and_validate(**_send(target), checks=CHECKS)


def test_operations_in_sequence(target: Service) -> None:
    """Resources are made, used, changed and deleted in any order that `openapi.link` allows."""

    class Sequence(schema.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return _send(target)

        def before_call(self, case: Case) -> None:
            if _is_valid(case, ParameterLocation.BODY):
                case.body = openapi.plausible(case.body, CLUSTER)

        def validate_response(self, response: Any, case: Case, **_: Any) -> None:
            case.validate_response(response, checks=CHECKS)

    run_state_machine_as_test(Sequence, settings=settings(RUN, max_examples=EXAMPLES, stateful_step_count=8))


SCRIPT = ("masterCommandLineArgs", "pythonScriptFilePath")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"setupTask": {"commandLine": "rm -rf /"}}, {"setupTask": {"commandLine": "true"}}),
        ({"horovodSettings": {"commandLineArgs": "$(reboot)"}}, {"horovodSettings": {"commandLineArgs": "true"}}),
        ({"masterCommandLineArgs": "x", "pythonScriptFilePath": "y"}, dict.fromkeys(SCRIPT, "true")),
        ({"unmanagedFileSystems": [{"mountCommand": "x"}]}, {"unmanagedFileSystems": [{"mountCommand": "true"}]}),
        ({"manual": {"targetNodeCount": 900}}, {"manual": {"targetNodeCount": 1}}),
        ({"autoScale": {"minimumNodeCount": 9, "maximumNodeCount": 2**31}}, None),
        ({"pathPrefix": "/etc", "nodeCount": 7}, {"pathPrefix": openapi.MOUNT, "nodeCount": 1}),
    ],
)
def test_requests_are_harmless(given: dict[str, Any], sent: dict[str, Any] | None) -> None:
    assert openapi.harmless(given) == (sent or {"autoScale": {"minimumNodeCount": 1, "maximumNodeCount": 2**31}})
