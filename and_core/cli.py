"""`and-dissect`: arguments to configuration to pipeline. One command per verb of the work."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from and_core.cli_listen import listen
from and_core.cli_paper import figure, table
from and_core.cli_plant import plant
from and_core.cli_prune import prune
from and_core.cli_study import study_app
from and_core.console import bars, out, reported
from and_core.errors import ANDError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode=None, help="Audio Network Dissection: what each neuron of an acoustic model listens to."
)
demo_app = typer.Typer(invoke_without_command=True, help="Build the embedded default and open the dashboard on it.")
app.add_typer(demo_app, name="demo")
app.command()(listen)
app.command()(prune)
app.command()(plant)
app.command()(table)
app.command()(figure)
data_app = typer.Typer(no_args_is_help=True, help="Look at a data set before it is dissected.")
app.add_typer(data_app, name="data")
app.add_typer(study_app, name="study")
Name = Annotated[str, typer.Argument(help="Name of a dissection in the cache, or its folder.")]
HOST, PORT = "127.0.0.1", 8501


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="YAML file, see README and examples/.")],
    only: Annotated[list[str] | None, typer.Option(help="Run this stage and no other (may be repeated).")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Recompute this stage and all after it.")] = None,
    force: Annotated[bool, typer.Option(help="Recompute even what has not changed.")] = False,
    reuse: Annotated[list[str] | None, typer.Option(help="A dissection whose results are taken over although they were made elsewhere.")] = None,
) -> None:
    """Dissect a network; a second run does only what changed, and goes on where an interrupted one stopped."""
    with reported():
        from and_core import pipeline
        from and_core.config import load_config

        checked = load_config(config)
        began = time.time()
        with bars() as progress:
            outcome = pipeline.run(checked, only=only or (), start=start, force=force, progress=progress, reuse=reuse or ())
        counts = f"{len(outcome.computed)} stages computed, {len(outcome.taken_over)} taken over, {len(outcome.unchanged)} unchanged"
        out.print(f"{checked.name}: {counts}, {time.time() - began:.0f} s")
        _print_left_out(outcome.folder)
        if outcome.unanswered is not None:
            raise ANDError(f"the language model answered no question at all: {outcome.unanswered}")


@app.command()
def status(config: Annotated[str, typer.Argument(help="YAML file, or the name of a dissection.")]) -> None:
    """Which stages are done, out of date, unfinished or not run."""
    with reported():
        from and_core import open_dissection, pipeline
        from and_core.config import load_config, make_config

        grid = Table("stage", "state")
        checked = load_config(config) if config.endswith((".yaml", ".yml")) else make_config(open_dissection(config).manifest.config)
        for stage, state in pipeline.status(checked):
            grid.add_row(stage, state)
        out.print(grid)


@app.command()
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


@app.command("list")
def list_command() -> None:
    """Dissections in the cache."""
    with reported():
        from and_core import list_dissections, open_dissection

        grid = Table("name", "target", "dataset", "neurons", "stages")
        for name in list_dissections():
            try:
                d = open_dissection(name)
                p = d.provenance
                count = str(d.neuron_count) if d.has("activations") else "-"
                grid.add_row(name, str(p.get("target", "-")), str(p.get("dataset", "-")), count, str(len(d.manifest.stages)))
            except ANDError as error:
                grid.add_row(name, f"damaged: {error}", "", "", "")
        out.print(grid)


@app.command()
def info(name: Name, neuron: Annotated[str | None, typer.Option(help="layer/unit, e.g. layer2_intermediate/412")] = None) -> None:
    """What a dissection rests on and holds; or everything about one neuron."""
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
        _print_left_out(d.folder)


@data_app.command("check")
def data_check(config: Annotated[Path, typer.Argument(help="YAML file whose `dataset` is checked.")]) -> None:
    """Count clips, classes, folds and sources of a data set, and name the files that are missing."""
    with reported():
        from and_core.config import load_config
        from and_core.datasets.base import DATASETS

        dataset = DATASETS.create(load_config(config).dataset)
        counts, missing = dataset.check()
        out.print(f"{dataset.describe()}: " + ", ".join(f"{n} {what}" for what, n in counts.items()))
        passed = dataset.passed_over()
        if passed:
            out.print("passed over: " + ", ".join(f"{n} {what}" for what, n in passed.items()), markup=False, soft_wrap=True)
        for name in missing:
            out.print(f"missing: {name}", markup=False, soft_wrap=True)
        if missing:
            out.print(f"{len(missing)} of {counts['clips']} files are missing")
            raise typer.Exit(1)


@app.command("app")
def app_command(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = HOST,
    port: Annotated[int, typer.Option(help="Port.")] = PORT,
    browser: Annotated[bool, typer.Option(help="Open a browser window.")] = True,
    allow: Annotated[list[str] | None, typer.Option(help="A host name by which the dashboard may be reached besides this machine's (may be repeated).")] = None,
) -> None:
    """Open the dashboard."""
    with reported():
        raise typer.Exit(serve(host, port, browser, allow or ()))


@demo_app.callback()
def demo(
    context: typer.Context,
    opened: Annotated[bool, typer.Option("--open/--no-open", help="Open the dashboard after the build.")] = True,
    port: Annotated[int, typer.Option(help="Port of the dashboard.")] = PORT,
) -> None:
    """Dissect the demo's networks and open the dashboard, on the first one while the others are being made."""
    if context.invoked_subcommand is not None:
        return
    with reported():
        if not opened:
            _build_demo()
            return
        from and_core.demo.build import NETWORKS

        building = subprocess.Popen([sys.executable, "-m", "and_core.cli", "demo", "--no-open"])  # its bars show here
        try:
            while building.poll() is None and not _explained(next(iter(NETWORKS))):
                time.sleep(0.2)
            if building.returncode:
                raise typer.Exit(building.returncode)
            raise typer.Exit(serve(HOST, port, True))
        finally:
            if building.poll() is None:
                building.send_signal(signal.SIGINT)  # what is finished stays; the next start goes on there
                building.wait()


