"""Progress and results of a study as plain rows: what the page and the command both show."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

import pandas as pd
from sqlalchemy import select

from and_core.config import PluginConfig
from and_core.encoders.base import ENCODERS
from and_core.study import fault_attribution as faults
from and_core.study import results
from and_core.study import text_similarity as written
from and_core.study.answers import all_answers
from and_core.study.database import ASSIGNMENT, CLAIM, RATER
from and_core.study.exclude import excluded, measures, rows_of, usable
from and_core.study.study import Study


class Report:
    """What the answers of a study say at this moment.

    Parameters
    ----------
    study : Study
    exclude : bool
        Whether raters that break a declared rule are left out.
    """

    def __init__(self, study: Study, exclude: bool = True) -> None:
        self.study, self.exclude = study, exclude

    @cached_property
    def answers(self) -> pd.DataFrame:
        """The whole long table."""
        return all_answers(self.study)

    @cached_property
    def planned(self) -> pd.DataFrame:
        """Every place in every list: place (of the rater), position, item, training."""
        with self.study.database.read() as connection:
            rows = connection.execute(
                select(RATER.c.number, ASSIGNMENT.c.position, ASSIGNMENT.c.item_id)
                .join(RATER, RATER.c.id == ASSIGNMENT.c.rater_id)
                .where(RATER.c.study_id == self.study.id)
                .order_by(RATER.c.number, ASSIGNMENT.c.position)
            ).all()
        items = self.study.items
        made = [
            (
                row.number,
                row.position,
                items[row.item_id]["number"],
                (items[row.item_id]["control"] or "").startswith("training"),
            )
            for row in rows
        ]
        return pd.DataFrame(made, columns=["place", "position", "item", "training"])

    @cached_property
    def _all(self) -> pd.DataFrame:
        return usable(self.answers)

    @cached_property
    def raters(self) -> pd.DataFrame:
        """What the exclusion rules look at, one row a rater."""
        planned = self.planned[~self.planned["training"]]
        return measures(self._all, {int(str(place)): int(n) for place, n in planned.groupby("place").size().items()})

    @cached_property
    def excluded(self) -> dict[str, list[str]]:
        """Raters that break a rule, each with the rules."""
        return excluded(self.study.config.exclusion, self.raters)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Answers that count."""
        return self._all[~self._all["who"].isin(self.excluded)] if self.exclude else self._all

    def progress(self) -> list[dict[str, Any]]:
        """Return each place: pseudonym, answered, of, faults reported, last answer."""
        with self.study.database.read() as connection:
            claims = connection.execute(
                select(CLAIM.c.pseudonym, RATER.c.number)
                .join(RATER, RATER.c.id == CLAIM.c.rater_id)
                .where(CLAIM.c.study_id == self.study.id)
            ).all()
        names = {row.number: row.pseudonym for row in claims}
        own = self.answers[self.answers["site"] == ""]
        answered = own[(own["kind"] == "answer") & own["live"]].groupby("session").size().to_dict()
        flagged = own[own["kind"] == "flag"].groupby("session").size().to_dict()
        last = own.groupby("session")["time"].last().to_dict()
        total = self.planned.groupby("place").size()
        return [
            {
                "rater": names.get(n, "free"),
                "answered": int(answered.get(n, 0)),
                "of": int(of),
                "faults": int(flagged.get(n, 0)),
                "last": last.get(n, "")[:16].replace("T", " "),
            }
            for n, of in total.items()
        ]

    def items(self) -> list[dict[str, Any]]:
        """Return each item: how often it was to be answered and was, mean rating."""
        planned = self.planned.groupby("item").size().to_dict()
        answers = self.frame
        own = self.answers[
            (self.answers["site"] == "") & (self.answers["kind"] == "answer") & self.answers["live"]
        ]  # practice among them
        counts = own.groupby("item").size().to_dict()
        fit = answers[(answers["task"] == "fit") & ~answers["none"] & answers["repeat_of"].isna()]
        rating = pd.to_numeric(fit["value"]).groupby(fit["item"]).mean().to_dict()
        return [
            {
                "item": i["number"],
                "task": i["task"],
                "control": i["control"] or "",
                "neuron": i["truth"]["neuron"] or "",
                "block": i["truth"]["block"],
                "method": i["truth"].get("method") or "",
                "description": i["shown"]["description"] or "",
                "answers": int(counts.get(i["number"], 0)),
                "planned": int(planned.get(i["number"], 0)),
                "rating": None if i["number"] not in rating else round(float(rating[i["number"]]), 2),
            }
            for i in self.study.items.values()
        ]

    def answers_of(self, item: int) -> list[dict[str, Any]]:
        """Return every answer to one item, as raters gave them; left-out raters are marked."""
        answers = self._all[self._all["item"] == item]
        return [
            {
                "rater": row.who.strip("/"),
                "response": "none of it"
                if row.none
                else json.dumps(row.value, ensure_ascii=False)
                if not isinstance(row.value, str)
                else row.value,
                "seconds": round(float(row.ms) / 1000, 1),
                "repeat": "" if pd.isna(row.repeat_of) else "again",
                "left out": "yes" if row.who in self.excluded else "",
            }
            for row in rows_of(answers)
        ]

    def parts(self) -> dict[str, list[dict[str, Any]]]:
        """Return every result but the similarity of written texts, by name."""
        frame = self.frame
        return {
            "ratings": results.ratings(frame),
            "paired": results.compared(results.item_ratings(frame), "rating"),
            "blocks": results.by_block(frame),
            "agreement": results.agreement(frame),
            "consistency": results.consistency(frame),
            "presence": results.presence(frame),
            "choices": results.choices(frame),
            "intruders": results.intruders(frame),
            "scores": results.against_scores(frame),
            "raters": results.leniency(frame),
            "faults": faults.attributed(self.answers, frame),
            "flags": faults.flags(self.answers),
        }

    def text_similarity(self, model: str | None = None, layers: int | None = None) -> tuple[list[dict[str, Any]], str]:
        """Return similarity of written and generated texts by method, and the models it was measured with.

        Parameters
        ----------
        model : str or None
            Folder of the model for BERTScore; None: the bundled MiniLM.
        """
        encoder: Any = ENCODERS.create(PluginConfig(kind="minilm", model="bundled"))
        score = written.bert_scorer(model or encoder.folder, layers)
        rows = written.similar(self.frame, encoder.encode, score)
        name = encoder.describe() if model is None else model.rstrip("/").rpartition("/")[2]
        return (
            rows,
            f"cosine by {encoder.describe()}; BERTScore F1 by {name}, layer {layers or 'last'}, no idf, no rescaling",
        )
