"""Planting neurons of known meaning in a dissected network, and dissecting them like any other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from and_core.audio.quantities import clip_measures
from and_core.config import ProbeConfig, RunConfig, ScoresConfig, make_config
from and_core.datasets.base import DATASETS
from and_core.dissect.probe import first_half, probe_mask
from and_core.dissect.words import content_lemmas
from and_core.errors import DataError
from and_core.evaluate.confidence import BORNE_OUT, reliability
from and_core.evaluate.ears import best_concepts
from and_core.evaluate.planted_fit import fit_units
from and_core.evaluate.planted_forms import form_findings, form_rows
from and_core.evaluate.planted_quantities import quantity_findings, quantity_rows
from and_core.evaluate.planted_report import (
    HEARD,
    adjective_truths,
    confident_rows,
    findings,
    lost_rows,
    summary_rows,
    sure_rows,
)
from and_core.evaluate.planted_units import (
    Unit,
    can_be_told,
    choose_forms,
    choose_quantities,
    choose_units,
    chosen_of_layer,
    measured_words,
)
from and_core.evaluate.reliability import truth_of_concepts
from and_core.pipeline.neurons import blocks, source_numbers
from and_core.pipeline.recorded import check_harmless
from and_core.pipeline.stage import Progress, Run, Stage
from and_core.records import Layer
from and_core.store.dissection import SCORED, Dissection
from and_core.store.files import write_atomic
from and_core.store.kept_clips import kept_clips
from and_core.store.writer import StageWriter
from and_core.targets.base import TARGETS, pick_device
from and_core.unlearn.selection import concept_words

SHARE = 0.5  # of the source recordings that units are fitted on, where no other clips can be had
MEANING, WORKSHOP = "meaning.json", "planting"


def plant(
    d: Dissection, progress: Progress = lambda stage, done, total: None, config: RunConfig | None = None
) -> Dissection:
    """Fit units to known meanings on clips outside the probing set, add them to the network, and run the whole pipeline
    on them.

    The synthetic corpus is drawn anew under another seed for the fit; of any other dataset, half of the source
    recordings are kept for it and left out of the probing set. A unit of two meanings at once, or of a quantity, is
    planted where read-outs hold it on recordings that they were not fitted on.

    Parameters
    ----------
    config : RunConfig, optional
        The user's own. Without it, what the dissection has on record, which may start no program, open no address and
        read no variable.

    Returns
    -------
    Dissection
        ``NAME-planted``, beside `d` in the cache; the units and what each means stand in ``planting/NAME/``.

    Raises
    ------
    DataError
        The clips have no labels, or no layer can be read.
    """
    from and_core import pipeline

    recorded = config is None
    if recorded:
        check_harmless(make_config(d.manifest.config))
    root, config = d.folder.parent, make_config(d.manifest.config) if config is None else config
    if not d.classes:
        raise DataError(f"the clips of {d.name!r} have no labels, so there is nothing known to plant")
    layers = readable_layers(d.layers, linear_layers(config, recorded))
    if not layers:
        raise DataError(f"{d.name!r} has no hidden linear layer to plant units in")
    d = kept_clips(d)
    fitting, mask, probe = _fitting(d, config, progress, recorded)
    folder = root / WORKSHOP / d.name
    about, tensors = _fit(d, fitting, mask, probe, layers, config.seed, progress)
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "units.safetensors", save(tensors))
    write_atomic(folder / MEANING, json.dumps(about, indent=1, sort_keys=True).encode() + b"\n")
    planted = _planted_config(d, config, folder / "units.safetensors", probe)
    pipeline.run(planted, root=root, progress=progress, recorded=recorded)
    return Dissection(root / planted.name)


def _fit(
    d: Dissection,
    fitting: Dissection,
    mask: np.ndarray,
    probe: ProbeConfig,
    layers: Sequence[Layer],
    seed: int,
    progress: Progress,
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return what is planted in each layer, and the weights, fitted on some clips (`mask`) of a dissection."""
    labels, words = _meanings_of_clips(fitting, mask)
    measures = {name: values[mask] for name, values in clip_measures(fitting).items()}
    units = choose_units(labels, words, seed) + choose_quantities(measures) + choose_forms(labels, words, seed)
    probing = probe_mask(d.clips, probe, seed)
    first = first_half(d.clips, seed)[probing]
    probed = _meanings_of_clips(d, probing)
    units = [unit for unit in units if can_be_told(unit, *probed, first)]
    sources = source_numbers(fitting)[mask]
    tensors: dict[str, torch.Tensor] = {}
    of_layer, valid = {}, np.zeros((len(layers), len(units)), bool)
    for number, layer in enumerate(layers):
        features = np.asarray(fitting.layer_activations(layer.name))[mask]
        fitted = fit_units(features, units, labels, words, seed + number, measures, sources)
        valid[number] = fitted.valid
        of_layer[layer.name] = chosen_of_layer(units, fitted.valid)
        for name, values in vars(fitted.some(of_layer[layer.name])).items():
            if name != "valid":
                tensors[f"{layer.name}.{name}"] = torch.from_numpy(np.ascontiguousarray(values))
        progress("planting", number + 1, len(layers))
    tried = Counter(unit.kind for unit in units)
    about = {
        "units": [unit.as_dict() for unit in units],
        "layers": [layer.name for layer in layers],
        "of_layer": of_layer,
        "valid_share": {kind: round(float(valid[:, [u.kind == kind for u in units]].mean()), 4) for kind in tried},
        "fitted_on": int(mask.sum()),
        "seed": seed,
    }
    return about, tensors


