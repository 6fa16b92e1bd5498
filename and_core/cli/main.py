"""`and-dissect`: one command per verb of the work."""

from __future__ import annotations

import logging
import os

import typer

from and_core.cli import dashboard, dissections
from and_core.cli.classes import classes
from and_core.cli.concepts import concepts
from and_core.cli.correct import correct
from and_core.cli.data import data_check
from and_core.cli.ears import ears
from and_core.cli.listen import listen
from and_core.cli.plant import plant
from and_core.cli.prune import prune
from and_core.cli.run import run, status
from and_core.cli.study import study_app
from and_core.cli.tables import figure, table

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Audio Network Dissection: what each neuron of an acoustic model listens to.",
)
for command in (
    run,
    status,
    classes,
    concepts,
    correct,
    ears,
    dissections.validate,
    dissections.info,
    listen,
    prune,
    plant,
    table,
    figure,
):
    app.command()(command)
app.command("list")(dissections.list_command)
app.command("rm")(dissections.remove)
app.command("app")(dashboard.app_command)

demo_app = typer.Typer(invoke_without_command=True, help="Build the embedded default and open the dashboard on it.")
demo_app.callback()(dashboard.demo)
demo_app.command("train")(dashboard.demo_train)
data_app = typer.Typer(no_args_is_help=True, help="Look at a data set before it is dissected.")
data_app.command("check")(data_check)
for group, name in ((demo_app, "demo"), (data_app, "data"), (study_app, "study")):
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command that the arguments name."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    app()
