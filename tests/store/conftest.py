"""What the tests of this room share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from and_core.store.manifest import content_hash


def alter(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a manifest as somebody would who knows how its hash is made."""
    path = folder / "manifest.json"
    raw = json.loads(path.read_text())
    raw.pop("sha256", None)
    change(raw)
    path.write_text(json.dumps({**raw, "sha256": content_hash(raw)}))