def _meanings_of_clips(d: Dissection, mask: np.ndarray) -> tuple[list[tuple[str, ...]], list[frozenset[str]]]:
    """Return labels, and adjectives that measures bear out, of some of the clips."""
    rows = [row for row, used in zip(d.clip_table.to_pylist(), mask, strict=True) if used]
    return [clip.labels for clip, used in zip(d.clips, mask, strict=True) if used], measured_words(rows)


def _planted_config(d: Dissection, config: RunConfig, units: Path, probe: ProbeConfig) -> RunConfig:
    """Return the configuration of the dissection of the planted units."""
    base = config.target.model_dump()
    trained = {
        "trained_folds": list(base.get("trained_folds", ())),
        **({"pooling": base["pooling"]} if "pooling" in base else {}),
    }
    return config.model_copy(
        update={
            "name": f"{d.name}-planted",
            "unlearning": None,
            "listening": None,
            "training": None,
            "probe": probe,
            "scores": config.scores or ScoresConfig(),
            "icl": config.icl.model_copy(update={"layers": ("*",)}),
            "target": config.target.model_validate({"kind": "planted", "base": base, "path": str(units), **trained}),
        }
    )


def _fitting(
    d: Dissection, config: RunConfig, progress: Progress, recorded: bool
) -> tuple[Dissection, np.ndarray, ProbeConfig]:
    """Return where activations to fit on come from, which of its clips, and the probing set that is left."""
    from and_core import pipeline

    settings = DATASETS.create(config.dataset, recorded).fresh_settings()
    if settings is not None:
        dataset = config.dataset.model_copy(update=settings)
        fresh = config.model_copy(update={"name": "fitting", "dataset": dataset})
        inside = d.folder.parent / WORKSHOP / d.name
        pipeline.run(fresh, root=inside, only=["clips", "activations"], progress=progress, recorded=recorded)
        dissection = kept_clips(Dissection(inside / fresh.name))
        return dissection, np.ones(len(dissection.clips), bool), config.probe
    probe = config.probe.model_copy(update={"without_share": max(SHARE, config.probe.without_share)})
    return d, ~probe_mask(d.clips, probe, config.seed), probe


