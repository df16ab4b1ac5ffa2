"""What an export stage leaves beside its model: facts of it for the stages that follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FACTS = "export.json"


def read_facts(folder: Path) -> dict[str, Any]:
    """Read the facts that an export stage wrote into its folder."""
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return facts
