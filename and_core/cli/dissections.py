"""`and-dissect list`, `info`, `validate` and `rm`: what lies on disk."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from and_core.cli.console import out, reported
from and_core.cli.run import print_left_out
from and_core.errors import ANDError

Name = Annotated[str, typer.Argument(help="Name of a dissection in the cache, or its folder.")]


def validate(name: Name) -> None:
    """Check every file of a dissection against its hash, and name what was made elsewhere."""
    with reported():
        from and_core import open_dissection
        from and_core.store.seal import sealed

        dissection = open_dissection(name)
        faults = list(dissection.validate())
        for artifact, fault in faults:
            out.print(f"{artifact}: {fault}", markup=False, soft_wrap=True)
        foreign = sorted(dissection.manifest.stages.keys() - sealed(dissection.folder, dissection.manifest))
        if foreign:
            out.print(f"made elsewhere, or by an earlier version: {', '.join(foreign)}", markup=False, soft_wrap=True)
        if not dissection.manifest.sha256:
            out.print("the manifest has no hash of its own: it was written by an earlier version")
        out.print(f"{len(dissection.manifest.artifacts)} artifacts, {len(faults)} faults")
        if faults:
            raise typer.Exit(1)


def list_command(sizes: Annotated[bool, typer.Option("--sizes", help="Say what each takes on disk.")] = False) -> None:
    """List the dissections in the cache."""
    with reported():
        from and_core import list_dissections, open_dissection
        from and_core.store.disk import disk_use, other_use
        from and_core.store.files import cache_root

        root = cache_root()
        grid = Table("name", "target", "dataset", "neurons", "stages", *(["own", "shared"] if sizes else []))
        for name in list_dissections(root):
            taken = []
            if sizes:
                use = disk_use(root / name)
                taken = [megabytes(use.own), megabytes(use.shared)]
            try:
                d = open_dissection(name)
                p = d.provenance
                count = str(d.neuron_count) if d.has("activations") else "-"
                row = [str(p.get("target", "-")), str(p.get("dataset", "-")), count, str(len(d.manifest.stages))]
            except ANDError as error:
                row = [f"damaged: {error}", "", "", ""]
            grid.add_row(name, *row, *taken)
        out.print(grid)
        out.print(f"cache: {root}", soft_wrap=True)
        if sizes:
            out.print("own: freed when the dissection is removed; shared: files that other dissections hold as well")
            for name, size in other_use(root).items():
                out.print(f"{name}: {megabytes(size)}", soft_wrap=True)


def megabytes(size: int) -> str:
    """Return a number of bytes in megabytes, as commands print it."""
    return f"{size / 1e6:,.1f} MB"


def remove(
    name: Annotated[str, typer.Argument(help="Name of a dissection in the cache.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a dissection; files that other dissections share stay with them."""
    with reported():
        from and_core.store.disk import disk_use, remove_dissection
        from and_core.store.files import cache_root, safe_name

        root = cache_root()
        folder = root / safe_name(name, "dissection")
        if folder.is_dir():
            use = disk_use(folder)
            out.print(
                f"{folder}: {megabytes(use.own)} of its own, {megabytes(use.shared)} shared with other dissections",
                soft_wrap=True,
            )
        if not yes and folder.is_dir() and not typer.confirm(f"delete {name!r}?"):
            raise typer.Exit(1)
        use = remove_dissection(root, name)
        out.print(f"{name}: deleted, {megabytes(use.own)} freed")


def info(
    name: Name, neuron: Annotated[str | None, typer.Option(help="layer/unit, e.g. layer2_intermediate/412")] = None
) -> None:
    """Print what a dissection rests on and holds; or everything about one neuron."""
    with reported():
        from and_core import open_dissection

        d = open_dissection(name)
        if neuron is not None:
            _print_neuron(d, neuron)
            return
        for key, value in d.provenance.items():
            out.print(f"{key:12} {value}", markup=False)
        for stage, record in d.manifest.stages.items():
            notes = ", ".join(f"{k} {v}" for k, v in record.notes.items() if isinstance(v, int | float | str))
            out.print(f"  {stage:14} {notes}", markup=False, soft_wrap=True)
        print_left_out(d.folder)


def _print_neuron(d: Any, neuron: str) -> None:
    out.print(neuron, style="bold", markup=False)
    if d.has("explanations"):
        headline, e = d.headline(neuron), d.explanation(neuron)
        out.print(f"  {headline.text} ({headline.sureness})", markup=False, soft_wrap=True)
        if e["leading_class"]:
            out.print(
                f"  {e['class_count']} of {e['of']} highest clips: {e['leading_class']}", markup=False, soft_wrap=True
            )
    for point in d.summary(neuron):
        mark = "kept   " if point.kept else "dropped"
        why = f" (also low: {point.removed_by!r}, {point.similarity:.2f})" if not point.kept else ""
        out.print(f"  {mark} {point.reach}{point.text}{why}", markup=False)
    for side in ("high", "low"):
        for top in d.extreme_clips(neuron, side):
            out.print(
                f"  {side:4} {top.rank} {top.activation:+8.3f} {top.clip.label or ''} {top.clip.name}: "
                f"{top.caption or ''}",
                markup=False,
                soft_wrap=True,
            )
