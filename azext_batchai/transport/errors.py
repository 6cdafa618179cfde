"""Errors of the service, said in the terms of the command line: what, why and what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NoReturn

# Error code of the service -> what the user can do. The names come from the URL of the request.
_ADVICE = {
    "ResourceGroupNotFound": [
        "Create the resource group with `az group create -n {group} -l LOCATION`.",
    ],
    "WorkspaceNotFound": [
        "List the workspaces with `az batchai workspace list -o table`, "
        "or create it with `az batchai workspace create -g {group} -n {workspaces} -l LOCATION`.",
    ],
    "ClusterNotFound": [
        "List the clusters with `az batchai cluster list -g {group} -w {workspaces} -o table`.",
    ],
    "ExperimentNotFound": [
        "List the experiments with `az batchai experiment list -g {group} -w {workspaces} -o table`, "
        "or create it with `az batchai experiment create -g {group} -w {workspaces} -n {experiments}`.",
    ],
    "JobNotFound": [
        "List the jobs with `az batchai job list -g {group} -w {workspaces} -e {experiments} -o table`.",
    ],
    "FileServerNotFound": [
        "List the file servers with `az batchai file-server list -g {group} -w {workspaces} -o table`, "
        "or create it with `az batchai file-server create`.",
    ],
    "ClusterQuotaReached": [
        "See the limits with `az batchai list-usages -l LOCATION -o table` and delete clusters that are not needed.",
    ],
    "AuthenticationFailed": [
        "Set the token of this endpoint with `az config set batchai.token=TOKEN` or AZURE_BATCHAI_TOKEN. "
        "For the local service run `az batchai local down` and try again.",
    ],
}
_NO_CONNECTION = "Check `az config get batchai.endpoint` and AZURE_BATCHAI_ENDPOINT: they say where requests go."


def explain(error: Exception) -> NoReturn:
    """Raise the azclierror that says what `error` means; errors that are none of the service's go on as they are."""
    from azure.core.exceptions import AzureError, HttpResponseError, ServiceRequestError, ServiceResponseError

    if isinstance(error, HttpResponseError):
        raise _of_response(error) from error
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        from azure.cli.core.azclierror import AzureConnectionError

        raise AzureConnectionError(
            f"The Batch AI service cannot be reached: {_first_line(error)}", recommendation=_NO_CONNECTION
        ) from error
    if isinstance(error, AzureError):
        from azure.cli.core.azclierror import AzureResponseError

        raise AzureResponseError(f"The Batch AI service did not answer as expected: {_first_line(error)}") from error
    raise error


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """For `show` commands, whose framework code would take a 404 before `explain` sees it."""
    from azure.core.exceptions import AzureError

    try:
        yield
    except AzureError as error:
        explain(error)


def error_code(error: Any) -> str:
    """The `code` of an ARM error body; '' where the response had none."""
    return str(getattr(getattr(error, "error", None), "code", None) or _body(error).get("code") or "")


def names_in_url(url: str) -> dict[str, str]:
    """The names in an ARM path by their collection (`workspaces`, `clusters`, ...), `group` for the resource group."""
    segments = url.split("?", 1)[0].split("/")
    names = dict(zip(segments, segments[1:], strict=False))
    return {"group": names.get("resourceGroups") or names.get("resourcegroups") or "GROUP", **names}


def _of_response(error: Any) -> Exception:
    from azure.cli.core import azclierror

    status = getattr(error, "status_code", None) or 0
    code = error_code(error)
    kinds = {
        400: azclierror.BadRequestError,
        401: azclierror.UnauthorizedError,
        403: azclierror.ForbiddenError,
        404: azclierror.ResourceNotFoundError,
    }
    if status in kinds:
        kind = kinds[status]
    elif 400 <= status < 500:
        kind = azclierror.ValidationError
    elif status >= 500:
        kind = azclierror.AzureInternalError
    else:  # a long-running operation that ended as Failed, told by a 200
        kind = azclierror.AzureResponseError
    return kind(_message(error, code), recommendation=_advice(error, code))


def _message(error: Any, code: str) -> str:
    details = getattr(error, "error", None)
    message = getattr(details, "message", None) or _body(error).get("message")
    if not message:
        return _first_line(error)
    more = [d.message for d in getattr(details, "details", None) or [] if getattr(d, "message", None)]
    text = " ".join([message, *(m for m in more if m not in message)])
    return f"{text} ({code})" if code else text


def _advice(error: Any, code: str) -> list[str]:
    response = getattr(error, "response", None)
    url = getattr(getattr(response, "request", None), "url", "")
    names = names_in_url(url)
    if code == "WorkspaceNotFound" and "workspaces" not in names:
        return []
    placeholders = {name: name.upper() for name in ("workspaces", "experiments")}
    return [line.format_map({**placeholders, **names}) for line in _ADVICE.get(code, [])]


def _body(error: Any) -> dict[str, Any]:
    import json

    try:
        body = json.loads(error.response.text())
    except (AttributeError, ValueError, TypeError):
        return {}
    inner = body.get("error") if isinstance(body, dict) else None
    return inner if isinstance(inner, dict) else {}


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__
