"""`and-dissect listen`: parts of a clip as files, and which sounds move a neuron."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from and_core.cli.console import AsRecorded, OwnConfig, bars, out, reported, trusted


def listen(
    name: Annotated[str, typer.Argument(help="Name of a dissection in the cache, or its folder.")],
    neuron: Annotated[str | None, typer.Option(help="layer/unit: what this neuron listens to.")] = None,
    clip: Annotated[int | None, typer.Option(help="Number of a clip: the decision on it, taken apart.")] = None,
    folder: Annotated[Path, typer.Option("--out", help="Where the sounds go.")] = Path("listened"),
    clips: Annotated[
        int, typer.Option(min=1, max=20, help="Highest clips, and as many random ones, of the neuron.")
    ] = 3,
    config: OwnConfig = None,
    as_recorded: AsRecorded = False,
) -> None:
    """Write what is heard in a decision (--clip) or by a neuron (--neuron), as FLAC files and a table."""
    with reported():
        from and_core import open_dissection
        from and_core.errors import ConfigError, DataError

        if (neuron is None) == (clip is None):
            raise ConfigError("give --neuron layer/unit or --clip NUMBER, one of the two")
        d = open_dissection(name)
        trusted(d, config, as_recorded)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _clip(d, clip, folder) if clip is not None else _neuron(d, str(neuron), clips, folder)
        except OSError as error:
            raise DataError(f"out={str(folder)!r} can't be written: {error.strerror}") from None


def _clip(d, clip: int, folder: Path) -> None:  # type: ignore[no-untyped-def]
    from and_core.audio.media import flac, read_flac
    from and_core.listen.decision import component_sound, dissection_listener, interpret, keep_components

    wave, rate = read_flac(d.audio(clip))
    decision = interpret(d, wave, rate)
    listener = dissection_listener(d)
    to, classes = listener.target.sample_rate, listener.target.classes or []
    out.print(
        f"{d.clips[clip].name}: "
        f"{classes[decision.shown] if classes else decision.shown}{'; ' + decision.remark if decision.remark else ''}",
        markup=False,
    )
    if decision.remark:
        return
    tau = float(d.listening_report["tau"][0])
    relevant = decision.relevant(tau)
    parts = {"clip": decision.wave} | {f"component-{k}": component_sound(d, decision, k) for k in relevant}
    result = keep_components(d, decision, relevant)
    grid = Table("component", "relevance")
    for k in relevant:
        grid.add_row(str(k), f"{decision.relevance[k]:.2f}")
    out.print(grid)
    out.print(
        f"class on the clip, on what is kept, on what is left: {_share(decision.probabilities[decision.shown])}, "
        f"{_share(result.kept_probabilities[decision.shown])}, {_share(result.left_probabilities[decision.shown])}"
    )
    for what, sound in {**parts, "kept": result.kept, "left": result.left}.items():
        (folder / f"{what}.flac").write_bytes(flac(sound, to))
    out.print(f"{folder}: {len(parts) + 2} sounds", markup=False)


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _neuron(d, neuron: str, clips: int, folder: Path) -> None:  # type: ignore[no-untyped-def]
    from and_core.listen.attribution import MEANS, shapley_attribution
    from and_core.listen.localize import localized_picture, localized_sound

    name = d.neuron_id(d.index(neuron))
    for top in d.extreme_clips(name, "high"):
        for what in ("kept", "rest"):
            (folder / f"{top.rank}-{what}.flac").write_bytes(localized_sound(d, name, top.clip.index, what))
        (folder / f"{top.rank}-map.jpg").write_bytes(localized_picture(d, name, top.clip.index))
    out.print(f"{folder}: kept and rest of its highest clips, with a map of where it fires", markup=False)
    if not d.has("listening"):
        out.print("no dictionary was learned: add listening: {} to the configuration to see which sounds move it")
        return
    with bars() as progress:
        rows = shapley_attribution(
            d, name, clips, progress=lambda done, total: progress("Taking clips apart", done, total)
        )
    grid = Table("group", "high clips", "random clips", "taken out", "control", "own", "others", "holds")
    for row in rows[:10]:
        values = (row[key] for key in MEANS)
        figures = ("-" if v is None else f"{v:+.2f}" for v in values)
        grid.add_row(
            ", ".join(map(str, row["group"][:6])) or "all that is quiet", *figures, "yes" if row["holds"] else "no"
        )
    out.print(grid)
