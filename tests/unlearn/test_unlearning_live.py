"""Runs queue and stop; what is kept is whole, and what is taken away is what was measured."""

from __future__ import annotations

import json
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from safetensors.torch import load_file, save_file

from and_core import open_dissection, pipeline
from and_core.errors import ArtifactError, BusyError, ConfigError
from and_core.store.writer import writing
from and_core.unlearn.evaluator import Cancelled, Evaluator, open_evaluator
from and_core.unlearn.export import mask_json, read_mask, save_pruned
from and_core.unlearn.live import MARKERS, Queue, stopped
from and_core.unlearn.request import AblationRequest
from and_core.unlearn.result import forget, inputs_of, keep, kept, measure, stored
from and_core.unlearn.selection import select_neurons
from tests.conftest import small_config, tone
from tests.tiny import tiny_ast, tiny_beats, tiny_hub


class Slow:
    """An evaluator that waits for leave before each pass; the interface of :class:`Evaluator`."""

    def __init__(self, real: Evaluator) -> None:
        self.real, self.leave, self.running = real, threading.Event(), 0

    def logits(self, masks, how="weights", progress=lambda done, total: None, stop=lambda: False):
        self.running += 1
        assert self.running == 1, "one run at a time"
        try:
            progress(1, 8)
            while not self.leave.wait(0.01):
                if stop():
                    raise Cancelled("cancelled")
            return self.real.logits(masks, how, progress, stop)
        finally:
            self.running -= 1


def wait(job) -> None:
    for _ in range(20_000):
        if job.state not in ("queued", "running"):
            return
        time.sleep(0.01)
    raise AssertionError(f"still {job.state}")


# -- waiting
# -------------------------------------------------------------------------------------------------------------


def test_users_queue_and_each_sees_his_place(own, evaluator: Evaluator) -> None:
    slow = Slow(evaluator)
    queue = Queue(lambda d: slow)
    jobs = [
        queue.submit(own, "run", AblationRequest(concept=c, strategy="DB"), who)
        for c, who in (("dog", "ann"), ("rain", "bob"), ("siren", "cyd"))
    ]
    while not slow.running:
        time.sleep(0.01)
    assert [queue.place(j) for j in jobs] == [0, 1, 2] and jobs[0].state == "running" and jobs[0].done == 1
    assert queue.submit(own, "run", AblationRequest(concept="rain", strategy="DB"), "dan") is jobs[1], (
        "the same request is run once"
    )
    queue.cancel(jobs[1].key, "bob")
    assert jobs[1].state == "queued", "dan still waits"
    queue.cancel(jobs[1].key, "dan")
    assert jobs[1].state == "cancelled" and queue.place(jobs[2]) == 1
    queue.cancel(jobs[0].key, "ann")
    wait(jobs[0])
    assert jobs[0].state == "cancelled" and jobs[0].result is None
    slow.leave.set()
    wait(jobs[2])
    assert jobs[2].state == "done" and jobs[2].result is not None and jobs[2].result.rows[0]["concept"] == "siren"
    assert not list((own.folder / MARKERS).iterdir()), "no marker of a finished run"
    again = queue.submit(own, "run", AblationRequest(concept="dog", strategy="DB"), "ann")
    wait(again)
    assert again.state == "done"


def test_a_closed_tab_holds_nobody_and_a_new_client_is_not_cancelled(own, evaluator: Evaluator) -> None:
    slow = Slow(evaluator)
    queue = Queue(lambda d: slow)
    request = AblationRequest(concept="dog", strategy="DB")
    job = queue.submit(own, "run", request, "a tab that was closed")
    job.clients["a tab that was closed"] -= 60
    queue.seen(job, "ann")
    queue.cancel(job.key, "ann")
    again = queue.submit(own, "run", request, "bob")  # the first is still winding down
    assert again is not job and not again.stop.is_set()
    wait(job)
    assert job.state == "cancelled" and (own.folder / MARKERS / f"{job.key}.json").exists(), (
        "the marker is of the new run"
    )
    slow.leave.set()
    wait(again)
    assert again.state == "done" and not (own.folder / MARKERS / f"{job.key}.json").exists()


