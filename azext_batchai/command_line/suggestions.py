"""Commands that people type by the names they have elsewhere, answered with ours.

What is one letter off is azure-cli's to answer: it offers the commands that look alike.
"""

from __future__ import annotations

Words = tuple[str, ...]

_NOUNS = {
    **dict.fromkeys(("jobs",), "job"),
    **dict.fromkeys(("clusters", "compute", "pool"), "cluster"),
    **dict.fromkeys(("workspaces", "ws"), "workspace"),
    **dict.fromkeys(("experiments", "exp"), "experiment"),
    **dict.fromkeys(("fileserver", "fileservers", "file-servers"), "file-server"),
}
_LIST, _SHOW, _DELETE, _CREATE = ("ls", "ps"), ("status", "describe", "get", "info"), ("rm", "remove"), ("add", "new")
_VERBS: dict[str, dict[str, str]] = {
    "job": {
        **dict.fromkeys(("stop", "cancel", "kill", "end", "abort"), "job terminate"),
        **dict.fromkeys(("stream", "log", "tail", "output", "watch", "attach"), "job logs"),
        **dict.fromkeys(("submit", "start", *_CREATE), "job create"),
        **dict.fromkeys(("rerun", "retry", "restart", "clone"), "job resubmit"),
        **dict.fromkeys(("why", "explain", "debug"), "job diagnose"),
        **dict.fromkeys(("check", "lint"), "job validate"),
        "ssh": "job node ssh",
        "files": "job file list",
        "nodes": "job node list",
    },
    "cluster": {
        **dict.fromkeys(("scale",), "cluster resize"),
        **dict.fromkeys(("autoscale",), "cluster auto-scale"),
        **dict.fromkeys(("why", "explain", "debug"), "cluster diagnose"),
        **dict.fromkeys(("start", *_CREATE), "cluster create"),
        "nodes": "cluster node list",
        "ssh": "cluster node ssh",
        "exec": "cluster node exec",
    },
    "": {
        **dict.fromkeys(("run", "logs"), "job {}"),
        **dict.fromkeys(("submit",), "job create"),
        **dict.fromkeys(("ssh",), "cluster node ssh"),
        **dict.fromkeys(("status", "doctor", "up", "down"), "local {}"),
        **dict.fromkeys(("start",), "local up"),
        **dict.fromkeys(("stop",), "local down"),
        **dict.fromkeys(("usage", "usages", "quota"), "list-usages"),
    },
}


def instead_of(command: Words) -> str:
    """The command that was likely meant by the words behind `az batchai`, '' where there is no such or it is ours."""
    if not command:
        return ""
    noun = _NOUNS.get(command[0], command[0])
    if noun not in ("job", "cluster", "workspace", "experiment", "file-server"):
        return _VERBS[""].get(command[0], "").format(command[0])
    if len(command) == 1:
        return "" if noun == command[0] else f"{noun} list"
    verb = command[1]
    common = {
        **dict.fromkeys(_LIST, f"{noun} list"),
        **dict.fromkeys(_SHOW, f"{noun} show"),
        **dict.fromkeys(_DELETE, f"{noun} delete"),
        **dict.fromkeys(_CREATE, f"{noun} create"),
    }
    meant = {**common, **_VERBS.get(noun, {})}.get(verb, "")
    return meant or ("" if noun == command[0] else " ".join((noun, *command[1:])))
