"""`and-dissect concepts`: by which classes a tagger that serves as audio encoder hears each concept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from and_core.cli.console import OutFile, Yes, out, reported

if TYPE_CHECKING:
    from and_core.config import RunConfig
    from and_core.encoders.base import TextAudioEncoder


def concepts(
    config: Annotated[Path, typer.Argument(help="YAML file whose `audio_encoder` is of kind tagger.")],
    to: OutFile = None,
    yes: Yes = False,
) -> None:
    """Write the weights of a tagger's classes for each concept to a CSV that can be edited."""
    with reported():
        from and_core.cli.classes import confirm_file
        from and_core.config import load_config
        from and_core.labels.concept_classes import write_concept_classes

        checked = load_config(config)
        encoder, names = _encoder(checked), _concepts(checked)
        rows = encoder.concept_classes(names)
        grid = Table("concept", "class", "weight", "how", "similarity")
        for row in rows:
            grid.add_row(row.concept, row.class_name, f"{row.weight:.2f}", row.how, f"{row.similarity:.2f}")
        out.print(grid)
        path = to or config.with_name(f"{config.stem}.concepts.csv")
        confirm_file(path, yes)
        write_concept_classes(path, rows)
        folder, line = config.resolve().parent, path.resolve()
        shown = line.relative_to(folder) if line.is_relative_to(folder) else line
        named = len({row.concept for row in rows})
        out.print(f"{path}: {named} of {len(names)} concepts; edit the weights", markup=False, soft_wrap=True)
        out.print(f"add to audio_encoder in {config}:", markup=False, soft_wrap=True)
        out.print(f"map: {shown.as_posix()}", markup=False, soft_wrap=True)


def _concepts(config: RunConfig) -> list[str]:
    """Return the concept set; nothing is decoded."""
    from and_core.datasets.base import DATASETS
    from and_core.dissect.concepts import concept_set

    references = DATASETS.create(config.dataset).references()
    return concept_set(config.closed.concepts, sorted({label for ref in references for label in ref.labels}))


def _encoder(config: RunConfig) -> TextAudioEncoder:
    """Return the audio encoder, where it hears by classes."""
    from and_core.encoders.base import ENCODERS, TextAudioEncoder
    from and_core.errors import ConfigError

    made = None if config.audio_encoder is None else ENCODERS.create(config.audio_encoder)
    if not (isinstance(made, TextAudioEncoder) and made.by_class):
        given = None if made is None else made.kind
        raise ConfigError(f"audio_encoder.kind={given!r} hears by no classes, so there are no weights; allowed: tagger")
    return made
