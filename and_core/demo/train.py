"""All of the demo's weights again from nothing: AST, BEATs frozen and fine-tuned, the text-audio encoder, and what
listens to the AST."""

from __future__ import annotations

from pathlib import Path

from and_core.config import PluginConfig
from and_core.demo import train_ast, train_beats, train_clap, train_listening
from and_core.demo.training import synthesise
from and_core.encoders.base import ENCODERS
from and_core.progress import Progress, silent


def train(folder: Path, progress: Progress = silent) -> dict[str, dict[str, object]]:
    """Synthesise the clips once, train everything on them, and write one folder per network.

    Returns
    -------
    dict
        Name of the folder -> contents of its `recipe.json`.
    """
    sounds = synthesise(progress)
    reports, pretrained = train_beats.train(folder, sounds, progress=progress)
    encoder = ENCODERS.create(PluginConfig(kind="minilm", model="bundled"))
    reports["small-clap"] = train_clap.train(
        folder / "small-clap", sounds, pretrained, encoder, train_beats.BeatsRecipe().mel_bins, progress=progress
    )
    reports["ast"] = train_ast.train(folder / "ast", sounds, progress=progress)
    reports["listening"] = train_listening.train(folder / "listening", folder / "ast", sounds, progress=progress)
    return reports
