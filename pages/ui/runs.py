"""Runs of ablations on a page: started, waited for, cancelled, and their results."""

from __future__ import annotations

import uuid

import streamlit as st

from and_core import Dissection
from and_core.errors import ANDError, PermissionNeeded
from and_core.unlearn.live import Job, queue, stopped
from and_core.unlearn.request import AblationRequest, Kind
from and_core.unlearn.result import Result, inputs_of, stored
from and_core.unlearn.selection import RankedSelection
from pages.ui import html
from pages.ui.setup import explain

POLL = 1.0  # s; each look is a run of the page, which the ablation waits for
KINDS = {
    "run": "Ablating for",
    "dose": "Dose curve of",
    "compare": "Comparing strategies for",
    "checkpoint": "Writing the network without",
}


def run_or_result(
    d: Dissection, kind: Kind, request: AblationRequest, choice: RankedSelection | None, label: str, place: str = ""
) -> Result | None:
    """Return the result of a run where there is one; else draw the button that starts it, or how far it is.

    `place` tells several of a kind on one page apart.
    """
    result = stored(d, kind, request)
    if result is not None:
        return result
    key = request.key(kind, inputs_of(d))
    job = queue().find(key)
    if job is not None and job.state == "done":
        return job.result
    if (
        job is not None and job.state in ("queued", "running") and not job.stop.is_set()
    ):  # whoever asked for it: the same link waits with him
        st.fragment(waiting, run_every=POLL)(key)
        return None
    if job is not None and job.state == "failed":
        failed(job, "The run failed", f"{kind}{place}")
    elif job is not None and job.state == "cancelled":
        st.html(html.empty("Cancelled; nothing of that run is kept."))
    elif stopped(d, key):
        st.html(
            html.empty("This run was stopped when the dashboard was shut down; nothing of it is kept. Run it again.")
        )
    nothing = choice is not None and not choice.count
    st.button(
        label,
        key=f"start_{kind}{place}",
        type="primary" if kind == "run" and not place else "secondary",
        on_click=start,
        args=(d, kind, request),
        disabled=nothing,
    )
    if kind == "run" and not nothing and not place:
        st.html(
            html.empty(
                f"Not run yet: {request.describe()}. Takes 4 passes over the tested clips: the ablation and three fair "
                "random controls."
            )
        )
    return None


def failed(job: Job, what: str, where: str) -> None:
    """Say why a run failed, or ask for the permission that it waits for."""
    waits = isinstance(job.fault, PermissionNeeded)
    explain(job.fault if waits and job.fault is not None else ANDError(f"{what}: {job.error}"), where)


def _client() -> str:
    return str(st.session_state.setdefault("client", uuid.uuid4().hex))


def start(d: Dissection, kind: Kind, request: AblationRequest) -> None:
    """Put a run into the queue; to be used as a callback."""
    queue().submit(d, kind, request, _client())


def waiting(key: str) -> None:
    """Draw how far a run is, and the button that cancels it; to be drawn as a fragment."""
    job = queue().find(key)
    if job is None or job.state not in ("queued", "running"):
        st.rerun()
        return
    queue().seen(job, _client())
    if job.state == "queued":
        place = queue().place(job)
        st.progress(0.0, f"Waiting: {place} run{'s' if place != 1 else ''} before this one" if place else "Waiting")
    else:
        share = job.done / job.total if job.total else 0.0
        what = f"{KINDS[job.kind]} {html.markdown((job.request.concept or job.request.describe()).replace('_', ' '))}"
        st.progress(share, f"{what}: {job.done} of {job.total} batches" if job.total else "Loading the network")
    if st.button("Cancel", key=f"cancel_{key}"):
        queue().cancel(key, _client())
        st.rerun()
