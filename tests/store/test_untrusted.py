"""What comes from elsewhere is data: configurations on record, models, data sets, texts and servers start, open, read
and change nothing."""

from __future__ import annotations

import ast
import io
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from and_core import open_dissection, pipeline
from and_core.cli.main import app
from and_core.config import PluginConfig, load_config
from and_core.datasets.base import DATASETS, read_rows
from and_core.encoders.base import ENCODERS
from and_core.errors import ANDError, ConfigError, DataError
from and_core.llms.base import LLMS
from and_core.pipeline.planting import plant
from and_core.pipeline.recorded import check_harmless, reaches
from and_core.store.manifest import Manifest
from and_core.targets.base import TARGETS
from tests.conftest import ROOT, small_config, tone

ACTING: dict[str, dict[str, Any]] = {
    "program": {"captions": {"kind": "salmonn", "repo": "/tmp", "python": sys.executable, "decode": __file__}},
    "among several": {
        "captions": {
            "kind": "several",
            "parts": [{"kind": "salmonn", "repo": "/tmp", "python": sys.executable, "decode": __file__}],
        }
    },
    "captioning server": {
        "captions": {"kind": "server", "base_url": "http://127.0.0.1:9/v1", "model": "m", "api_key_env": "MY_KEY"}
    },
    "server": {"llm": {"kind": "server", "base_url": "http://127.0.0.1:9/v1", "model": "m"}},
    "key": {"llm": {"kind": "server", "base_url": "http://127.0.0.1:9/v1", "model": "m", "api_key_env": "MY_KEY"}},
    "vllm": {"llm": {"kind": "vllm", "model": "m"}},
    "data set of a hub": {"dataset": {"kind": "hub", "id": "somebody/something"}},
    "weights by tag": {"closed": {"encoder": {"kind": "clip", "engine": "open_clip", "model": "openai"}}},
    "tagger": {"open": {"tagger": "this"}},
}


@pytest.mark.parametrize("what", ACTING)
def test_a_configuration_on_record_starts_opens_and_reads_nothing(
    own, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    config = small_config(**ACTING[what])
    assert reaches(config)
    with pytest.raises(ConfigError, match="--as-recorded"):
        check_harmless(config)
    manifest = Manifest.load(own.folder)
    manifest.config = config.model_dump(mode="json")
    manifest.save(own.folder)
    d = open_dissection(own.folder)
    with pytest.raises(ConfigError, match="on record"):
        plant(d)
    with pytest.raises(ConfigError, match="on record"):
        pipeline.run(config, root=own.folder.parent, recorded=True, reuse=["small"])


def test_what_acts_on_nothing_needs_no_word() -> None:
    check_harmless(small_config())
    assert reaches(small_config()) == []


def test_the_users_word_is_asked_for_and_shown(own, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AND_CACHE", str(own.folder.parent))
    manifest = Manifest.load(own.folder)
    manifest.config = small_config(**ACTING["key"]).model_dump(mode="json")
    manifest.save(own.folder)
    refused = CliRunner().invoke(app, ["prune", "small", "--all"])
    assert refused.exit_code == 1 and "MY_KEY" in refused.output and "http://127.0.0.1:9/v1" in refused.output
    shown = CliRunner().invoke(app, ["prune", "small", "--all", "--as-recorded"])
    assert "as recorded, llm: opens http://127.0.0.1:9/v1" in shown.output and "is not set" in shown.output
    (tmp_path / "other.yaml").write_text("name: other\ndataset: {kind: synthetic}\ntarget: {kind: ast}\n")
    wrong = CliRunner().invoke(app, ["prune", "small", "--all", "--config", str(tmp_path / "other.yaml")])
    assert wrong.exit_code == 1 and "is of 'other', not of 'small'" in " ".join(wrong.output.split())


@pytest.mark.parametrize(("registry", "section"), [
    (TARGETS, {"kind": "ast", "checkpoint": "somebody/something"}),
    (TARGETS, {"kind": "transformers", "checkpoint": "somebody/something"}),
    (ENCODERS, {"kind": "clip", "model": "somebody/something"}),
    (ENCODERS, {"kind": "clap", "model": "somebody/something"}),
    (ENCODERS, {"kind": "sentence_transformer", "model": "somebody/something"}),
    (LLMS, {"kind": "transformers", "model": "somebody/something"}),
])  # fmt: skip
def test_models_on_record_come_from_this_machine_alone(registry: Any, section: dict[str, Any]) -> None:
    made = registry.create(PluginConfig(**section), recorded=True)
    assert made.loading["local_files_only"] is True and made.loading["trust_remote_code"] is False
    with pytest.raises((ANDError, OSError)) as told:
        made.load("cpu") if registry is TARGETS else made.encode(["a"]) if registry is ENCODERS else made._loaded
    assert "somebody/something" in str(told.value)
    assert registry.create(PluginConfig(**section)).loading["local_files_only"] is False


def test_every_model_is_loaded_without_its_code() -> None:
    """Over the syntax trees: `from_pretrained` and its like take the plug-in's `loading`, or say
    ``trust_remote_code=False`` themselves."""
    seen = 0
    for path in [*ROOT.glob("and_core/**/*.py"), *ROOT.glob("pages/**/*.py"), ROOT / "app.py"]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            name = (
                call.func.attr
                if isinstance(call.func, ast.Attribute)
                else call.func.id
                if isinstance(call.func, ast.Name)
                else ""
            )
            where = f"{path.name}:{call.lineno}"
            said = {k.arg: k.value for k in call.keywords}
            if name in ("from_pretrained", "Model", "LLM", "SentenceTransformer", "pipeline") and (
                name == "from_pretrained" or path.parent.name in ("encoders", "llms")
            ):
                seen += 1
                given = said.get("trust_remote_code")
                plain = isinstance(given, ast.Constant) and given.value is False
                spread = [ast.unparse(k.value) for k in call.keywords if k.arg is None]
                assert (
                    plain
                    or (spread and spread[-1] in ("self.loading", "loading", "plain"))
                    or path.name == "salmonn_bridge.py"
                ), where
            if (
                name == "load"
                and isinstance(call.func, ast.Attribute)
                and ast.unparse(call.func.value) in ("torch", "np", "numpy")
            ):
                key, wanted = (
                    ("weights_only", True) if ast.unparse(call.func.value) == "torch" else ("allow_pickle", False)
                )
                assert isinstance(said.get(key), ast.Constant) and said[key].value is wanted, where  # type: ignore[attr-defined]
            assert name not in ("eval", "exec", "system", "popen") or (
                name == "eval" and isinstance(call.func, ast.Attribute)
            ), where
        imported = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        assert not imported & {"pickle", "marshal", "shelve", "dill", "joblib"}, path.name
    assert seen > 12


def test_the_floors_keep_what_refuses_code() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for package, least in (("sentence-transformers", 6), ("datasets", 4)):
        floors = [int(v) for v in re.findall(rf'"{package}>=(\d+)', text)]
        assert floors and min(floors) >= least, package


def test_a_tokenizer_that_comes_with_code_is_refused_without_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(
        '{"model_type": "clip", "auto_map": {"AutoConfig": "mine.Mine", "AutoTokenizer": ["mine.Mine", null]}}'
    )
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", null]}}'
    )
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'RAN')!r}, 'w').close()\nclass Mine: pass\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("y\ny\ny\ny\n"))
    for kind in ("clip", "clap", "sentence_transformer"):
        with pytest.raises((ANDError, TypeError, KeyError, AttributeError)):
            ENCODERS.create(PluginConfig(kind=kind, model=str(tmp_path))).encode(["a"])
    assert not (tmp_path / "RAN").exists()


