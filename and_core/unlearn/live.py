"""Ablation while a user waits: one worker for all users, so that nobody's run slows another's; each sees his place in
the queue.

A result lives in memory until it is kept; a marker in the dissection's folder tells, after a restart, that a run was
stopped.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
import uuid
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from and_core.errors import ANDError, ArtifactError
from and_core.memory import exempt_loaded
from and_core.store.dissection import Dissection
from and_core.store.files import inside, plain_file, write_atomic
from and_core.unlearn.request import AblationRequest, Kind
from and_core.unlearn.result import Result, inputs_of, measure, stored

State = Literal["queued", "running", "done", "failed", "cancelled"]
PROCESS = uuid.uuid4().hex  # of this process, in the markers
FINISHED = 64  # results kept in memory
NETWORKS = 2  # loaded at once
SILENT = 10.0  # s after which a session that does not ask is taken to be gone
MARKERS = ".live"


@dataclass
class Job:
    """One run that is waited for; `clients` are the sessions that wait, with when they were last heard of."""

    key: str
    kind: Kind
    request: AblationRequest
    dissection: Dissection
    clients: dict[str, float]
    state: State = "queued"
    done: int = 0
    total: int = 0
    error: str = ""
    fault: ANDError | None = None
    result: Result | None = None
    file: Path | None = None
    stop: threading.Event = field(default_factory=threading.Event)


class Queue:
    """Runs in the order in which they were asked for, one at a time.

    Parameters
    ----------
    evaluator : callable, optional
        Dissection -> its evaluator; by default the target that its configuration names, the last few kept loaded.
    """

    def __init__(self, evaluator: Any = None) -> None:
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._waiting: deque[Job] = deque()
        self._lock = threading.Condition()
        self._evaluator = evaluator or self._loaded
        self._networks: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._worker: threading.Thread | None = None
        self._folder = tempfile.TemporaryDirectory(
            prefix="and-pruned-"
        )  # checkpoints for download; goes with the process

    def submit(self, d: Dissection, kind: Kind, request: AblationRequest, client: str) -> Job:
        """Ask for a run; the same one asked for twice is run once."""
        key = request.key(kind, inputs_of(d))
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and job.state in ("queued", "running", "done") and not job.stop.is_set():
                job.clients[client] = time.monotonic()
                return job
            job = self._jobs[key] = Job(key, kind, request.of_kind(kind), d, {client: time.monotonic()})
            self._jobs.move_to_end(key)
            self._waiting.append(job)
            _mark(job)
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(target=self._work, name="ablation", daemon=True)
                self._worker.start()
            self._lock.notify()
            return job

    def find(self, key: str) -> Job | None:
        """Return a run by its key."""
        return self._jobs.get(key)

    def seen(self, job: Job, client: str) -> None:
        """Note that a session still waits, or waits as well."""
        with self._lock:
            job.clients[client] = time.monotonic()

    def place(self, job: Job) -> int:
        """Return runs before this one, the running one included; 0 for the running one itself."""
        with self._lock:
            waiting = list(self._waiting)
            return (
                waiting.index(job) + any(other.state == "running" for other in self._jobs.values())
                if job in waiting
                else 0
            )

    def cancel(self, key: str, client: str) -> None:
        """Let one session wait no longer.

        The run ends when nobody does who was heard of lately (a closed tab is not).
        """
        with self._lock:
            job = self._jobs.get(key)
            if job is None or job.state not in ("queued", "running"):
                return
            job.clients.pop(client, None)
            job.clients = {name: seen for name, seen in job.clients.items() if time.monotonic() - seen < SILENT}
            if job.clients:
                return
            job.stop.set()
            if job in self._waiting:
                self._waiting.remove(job)
                job.state = "cancelled"
                _unmark(job)

    def _work(self) -> None:
        while True:
            with self._lock:
                while not self._waiting:
                    self._lock.wait()
                job = self._waiting.popleft()
                job.state = "running"
            state: State = "done"
            try:
                job.result = self._run(job)
            except ANDError as error:
                state, job.error, job.fault = ("cancelled" if job.stop.is_set() else "failed"), str(error), error
            except Exception as error:  # noqa: BLE001 - a network of any kind may fail in any way; the worker and the other runs go on
                state, job.error = (
                    "failed",
                    f"the network failed: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
                )
            with self._lock:
                if self._jobs.get(job.key) is job:
                    _unmark(job)
                job.state = state  # last: who sees it sees all that came before
                finished = [key for key, other in self._jobs.items() if other.state not in ("queued", "running")]
                for key in finished[:-FINISHED]:
                    gone = self._jobs.pop(key)
                    if gone.file is not None:
                        gone.file.unlink(missing_ok=True)

    def _run(self, job: Job) -> Result | None:
        d = job.dissection

        def progress(done: int, total: int) -> None:
            job.done, job.total = done, total

        if job.kind == "checkpoint":
            from and_core.unlearn.export import zip_pruned

            measured = stored(d, "run", job.request) or getattr(
                self.find(job.request.key("run", inputs_of(d))), "result", None
            )
            job.file = Path(self._folder.name) / f"{job.key}.zip"
            zip_pruned(d, job.request, job.file, measured)
            return None
        return measure(d, job.kind, job.request, self._evaluator(d), progress, job.stop.is_set)

    def _loaded(self, d: Dissection) -> Any:
        from and_core.unlearn.evaluator import open_evaluator  # here, so that browsing loads no torch

        key = (str(d.folder), d.manifest.stages["split"].key)
        if key not in self._networks:
            self._networks[key] = open_evaluator(d)
            while len(self._networks) > NETWORKS:
                self._networks.popitem(last=False)
            exempt_loaded()
        self._networks.move_to_end(key)
        return self._networks[key]


@lru_cache(maxsize=1)
def queue() -> Queue:
    """Return the queue of this process."""
    return Queue()


def stopped(d: Dissection, key: str) -> bool:
    """Return whether a run was under way when its server went away."""
    try:
        marker = json.loads(plain_file(_marker(d, key)).read_text(encoding="utf-8"))
        return bool(marker["process"] != PROCESS and not _alive(int(marker["pid"])))
    except (ArtifactError, OSError, ValueError, KeyError, TypeError):
        return False


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False  # the number was given anew: the marker is of another process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _marker(d: Dissection, key: str) -> Path:
    return inside(d.folder, MARKERS, f"{key}.json")


def _mark(job: Job) -> None:
    with suppress(OSError, ArtifactError):  # a cache that can't be written to can still be looked at and tried out
        path = _marker(job.dissection, job.key)
        path.parent.mkdir(exist_ok=True)
        write_atomic(
            path,
            json.dumps(
                {"process": PROCESS, "pid": os.getpid(), "kind": job.kind, "request": job.request.settled()}
            ).encode(),
        )


def _unmark(job: Job) -> None:
    with suppress(OSError, ArtifactError):
        _marker(job.dissection, job.key).unlink(missing_ok=True)