def _build_demo() -> None:
    from and_core.demo.build import build

    began = time.time()
    with bars() as progress:
        outcomes = build(progress=progress)
    computed = sum(len(o.computed) for o in outcomes)
    out.print(f"demo ready: {computed} stages computed in {time.time() - began:.0f} s")


def _explained(name: str) -> bool:
    """Whether a dissection has neurons to show, each with what is said of it."""
    from and_core import open_dissection

    try:
        return open_dissection(name).has("explanations")
    except (ANDError, OSError):
        return False


@demo_app.command("train")
def demo_train(folder: Annotated[Path, typer.Option(help="Where the weights go.")] = Path("cache/models")) -> None:
    """Train the demo's networks and listeners again from nothing (three quarters of an hour on 2 cores)."""
    with reported():
        from and_core.demo.train import train

        with bars() as progress:
            reports = train(folder, progress=lambda done, total, what: progress(what.split(",")[0], done, total))
        for name, report in reports.items():
            out.print(name, report)


def serve(host: str, port: int, browser: bool, names: Sequence[str] = ()) -> int:
    """Run Streamlit on `app.py`, for this machine's own hosts and `names`; the exit status of the server."""
    script = Path(__file__).resolve().parents[1] / "app.py"
    if not script.exists():
        raise ANDError(f"the dashboard's app.py is not at {script}; run from a checkout")
    url = f"http://{host}:{port}"
    out.print(f"dashboard: {url}")
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.address", host, "--server.port", str(port)]
    command += ["--server.headless", "false" if browser and os.environ.get("DISPLAY", sys.platform != "linux") else "true"]
    try:
        told = ",".join(name for name in (*names, os.environ.get("AND_HOSTS", "")) if name)
        return subprocess.call(command, cwd=script.parent, env={**os.environ, "AND_HOSTS": told})
    except KeyboardInterrupt:
        return 0


def _print_left_out(folder: Path) -> None:
    from and_core import open_dissection

    d = open_dissection(folder)
    if d.has("clips"):
        for skipped in d.skipped:
            out.print(f"left out: {skipped.name}: {skipped.reason}", markup=False, soft_wrap=True)
        scaled, names = d.notes("clips").get("scaled", 0), d.notes("clips").get("scaled_names", [])
        if scaled:
            others = " and others" if scaled > len(names) else ""
            out.print(f"scaled down as a whole, being beyond full scale: {', '.join(names)}{others} ({scaled})", markup=False, soft_wrap=True)
    for stage, record in d.manifest.stages.items():
        if "failed_answers" in record.notes:
            count, reason = record.notes["failed_answers"], record.notes["failed_reason"]
            out.print(f"{stage}: the language model left {count} questions unanswered ({reason}); run again to ask them again", markup=False, soft_wrap=True)
    if d.has("captions"):
        missing = d.table("captions/missing")["name"].to_pylist()
        if missing:
            out.print(f"without caption: {', '.join(missing[:20])}{' and others' if len(missing) > 20 else ''} ({len(missing)})", markup=False, soft_wrap=True)


def _print_neuron(d: Any, neuron: str) -> None:
    out.print(neuron, style="bold", markup=False)
    if d.has("explanations"):
        said, e = d.headline(neuron), d.explanation(neuron)
        out.print(f"  {said.text} ({said.sureness})", markup=False, soft_wrap=True)
        if e["leading_class"]:
            out.print(f"  {e['class_count']} of {e['of']} highest clips: {e['leading_class']}", markup=False, soft_wrap=True)
    for point in d.summary(neuron):
        mark = "kept   " if point.kept else "dropped"
        why = f" (also low: {point.removed_by!r}, {point.similarity:.2f})" if not point.kept else ""
        out.print(f"  {mark} {point.reach}{point.text}{why}", markup=False)
    for side in ("high", "low"):
        for top in d.extreme_clips(neuron, side):
            out.print(f"  {side:4} {top.rank} {top.activation:+8.3f} {top.clip.label or ''} {top.clip.name}: {top.caption or ''}", markup=False, soft_wrap=True)


def main() -> None:
    """Entry point."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    app()


if __name__ == "__main__":
    main()
