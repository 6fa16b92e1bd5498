"""Unlearning from end to end: nothing of the tested split reaches the choice; figures are those of the network."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from and_core import open_dissection, pipeline
from and_core.config import ProbeConfig, UnlearningConfig
from and_core.dissect.probe import probe_mask, without_tested
from and_core.errors import ArtifactError, ConfigError, NotComputed, TargetError
from and_core.figures.catalogue import TABLES
from and_core.records import Clip
from and_core.unlearn.average import averages, paired
from and_core.unlearn.evaluator import Cancelled, Evaluator, open_evaluator
from and_core.unlearn.request import AblationRequest, make_request
from and_core.unlearn.result import measure, stored
from and_core.unlearn.runs import plan_runs, read_split
from and_core.unlearn.selection import UNTESTED, select_neurons
from tests.conftest import small_config, tone

# -- the tested split
# ----------------------------------------------------------------------------------------------------


def test_nothing_of_the_tested_clips_reaches_the_choice(tmp_path: Path) -> None:
    """Poison the tested fold's captions and sounds; the choice must not change. On all clips it does."""
    choices = []
    for poisoned in (False, True):
        data = tmp_path / f"data-{poisoned}"
        (data / "audio").mkdir(parents=True)
        (data / "meta").mkdir()
        rows, captions = ["filename,fold,target,category,esc10,src_file,take"], {}
        rng = np.random.default_rng(0)
        for i in range(20):
            wave = rng.standard_normal(8000).astype(np.float32) * np.float32(0.05 * (1 + i % 4))
            spoilt = poisoned and i % 5 == 0
            sf.write(data / "audio" / f"{i}.wav", tone(0.5, hz=300 + 40 * i) if spoilt else wave, 16_000)
            thing = ("siren", "dog", "bell")[i % 3]
            captions[f"{i}.wav"] = (
                "A siren wails, shrill and high-pitched."
                if spoilt
                else f"A {thing} can be heard. It is {'loud' if i % 4 else 'quiet'}."
            )
            rows.append(f"{i}.wav,{1 + i % 5},{i % 2},{'dog' if i % 2 else 'siren'},False,{i},A")
        (data / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
        (data / "captions.json").write_text(json.dumps(captions))
        root = tmp_path / f"cache-{poisoned}"
        config = small_config(
            dataset={"kind": "esc50", "path": str(data)},
            captions={"kind": "file", "path": str(data / "captions.json")},
            audio_encoder=None,
            unlearning={"concepts": 1, "fair": 1, "importance": False, "test_folds": [1], "strategies": ["DB", "OCP"]},
        )
        pipeline.run(config, root=root)
        d = open_dissection("small", root=root)
        assert {d.clips[int(i)].fold for i in d.array("split/clips")} == {1}
        used = d.view(UNTESTED)
        for side in ("high", "low"):
            extremes = np.asarray(used.array(f"neurons/{side}_clips"))
            assert all(d.clips[int(i)].fold != 1 for i in np.unique(extremes[extremes >= 0]))
        found = [
            select_neurons(d, AblationRequest(concept="siren", strategy=s, choose_on=on)).order.tolist()
            for s in ("DB", "OCP")
            for on in ("others", "all")
        ]
        choices.append(found)
    assert choices[0][0] == choices[1][0] and choices[0][2] == choices[1][2], "chosen on the other folds"
    assert choices[0][1] != choices[1][1] or choices[0][3] != choices[1][3], (
        "chosen on all clips, the poison shows: the test can fail"
    )


def test_what_is_tested() -> None:
    clips = [Clip(index=i, name=str(i), fold=1 + i % 3, source=f"s{i // 2}", trained=None) for i in range(12)]
    assert without_tested(clips, UnlearningConfig()) == ProbeConfig(without_folds=(1,)), (
        "the first fold, as in the paper"
    )
    known = [c.model_copy(update={"trained": c.fold != 3}) for c in clips]
    assert without_tested(known, UnlearningConfig()) == ProbeConfig(without_folds=(3,)), (
        "what the network was not trained on"
    )
    assert without_tested(known, UnlearningConfig(test_folds=(2,))) == ProbeConfig(without_folds=(2,))
    bare = [c.model_copy(update={"fold": None}) for c in clips]
    share = without_tested(bare, UnlearningConfig())
    mask = probe_mask(bare, share, seed=3)
    assert share.without_share == 0.2 and 0 < (~mask).sum() < 6 and (mask == probe_mask(bare, share, seed=3)).all()
    assert all(mask[i] == mask[i + 1] for i in range(0, 12, 2)), "a source recording is on one side"
    with pytest.raises(ConfigError, match="leaves no fold to choose"):
        without_tested(clips, UnlearningConfig(test_folds=(1, 2, 3)))
    with pytest.raises(ConfigError, match=r"without_folds=\[9\] are no folds"):
        probe_mask(clips, ProbeConfig(without_folds=(9,)))


# -- choosing
# ------------------------------------------------------------------------------------------------------------


def test_every_strategy_chooses_hidden_neurons_most_responsive_first(dissection) -> None:
    d = dissection
    hidden = sum(layer.size for layer in d.layers if layer.kind != "fc")
    adjective = d.explained_adjectives[0]
    for settings in (
        {"strategy": "DB"},
        {"strategy": "TAB"},
        {"strategy": "OCP"},
        {"strategy": "OCP", "synonyms": 0.5},
        {"strategy": "OCP", "substring": True},
        {"strategy": "adjective", "adjective": adjective, "choose_on": "all"},
        {"strategy": "random", "share": 0.1},
        {"strategy": "list", "neurons": ("layer0_output/3", "layer3_output/7")},
        *(
            {"strategy": "criterion", "criterion": c, "share": 0.05}
            for c in ("noun", "adjective", "verb", "preposition", "summary", "basic", "high-level")
        ),
    ):
        request = make_request(concept="siren", **settings)
        found = select_neurons(d, request)
        assert found.count == found.selection.count == len(set(found.order.tolist())), settings
        assert "fc" not in found.selection.masks and found.count <= hidden
        half = select_neurons(d, request.model_copy(update={"dose": 0.5}))
        assert half.order.tolist() == found.order[: round(0.5 * found.count)].tolist(), settings
        assert select_neurons(d, request).order.tolist() == found.order.tolist(), "same request, same neurons"
    db = select_neurons(d, AblationRequest(concept="siren", strategy="DB", top=1))
    names = [d.view(UNTESTED).closed_concepts(d.neuron_id(int(i)), "cos_cubed")[0].name for i in db.order]
    assert names and set(names) == {"siren"}
    assert select_neurons(
        d, AblationRequest(strategy="list", neurons=("layer3_output/7", "layer0_output/3"))
    ).order.tolist() == [
        d.index("layer3_output/7"),
        d.index("layer0_output/3"),
    ]
    more = select_neurons(d, AblationRequest(concept="siren", synonyms=0.4)).count
    assert more >= select_neurons(d, AblationRequest(concept="siren")).count


def test_faults_of_a_choice_are_named(dissection) -> None:
    for settings, message in (
        ({"strategy": "DB", "concept": "brass band"}, "concept='brass band' is not known; allowed: clock tick, dog"),
        ({"strategy": "adjective", "adjective": "purple"}, "adjective='purple' is not known"),
        ({"strategy": "list", "neurons": ("layer9/1",)}, "is not in a hidden layer"),
        ({"strategy": "list", "neurons": ("x",)}, "is not of the form"),
        ({"strategy": "OCP", "concept": " "}, "names nothing"),
    ):
        with pytest.raises(ConfigError, match=message):
            select_neurons(dissection, make_request(**settings))
    for wrong, message in (
        ({"dose": 2}, "unlearning.dose=2"),
        ({"strategy": "magic"}, "unlearning.strategy='magic'"),
        ({"speed": 1}, "unlearning.speed=1"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_request(**wrong)
    nothing = select_neurons(dissection, AblationRequest(concept="xylophone"))
    assert nothing.count == 0 and "No neuron is selected" in " ".join(nothing.notes)
    whole = select_neurons(
        dissection, AblationRequest(strategy="list", neurons=tuple(f"layer1_output/{i}" for i in range(128)))
    )
    assert "All neurons of layer 1 / output are selected" in " ".join(whole.notes)


# -- running
# -------------------------------------------------------------------------------------------------------------


def test_figures_are_those_of_the_network(dissection, evaluator: Evaluator) -> None:
    d, split = dissection, read_split(dissection)
    found = measure(d, "run", AblationRequest(concept="siren", strategy="DB"), evaluator)
    number = split.classes.index("siren")
    mine = split.truth[:, number]
    row = found.rows[0]
    assert row["ablating"] == pytest.approx(float((found.after - split.before)[mine, number].mean()), abs=1e-4)
    others = [
        float((found.after - split.before)[split.truth[:, c], c].mean())
        for c in np.flatnonzero(split.truth.any(0))
        if c != number
    ]
    assert row["remaining"] == pytest.approx(np.mean(others), abs=1e-4) and row["gap"] == pytest.approx(
        row["remaining"] - row["ablating"], abs=1e-4
    )
    assert row["accuracy_after"] == pytest.approx(
        100 * np.mean(split.truth[np.arange(len(split.truth)), found.after.argmax(1)])
    )
    assert [r["control"] for r in found.rows] == ["", "fair random", "fair random", "fair random"] and len(
        {r["seed"] for r in found.rows}
    ) == 4
    assert (found.per_layer == found.per_layer[0]).all(), "as many neurons in the same layers"
    assert np.allclose(evaluator.logits([{}])[0], split.before, atol=1e-5), "the network is whole again"
    empty = measure(d, "run", AblationRequest(concept="xylophone"), evaluator)
    assert (
        len(empty.rows) == 1
        and empty.rows[0]["count"] == 0
        and empty.rows[0]["remaining"] == pytest.approx(0, abs=1e-5)
        and np.isnan(empty.rows[0]["ablating"])
    )


def test_dose_curve_and_comparison(dissection, evaluator: Evaluator) -> None:
    dose = measure(dissection, "dose", AblationRequest(concept="dog", strategy="DB", dose=0.3), evaluator)
    total = select_neurons(dissection, AblationRequest(concept="dog", strategy="DB")).count
    assert [r["count"] for r in dose.rows if not r["control"]] == sorted(
        {round(total * i / 10) for i in range(1, 11)}
    ), "the whole range, whatever dose the request has"
    full = measure(dissection, "run", AblationRequest(concept="dog", strategy="DB"), evaluator)
    whole = [r for r in dose.rows if not r["control"]][-1]
    assert len([r for r in dose.rows if r["control"]]) == len(dose.rows) // 2, "a fair random control at every dose"
    assert whole["gap"] == pytest.approx(full.rows[0]["gap"], abs=1e-5)
    compared = measure(dissection, "compare", AblationRequest(concept="dog"), evaluator)
    own = {r["strategy"]: r["count"] for r in compared.rows if r["number"] == "own" and not r["control"]}
    equal = {r["strategy"]: r["count"] for r in compared.rows if r["number"] == "equal" and not r["control"]}
    some = {n for n in own.values() if n}
    assert set(own) == {"TAB", "DB", "OCP"} and (len(some) < 2 or set(equal.values()) == {min(some)})
    assert all((r["strategy"] in equal) == (own[r["strategy"]] > 0) for r in compared.rows if r["number"] == "own")


def test_equal_masks_run_once_and_a_stop_leaves_the_network_whole(dissection, evaluator: Evaluator) -> None:
    mask = {"layer0_output": np.arange(128) < 9}
    seen: list[tuple[int, int]] = []
    logits = evaluator.logits([mask, {}, mask], progress=lambda done, total: seen.append((done, total)))
    assert np.array_equal(logits[0], logits[2]) and not np.array_equal(logits[0], logits[1])
    batches = -(-len(evaluator.clips) // 4)
    assert seen[-1] == (2 * batches, 2 * batches)
    with pytest.raises(Cancelled):
        evaluator.logits([mask, {}], stop=lambda: len(seen) > 0)
    assert np.array_equal(evaluator.logits([{}])[0], logits[1])


def test_another_checkpoint_is_refused(own) -> None:
    own.manifest.stages["activations"].notes["checkpoint"] = "0" * 16
    with pytest.raises(TargetError, match="has changed since 'small' was made"):
        open_evaluator(own)


def test_the_mean_is_over_all_tokens_of_clips_that_are_not_tested(dissection, evaluator: Evaluator) -> None:
    from and_core.targets.hooks import Capture

    means, target = evaluator.means(), evaluator.target
    name = "layer1_output"
    tested = set(evaluator.clips.tolist())
    sums, count = np.zeros(128), 0
    for clip in range(len(dissection.clips)):
        if clip not in tested:
            with Capture({name: target.hook_points()[name]}, lambda output, layer: output.mean(1)) as capture:
                capture.run(lambda: target.forward(evaluator._features(np.array([clip]))))  # noqa: B023 - called at once
            sums += capture.outputs[name][0].numpy()
            count += 1
    assert np.allclose(means[name], sums / count, atol=1e-4)
    patched = measure(dissection, "run", AblationRequest(concept="dog", strategy="DB", how="mean"), evaluator)
    zeroed = measure(dissection, "run", AblationRequest(concept="dog", strategy="DB", how="zero"), evaluator)
    assert not np.allclose(patched.after, zeroed.after) and np.isfinite(patched.after).all()


def test_an_interrupted_view_is_not_chosen_from(own) -> None:
    """Another split was begun and its view finished, but not the stage: what is there was explained from clips that are
    tested."""
    view = own.folder / "views" / UNTESTED / "manifest.json"
    text = view.read_text()
    key = own.view(UNTESTED).manifest.stages["neurons"].key
    view.write_text(re.sub(r'^ "sha256": .*,$\n', "", text.replace(key, "f" * 16), flags=re.M))
    with pytest.raises((NotComputed, ArtifactError)):
        select_neurons(open_dissection(own.folder), AblationRequest(concept="dog", strategy="DB"))


def test_what_was_asked_for_by_command_stays(own) -> None:
    root = own.folder.parent
    pipeline.run(small_config(unlearning={"concepts": "all", "fair": 2, "shares": [0.1, 0.2]}), root=root)
    pipeline.run(small_config(), root=root)
    assert open_dissection(own.folder).notes("unlearning")["concepts"] == 4, (
        "a run that asks for less keeps what is more"
    )
    pipeline.run(small_config(unlearning=None), root=root)
    assert (
        open_dissection(own.folder).has("unlearning")
        and dict(pipeline.status(small_config(), root))["unlearning"] == "done"
    )


@pytest.mark.slow
def test_networks_that_can_not_be_unlearned_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leaves no hidden layer"):
        pipeline.run(
            small_config(target={"kind": "ast", "layers": ["fc"], "trained_folds": [2, 3, 4, 5]}, unlearning={}),
            root=tmp_path,
        )
    with pytest.raises(ConfigError, match=r"test_folds=\[9\] are no folds"):
        pipeline.run(small_config(unlearning={"test_folds": [9]}), root=tmp_path / "b")
    with pytest.raises(ConfigError, match="fair=4 is more than the 3 seeds"):
        small_config(unlearning={"fair": 4})
    with pytest.raises(ConfigError, match="none can be used; TAB: "):
        pipeline.run(
            small_config(audio_encoder=None, unlearning={"strategies": ["TAB"], "importance": False}),
            root=tmp_path / "c",
        )


def test_the_stage_agrees_with_a_run(dissection, evaluator: Evaluator) -> None:
    concept = (
        dissection.table("unlearning/runs")
        .filter(dissection.table("unlearning/runs")["strategy"].to_numpy() == "DB")["concept"][0]
        .as_py()
    )
    found = stored(dissection, "run", AblationRequest(concept=concept, strategy="DB"))
    assert found is not None
    again = measure(dissection, "run", AblationRequest(concept=concept, strategy="DB"), evaluator)
    assert np.allclose(found.after, again.after, atol=1e-5) and found.rows[0]["gap"] == pytest.approx(
        again.rows[0]["gap"], abs=1e-5
    )
    assert sum(r["control"] != "" for r in found.rows) == 2, "several draws"
    assert (found.per_layer[0] == again.per_layer[0]).all() and np.allclose(
        found.by_class[0], again.by_class[0], atol=1e-5, equal_nan=True
    )
    assert (
        stored(dissection, "run", AblationRequest(concept=concept, strategy="DB", top=5)) is None
        and stored(dissection, "dose", AblationRequest(concept=concept)) is None
    )
    assert stored(dissection, "compare", AblationRequest(concept=concept, strategy="TAB")) is not None


# -- tables
# --------------------------------------------------------------------------------------------------------------


def test_averages_on_golden_values() -> None:
    def run(concept: str, strategy: str, gap: float, control: str = "", number: str = "own", count: int = 4) -> dict:
        names = ("ablating", "remaining", "p_ablating", "p_remaining", "p_gap")
        return {
            "concept": concept,
            "strategy": strategy,
            "number": number,
            "control": control,
            "count": count,
            "gap": gap,
            **dict.fromkeys(names, 0.5),
        }

    rows = []
    for concept, gap in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
        rows += [
            run(concept, "DB", gap),
            run(concept, "DB", 0.5, "fair random"),
            run(concept, "DB", -0.5, "fair random"),
        ]
        rows += [run(concept, "random", 0.1), run(concept, "random", 0.3)]
        rows += [run(concept, "DB", gap, number="equal"), run(concept, "OCP", gap - 1, number="equal")]
    rows += [run("d", "DB", 0.0, count=0)]
    found = averages(rows)
    db = next(r for r in found["strategies"] if r["strategy"] == "DB" and r["number"] == "own")
    assert db["gap"] == 1.5 and db["concepts"] == 4 and db["none"] == 1 and db["count"] == 3
    assert db["fair_gap"] == 0 and db["difference"] == 1.5 and db["pairs"] == 4 and db["p"] == 0.25, (
        "no neuron: no change, and none of the control"
    )
    assert next(r for r in found["strategies"] if r["strategy"] == "random")["gap"] == pytest.approx(0.2)
    assert found["pairs"][0]["difference"] == 1 and found["pairs"][0]["one"] == "DB"
    one = paired(np.array([1.0]), np.array([0.5]))
    assert one["p"] is None and one["difference_low"] is None and one["difference"] == 0.5
    assert paired(np.array([1.0, 2.0]), np.array([1.0, 2.0]))["p"] is None, "no difference, no test"


def test_tables_name_every_network_and_the_paper(dissection) -> None:
    found = TABLES["unlearning"](dissection)
    assert {r["source"] for r in found.rows} == {"ours", "paper"} and len(
        [r for r in found.rows if r["source"] == "paper"]
    ) == 12
    ours = next(c for c in found.parts[0].cells if c["strategy"] == "DB")
    average = next(
        r
        for r in dissection.document("unlearning/averages")["strategies"]
        if (r["strategy"], r["number"]) == ("DB", "own")
    )
    assert ours["neurons"] == f"{average['count']:.0f}" and ours["gap"].startswith(f"{average['gap']:+.2f}")
    curves = TABLES["importance"](dissection)
    assert {c["criterion"] for c in curves.parts[0].cells} >= {"random", "noun", "basic", "high-level", "loud"}
    for row in curves.rows:
        assert 0 <= row["accuracy"] <= 100 and row["ablated"] <= row["share"] + 1e-3
        twin = [
            r
            for r in curves.rows
            if (r["criterion"], r["share"], r["seed"], r["control"])
            == (row["criterion"], row["share"], row["seed"], not row["control"])
        ]
        assert all(r["count"] == row["count"] for r in twin), "a control ablates as many"


def test_a_dissection_without_the_stage_says_so(cache: Path, tmp_path: Path) -> None:
    pipeline.run(small_config(unlearning=None), root=tmp_path)
    d = open_dissection("small", root=tmp_path)
    with pytest.raises(NotComputed, match="'split'"):
        plan_runs(d, "run", AblationRequest(concept="dog"))
    with pytest.raises(NotComputed, match="'unlearning'"):
        TABLES["unlearning"](d)


def test_layers_whose_names_are_numbers_stay_names_in_figures() -> None:
    from and_core.figures.unlearning import layer_counts

    figure = layer_counts(["0", "2"], [3, 4], [10, 10])
    assert figure.layout.autotypenumbers == "strict" and sorted(figure.data[0].y) == ["0", "2"]
