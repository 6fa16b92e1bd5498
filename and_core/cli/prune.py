"""`and-dissect prune`: ablate what responds to a concept, measure it, keep it, write the pruned network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from and_core.cli.console import AsRecorded, OwnConfig, bars, out, reported, trusted
from and_core.config import RunConfig
from and_core.errors import ConfigError, one_of
from and_core.store.dissection import Dissection
from and_core.unlearn.request import CRITERIA, HOW, SEEDS, STRATEGIES

Name = Annotated[str, typer.Argument(help="Name of a dissection in the cache, or its folder.")]


def prune(
    name: Name,
    concept: Annotated[str, typer.Option(help="What is unlearned.")] = "",
    strategy: Annotated[str, typer.Option(help=f"{', '.join(STRATEGIES)}.")] = STRATEGIES[0],
    top: Annotated[int, typer.Option(help="DB, TAB: the concept is among a neuron's so many closed concepts.")] = 3,
    leave_shared: Annotated[bool, typer.Option(help="OCP: leave out words that name several concepts.")] = False,
    substring: Annotated[bool, typer.Option(help="OCP: match as the reference implementation does.")] = False,
    synonyms: Annotated[
        float | None, typer.Option(help="OCP: count nouns with at least this cosine similarity to the concept's name.")
    ] = None,
    adjective: Annotated[str, typer.Option(help="adjective: which.")] = "",
    criterion: Annotated[str, typer.Option(help=f"criterion: {', '.join(CRITERIA)}.")] = CRITERIA[0],
    share: Annotated[float | None, typer.Option(help="criterion, random: share of the hidden neurons, 0 to 1.")] = None,
    neuron: Annotated[list[str] | None, typer.Option(help="list: layer/unit; may be repeated.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Neurons of a mask written before (ablation.json).")] = None,
    dose: Annotated[float, typer.Option(help="Share of the chosen neurons, the most responsive first.")] = 1.0,
    how: Annotated[str, typer.Option(help=f"{', '.join(HOW)}.")] = HOW[0],
    choose_on: Annotated[str, typer.Option(help="others: never look at the tested clips; all.")] = "others",
    seed: Annotated[int, typer.Option(help="Of random choices.")] = SEEDS[0],
    compare: Annotated[bool, typer.Option(help="All strategies beside one another, at equal numbers too.")] = False,
    curve: Annotated[bool, typer.Option(help="The dose curve.")] = False,
    keep: Annotated[bool, typer.Option(help="Keep the result in the dissection.")] = False,
    save: Annotated[Path | None, typer.Option(help="Folder for the pruned network.")] = None,
    config: OwnConfig = None,
    as_recorded: AsRecorded = False,
    every: Annotated[
        bool, typer.Option("--all", help="Every concept under every strategy (Table 4), as a stage of the dissection.")
    ] = False,
    importance: Annotated[
        bool, typer.Option(help="Accuracy by kinds of words (Fig. 4), as a stage of the dissection.")
    ] = False,
) -> None:
    """Ablate the neurons that respond to a concept, and measure what the network forgets."""
    with reported():
        from and_core import open_dissection
        from and_core.unlearn.export import read_mask, save_pruned
        from and_core.unlearn.request import make_request
        from and_core.unlearn.result import keep as keep_result

        d = open_dissection(name)
        if every or importance:
            _as_stages(d, every, importance, trusted(d, config, as_recorded))
            return
        if mask is not None:
            request = read_mask(d, mask, concept)
        else:
            wanted: dict[str, Any] = {
                "concept": _known(d, concept),
                "strategy": strategy,
                "top": top,
                "leave_shared": leave_shared,
                "substring": substring,
                "synonyms": synonyms,
                "adjective": adjective,
                "criterion": criterion,
                "neurons": tuple(neuron or ()),
                "dose": dose,
                "how": how,
                "choose_on": choose_on,
                "seed": seed,
            }
            request = make_request(**wanted, **({} if share is None else {"share": share}))
        if not d.has("split"):
            _check(d, request)
            _as_stages(d, False, False, trusted(d, config, as_recorded))
            d = open_dissection(name)
        result = _measured(d, "compare" if compare else "dose" if curve else "run", request)
        if keep:
            keep_result(d, result)
            out.print(f"kept in {d.name}")
        if save is not None:
            difference = save_pruned(d, request, save, None if compare or curve else result)
            out.print(
                f"pruned network in {save}; loaded back, its logits differ by at most {difference:.2g}",
                markup=False,
                soft_wrap=True,
            )


def _check(d: Dissection, request: Any) -> None:
    """Raise what can be told to be wrong before the tested split is made."""
    from and_core.unlearn.request import neuron_ids
    from and_core.unlearn.selection import by_list

    if request.strategy in ("DB", "TAB") and d.has("texts") and request.concept not in d.concept_set:
        raise one_of("concept", request.concept, d.concept_set)
    by_list(d.layers, neuron_ids(request.neurons))


def _known(d: Dissection, concept: str) -> str:
    """Return a concept as the concept set spells it, where it has it: `water drops` is `water_drops`."""
    if not d.has("texts"):
        return concept
    spelled = {c.replace("_", " "): c for c in d.concept_set}
    return spelled.get(" ".join(concept.replace("_", " ").split()), concept)


def _measured(d: Dissection, kind: Any, request: Any) -> Any:
    from and_core.figures.unlearning import FEWEST, tested_clips, tested_clips_of, tested_on
    from and_core.labels.outputs import accuracy_name
    from and_core.unlearn.evaluator import open_evaluator
    from and_core.unlearn.result import measure, stored

    result = stored(d, kind, request)
    if result is None:
        with bars() as progress:
            result = measure(
                d, kind, request, open_evaluator(d), lambda done, total: progress("Running the network", done, total)
            )
    grid = Table(
        title=f"{d.name}: {request.describe()}" if kind == "run" else f"{d.name}: {kind}, {request.concept}",
        title_justify="left",
    )
    for column in (
        "strategy",
        "neurons",
        "\u0394A",
        "\u0394R",
        "gap",
        "gap, 95 %",
        "gap, probability",
        f"{accuracy_name(d.multi_label)}, %",
        "concept, %",
    ):
        grid.add_column(column, overflow="fold")
    for row in result.rows:
        equal, control = (
            ", equal number" if row["number"] == "equal" else "",
            f", {row['control']}" if row["control"] else "",
        )
        concept = (
            "undefined"
            if row["concept_accuracy_before"] != row["concept_accuracy_before"]
            else _percents(row, "concept_accuracy")
        )
        changes = [_figure(row[key]) for key in ("ablating", "remaining", "gap")]
        between = f"{_figure(row['gap_low'])} to {_figure(row['gap_high'])}"
        grid.add_row(
            row["strategy"] + equal + control,
            f"{row['count']}",
            *changes,
            between,
            _figure(row["p_gap"], 3),
            _percents(row, "accuracy"),
            concept,
        )
    out.print(grid)
    clips = tested_clips_of(d, request.concept or "")
    few = f", fewer than {FEWEST}: too few for a verdict" if clips < FEWEST else ""
    out.print(
        f"{tested_on(tested_clips(d), len(d.tested_clips))}; {clips} of them of the concept{few}",
        markup=False,
        soft_wrap=True,
    )
    for note in result.notes:
        out.print(note, markup=False, soft_wrap=True)
    if result.rows and result.rows[0]["ablating"] != result.rows[0]["ablating"]:
        out.print(
            f"{request.concept or 'what is unlearned'} is no class of the network with tested clips, so \u0394A and "
            "the gap are undefined",
            markup=False,
        )
    return result


def _as_stages(d: Dissection, every: bool, importance: bool, own: RunConfig | None) -> None:
    """Run the stages, by the user's configuration or by the one on record.

    An interrupted run goes on where it stopped.
    """
    from and_core import pipeline
    from and_core.config import UnlearningConfig, make_config
    from and_core.targets.base import TARGETS

    config = make_config(d.manifest.config) if own is None else own
    if TARGETS.get(config.target.kind).from_python:
        raise ConfigError(
            "the target was given from Python; add unlearning to its configuration and run the pipeline from there, "
            "with target="
        )
    section = config.unlearning or UnlearningConfig(importance=False)
    changes: dict[str, Any] = {"concepts": "all", "fair": max(3, section.fair)} if every else {}
    section = section.model_copy(update=changes | ({"importance": True} if importance else {}))
    wanted = config.model_copy(update={"unlearning": section})
    names = [*(["unlearning"] if every else []), *(["importance"] if importance else [])]
    with bars() as progress:
        pipeline.run(
            wanted,
            root=d.folder.parent,
            only=["split", *names],
            progress=progress,
            recorded=own is None,
            reuse=[d.name],
        )
    for name in names:
        out.print(f"done; look at it with: and-dissect table {name} {d.name}")


def _percents(row: dict[str, Any], name: str) -> str:
    return f"{row[f'{name}_before']:.1f} to {row[f'{name}_after']:.1f}"


def _figure(value: float, digits: int = 2) -> str:
    return "undefined" if value != value else f"{value:+.{digits}f}"
