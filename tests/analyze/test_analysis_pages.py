"""Words, clusters, maps and strategies as pages, tables, figures and commands show them."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from and_core import open_dissection, pipeline
from and_core.analyze.clusters import sentences_of
from tests.conftest import command, small_config
from tests.dashboard import app, page_html, page_text


@pytest.mark.parametrize("path", ["pages/words.py", "pages/layers.py", "pages/strategies.py"])
def test_pages(path: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dissection) -> None:
    monkeypatch.setenv("AND_CACHE", str(cache))
    test = app(dissection="small").run().switch_page(path).run()
    text = page_html(test) + page_text(test)
    assert not test.exception
    if path == "pages/words.py":
        assert (
            "Which adjectives describe the network" in text
            and "clusters of their sentences" in text
            and "Are the words true?" in text
        )
        assert 'class="and-cloud"' in text and "/clips/small/" in text
        if dissection.notes("clusters")["clusters"] > 1:
            test.session_state["cluster"] = 1
            test.run()
            assert not test.exception
    elif path == "pages/strategies.py":
        assert "What the paper says, and what this data says" in text and "Only one dissection stands" in text
    else:
        assert "captions do not agree, by depth" in text and "Words by depth" in text
        test.session_state["k"], test.session_state["counted_by"] = 20, "kind of layer"
        test.run()
        assert not test.exception
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    pipeline.run(small_config(unlearning=None), root=tmp_path, only=["clips", "activations", "neurons"])
    bare = app(dissection="small").run().switch_page(path).run()
    assert not bare.exception and "has not been run yet" in page_html(bare)


NOT_RUN = ("planted", "listening", "tuning", "tuning-neurons", "steering")  # of the small dissection


def test_every_table_and_figure_is_a_file(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from and_core.figures.catalogue import TABLES
    from and_core.figures.gallery import FIGURES

    monkeypatch.setenv("AND_CACHE", str(cache))

    for name in TABLES:
        for form in ("text", "csv", "markdown", "latex"):
            answer = command("table", name, "small", "--format", form)
            assert (
                answer.startswith("0 ")
                or "not enough" in answer
                or "enough neurons" in answer
                or (name in NOT_RUN and "has not been run yet" in answer)
            ), (
                name,
                form,
                answer[:300],
            )
    assert "\\begin{tabular}" in command("table", "clusters", "small", "--format", "latex") and "| cluster" in command(
        "table", "clusters", "small", "--format", "markdown"
    )
    for name in FIGURES:
        answer = command("figure", name, "small", "--out", str(tmp_path / name))
        drawn = answer.startswith("0 ") and list((tmp_path / name).glob("*.html"))
        assert drawn or "nothing to draw" in answer or (name in NOT_RUN and "has not been run yet" in answer), (
            name,
            answer[:300],
        )
    assert "format='gif' is not known" in command("figure", "adjectives", "small", "--format", "gif")
    assert "figure='nine' is not known; allowed: adjectives" in command("figure", "nine", "small")
    (tmp_path / "file").write_text("")
    assert "can't be written" in command("figure", "clusters", "small", "--out", str(tmp_path / "file"))


@pytest.mark.browser
def test_figures_as_pictures(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from typer.testing import CliRunner

    from and_core.cli.main import app as commands

    pytest.importorskip("kaleido", reason="kaleido is not installed (pip install -e '.[figures]')")
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    monkeypatch.setenv("AND_CACHE", str(cache))
    done = CliRunner().invoke(
        commands, ["figure", "clusters", "small", "--out", str(tmp_path), "--format", "svg", "--format", "png"]
    )
    assert done.exit_code == 0, done.output
    assert (tmp_path / "elbow.svg").read_text().startswith("<svg") and (tmp_path / "elbow.png").read_bytes()[
        :4
    ] == b"\x89PNG"


def test_statements_are_of_this_data(dissection) -> None:
    from and_core.figures.strategies import STATEMENTS, statements, trend

    rows = statements([dissection])
    assert [r["statement"] for r in rows] == list(STATEMENTS.values())
    fit = dissection.document("word_counts/blocks")["adjective"]
    assert rows[0]["trend"] == trend(fit) and f"{fit['slope']:+.3f}" in rows[0]["this data"]


@pytest.mark.parametrize(
    ("name", "training", "fit", "verdict"),
    [
        ("words", "supervised", (-0.5, -0.7, -0.3), ("falls", "yes")),
        ("words", "supervised", (0.5, 0.3, 0.7), ("rises", "no")),
        ("words", "supervised", (-0.5, -1.2, 0.2), ("no trend is shown", "not shown")),
        ("words", "fine-tuned", (-0.2, -0.3, -0.1), ("falls", "yes")),
        ("words", "fine-tuned", (-0.9, -1.0, -0.8), ("falls", "no")),
        ("words", "frozen", (0.01, -0.01, 0.03), ("flat", "yes")),
        ("words", "frozen", (0.1, -0.4, 0.6), ("no trend is shown", "not shown")),
        ("interpretable", "frozen", (-0.5, -0.6, -0.4), ("falls", "no")),
        ("interpretable", "fine-tuned", (-0.5, -0.6, -0.4), ("falls", "")),
        ("words", None, (-0.5, -0.7, -0.3), ("falls", "")),
    ],
)
def test_what_a_slope_says_of_the_paper(
    name: str, training: str | None, fit: tuple[float, float, float], verdict: tuple[str, str]
) -> None:
    from and_core.figures.strategies import _agrees, trend

    def line(slope: float, low: float, high: float) -> dict:
        return {
            "blocks": [0, 1, 2, 3],
            "means": [2.0, 2.0, 2.0, 2.0],
            "slope": slope,
            "slope_low": low,
            "slope_high": high,
        }

    assert (trend(line(*fit)), _agrees(name, training, line(*fit), [line(-0.5, -0.6, -0.4)])) == verdict


def test_agreement_with_the_paper_needs_to_be_shown(tmp_path: Path, cache: Path) -> None:
    import shutil

    from and_core.figures.strategies import statements

    shutil.copytree(cache / "small", tmp_path / "small")
    pipeline.run(small_config(training="supervised"), root=tmp_path)
    rows = statements([open_dissection("small", root=tmp_path)])
    assert rows[0]["training"] == "supervised" and rows[0]["agrees"] in ("yes", "no", "not shown")
    assert next(r for r in rows if "last layer" in r["statement"])["agrees"] == "", (
        "one network is best and worst at once"
    )
    assert all(r["agrees"] == "" for r in statements([open_dissection("small", root=cache)])[:3]), (
        "nothing to agree with where training is not given"
    )


def test_what_a_listener_says_stays_and_what_a_chat_says_goes() -> None:
    kept = [
        "I can hear a dog barking in the distance.",
        "I would describe it as loud.",
        "In the background, steps follow a car.",
        "Great, loud booms are heard.",
    ]
    assert sentences_of(" ".join(kept)) == kept
    assert sentences_of(
        "Sure! Here is a description of the audio: As an AI I can't hear. A dog barks. Let me know if you need more."
    ) == ["A dog barks."]


def test_tables_print_captions_as_they_stand(capsys: pytest.CaptureFixture[str]) -> None:
    from and_core.cli.tables import print_part
    from and_core.figures.catalogue import Part

    print_part(Part("of [b]", [{"said": "[/INST] bad", "[i]": "hello [music] x"}], "no [link]"))
    shown = capsys.readouterr().out
    assert "[/INST] bad" in shown and "hello [music] x" in shown and "of [b]" in shown and "no [link]" in shown


def test_a_network_without_blocks_and_dead_neurons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from typer.testing import CliRunner

    from and_core.cli.main import app as commands
    from and_core.config import make_config
    from and_core.targets.base import TARGETS

    pool, first = torch.nn.AdaptiveAvgPool1d(64), torch.nn.Linear(64, 8)
    parts = {"pool": pool, "first": first, "relu": torch.nn.ReLU(), "last": torch.nn.Linear(8, 4)}
    network = torch.nn.Sequential(OrderedDict(parts))
    torch.nn.init.zeros_(first.weight[:5])
    torch.nn.init.constant_(first.bias, 0.5)  # so that no other falls silent
    raw = small_config(unlearning=None, audio_encoder=None).model_dump() | {
        "name": "plain",
        "target": {"kind": "module", "title": "own", "classifier": "last"},
        "dataset": {"kind": "synthetic", "per_category": 1},
        "k": 5,
    }
    config = make_config(raw)
    target = TARGETS.create(config.target)
    pipeline.run(config, root=tmp_path, target=target.bind(network, torch.from_numpy))  # type: ignore[attr-defined]
    d = open_dissection("plain", root=tmp_path)
    dead = d.table("neurons/statistics")["dead"].to_numpy()
    assert dead.sum() == 5 and not np.asarray(d.array("interpretability/most_5"))[dead].any(), (
        "a dead neuron shares nothing"
    )
    assert (
        np.isnan(d.table("acoustics/means")["amplitude"].to_numpy()[dead]).all()
        and np.isnan(np.asarray(d.array("map/activation"))[dead]).all()
    )
    assert [row["neurons"] for row in d.document("word_counts/layers")] == [3, 4]
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    for path in ("pages/words.py", "pages/layers.py", "pages/strategies.py"):
        test = app(dissection="plain").run().switch_page(path).run()
        assert not test.exception and (path == "pages/words.py" or "no blocks" in page_html(test)), path
    done = CliRunner().invoke(commands, ["figure", "words-by-depth", "plain", "--out", str(tmp_path / "out")])
    assert done.exit_code == 1 and "nothing to draw" in done.output and isinstance(done.exception, SystemExit)