def test_a_checkpoint_is_made_in_the_queue(own) -> None:
    queue = Queue()
    job = queue.submit(own, "checkpoint", AblationRequest(concept="dog", strategy="DB"), "ann")
    wait(job)
    assert job.state == "done" and job.file is not None and zipfile.ZipFile(job.file).testzip() is None, job.error
    empty = queue.submit(own, "checkpoint", AblationRequest(concept="xylophone"), "ann")
    wait(empty)
    assert empty.state == "failed" and "No neuron is selected" in empty.error


def test_a_network_that_fails_is_said_and_the_queue_goes_on(own, evaluator: Evaluator) -> None:
    broken = iter([ValueError("no such kernel"), None])

    class Failing:
        def logits(self, *args, **options):
            error = next(broken)
            if error:
                raise error
            return evaluator.logits(*args, **options)

    queue = Queue(lambda d: Failing())
    one, two = (queue.submit(own, "run", AblationRequest(concept=c, strategy="DB"), "ann") for c in ("dog", "rain"))
    wait(two)
    assert one.state == "failed" and "no such kernel" in one.error and two.state == "done"


def test_a_run_that_a_restart_stopped_is_known(own, evaluator: Evaluator) -> None:
    request = AblationRequest(concept="dog", strategy="DB")
    key = request.key("run", inputs_of(own))
    assert not stopped(own, key)
    (own.folder / MARKERS).mkdir()
    marker = own.folder / MARKERS / f"{key}.json"
    marker.write_text(json.dumps({"process": "another", "pid": 2**22 + 1}))
    assert stopped(own, key)
    marker.write_text('{"process": "ano')
    assert not stopped(own, key), "half a marker is none"
    job = Queue(lambda d: evaluator).submit(own, "run", request, "ann")
    wait(job)
    assert job.state == "done" and not marker.exists()


# -- taking away
# ---------------------------------------------------------------------------------------------------------


def test_a_result_is_kept_whole_or_not_at_all(own, evaluator: Evaluator) -> None:
    request = AblationRequest(concept="dog", strategy="DB", top=2)
    found = measure(own, "run", request, evaluator)
    with writing(own.folder), pytest.raises(BusyError):
        keep(own, found)
    assert stored(own, "run", request) is None
    keep(own, found)
    d = open_dissection(own.folder)
    again = stored(d, "run", request)
    assert again is not None and np.array_equal(again.after, found.after) and list(d.validate()) == []
    assert [k for k, _, _ in kept(d)] == [found.key]
    pipeline.run(small_config(), root=own.folder.parent)
    assert kept(open_dissection(own.folder)), "a run that changes nothing leaves it"
    forget(d, found.key)
    d = open_dissection(own.folder)
    assert not kept(d) and stored(d, "run", request) is None and list(d.validate()) == []
    keep(d, found)
    pipeline.run(small_config(calibration={"t": 0.5}), root=own.folder.parent)
    d = open_dissection(own.folder)
    assert stored(d, "run", request) is None and not kept(d), "it stood for explanations that are no more"


def test_a_damaged_kept_result_is_said(own, evaluator: Evaluator) -> None:
    request = AblationRequest(concept="dog", strategy="DB", top=2)
    keep(own, measure(own, "run", request, evaluator))
    next((own.folder / "artifacts").glob("kept-*/logits.npy")).write_bytes(b"half")
    with pytest.raises(ArtifactError, match="truncated"):
        stored(open_dissection(own.folder), "run", request)


