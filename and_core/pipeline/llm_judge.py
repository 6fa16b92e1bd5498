"""Stage `judged`: a language model is shown an explanation and the caption of a held-out clip, and says how well they
fit."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa

from and_core.dissect.prompts import fill
from and_core.evaluate.explanations import load_explanations
from and_core.llms.base import Question
from and_core.pipeline.llm_cache import unanswered
from and_core.pipeline.scores import HALVES, held_clips, section, spoken_concepts
from and_core.pipeline.stage import Run, Stage
from and_core.store.writer import StageWriter

TOKENS = 64
METHODS = ("DB", "SUM")
ANSWER = re.compile(r"answers?\W*?:\W*(\d+(?:\.\d+)?)", re.IGNORECASE)
NUMBER = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)(?:\s*/\s*10)?(?![\d.])")


def read_number(text: str) -> float | None:
    """Return a number from 0 to 10: what stands behind the last "Answer:", or the only number there is.

    None for anything else.
    """
    marked = ANSWER.findall(text)
    numbers = marked[-1:] or NUMBER.findall(text)
    if len(numbers) != 1 or not 0 <= float(numbers[0]) <= 10:
        return None
    return float(numbers[0])


def parameters(run: Run) -> dict[str, Any]:
    """Return the language model, its question and how much it is asked."""
    assert run.cached_llm is not None
    config = section(run)
    return {
        "llm": run.cached_llm.model.fingerprint(),
        "prompt": run.prompts["judge"],
        "judged": config.judged,
        "clips": config.judged_clips,
        "seed": run.config.seed,
    }


def compute(run: Run, writer: StageWriter) -> None:
    """Ask about clips from the whole range of activation, and correlate the answers with the activations.

    A failed answer is no score.

    Cost: one question for each clip and method of the neurons that are judged; N log N for each of them.
    """
    d, config, cached_llm = run.dissection, section(run), run.cached_llm
    assert cached_llm is not None
    rng = np.random.default_rng(run.config.seed)
    chosen = np.sort(
        rng.permutation(np.flatnonzero(~d.table("neurons/statistics")["dead"].to_numpy()))[: config.judged]
    )
    spoken = spoken_concepts(run)
    asked: list[tuple[int, str, int, Question]] = []
    for half in HALVES if d.document("scores/methods") else ():
        clips = held_clips(run, half)
        view = d.view(f"{half}-half")
        explanations = {
            method: load_explanations(view, method, run.config.closed.similarity, spoken) for method in METHODS
        }
        for neuron in chosen.tolist():
            order = clips[np.argsort(np.asarray(d.activations(d.neuron_id(neuron)))[clips], kind="stable")]
            drawn = order[
                np.unique(np.linspace(0, len(order) - 1, max(2, config.judged_clips // 2)).round().astype(int))
            ]
            for method, of_method in explanations.items():
                if of_method is None or of_method.which[neuron] < 0:
                    continue
                row = int(of_method.which[neuron])
                text = spoken[row] if method == "DB" else of_method.names[row]
                asked += [
                    (
                        neuron,
                        method,
                        int(c),
                        Question(
                            fill(run.prompts["judge"], explanation=text, caption=d.caption(int(c))), max_tokens=TOKENS
                        ),
                    )
                    for c in drawn
                ]
    requests = [request for *_, request in asked]
    cached_llm.fetch("judged", requests, len(requests))
    replies = cached_llm(requests) if requests else []
    numbers = [None if reply.text is None else read_number(reply.text) for reply in replies]
    reasons = [
        reply.error or "no answer" if reply.text is None else "no number in the answer" if n is None else ""
        for reply, n in zip(replies, numbers, strict=True)
    ]
    writer.provenance = run.captioner.provenance
    writer.table(
        "answers",
        pa.table(
            {
                "neuron": pa.array([n for n, *_ in asked], pa.int32()),
                "method": pa.array([m for _, m, *_ in asked], pa.string()),
                "clip": pa.array([c for *_, c, _ in asked], pa.int32()),
                "fits": pa.array(numbers, pa.float32()),
                "reason": pa.array(reasons, pa.string()),
            }
        ),
    )
    rows = []
    for neuron, method in dict.fromkeys((n, m) for n, m, *_ in asked):
        asked_rows = [i for i, (n, m, *_) in enumerate(asked) if (n, m) == (neuron, method)]
        given = [i for i in asked_rows if numbers[i] is not None]
        u = np.asarray(d.activations(d.neuron_id(neuron)))[[asked[i][2] for i in given]]
        s = np.array([numbers[i] for i in given], float)
        defined = len(given) > 2 and np.ptp(s) > 0 and np.ptp(u) > 0
        rows.append(
            {
                "neuron": neuron,
                "method": method,
                "clips": len(given),
                "failed": len(asked_rows) - len(given),
                "pearson": float(np.corrcoef(s, u)[0, 1]) if defined else None,
            }
        )
    schema = pa.schema(
        [
            ("neuron", pa.int32()),
            ("method", pa.string()),
            ("clips", pa.int32()),
            ("failed", pa.int32()),
            ("pearson", pa.float32()),
        ]
    )
    writer.table("scores", pa.Table.from_pylist(rows, schema))
    lost = [reply.error or "no answer" for reply in replies if reply.text is None]
    writer.notes = {
        "judge": cached_llm.model.describe(),
        "neurons": len(chosen),
        "answers": len(asked),
        "without_number": reasons.count("no number in the answer"),
        **unanswered(lost),
    }


STAGE = Stage(
    "judged",
    "Judging explanations",
    ("clips", "activations", "neurons", "captions", "texts", "scores"),
    parameters,
    compute,
    wanted=lambda run: run.config.llm is not None and run.config.scores is not None and run.config.scores.judged > 0,
)
