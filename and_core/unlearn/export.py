"""Taking an ablation out of the dashboard: the mask as JSON, and the pruned network as a checkpoint with a model card."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from and_core.errors import ConfigError, TargetError
from and_core.records import NeuronId
from and_core.store.dissection import Dissection
from and_core.unlearn.choose import Choice, choose
from and_core.unlearn.request import Request
from and_core.unlearn.result import Result

if TYPE_CHECKING:
    from and_core.targets.base import Target

FORMAT = "and-ablation-1"
CARD, MASK = "README.md", "ablation.json"


def mask_json(d: Dissection, request: Request, result: Result | None = None) -> str:
    """The ablated neurons, how they were chosen, and with what effect, for other tools."""
    choice = choose(d, request)
    provenance = d.provenance
    return json.dumps({
        "format": FORMAT, "target": provenance.get("target"), "checkpoint": provenance.get("checkpoint"), "dissection": d.name, "request": request.settled(),
        "layers": {name: np.flatnonzero(mask).tolist() for name, mask in choice.selection.masks.items() if mask.any()},
        "effect": _plain(result.rows[0]) if result is not None else None, "notes": list(choice.notes),
    }, indent=1, allow_nan=False)  # fmt: skip


def read_mask(path: Path, concept: str = "") -> Request:
    """A request for the neurons of a mask.

    Raises
    ------
    ConfigError
        No such file, or no mask.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise KeyError("format")
        neurons = tuple(str(NeuronId(layer, int(unit))) for layer, units in found["layers"].items() for unit in units)
        how = found["request"]["how"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"mask={str(path)!r} is no mask of this package ({FORMAT}): {error}") from None
    return Request(strategy="list", neurons=neurons, how=how, concept=concept or found["request"].get("concept", ""))


def save_pruned(d: Dissection, request: Request, folder: Path, result: Result | None = None, target: Target | None = None) -> float:
    """Write the pruned network in the target's own format, with a model card and the mask.

    Returns
    -------
    float
        Largest difference between the logits of the network under ablation and of the written one, loaded back, on the first batch of
        the tested clips; NaN where it can't be loaded from a configuration (kind ``module``).

    Raises
    ------
    ConfigError
        No neuron is selected, or the folder holds something else.
    TargetError
        The network can't be written so that it acts like the ablated one.
    """
    import torch

    from and_core.unlearn.ablate import Ablation
    from and_core.unlearn.evaluator import means_of, open_evaluator

    choice = choose(d, request)
    if not choice.count:
        raise ConfigError(f"{request.describe()}: {' '.join(choice.notes)}")
    if folder.exists() and any(folder.iterdir()) and not (folder / MASK).exists():
        raise ConfigError(f"folder={str(folder)!r} holds other files; give a new or an empty one")
    evaluator = open_evaluator(d, target)
    network = evaluator.target
    modules = network.modules()
    bound = [name for name, mask in choice.selection.masks.items() if mask.any() and _cannot_hold(modules[name], request.how)]
    if bound:
        raise TargetError(
            f"these layers can't be written pruned, as their weights are made anew in each pass or have no bias: {', '.join(bound[:8])}; "
            "leave them out with target.layers"
        )
    folder.mkdir(parents=True, exist_ok=True)
    means = means_of(d) if request.how == "mean" else None
    with Ablation(modules, choice.selection.masks), torch.no_grad():
        if means is not None:
            for name, mask in choice.selection.masks.items():
                units: Any = modules[name]
                units.bias.data[torch.from_numpy(np.flatnonzero(mask))] = torch.from_numpy(means[name][mask]).to(units.bias)
        network.save(folder)
        pruned = evaluator.first()
    (folder / MASK).write_text(mask_json(d, request, result) + "\n", encoding="utf-8")
    (folder / CARD).write_text(card(d, request, choice, result), encoding="utf-8")
    return float("nan") if network.kind == "module" else _loaded_back(d, folder, pruned)


def _cannot_hold(module: Any, how: str) -> bool:
    from torch.nn.utils.parametrize import is_parametrized

    return bool(is_parametrized(module) or (how == "mean" and module.bias is None))