def test_the_mask_goes_round(dissection, tmp_path: Path) -> None:
    request = AblationRequest(concept="dog", strategy="DB")
    text = mask_json(dissection, request)
    path = tmp_path / "mask.json"
    path.write_text(text)
    again = read_mask(dissection, path)
    assert (
        set(select_neurons(dissection, again).order.tolist()) == set(select_neurons(dissection, request).order.tolist())
        and again.concept == "dog"
    )
    for wrong in ("", "[]", '{"format": "other"}', '{"format": "and-ablation-1", "layers": {"fc": ["x"]}}'):
        path.write_text(wrong)
        with pytest.raises(ConfigError, match="is no mask"):
            read_mask(dissection, path)
    other = json.loads(text)
    path.write_text(json.dumps(other | {"checkpoint": "0" * 16}))
    with pytest.raises(ConfigError, match="is of a network with fingerprint 0000"):
        read_mask(dissection, path)
    path.write_text(json.dumps(other | {"request": {**other["request"], "how": "bogus"}}))
    with pytest.raises(ConfigError, match="unlearning.how='bogus'"):
        read_mask(dissection, path)


@pytest.mark.parametrize("kind", ["ast", "beats", "beats-flat", "transformers"])
@pytest.mark.parametrize("how", ["weights", "mean"])
def test_a_pruned_checkpoint_gives_the_same_logits(kind: str, how: str, tmp_path: Path) -> None:
    """Any kind of network: written under ablation, loaded back by the same plug-in."""
    made = {"ast": tiny_ast, "beats": tiny_beats, "beats-flat": lambda p: tiny_beats(p, "flat")}.get(
        kind, lambda p: tiny_hub(p, "Wav2Vec2")
    )
    probe = {"kind": kind.split("-")[0], "checkpoint": made(tmp_path / "net"), "pooling": "mean"}
    if kind == "transformers":
        probe["layers"] = ["*feed_forward*", "*out_proj", "fc"]
    if kind == "beats":
        (tmp_path / "classes.txt").write_text("bell\ndog\nrain\n")
        probe["classes"] = str(tmp_path / "classes.txt")
    sounds = tmp_path / "sounds"
    from and_core.config import PluginConfig
    from and_core.targets.base import TARGETS

    target = TARGETS.create(PluginConfig(**probe))
    target.load("cpu")
    assert target.classes
    for i, label in enumerate(target.classes[:2] * 6):
        (sounds / label).mkdir(parents=True, exist_ok=True)
        sf.write(sounds / label / f"{i}.wav", tone(1.0, hz=200 + 90 * i), 16_000)
    config = small_config(
        name="tiny",
        k=2,
        dataset={"kind": "folder", "path": str(sounds)},
        target=probe,
        captions={"kind": "acoustic"},
        audio_encoder=None,
        unlearning={"concepts": 1, "fair": 1, "importance": False, "strategies": ["DB"]},
    )
    pipeline.run(config, root=tmp_path / "cache")
    d = open_dissection("tiny", root=tmp_path / "cache")
    request = AblationRequest(strategy="random", share=0.3, how=how)
    result = measure(d, "run", request, open_evaluator(d))
    out = tmp_path / "pruned"
    assert save_pruned(d, request, out, result) < 1e-5
    card = (out / "README.md").read_text()
    assert "What was removed" in card and "Effect" in card and "layer" in card
    assert json.loads((out / "ablation.json").read_text())["layers"]
    assert save_pruned(d, request, out, result) < 1e-5, "again into its own folder"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else"):
        save_pruned(d, request, tmp_path / "other")
    if kind == "ast":
        weights = load_file(out / "model.safetensors")
        name = next(k for k in weights if "fc1.weight" in k or "intermediate.dense.weight" in k)
        assert (weights[name].abs().sum(1) == 0).sum() >= 1
        save_file(weights, tmp_path / "again.safetensors")


def test_a_checkpoint_without_a_neuron_is_refused(dissection, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No neuron is selected"):
        save_pruned(dissection, AblationRequest(concept="xylophone"), tmp_path / "x")
    assert not (tmp_path / "x").exists()
