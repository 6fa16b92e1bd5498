"""What a run of ablations found: kept in memory, in a dissection's manifest, or read from the stage `unlearning`.

No torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from and_core.errors import ConfigError
from and_core.store.dissection import Dissection
from and_core.store.manifest import Manifest, StageRecord
from and_core.store.versions import STAGE_VERSIONS
from and_core.store.writer import StageWriter, adopt, sweep, writing
from and_core.unlearn.request import AblationRequest, Kind, make_request
from and_core.unlearn.runs import COMPARED, measured, per_layer, plan_runs, read_split
from and_core.unlearn.selection import select_neurons

KEPT = "kept"
SEVERAL = 2  # random draws, at least, beside a result that is shown without being run


@dataclass(frozen=True)
class Result:
    """Figures of a run.

    Attributes
    ----------
    key : str
        Fingerprint of kind, request and what they read.
    kind : str
        ``run``, ``dose`` or ``compare``, see :func:`and_core.unlearn.runs.plan_runs`.
    rows : list of dict
        One per ablation, see :func:`and_core.unlearn.runs.measured`; the first is the request's own.
    by_class : (A, 2, C) float32
        Change of each class's own output on its own clips, in logits and in probabilities.
    per_layer : (A, L) int32
        Neurons ablated.
    after : (N, C) float32
        Logits of the tested clips under the first ablation.
    notes : tuple of str
    """

    key: str
    kind: Kind
    request: AblationRequest
    rows: list[dict[str, Any]]
    by_class: np.ndarray
    per_layer: np.ndarray
    after: np.ndarray
    notes: tuple[str, ...] = field(default=())


def measure(
    d: Dissection,
    kind: Kind,
    request: AblationRequest,
    evaluator: Any,
    progress: Callable[[int, int], None] = lambda done, total: None,
    stop: Callable[[], bool] = lambda: False,
) -> Result:
    """Run a kind of run.

    Parameters
    ----------
    evaluator : and_core.unlearn.evaluator.Evaluator
        The target on the tested clips.

    Raises
    ------
    ANDError
        As :func:`and_core.unlearn.runs.plan_runs` and the evaluator.
    """
    request = request.of_kind(kind)
    made, notes = plan_runs(d, kind, request)
    if not made:
        raise ConfigError(f"nothing to run: {' '.join(notes)}")
    after = evaluator.logits([run.selection.masks for run in made], request.how, progress, stop)
    rows, by_class = measured(made, read_split(d), after)
    layers = per_layer(made, [layer.name for layer in d.layers])
    return Result(request.key(kind, inputs_of(d)), kind, request, rows, by_class, layers, after[0], tuple(notes))


def inputs_of(d: Dissection) -> dict[str, str]:
    """Return what every run reads: the stage `split`, which stands for all before it."""
    d.require("split")
    return {"split": d.manifest.stages["split"].key}


def keep(d: Dissection, result: Result) -> None:
    """Write a result into the dissection, whole or not at all.

    Raises
    ------
    BusyError
        Another run is writing the dissection.
    """
    with writing(d.folder):
        manifest = Manifest.load(d.folder)
        writer = StageWriter(d.folder, KEPT, result.key, f"{KEPT}-{result.key}")
        writer.table("rows", pa.Table.from_pylist(result.rows))
        writer.array(
            "by_class",
            result.by_class,
            ["run", "logits, probabilities", "class"],
            "change of its own output on its own clips",
        )
        writer.array("per_layer", result.per_layer, ["run", "layer"], "neurons")
        writer.array("logits", result.after, ["clip", "class"], "the target's own")
        parameters = {"kind": result.kind, "request": result.request.settled()}
        writer.notes = {"notes": list(result.notes)}
        writer.commit(
            manifest,
            StageRecord(
                key=result.key,
                version=STAGE_VERSIONS[KEPT],
                parameters=parameters,
                inputs=inputs_of(d),
                notes=writer.notes,
            ),
        )


def forget(d: Dissection, key: str) -> None:
    """Take a kept result out of the dissection."""
    with writing(d.folder):
        manifest = Manifest.load(d.folder)
        adopt(manifest, f"{KEPT}-{key}", None, {})
        manifest.save(d.folder)
        sweep(d.folder, manifest)


def kept(d: Dissection) -> list[tuple[str, Kind, AblationRequest]]:
    """Return results that were kept and still hold: key, kind, request."""
    results = []
    for name, record in sorted(d.manifest.stages.items()):
        if name.startswith(f"{KEPT}-") and d.has(name):
            results.append((record.key, record.parameters["kind"], make_request(**record.parameters["request"])))
    return results


def stored(d: Dissection, kind: Kind, request: AblationRequest) -> Result | None:
    """Return a result that need not be run: kept by a user, or made by the stage `unlearning`.

    None where there is neither.
    """
    key = request.key(kind, inputs_of(d))
    name = f"{KEPT}-{key}"
    if name in d.manifest.stages and d.has(name):
        return Result(
            key, kind, request, d.kept_run(key).to_pylist(), *d.kept_arrays(key), tuple(d.notes(name)["notes"])
        )
    return _from_stage(d, kind, request, key) if d.has("unlearning") else None


def _from_stage(d: Dissection, kind: Kind, request: AblationRequest, key: str) -> Result | None:
    """Take a result from the stage, which runs every strategy with its defaults."""
    plain = AblationRequest(concept=request.concept, strategy=request.strategy)
    if (
        kind == "dose"
        or request.of_kind(kind).strategy not in COMPARED
        or request.of_kind(kind).settled() != plain.of_kind(kind).settled()
    ):
        return None
    rows = d.unlearning_runs.to_pylist()
    chosen = [
        i for i, row in enumerate(rows)
        if row["concept"] == request.concept and row["strategy"] != "random"
        and (kind == "compare" or (row["strategy"] == request.strategy and row["number"] == "own"))
    ]  # fmt: skip
    own = [rows[i] for i in chosen if rows[i]["number"] == "own"]
    if not own or own[0]["control"] or (kind == "compare" and {row["strategy"] for row in own} != set(COMPARED)):
        return None  # fewer strategies than a comparison has
    if any(
        row["count"] and sum(r["control"] != "" and r["strategy"] == row["strategy"] for r in own) < SEVERAL
        for row in own
        if not row["control"]
    ):
        return None  # fewer controls than a run should have
    by_class, layers = (np.asarray(values)[chosen] for values in (d.unlearning_by_class, d.unlearning_by_layer))
    after = np.asarray(d.unlearning_logits[rows[chosen[0]]["logits"]])
    notes = d.unlearning_notes[request.concept] if kind == "compare" else select_neurons(d, request).notes
    return Result(key, kind, request, [rows[i] for i in chosen], by_class, layers, after, tuple(notes))
