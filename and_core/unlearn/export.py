"""Taking an ablation out of the dashboard: the mask as JSON,
and the pruned network as a checkpoint with a model card."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from and_core.display import markdown
from and_core.errors import ConfigError, TargetError
from and_core.records import How, NeuronId
from and_core.store.dissection import Dissection
from and_core.unlearn.request import AblationRequest, make_request
from and_core.unlearn.result import Result
from and_core.unlearn.selection import RankedSelection, select_neurons

if TYPE_CHECKING:
    from and_core.targets.base import Target
    from and_core.targets.points import HookPoint

FORMAT = "and-ablation-1"
CARD, MASK = "README.md", "ablation.json"
MOST_DIFFERENT = 1e-4  # of the logits of a written network and of the one that it was made from


def mask_json(d: Dissection, request: AblationRequest, result: Result | None = None) -> str:
    """Return the ablated neurons, how they were chosen, and with what effect, for other tools."""
    choice = select_neurons(d, request)
    provenance = d.provenance
    return json.dumps(
        {
            "format": FORMAT,
            "target": provenance.get("target"),
            "checkpoint": provenance.get("checkpoint"),
            "dissection": d.name,
            "request": request.settled(),
            "layers": {
                name: np.flatnonzero(mask).tolist() for name, mask in choice.selection.masks.items() if mask.any()
            },
            "effect": _plain(result.rows[0]) if result is not None else None,
            "notes": list(choice.notes),
        },
        indent=1,
        allow_nan=False,
    )


def read_mask(d: Dissection, path: Path, concept: str = "") -> AblationRequest:
    """Return a request for the neurons of a mask.

    Raises
    ------
    ConfigError
        No such file, no mask, or a mask of another network than the dissected one.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["format"] != FORMAT:
            raise KeyError("format")
        neurons = tuple(str(NeuronId(layer, int(unit))) for layer, units in raw["layers"].items() for unit in units)
        wanted = {name: raw["request"][name] for name in ("how", "choose_on")}
        checkpoint, named = raw["checkpoint"], raw["request"].get("concept", "")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"mask={str(path)!r} is no mask of this package ({FORMAT}): {error}") from None
    if checkpoint != d.provenance.get("checkpoint"):
        raise ConfigError(
            f"mask={str(path)!r} is of a network with fingerprint {checkpoint}; {d.name!r} is of "
            f"{d.provenance.get('checkpoint')}"
        )
    return make_request(strategy="list", neurons=neurons, concept=concept or named, **wanted)


