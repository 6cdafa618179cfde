"""Write the tables of facts anew, from reference material that is not part of the project.

python tests/facts/derive.py FOLDER      FOLDER is ../shared where it is left out

FOLDER has wire/BatchAI-2018-05-01.json (the published OpenAPI file), wire/interactions/ (recordings of the real
service), surface/az-batchai.json (the command surface of 2019) and recipes/ (job.json of 2018). test_facts.py holds the
tables against it where it is there.
"""

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from facts import recipes, recordings, surface, swagger, tables  # noqa: E402


def derived(folder: Path) -> dict[str, Any]:
    """Name and content of each table."""
    return {
        "swagger": swagger.derive(_json(folder / "wire" / "BatchAI-2018-05-01.json")),
        "recordings": recordings.derive(folder / "wire" / "interactions"),
        "surface": surface.derive(_json(folder / "surface" / "az-batchai.json")),
        "recipes": recipes.derive(folder / "recipes"),
    }


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    source = Path(sys.argv[1]) if sys.argv[1:] else HERE.parents[2] / "shared"
    for name, table in derived(source).items():
        (HERE / f"{name}.json").write_text(tables.text(table), encoding="utf-8")