def compute(run: Run, writer: StageWriter) -> None:
    """Compute what the pipeline says of planted neurons, beside what they mean.

    Cost: R N log N, and R N M.
    """
    d = run.dissection
    concepts = d.document("texts/concepts")
    terms = concept_words(concepts, lambda texts: content_lemmas(texts, run.config.open.tagger))
    things = [
        set(lemmas)
        for lemmas in content_lemmas(
            [text or "" for text in d.table("explanations/explanations")["thing"].to_pylist()], run.config.open.tagger
        )
    ]
    planted = meanings(d)
    table = findings(d, planted, [terms[concept][0] for concept in concepts], things, run.explained_from)
    adjectives = adjective_truths(d, run.explained_from)
    writer.provenance = run.captioner.provenance
    if d.has("quantities"):
        quantities = quantity_findings(d, planted, run.explained_from)
        quantities.insert(0, "kind", table["kind"])
        writer.table("quantities", pa.Table.from_pandas(quantities, preserve_index=False))
        writer.json("quantity_rows", quantity_rows(quantities))
    if d.has("compositions"):
        forms = form_findings(d, planted, measured_words(d.clip_table.to_pylist()), run.explained_from)
        writer.table("forms", pa.Table.from_pandas(forms, preserve_index=False))
        writer.json("form_rows", form_rows(forms))
    writer.table("findings", pa.Table.from_pandas(table, preserve_index=False))
    writer.table("adjectives", pa.Table.from_pandas(adjectives, preserve_index=False))
    sure = np.asarray(d.confidence)
    methods = [m for m in d.document("scores/methods") if m in SCORED]
    writer.json("rows", _without_nan(summary_rows(table)))
    writer.json("lost", _without_nan(lost_rows(table)))
    named = [confident_rows(table, method, run.config.closed.similarity) for method in methods]
    writer.json("confident", _without_nan([*named, *sure_rows(table, adjectives)]))
    truth = truth_of_concepts(d.classes, d.label_mask, concepts)[run.explained_from]
    of_layers = [
        best_concepts(np.asarray(d.layer_activations(*part), np.float32).T[:, run.explained_from], truth)
        for part in blocks(d)
    ]
    own, area = (np.concatenate(column) for column in zip(*of_layers, strict=True))
    curves = {}
    for method in methods:
        top = np.asarray(d.best_concepts(method, run.config.closed.similarity)[:, 0])
        curves[method] = reliability(
            sure[d.document("scores/methods").index(method)], (top == own) & (area >= BORNE_OUT)
        )
    curves["adjectives"] = reliability(adjectives["confidence"].to_numpy(float), adjectives["holds"].to_numpy(bool))
    writer.json("reliability", curves)
    writer.notes = {
        "units": int((~table["kind"].isin(["random", "quantity"])).sum()),
        "fires_as_planted": int((table["auroc"] >= HEARD).sum()),
    }
    run.progress("planted", 1, 1)


def _without_nan(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows for JSON, which has no NaN."""
    return [{k: None if isinstance(v, float) and v != v else v for k, v in row.items()} for row in rows]


def parameters(run: Run) -> dict[str, Any]:
    """Return what the units mean."""
    settings: Any = run.target.settings
    return {"meaning": _on_record(settings.path)}


def _on_record(units: str) -> dict[str, Any]:
    """Return what stands beside a file of added units."""
    try:
        return json.loads((Path(units).parent / MEANING).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"what the planted units mean can't be read: {error}") from None


def linear_layers(config: RunConfig, recorded: bool = False) -> set[str]:
    """Return names of the network's linear layers: those that added units can read."""
    target = TARGETS.create(config.target, recorded)
    target.load(pick_device(config.activations.device))
    return {name for name, module in target.all_modules().items() if isinstance(module, torch.nn.Linear)}


def readable_layers(layers: list[Layer], linear: set[str]) -> list[Layer]:
    """Return the last linear layer of each block, so that units stand at several depths.

    Every hidden linear layer of a network without blocks.
    """
    hidden = [layer for layer in layers if layer.name in linear and layer.kind != "fc"]
    last = {layer.block: layer for layer in hidden if layer.block is not None}
    return list(last.values()) or hidden


def meanings(d: Dissection) -> list[Unit]:
    """Return what each neuron of a planted dissection was fitted to mean.

    Raises
    ------
    DataError
        The dissection is not of planted units, or what they mean is not on record.
    """
    target = d.manifest.config.get("target", {})
    if target.get("kind") != "planted":
        raise DataError(f"{d.name!r} holds no planted neurons; plant some: and-dissect plant {d.name}")
    raw = _on_record(target["path"])
    units = [Unit(**unit) for unit in raw["units"]]
    of_layer = raw.get("of_layer", {layer: range(len(units)) for layer in raw["layers"]})
    return [units[number] for layer in raw["layers"] for number in of_layer[layer]]


STAGE = Stage(
    "planted",
    "Comparing planted neurons with what is said of them",
    (
        "clips",
        "activations",
        "neurons",
        "texts",
        "calibration",
        "closed",
        "open",
        "explanations",
        "scores",
        "confidence",
    ),
    parameters,
    compute,
    optional=("tab", "icl", "quantities", "compositions"),
    wanted=lambda run: run.config.target.kind == "planted" and run.config.scores is not None,
)