def save_pruned(
    d: Dissection, request: AblationRequest, folder: Path, result: Result | None = None, target: Target | None = None
) -> float:
    """Write the pruned network in the target's own format, with a model card and the mask.

    Returns
    -------
    float
        Largest difference between the logits of the network with its activations patched and of the written one, loaded
        back, on the first batch of the tested clips; NaN where it can't be loaded from a configuration (kind
        ``module``).

    Raises
    ------
    ConfigError
        No neuron is selected, or the folder holds something else.
    TargetError
        The network can't be written so that it acts like the ablated one.
    """
    choice = select_neurons(d, request)
    if not choice.count:
        raise ConfigError(f"{request.describe()}: {' '.join(choice.notes)}")
    if folder.is_file() or (folder.exists() and any(folder.iterdir()) and not (folder / MASK).exists()):
        raise ConfigError(f"folder={str(folder)!r} holds something else; give a new or an empty one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place:
        made = Path(place) / "pruned"
        made.mkdir()
        difference = _write(d, request, choice, made, target)
        if difference > MOST_DIFFERENT:
            raise TargetError(
                f"the written network is not the ablated one: loaded back, its logits differ by up to {difference:.3g}"
            )
        (made / MASK).write_text(mask_json(d, request, result) + "\n", encoding="utf-8")
        (made / CARD).write_text(card(d, request, choice, result, difference), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(made, folder)
    return difference


def _write(
    d: Dissection, request: AblationRequest, choice: RankedSelection, folder: Path, target: Target | None
) -> float:
    """Write the weights under ablation.

    The largest difference between what is loaded back and the network with its activations patched.
    """
    import torch

    from and_core.targets.ablate import Ablation
    from and_core.targets.points import RECURRENT
    from and_core.unlearn.evaluator import open_evaluator

    evaluator = open_evaluator(d, target)
    network, masks = evaluator.target, choice.selection.masks
    points = network.hook_points()
    bound = [name for name, mask in masks.items() if mask.any() and _cannot_hold(points[name], request.how)]
    if bound:
        reason = (
            "as what is ablated there is not made by weights and a bias of the layer's own; leave them out with "
            "target.layers or target.hook_points"
        )
        raise TargetError(f"these layers can't be written pruned, {reason}: {', '.join(bound[:8])}")
    means = evaluator.means() if request.how == "mean" else None
    recurrent = {name: mask for name, mask in masks.items() if isinstance(points[name].module, RECURRENT)}
    others = {name: mask for name, mask in masks.items() if name not in recurrent}
    # others by hooks, which leave the weights alone: what is written must act alike
    with Ablation(points, recurrent), Ablation(points, others, "mean" if means is not None else "zero", means):
        patched = evaluator.first()
    with Ablation(points, masks), torch.no_grad():
        if means is not None:
            for name, mask in masks.items():
                module: Any = points[name].module
                module.bias.data[torch.from_numpy(np.flatnonzero(mask))] = torch.from_numpy(means[name][mask]).to(
                    module.bias
                )
        network.save(folder)
    settings = network.saved_settings(folder)
    return float("nan") if settings is None else _loaded_back(d, settings, patched)


def _cannot_hold(point: HookPoint, how: How) -> bool:
    from and_core.targets.ablate import holds_weight
    from and_core.targets.points import RECURRENT

    if isinstance(point.module, RECURRENT) and how != "weights":
        return True  # patched over time, while the hidden states go on inside
    return not holds_weight(point) or (how == "mean" and point.module.bias is None)


def _loaded_back(d: Dissection, settings: dict[str, Any], pruned: np.ndarray) -> float:
    from and_core.config import make_config
    from and_core.targets.base import TARGETS, pick_device
    from and_core.unlearn.evaluator import open_evaluator

    config = make_config(d.manifest.config)
    again = TARGETS.create(config.target.model_copy(update=settings), recorded=True)
    again.load(pick_device(config.activations.device))
    return float(np.abs(open_evaluator(d, again).first() - pruned).max())


def zip_pruned(d: Dissection, request: AblationRequest, path: Path, result: Result | None = None) -> None:
    """Write the folder of :func:`save_pruned` as one ZIP archive."""
    with tempfile.TemporaryDirectory() as place:
        save_pruned(d, request, Path(place) / "pruned", result)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted((Path(place) / "pruned").rglob("*")):
                if file.is_file():
                    archive.write(file, file.relative_to(place))


def card(
    d: Dissection,
    request: AblationRequest,
    choice: RankedSelection,
    result: Result | None = None,
    difference: float = float("nan"),
) -> str:
    """Return the model card: what was removed, how, and with what effect."""
    p, split = d.provenance, d.notes("split")
    layers = [
        f"| {markdown(name)} | {int(mask.sum())} | {len(mask)} |"
        for name, mask in choice.selection.masks.items()
        if mask.any()
    ]
    hidden = sum(layer.size for layer in d.layers if layer.kind != "fc")
    lines = [
        "---",
        "pipeline_tag: audio-classification",
        "tags: [audio, pruned, machine-unlearning]",
        "---",
        f"# {markdown(p.get('target'))}, pruned",
        "",
        f"Made from `{markdown(p.get('target'))}` (fingerprint `{p.get('checkpoint')}`) by ablating {choice.count} of "
        f"{hidden} hidden neurons: "
        f"{markdown(request.describe())}.",
        "",
        "## What was removed",
        "",
        f"{_chosen(d, request)} "
        + (
            "Each neuron's weight row is zero, and its bias its mean activation."
            if request.how == "mean"
            else "Each neuron's weight row and bias are zero."
        )
        + f" `{MASK}` lists them.",
        "",
        "| layer | removed | of |",
        "|---|---|---|",
        *layers,
        "",
        "Settings: `" + json.dumps(request.settled()).replace("`", "'") + "`",
        "",
        "## Effect",
        "",
    ]
    if difference == difference:
        lines += [
            f"Loaded back, the network's logits differ from those under ablation by at most {difference:.2g}.",
            "",
        ]
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
        names = {
            "ablating": "change of the concept's own logit",
            "remaining": "change of the other classes' own logits",
            "gap": "gap (larger is better)",
        }
        lines += [
            f"| {label} | {_number(row[key])} | {_number(row[key + '_low'])} to {_number(row[key + '_high'])} |"
            for key, label in names.items()
        ]
        lines += [f"| accuracy before, after | {row['accuracy_before']:.1f} %, {row['accuracy_after']:.1f} % | |"]
        if row["concept_accuracy_before"] == row["concept_accuracy_before"]:
            lines += [
                f"| accuracy on the concept's clips before, after | {row['concept_accuracy_before']:.1f} %, "
                f"{row['concept_accuracy_after']:.1f} % | |"
            ]
        fair = [r["gap"] for r in result.rows[1:] if r["control"] and r["gap"] == r["gap"]]
        if fair:
            lines += [
                f"| gap of as many random neurons in the same layers, {len(fair)} draws | {np.mean(fair):+.2f} | |"
            ]
    return "\n".join(lines) + "\n"


def _chosen(d: Dissection, request: AblationRequest) -> str:
    """Return how the neurons were chosen, and what that has seen of the tested clips."""
    split = d.notes("split")
    if request.strategy == "random":
        return f"The neurons were drawn at random, seed {request.seed}."
    if request.strategy == "list":
        return "The neurons were given as a list; how it was made is not known here."
    seen = (
        f"{split['explained_and_tested']} of the {split['tested_clips']} tested clips among them"
        if split["explained_and_tested"]
        else "none of them tested"
    )
    where = (
        f"{split['choosing_clips']} clips, none of them tested"
        if request.choose_on == "others"
        else f"all clips that the dissection explains from, {seen}"
    )
    return f"The neurons were chosen by {request.strategy}, from explanations over {where}."


def _number(value: float) -> str:
    return f"{value:+.2f}" if value == value else "not defined"


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and value != value else value for name, value in row.items()}