def _loaded_back(d: Dissection, folder: Path, pruned: np.ndarray) -> float:
    from and_core.config import make_config
    from and_core.targets.base import TARGETS, pick_device
    from and_core.unlearn.evaluator import open_evaluator

    config = make_config(d.manifest.config)
    again = TARGETS.create(config.target.model_copy(update={"checkpoint": str(folder), **({"revision": None} if config.target.kind != "beats" else {})}))
    again.load(pick_device(config.activations.device))
    return float(np.abs(open_evaluator(d, again).first() - pruned).max())


def zipped(d: Dissection, request: Request, result: Result | None = None) -> bytes:
    """The folder of :func:`save_pruned` as one ZIP archive."""
    sink = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        save_pruned(d, request, Path(folder) / "pruned", result)
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((Path(folder) / "pruned").rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(folder))
    return sink.getvalue()


def card(d: Dissection, request: Request, choice: Choice, result: Result | None = None) -> str:
    """Model card: what was removed, how, and with what effect."""
    p, split = d.provenance, d.notes("split")
    layers = [f"| {name} | {int(mask.sum())} | {len(mask)} |" for name, mask in choice.selection.masks.items() if mask.any()]
    chosen_on = f"{split['choosing_clips']} clips that were not tested" if request.choose_on == "others" else "all clips, the tested ones among them"
    hidden = sum(layer.size for layer in d.layers if layer.kind != "fc")
    lines = [
        "---", "pipeline_tag: audio-classification", "tags: [audio, pruned, machine-unlearning]", "---", f"# {_inline(p.get('target'))}, pruned", "",
        f"Made from `{_inline(p.get('target'))}` (fingerprint `{p.get('checkpoint')}`) by ablating {choice.count} of {hidden} hidden neurons: "
        f"{_inline(request.describe())}.", "",
        "## What was removed", "",
        f"The neurons were chosen by {request.strategy}, from explanations over {chosen_on}. "
        + ("Each neuron's weight row is zero, and its bias its mean activation." if request.how == "mean" else "Each neuron's weight row and bias are zero.")
        + f" `{MASK}` lists them.", "", "| layer | removed | of |", "|---|---|---|", *layers, "",
        "Settings: `" + json.dumps(request.settled()).replace("`", "'") + "`", "", "## Effect", "",
    ]  # fmt: skip
    if result is None:
        lines.append("Not measured.")
    else:
        row = result.rows[0]
        folds = f" of fold {', '.join(map(str, split['tested_folds']))}" if split["tested_folds"] else ""
        lines += [
            f"On {split['tested_clips']} clips{folds}{' (synthetic sound)' if p['synthetic'] else ''}:",
            "",
            "| | value | 95 % interval |",
            "|---|---|---|",
        ]
        names = {"ablating": "change of the concept's own logit", "remaining": "change of the other classes' own logits", "gap": "gap (larger is better)"}
        lines += [f"| {said} | {_number(row[key])} | {_number(row[key + '_low'])} to {_number(row[key + '_high'])} |" for key, said in names.items()]
        lines += [f"| accuracy before, after | {row['accuracy_before']:.1f} %, {row['accuracy_after']:.1f} % | |"]
        if row["concept_accuracy_before"] == row["concept_accuracy_before"]:
            lines += [f"| accuracy on the concept's clips before, after | {row['concept_accuracy_before']:.1f} %, {row['concept_accuracy_after']:.1f} % | |"]
        fair = [r["gap"] for r in result.rows[1:] if r["control"] and r["gap"] == r["gap"]]
        if fair:
            lines += [f"| gap of as many random neurons in the same layers, {len(fair)} draws | {np.mean(fair):+.2f} | |"]
    return "\n".join(lines) + "\n"


def _inline(value: object) -> str:
    """A text from data on one line of Markdown, without markup."""
    return " ".join(str(value).split()).translate(str.maketrans("", "", "<>`|[]"))


def _number(value: float) -> str:
    return f"{value:+.2f}" if value == value else "not defined"


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and value != value else value for name, value in row.items()}
