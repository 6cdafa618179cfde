"""Start the embedded service: `python azext_batchai/service --home FOLDER [--port N]`.

Prints one JSON line on stdout when it is ready or has failed, and nothing afterwards. With `--discard` it deletes a
state that cannot be opened instead.
"""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

if not __package__:  # started by path: the folder above the package takes the place of this one
    sys.path[0] = str(Path(__file__).resolve().parents[2])

WINNER_PATIENCE_SECONDS = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(description="The embedded Batch AI service.")
    parser.add_argument("--home", type=Path, required=True, help="state folder")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 for any free one")
    parser.add_argument("--discard", action="store_true", help="end what the folders tell of and delete the state")
    arguments = parser.parse_args()
    if not sys.platform.startswith("linux"):
        return _failed("UnsupportedPlatform", "The embedded service runs on Linux only.", "Use WSL or a Linux machine.")
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    home: Path = arguments.home.expanduser().absolute()
    try:
        return _serve(home, arguments.port, arguments.discard)
    except OSError as exc:
        logging.getLogger(__name__).error("start failed: %r", exc)
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            return _failed(
                "DiskFull",
                f"The disk is full: the service cannot start without room in {home}. What runs goes on.",
                "Free some space, then try again.",
            )
        return _failed(
            "StateFolderUnusable",
            f"The state folder {home} cannot be used: {exc.strerror or exc}.",
            "Check its permissions, or choose another one with AZURE_BATCHAI_HOME.",
        )


def _serve(home: Path, port: int, discard: bool) -> int:
    from azext_batchai.service.instance import Instance

    instance = Instance(home)
    deadline = time.monotonic() + WINNER_PATIENCE_SECONDS
    while not instance.acquire():
        state = instance.read()
        if state:
            _say({"status": "ready", "alreadyRunning": True, **state})
            return 0
        if time.monotonic() > deadline:
            return _failed(
                "ServiceBusy",
                f"Another service holds {home} but does not answer.",
                "Run `az batchai local down`, which ends it, then try again; service.log in that folder may tell why.",
            )
        time.sleep(0.02)

    from azext_batchai.service.ports import PortError
    from azext_batchai.service.server import discard_state, run
    from azext_batchai.service.settings import SettingError, Settings
    from azext_batchai.service.store import StateError

    try:
        settings = Settings.from_environment(home, port)
        if discard:
            discard_state(settings)
            _say({"status": "discarded"})
            return 0
        run(settings, instance, _ready)
    except PortError as exc:
        return _failed("PortInUse", str(exc), "Choose another port, or leave --port away to take any free one.")
    except SettingError as exc:
        return _failed("InvalidSetting", str(exc), "Correct the setting and try again.")
    except StateError as exc:
        return _failed("StateUnusable", str(exc), f"Restore {home} from a copy, or run `az batchai local reset`.")
    except OSError:
        raise
    except Exception as exc:
        logging.getLogger(__name__).exception("start failed")
        return _failed("StartFailed", f"The service could not start: {exc!r}.", f"See service.log in {home}.")
    return 0


def _ready(state: dict[str, Any]) -> None:
    _say({"status": "ready", **state})
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _failed(code: str, message: str, recommendation: str) -> int:
    _say({"status": "failed", "code": code, "message": message, "recommendation": recommendation})
    return 1


def _say(line: dict[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # who started us did not wait for the answer


if __name__ == "__main__":
    sys.exit(main())
