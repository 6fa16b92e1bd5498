"""Memory of a process that serves pages for days."""

from __future__ import annotations

import gc


def exempt_loaded() -> None:
    """Exempt what is loaded by now from garbage collection, after a collection of all that was exempt before.

    Streamlit collects after every run of a page; with torch and a network loaded that is half a million objects, a
    fifth of a second in which nothing else runs.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
