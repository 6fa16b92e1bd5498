"""What raters wrote beside what each method says: cosine similarity and BERTScore, the other two columns of Table 3."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from and_core.errors import StudyError
from and_core.study.exclude import rows_of
from and_core.study.results import ITEM, PAPER, estimate

Encode = Callable[[list[str]], np.ndarray]
BertScore = Callable[[list[str], list[str]], np.ndarray]


def pairs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each written text beside each method's: dissection, neuron, method, written, generated.

    `Nothing shared` is no text.
    """
    written = frame[(frame["task"] == "write") & frame["repeat_of"].isna() & ~frame["none"] & (frame["control"] == "")]
    rows = [
        {"dissection": row.dissection, "neuron": row.neuron, "method": method, "written": row.value, "generated": text}
        for row in rows_of(written) for method, text in json.loads(row.texts).items()
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=[*ITEM, "method", "written", "generated"])


def similar(frame: pd.DataFrame, encode: Encode, bert_score: BertScore | None) -> list[dict[str, Any]]:
    """Return the mean similarity of written and generated texts by method, with intervals over neurons, beside the
    paper's.

    Parameters
    ----------
    frame : DataFrame
        From :func:`and_core.study.exclude.usable`.
    encode : callable
        Texts to (T, D) unit vectors; each distinct text is encoded once.
    bert_score : callable or None
        (candidates, references) to (P,) F1.
    """
    written = pairs(frame)
    if not len(written):
        return []
    texts = sorted({*written["written"], *written["generated"]})
    vectors, place = np.asarray(encode(texts)), {text: i for i, text in enumerate(texts)}
    one, two = (vectors[[place[text] for text in written[name]]] for name in ("written", "generated"))
    written["cosine"] = (one * two).sum(1)
    if bert_score is not None:
        written["bertscore"] = bert_score(list(written["generated"]), list(written["written"]))
    per_neuron = (
        written.groupby([*ITEM, "method"], sort=True)[[c for c in ("cosine", "bertscore") if c in written]]
        .mean()
        .reset_index()
    )
    rows = []
    for method, part in per_neuron.groupby("method", sort=True):
        paper = PAPER.get(str(method), (None, None, None))
        rows.append(
            {
                "method": method,
                "cosine": estimate(part["cosine"].to_numpy()),
                "paper_cosine": paper[1],
                "bertscore": estimate(part["bertscore"].to_numpy()) if "bertscore" in part else None,
                "paper_bertscore": paper[2],
                "texts": int((written["method"] == method).sum()),
            }
        )
    return rows


@lru_cache(maxsize=2)
def _scorer(folder: str, layers: int) -> Any:
    from bert_score import BERTScorer

    logging.getLogger("transformers").setLevel(logging.ERROR)
    return BERTScorer(model_type=folder, num_layers=layers, device="cpu", idf=False, rescale_with_baseline=False)


def bert_scorer(model: str | Path, layers: int | None = None) -> BertScore:
    """Return BERTScore (package bert-score) with a local model: F1, no idf, no rescaling.

    Parameters
    ----------
    model : path
        Folder of a BERT-like model in the hub's format.
    layers : int or None
        Layer whose tokens are compared; None: the last.

    Raises
    ------
    StudyError
        No such model.
    """
    folder = Path(model)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise StudyError(f"bertscore model={str(model)!r} is no folder with a model in the hub's format") from None
    depth = int(config.get("num_hidden_layers", 0))
    if not 1 <= (layers or depth) <= depth:
        raise StudyError(f"bertscore layers={layers!r} is out of range; the model has {depth}")

    def score(candidates: list[str], references: list[str]) -> np.ndarray:
        return _scorer(str(folder), layers or depth).score(candidates, references)[2].numpy()

    return score
