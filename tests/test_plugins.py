"""One contract test per kind of plug-in, over every registered entry."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from and_core.captioners.base import CAPTIONERS
from and_core.config import PluginConfig
from and_core.datasets.base import DATASETS
from and_core.dissect.summarize import SUMMARIZERS
from and_core.encoders.base import ENCODERS
from and_core.errors import ANDError, ConfigError, DataError, TargetError
from and_core.targets.base import TARGETS
from and_core.targets.capture import Capture
from and_core.targets.precision import agreement, choose_precision
from tests.conftest import tone


def esc_folder(root: Path) -> Path:
    (root / "audio").mkdir(parents=True)
    (root / "meta").mkdir()
    rows = ["filename,fold,target,category,esc10,src_file,take,title"]
    for i in range(4):
        name = f"{i % 2 + 1}-{100 + i // 2}-A-{i % 2}.wav"
        sf.write(root / "audio" / name, tone(0.5, hz=300 + 200 * i), 16_000)
        rows.append(f"{name},{i % 2 + 1},{i % 2},{'dog' if i % 2 else 'rain'},True,{100 + i // 2},A,my_{'dog' if i % 2 else 'rain'}.wav")
    (root / "meta" / "esc.csv").write_text("\n".join(rows) + "\n")
    return root


def class_folder(root: Path) -> Path:
    for label in ("dog", "rain"):
        (root / label).mkdir(parents=True)
        sf.write(root / label / "a.wav", tone(), 16_000)
    return root


def urban_folder(root: Path) -> Path:
    rows = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    for i in range(4):
        (root / "audio" / f"fold{i % 2 + 1}").mkdir(parents=True, exist_ok=True)
        sf.write(root / "audio" / f"fold{i % 2 + 1}" / f"{i}-0.wav", tone(0.5, hz=300 + 200 * i), 16_000)
        rows.append(f"{i}-0.wav,{i // 2},0,1,1,{i % 2 + 1},{i % 2},{'dog' if i % 2 else 'rain'}")
    (root / "metadata").mkdir()
    (root / "metadata" / "UrbanSound8K.csv").write_text("\n".join(rows) + "\n")
    return root


def genre_folder(root: Path) -> Path:
    for genre in ("dog", "rain"):
        (root / "genres_original" / genre).mkdir(parents=True)
        sf.write(root / "genres_original" / genre / f"{genre}.00000.wav", tone(), 22_050)
    return root


DATASET_SETTINGS: dict[str, Callable[[Path], dict]] = {
    "esc50": lambda p: {"path": str(esc_folder(p / "esc"))},
    "urbansound8k": lambda p: {"path": str(urban_folder(p / "urban"))},
    "gtzan": lambda p: {"path": str(genre_folder(p / "gtzan"))},
    "folder": lambda p: {"path": str(class_folder(p / "folder"))},
    "synthetic": lambda p: {"per_category": 2, "categories": ["dog", "rain"]},
}


@pytest.mark.parametrize("kind", DATASETS.names())
def test_every_dataset(kind: str, tmp_path: Path) -> None:
    config = PluginConfig(kind=kind, **DATASET_SETTINGS[kind](tmp_path))
    dataset = DATASETS.create(config)
    refs = dataset.references()
    assert refs and [r.name for r in refs] == [r.name for r in dataset.references()]
    assert len({r.name for r in refs}) == len(refs)
    assert {r.label for r in refs} == {"dog", "rain"}
    wave, rate = dataset.read(refs[0])
    assert wave.ndim == 1 and wave.dtype == np.float32 and np.abs(wave).max() <= 1 and rate >= 8_000
    assert np.array_equal(wave, dataset.read(refs[0])[0])
    assert dataset.fingerprint() == DATASETS.create(config).fingerprint()
    assert dataset.describe() and dataset.provenance in ("computed", "imported", "synthetic")
    counts, missing = dataset.check()
    assert counts["clips"] == len(refs) and counts["classes"] == 2 and missing == []


def test_missing_files_are_named_before_anything_is_decoded(tmp_path: Path) -> None:
    root = urban_folder(tmp_path / "urban")
    (root / "audio" / "fold1" / "2-0.wav").unlink()
    dataset = DATASETS.create(PluginConfig(kind="urbansound8k", path=str(root)))
    assert dataset.check() == ({"clips": 4, "classes": 2, "folds": 2, "sources": 2}, ["2-0.wav"])
    with pytest.raises(DataError, match="holds no genres_original"):
        DATASETS.create(PluginConfig(kind="gtzan", path=str(root))).references()


def test_a_changed_file_changes_the_fingerprint(tmp_path: Path) -> None:
    config = PluginConfig(kind="folder", path=str(class_folder(tmp_path / "x")))
    before = DATASETS.create(config).fingerprint()
    sf.write(tmp_path / "x" / "dog" / "a.wav", tone(hz=441), 16_000)
    assert DATASETS.create(config).fingerprint() != before


def test_esc50_faults_are_named(tmp_path: Path) -> None:
    root = esc_folder(tmp_path / "esc")
    table = root / "meta" / "esc.csv"
    good = table.read_text()
    for broken, message in (
        (good.replace("category", "kategorie", 1), "lacks the columns category"),
        (good.replace("1-100-A-0.wav,1,", "../../etc/passwd,1,", 1), "outside audio"),
        (good.replace("1-100-A-0.wav,1,", "1-100-A-0.wav,one,", 1), "fold='one'"),
        (good + "5-1-A-0.wav\n", "line 6: fold, category is empty"),
        (good.replace("rain", "r\udce4in"), "can't be read"),
    ):
        table.write_bytes(broken.encode("utf-8", "surrogateescape"))
        with pytest.raises(DataError, match=message):
            DATASETS.create(PluginConfig(kind="esc50", path=str(root))).references()
    (root / "meta" / "other.csv").write_text(good)
    with pytest.raises(DataError, match="one CSV in meta/ is needed, 2 found"):
        DATASETS.create(PluginConfig(kind="esc50", path=str(root))).references()


TRUTH = {"true_background": "hiss", "true_background_db": -15.0, "true_distance": "far"}
ROWS = [
    {"name": "a.wav", "label": "dog", "title": "my_dog.wav", "level": -10.0, "recipe": "dog/0/0", **TRUTH},
    {"name": "b.wav", "label": "rain", "title": "", "level": -40.0, "recipe": "rain/0/0", **TRUTH},
]


def caption_file(folder: Path) -> str:
    path = folder / "captions.json"
    path.write_text(json.dumps({"a.wav": "a dog", "c.wav": "unknown"}))
    return str(path)


CAPTIONER_SETTINGS: dict[str, Callable[[Path], dict]] = {
    "acoustic": lambda p: {}, "corpus": lambda p: {}, "column": lambda p: {"column": "title"}, "file": lambda p: {"path": caption_file(p)},
    "several": lambda p: {"parts": [{"kind": "column", "column": "title"}, {"kind": "acoustic"}]},
}  # fmt: skip


@pytest.mark.parametrize("kind", CAPTIONERS.names())
def test_every_captioner(kind: str, tmp_path: Path) -> None:
    captioner = CAPTIONERS.create(PluginConfig(kind=kind, **CAPTIONER_SETTINGS[kind](tmp_path)))
    found = captioner.captions(ROWS, lambda i: (tone(), 16_000))
    assert len(found) == 2 and isinstance(found[0], str) and found[0]
    assert found == captioner.captions(ROWS, lambda i: (tone(), 16_000))
    again = CAPTIONERS.create(PluginConfig(kind=kind, **CAPTIONER_SETTINGS[kind](tmp_path)))
    assert captioner.describe() and captioner.fingerprint() == again.fingerprint()
    assert again.notes(ROWS) == captioner.notes(ROWS), "remarks depend on the rows alone, not on having captioned"
    if kind in ("column", "file"):
        assert found[1] is None  # a clip without caption is said to have none


def test_caption_files(tmp_path: Path) -> None:
    table = tmp_path / "captions.csv"
    table.write_text("filename,caption\nx/a,first\nb.wav,second\n")
    file = CAPTIONERS.create(PluginConfig(kind="file", path=str(table)))
    assert file.captions(ROWS, None) == ["first", "second"]  # type: ignore[arg-type]
    unknown = CAPTIONERS.create(PluginConfig(kind="file", path=caption_file(tmp_path)))
    assert unknown.notes(ROWS) == {"unknown": ["c.wav"], "unknown_count": 1}
    same = [{"name": "dog/a.wav"}, {"name": "rain/a.wav"}]
    table.write_text("filename,caption\na.wav,which?\n")
    with pytest.raises(DataError, match="could be any of dog/a.wav, rain/a.wav"):
        CAPTIONERS.create(PluginConfig(kind="file", path=str(table))).captions(same, None)  # type: ignore[arg-type]
    table.write_text("filename,caption\ndog/a.wav,one\nrain/a.wav,two\n")
    assert CAPTIONERS.create(PluginConfig(kind="file", path=str(table))).captions(same, None) == ["one", "two"]  # type: ignore[arg-type]
    for text, message in (("a,b\n1,2\n", "a column of names"), ("filename,caption\nz.wav,x\n", "none of its 1 names")):
        table.write_text(text)
        with pytest.raises(DataError, match=message):
            CAPTIONERS.create(PluginConfig(kind="file", path=str(table))).captions(ROWS, None)  # type: ignore[arg-type]
    bad = tmp_path / "bad.json"
    bad.write_text("[1, 2]")
    with pytest.raises(DataError, match="JSON object"):
        CAPTIONERS.create(PluginConfig(kind="file", path=str(bad))).captions(ROWS, None)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no column of the dataset"):
        CAPTIONERS.create(PluginConfig(kind="column", column="nothing")).captions(ROWS, None)  # type: ignore[arg-type]


def tiny_clip(folder: Path) -> str:
    """A random CLIP text tower with a tokenizer of single letters."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPTokenizer

    folder.mkdir()
    letters = [chr(c) for c in range(33, 127)]
    vocab = {t: i for i, t in enumerate([*letters, *(c + "</w>" for c in letters), "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    ends = {"bos_token_id": len(vocab) - 2, "eos_token_id": len(vocab) - 1, "pad_token_id": len(vocab) - 1}
    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 16}
    CLIPTextModelWithProjection(CLIPTextConfig(vocab_size=len(vocab), **ends, **small)).save_pretrained(folder)
    return str(folder)


def test_clip_reads_to_the_end_mark_and_cuts_long_texts(tmp_path: Path) -> None:
    encoder = ENCODERS.create(PluginConfig(kind="clip", model=tiny_clip(tmp_path / "clip")))
    texts = ["a dog barking", "rain", "x" * 500]
    together = encoder.encode(texts)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    for i, text in enumerate(texts):
        assert np.allclose(encoder.encode([text])[0], together[i], atol=1e-5), "padding must not be heard"
    assert encoder._loaded[1].config.hidden_act == "quick_gelu"  # type: ignore[attr-defined]
    with pytest.raises(DataError, match="can't be loaded"):
        ENCODERS.create(PluginConfig(kind="clip", model=str(tmp_path / "none"))).encode(["x"])


@pytest.mark.parametrize("kind", [k for k in ENCODERS.names() if k != "clip"])  # random weights have no meaning to check
def test_every_encoder(kind: str) -> None:
    minilm = ENCODERS.create(PluginConfig(kind="minilm", model="bundled"))
    settings = {"minilm": {"model": "bundled"}, "sentence_transformer": {"model": str(minilm._folder), "device": "cpu"}}[kind]  # type: ignore[attr-defined]
    if kind == "sentence_transformer":
        pytest.importorskip("sentence_transformers", reason="the extra sentence-transformers is not installed")
    encoder = ENCODERS.create(PluginConfig(kind=kind, **settings))
    texts = ["a dog barking", "the bark of a dog", "rain falling", "x"]
    vectors = encoder.encode(texts)
    assert vectors.dtype == np.float32 and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.7 > vectors[0] @ vectors[2]
    assert np.allclose(encoder.encode(texts[::-1])[::-1], vectors, atol=1e-5)
    assert len(encoder.encode([])) == 0 and encoder.fingerprint() and encoder.describe()
    assert np.allclose(vectors, minilm.encode(texts), atol=1e-4)  # two loaders of one model


def tiny_ast(folder: Path, **changes: object) -> str:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24, "max_length": 64, "num_mel_bins": 32}
    config = ASTConfig(**{**small, "num_labels": 3, **changes})
    ASTForAudioClassification(config).save_pretrained(folder)
    ASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(folder)
    return str(folder)


SMALL_BEATS = {
    "input_patch_size": 16, "embed_dim": 12, "encoder_layers": 2, "encoder_embed_dim": 16, "encoder_ffn_embed_dim": 24, "encoder_attention_heads": 2,
    "conv_pos": 4, "conv_pos_groups": 2, "relative_position_embedding": True, "gru_rel_pos": True, "deep_norm": True, "num_buckets": 32, "max_distance": 800,
}  # fmt: skip


def tiny_beats(path: Path, layout: str = "microsoft", **changes: object) -> str:
    """A random BEATs as Microsoft's fine-tuned files, its pre-trained ones, or the AND authors' flat ones are laid out."""
    from and_core.nets.beats import Beats, BeatsConfig, initialise

    torch.manual_seed(0)
    cfg = {**SMALL_BEATS, "finetuned_model": layout == "microsoft", "predictor_class": 3, "some_new_key": 1, **changes}
    model = Beats(BeatsConfig.from_dict(cfg))
    torch.manual_seed(0)
    initialise(model)
    path = path.with_suffix(".pt")
    state = {k: v.clone() for k, v in model.state_dict().items()}
    if layout == "flat":
        head = torch.nn.Linear(16, 3)
        torch.save({**{f"beats.{k}": v for k, v in state.items()}, "fc.weight": head.weight.data, "fc.bias": head.bias.data}, path)
    else:
        extra = {"label_dict": {0: "/m/a", 1: "/m/b", 2: "/m/c"}} if layout == "microsoft" else {}
        torch.save({"cfg": cfg, "model": state, **extra}, path)
    return str(path)


def test_beats_checkpoints_of_every_layout(tmp_path: Path) -> None:
    outputs = {}
    for layout in ("microsoft", "pretrained", "flat"):
        target = TARGETS.create(PluginConfig(kind="beats", checkpoint=tiny_beats(tmp_path / layout, layout)))
        target.load("cpu")
        names = [x.name for x in target.layers()]
        assert names == ["layer0_fc1", "layer0_fc2", "layer1_fc1", "layer1_fc2"] + ([] if layout == "pretrained" else ["fc"])
        with Capture(target.modules(), target.pool, None if layout != "pretrained" else names[-1]) as capture:
            capture.run(lambda: target.forward(target.features([tone(0.5)])))  # noqa: B023
        outputs[layout] = capture.outputs["layer1_fc2"]
        assert target.classes == {"microsoft": ["/m/a", "/m/b", "/m/c"], "pretrained": None, "flat": ["class 0", "class 1", "class 2"]}[layout]
    assert torch.equal(outputs["microsoft"], outputs["pretrained"]) and torch.equal(outputs["microsoft"], outputs["flat"])


def test_beats_does_not_hear_padding_and_pools_as_said(tmp_path: Path) -> None:
    checkpoint = tiny_beats(tmp_path / "net")
    alone, batch = tone(0.64), tone(1.5, hz=900)
    for pooling in ("mean", "max", "first", "reference"):
        target = TARGETS.create(PluginConfig(kind="beats", checkpoint=checkpoint, pooling=pooling))
        target.load("cpu")
        found = []
        for waves in ([alone], [alone, batch]):
            with Capture(target.modules(), target.pool) as capture:
                logits = capture.run(lambda: target.forward(target.features(waves)))  # noqa: B023
            found.append(capture.outputs["layer1_fc2"][0])
            if pooling != "reference":
                assert torch.allclose(capture.outputs["fc"], logits, atol=1e-6)
        assert torch.allclose(found[0], found[1], atol=1e-5), pooling
    with pytest.raises(TargetError, match="BEATs has no class token; allowed: mean"):
        TARGETS.create(PluginConfig(kind="beats", checkpoint=checkpoint, pooling="cls"))


def test_wrong_beats_checkpoints_are_named(tmp_path: Path) -> None:
    def load(path: object) -> None:
        TARGETS.create(PluginConfig(kind="beats", checkpoint=str(path))).load("cpu")

    good = torch.load(tiny_beats(tmp_path / "good"), weights_only=True)
    path = tmp_path / "bad.pt"
    for change, message in (
        (lambda c: c["model"].pop("encoder.layers.1.fc1.bias"), "missing encoder.layers.1.fc1.bias"),
        (lambda c: c["model"].update(extra=torch.zeros(1)), "unknown extra"),
        (lambda c: c["cfg"].update(encoder_embed_dim=20, encoder_attention_heads=2), "of another shape encoder"),
        (lambda c: c.pop("cfg"), "is no checkpoint of BEATs"),
        (lambda c: c["model"]["encoder.layers.1.self_attn.relative_attention_bias.weight"].add_(1), "must be one table"),
    ):  # fmt: skip
        bad = {"cfg": dict(good["cfg"]), "model": {k: v.clone() for k, v in good["model"].items()}}
        change(bad)
        torch.save(bad, path)
        with pytest.raises(TargetError, match=message):
            load(path)
    torch.save({"cfg": Path("x"), "model": {}}, path)  # an object that only unpickling could make
    with pytest.raises(TargetError, match="files that run code are never loaded"):
        load(path)
    with pytest.raises(TargetError, match="no such file"):
        load(tmp_path / "none.pt")


@pytest.mark.parametrize("kind", TARGETS.names())
def test_every_target(kind: str, tmp_path: Path) -> None:
    checkpoint = {"ast": tiny_ast, "beats": tiny_beats}[kind](tmp_path / "net")
    target = TARGETS.create(PluginConfig(kind=kind, checkpoint=checkpoint, pooling="mean"))
    assert target.fingerprint() and target.describe()
    target.load("cpu")
    layers = target.layers()
    first = {"ast": ["layer0_attention_output", "layer0_intermediate", "layer0_output"], "beats": ["layer0_fc1", "layer0_fc2", "layer1_fc1"]}[kind]
    assert [x.name for x in layers][:3] == first and layers[-1].name == "fc"
    assert [x.offset for x in layers] == np.cumsum([0, *(x.size for x in layers[:-1])]).tolist()
    features = target.features([tone(0.2), tone(3.0), tone(0.001)])
    with Capture(target.modules(), target.pool) as capture:
        logits = capture.run(lambda: target.forward(features))
    assert logits.shape == (3, len(target.classes or []))
    assert {n: tuple(v.shape) for n, v in capture.outputs.items()} == {x.name: (3, x.size) for x in layers}
    assert torch.allclose(capture.outputs["fc"], logits, atol=1e-6)
    assert not any(m._forward_hooks for m in target.all_modules().values()), "hooks were left behind"


def test_ast_poolings_and_layers(tmp_path: Path) -> None:
    checkpoint = tiny_ast(tmp_path / "net")
    outputs = {}
    for pooling in ("cls", "mean", "max", "first", "reference"):
        target = TARGETS.create(PluginConfig(kind="ast", checkpoint=checkpoint, pooling=pooling, layers=["layer0_*"]))
        target.load("cpu")
        whole: list[torch.Tensor] = []
        handle = target.modules()["layer0_output"].register_forward_hook(lambda m, a, o: whole.append(o))  # noqa: B023
        with Capture(target.modules(), target.pool, "layer0_output") as capture:
            assert capture.run(lambda: target.forward(target.features([tone()]))) is None  # noqa: B023
        handle.remove()
        outputs[pooling] = capture.outputs["layer0_output"]
        expected = {
            "cls": whole[0][:, 0],
            "reference": whole[0][:, 0],
            "mean": whole[0][:, 2:].mean(1),
            "max": whole[0][:, 2:].amax(1),
            "first": whole[0][:, 2],
        }
        assert torch.allclose(outputs[pooling], expected[pooling], atol=1e-6)
        assert list(capture.outputs) == ["layer0_attention_output", "layer0_intermediate", "layer0_output"]
    with pytest.raises(TargetError, match="matches no layer; there are: layer0_attention_output"):
        target = TARGETS.create(PluginConfig(kind="ast", checkpoint=checkpoint, layers=["block*"]))
        target.load("cpu")
        target.layers()


class OldBlock(torch.nn.Module):
    """A block as transformers 4 named its modules."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.attention = Named(output=hold_dense(size, size))
        self.intermediate = hold_dense(size, 2 * size)
        self.output = hold_dense(2 * size, size)


class Named(torch.nn.Module):
    def __init__(self, **parts: torch.nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def hold_dense(into: int, out: int) -> Named:
    return Named(dense=torch.nn.Linear(into, out))


def test_ast_layers_have_one_name_in_both_layouts() -> None:
    old = Named(audio_spectrogram_transformer=Named(encoder=Named(layer=torch.nn.ModuleList([OldBlock(4), OldBlock(4)]))), classifier=hold_dense(4, 3))
    target = TARGETS.create(PluginConfig(kind="ast"))
    target._model = old  # type: ignore[attr-defined]
    assert [(x.name, x.size) for x in target.layers()] == [
        (f"layer{i}_{kind}", size) for i in range(2) for kind, size in (("attention_output", 4), ("intermediate", 8), ("output", 4))
    ] + [("fc", 3)]


def test_wrong_checkpoints_are_named(tmp_path: Path) -> None:
    def load(checkpoint: str) -> None:
        TARGETS.create(PluginConfig(kind="ast", checkpoint=checkpoint)).load("cpu")

    with pytest.raises(TargetError, match="neither a folder nor a hub id"):
        load("nowhere")
    folder = Path(tiny_ast(tmp_path / "net"))
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[: len(data) // 2])
    with pytest.raises(TargetError, match="can't be loaded"):
        load(str(folder))
    weights.write_bytes(data)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(TargetError, match=r"missing or of another shape: .*2"):
        load(str(folder))
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(TargetError, match="holds a 'bert'"):
        load(str(folder))


def test_precision_is_chosen_by_trying(tmp_path: Path) -> None:
    target = TARGETS.create(PluginConfig(kind="ast", checkpoint=tiny_ast(tmp_path / "net")))
    target.load("cpu")
    features = target.features([tone(0.3), tone(0.5, hz=900)])
    assert choose_precision(target, features, "auto", "cpu") == "float32"
    assert choose_precision(target, features, "bfloat16", "cpu") == "bfloat16"
    assert 0.9 < agreement(target, features, "bfloat16", "cpu") <= 1


def test_every_summarizer_is_registered_and_described() -> None:
    assert "commonality" in SUMMARIZERS.names()
    for kind in SUMMARIZERS.names():
        assert SUMMARIZERS.create(PluginConfig(kind=kind)).describe()


@pytest.mark.parametrize("registry", [DATASETS, TARGETS, CAPTIONERS, ENCODERS, SUMMARIZERS])
def test_unknown_names_and_settings_are_refused(registry) -> None:
    with pytest.raises(ConfigError, match=f"{registry.section}.kind='nonsense' is not known; allowed: "):
        registry.get("nonsense")
    kind = registry.names()[0]
    with pytest.raises(ANDError, match="sampel_rate"):
        registry.create(PluginConfig(kind=kind, sampel_rate=3))