def test_a_row_that_names_a_file_elsewhere_is_left_out(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the extra hub is not installed")
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq
    import soundfile as sf

    inside, outside = tmp_path / "set" / "data", tmp_path / "private.wav"
    inside.mkdir(parents=True)
    for path in (outside, inside / "own.wav"):
        sf.write(path, tone(), 16_000)
    (inside / "link.wav").symlink_to(outside)
    paths = [
        str(outside),
        "/dev/zero",
        str(inside / ".." / ".." / "private.wav"),
        str(inside / "link.wav"),
        "private.wav",
        str(inside / "own.wav"),
    ]
    rows = [{"bytes": None, "path": path} for path in paths] + [{"bytes": outside.read_bytes(), "path": "/etc/passwd"}]
    about = {"info": {"features": {"audio": {"_type": "Audio"}, "label": {"dtype": "string", "_type": "Value"}}}}
    table = pa.table(
        {
            "audio": pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            "label": ["a"] * len(rows),
        }
    )
    pq.write_table(
        table.replace_schema_metadata({b"huggingface": json.dumps(about).encode()}),
        inside / "train-00000-of-00001.parquet",
    )
    made = DATASETS.create(PluginConfig(kind="hub", id=str(tmp_path / "set")))
    made.fingerprint()
    heard = []
    for ref in made.references():
        try:
            made.read(ref)
            heard.append(ref.name)
        except DataError as error:
            assert "no part of the data set" in str(error)
    assert [name.rpartition("-")[2] for name in heard] == ["own.wav", "passwd"]


def test_a_table_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "meta.csv")
    with pytest.raises(DataError, match="no regular file"):
        list(read_rows(tmp_path / "meta.csv", ("filename",)))
    from and_core.dissect.concepts import concept_set

    with pytest.raises(ConfigError, match="no regular file"):
        concept_set(str(tmp_path / "meta.csv"), [])


LINES = "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9))


@pytest.mark.parametrize(
    "text",
    [
        f"a: &a [x, x, x, x, x, x, x, x, x]\n{LINES}name: *j\n",
        "name: &a [*a]\n",
        "name: &a {x: *a}\n",
        "name: " + "[" * 3000 + "]" * 3000 + "\n",
        "\x00",
        "name: !!python/object/apply:os.system [true]\n",
    ],
)
def test_a_configuration_that_explodes_is_refused_at_once(tmp_path: Path, text: str) -> None:
    (tmp_path / "bomb.yaml").write_text(text)
    began = time.monotonic()
    with pytest.raises(ConfigError):
        load_config(tmp_path / "bomb.yaml")
    assert time.monotonic() - began < 60
