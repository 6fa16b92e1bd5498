"""`and-dissect study`: set up a study, invite raters, serve the rating page, see what the answers say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from and_core.cli.console import bars, out, reported
from and_core.display import csv_text

study_app = typer.Typer(no_args_is_help=True, help="Human studies: rating sessions and their results.")
Name = Annotated[str, typer.Argument(help="Name of a study in the cache.")]
Where = Annotated[
    str | None,
    typer.Option(
        "--database",
        help="URL of a PostgreSQL database (or AND_STUDY_DATABASE); default: SQLite in the study's folder.",
    ),
]
HOST, PORT = "127.0.0.1", 8600


def _lines(*lines: str) -> None:
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)


@study_app.command()
def new(
    plan: Annotated[Path, typer.Argument(help="STUDY.yaml, see docs/studies.md and examples/study/.")],
    database: Where = None,
) -> None:
    """Draw a study and store its whole plan; with `simulated` in it, simulated raters answer at once."""
    with reported():
        from and_core.study.plan import load_plan
        from and_core.study.simulate import simulate
        from and_core.study.study import create_study

        config = load_plan(plan)
        with bars() as progress:
            made = create_study(config, database=database, progress=progress)
            if config.simulated is not None:
                simulate(made.study, lambda done, total: progress("Simulated raters", done, total))
        controls = sum(item["control"] is not None for item in made.study.items.values())
        items = len(made.study.items) - controls
        _lines(
            f"study {config.name}: {items} items and {controls} controls for {config.raters} raters, plan "
            f"{made.study.fingerprint[:12]}"
        )
        for skipped in made.skipped:
            _lines(f"not asked: {skipped.name}: {skipped.reason}")
        _lines("owner's token (for the page Human studies; shown once):", f"  {made.owner_token}")
        if config.simulated is not None:
            _lines(f"answered by simulated raters; see: and-dissect study results {config.name}")
            return
        if config.join:
            _lines(
                "link for raters (shown once; put your own address before it):",
                f"  http://{HOST}:{PORT}/join/{made.join_token}",
            )
        _lines(
            f"personal links: and-dissect study invite {config.name} PSEUDONYM ...",
            f"then: and-dissect study serve {config.name}",
        )


@study_app.command("list")
def list_command(database: Where = None) -> None:
    """List the studies in the cache."""
    with reported():
        from and_core.errors import ANDError
        from and_core.study.report import Report
        from and_core.study.study import list_studies, open_study

        grid = Table("name", "", "raters", "answers", "dissections")
        for name in list_studies():
            try:
                report = Report(open_study(name, database=database))
                rows = report.progress()
                of, done = sum(r["of"] for r in rows), sum(r["answered"] for r in rows)
                dissections = ", ".join(report.study.config.dissections) + (
                    " (changed since)" if report.study.changed() else ""
                )
                grid.add_row(name, report.study.mark or "", str(len(rows)), f"{done} of {of}", dissections)
            except ANDError as error:
                grid.add_row(name, str(error), "", "", "")
        out.print(grid)


@study_app.command()
def invite(
    name: Name,
    pseudonyms: Annotated[
        list[str], typer.Argument(help="Pseudonyms; one that has a place gets a new link, and its old one ends.")
    ],
    address: Annotated[str, typer.Option(help="Address at which raters reach the server.")] = f"http://{HOST}:{PORT}",
    database: Where = None,
) -> None:
    """Print personal links, each shown once."""
    with reported():
        from and_core.study.study import open_study

        study = open_study(name, database=database)
        for pseudonym in pseudonyms:
            _lines(f"{pseudonym}: {address.rstrip('/')}/r/{study.invite(pseudonym)}")


@study_app.command("serve")
def serve_command(
    name: Name,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; anything but this machine belongs behind a proxy with TLS (docs/studies.md)."
        ),
    ] = HOST,
    port: Annotated[int, typer.Option(help="Port.")] = PORT,
    allow: Annotated[
        list[str] | None,
        typer.Option(help="A host name by which raters reach the server, such as the proxy's (may be repeated)."),
    ] = None,
    database: Where = None,
) -> None:
    """Serve the rating page, and nothing else."""
    with reported():
        from and_core.study.serve import serve
        from and_core.study.study import open_study

        serve(open_study(name, database=database), host, port, _lines, allow or ())


@study_app.command()
def progress(
    name: Name,
    items: Annotated[bool, typer.Option("--items", help="By item, not by rater.")] = False,
    database: Where = None,
) -> None:
    """Print who has answered how much."""
    with reported():
        from and_core.study.report import Report
        from and_core.study.study import open_study

        report = Report(open_study(name, database=database), exclude=False)
        rows = (
            [
                {k: r[k] for k in ("item", "task", "control", "neuron", "method", "answers", "planned")}
                for r in report.items()
            ]
            if items
            else report.progress()
        )
        grid = Table(*rows[0], title=_title(report.study), title_justify="left")
        for row in rows:
            grid.add_row(*(str(v) for v in row.values()))
        out.print(grid)
        _lines(*report.study.changed())


def _title(study: Any) -> str:
    return f"{study.config.title}{f' ({study.mark})' if study.mark else ''}"


@study_app.command()
def results(
    name: Name,
    everybody: Annotated[bool, typer.Option("--all", help="With raters that break a declared rule.")] = False,
    texts: Annotated[
        bool, typer.Option("--texts/--no-texts", help="Cosine and BERTScore of written texts (loads a text model).")
    ] = True,
    bertscore: Annotated[
        str | None, typer.Option(help="Folder of the model for BERTScore; default: the bundled MiniLM.")
    ] = None,
    database: Where = None,
) -> None:
    """Print Table 3 and all that stands beside it."""
    with reported():
        from and_core.cli.tables import print_part
        from and_core.figures.study import fault_part, result_parts
        from and_core.study.fault_attribution import ABOUT
        from and_core.study.report import Report
        from and_core.study.study import open_study

        report = Report(open_study(name, database=database), exclude=not everybody)
        out.print(_title(report.study))
        _lines(*report.study.changed())
        if not len(report.answers):
            _lines("Nobody has answered yet, so there is nothing to show.")
            return
        for who, why in report.excluded.items():
            _lines(f"{'breaks a rule' if everybody else 'left out'}: {who.strip('/')}: {'; '.join(why)}")
        parts = report.parts()
        rows, how = report.text_similarity(bertscore) if texts else ([], "")
        last = fault_part(parts["faults"], ABOUT)
        for part in [*result_parts(parts, rows, how, report.study.mark), *([last] if last else [])]:
            if part.cells:
                print_part(part)
        for flag in parts["flags"]:
            _lines(
                f"reported by {flag['who']}: {flag['fault']}, item {flag['item']} ({flag['neuron'] or 'control'}) "
                f"{flag['clip'] or ''} {flag['note']}"
            )


@study_app.command()
def export(
    name: Name,
    form: Annotated[str, typer.Option("--format", help="csv or parquet.")] = "csv",
    file: Annotated[
        Path | None,
        typer.Option("--out", help="File; default: NAME.csv or NAME.parquet, with NAME.dictionary.csv beside it."),
    ] = None,
    database: Where = None,
) -> None:
    """Write the long table, one row an answer, and what its columns mean."""
    with reported():
        import pandas as pd

        from and_core.errors import StudyError
        from and_core.store.files import write_atomic
        from and_core.study.answers import DICTIONARY, all_answers
        from and_core.study.answers import export as made
        from and_core.study.study import open_study

        frame = all_answers(open_study(name, database=database))
        path = file or Path(f"{name}.{form}")
        beside = path.with_suffix(".dictionary.csv")
        try:
            write_atomic(path, made(frame, form))
            write_atomic(beside, csv_text(pd.DataFrame(DICTIONARY.items(), columns=["column", "meaning"])).encode())
        except OSError as error:
            raise StudyError(f"out={str(path)!r} can't be written: {error.strerror}") from None
        _lines(f"{path}: {len(frame)} rows", f"{beside}: what its columns mean")


@study_app.command("import")
def import_command(
    name: Name,
    file: Annotated[Path, typer.Argument(help="Export of the same study at another site.")],
    site: Annotated[str, typer.Option(help="Name of that site.")],
    database: Where = None,
) -> None:
    """Pool the answers of another site that ran the very same plan."""
    with reported():
        from and_core.study.answers import import_answers
        from and_core.study.study import open_study

        added, here = import_answers(open_study(name, database=database), file, site)
        _lines(f"{added} rows added, {here} were here already")
