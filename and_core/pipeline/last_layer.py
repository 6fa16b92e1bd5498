"""Stage `last_layer`: how well the only neurons with known meaning are named, by every method that has run."""

from __future__ import annotations

import numpy as np

from and_core.evaluate.last_layer import last_layer_scores
from and_core.labels.truth import class_map_of, concept_truth
from and_core.pipeline.stage import Run, Stage
from and_core.store.writer import StageWriter

METHODS = {"DB": "closed", "TAB": "tab"}


def last_layer(run: Run, writer: StageWriter) -> None:
    """Compute top-1, top-5 and cosine of the classifier's units:
    DB and TAB per similarity function, ICL as it stands.

    Cost: M.
    """
    d = run.dissection
    fc = next((layer for layer in d.layers if layer.kind == "fc"), None)
    classes = d.target_classes
    concepts = d.document("texts/concepts")
    embeddings = np.asarray(d.array("texts/concept_embeddings"))
    right = concept_truth(class_map_of(d), classes or [], concepts)
    rows = []
    if fc is not None and classes:
        units = slice(fc.offset, fc.offset + fc.size)
        for method, stage in METHODS.items():
            for name in d.notes(stage)["similarities"] if d.has(stage) else ():
                best = np.asarray(d.array(f"{stage}/{name}_concepts")[units])
                rows.append({"method": method, "similarity": name, **last_layer_scores(best, right, embeddings)})
        if d.has("icl") and fc.name in d.notes("icl")["layers"]:
            one, five = (np.asarray(d.array(f"icl/{question}")[units]) for question in ("top1", "top5"))
            scores = last_layer_scores(one, right, embeddings)
            rows.append(
                {
                    "method": "ICL",
                    "similarity": "-",
                    **scores,
                    "top5": last_layer_scores(five, right, embeddings)["top5"],
                }
            )
    counted = rows[0]["classes"] if rows else 0
    writer.json("scores", [] if counted == 0 else rows)
    reason = (
        None
        if counted
        else "the network has no classifier"
        if fc is None
        else "no class of the network is in the concept set"
    )
    writer.notes = {"classes": counted, "encoder": run.encoder.describe(), "reason": reason}
    run.progress("last_layer", 1, 1)


STAGE = Stage(
    "last_layer",
    "Evaluating the last layer",
    ("activations", "texts", "closed"),
    lambda run: {},
    last_layer,
    optional=("tab", "icl", "class_map", "labels"),
)
