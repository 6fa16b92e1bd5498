"""A preview is the rater's page with nothing kept."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import pytest

from and_core.figures.study import block_figure, marked, rating_figure, result_parts
from and_core.study.answers import all_answers
from and_core.study.preview import serve_preview
from and_core.study.session import OWN_PACE, Session
from tests.studies import answer, begin, small_study


@pytest.fixture
def small(cache: Path, tmp_path: Path):
    return small_study(cache, tmp_path / "root", raters=3)


def test_a_preview_shows_the_first_raters_items_and_keeps_nothing(small) -> None:
    token, place = begin(small.study, "wren")
    first = Session(small.study, place).state()
    served = serve_preview(small.study)
    try:
        for _ in range(50):  # until the thread listens
            try:
                state = httpx.get(f"{served.link}/state").json()
                break
            except httpx.TransportError:
                time.sleep(0.1)
        assert state["stage"] == "consent" and state["mark"] == "preview, nothing is kept"
        assert state["total"] == first["total"] and state["title"] == first["title"]
        sent = {"kind": "consent", "agreed": True, "uuid": "preview-consent"}
        assert httpx.post(f"{served.link}/events", json=sent).json()["state"]["stage"] == "volume"
        elsewhere = served.link.rpartition("/")[0] + f"/{token}/state"
        assert httpx.get(elsewhere).status_code == 404  # links of raters are not known there
    finally:
        served.close()
    assert len(all_answers(small.study)) == 0
    with small.study.database.read() as connection:
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM claim").scalar() == 1


def test_the_time_left_follows_the_raters_own_pace(small) -> None:
    _, place = begin(small.study, "wren")
    session = Session(small.study, place)
    clips = [small.study.items[slot.item_id]["shown"]["clips"] for slot in session.slots]
    assert session.state()["seconds_left"] == round(sum(15 + sum(c["seconds"] for c in one) for one in clips))
    for _ in range(OWN_PACE):
        session = Session(small.study, place)
        session.record({**answer(small.study, session.state()), "ms": 20_000})
    state = Session(small.study, place).state()
    assert state["seconds_left"] == 20 * (state["total"] - OWN_PACE)


def test_what_simulated_raters_said_is_hatched_and_named_in_every_figure_and_table() -> None:
    for figure in (rating_figure([], "simulated raters"), block_figure([], "simulated raters")):
        assert [note.text for note in figure.layout.annotations] == ["SIMULATED RATERS"]
        assert [trace.fillpattern.shape for trace in figure.data if trace.fill == "toself"] == ["/"]
    plain = rating_figure([])
    assert not plain.layout.annotations and marked(plain, None) is plain
    names = ("ratings", "paired", "agreement", "consistency", "presence", "choices", "intruders", "raters", "scores")
    rows: dict[str, list] = {name: [] for name in names}
    rows["agreement"] = [{"task": "fit", "of": "", "alpha": 0.5, "level": "ordinal", "raters": 3, "units": 4}]
    rows["choices"] = [{"method": "DB", "share": 0.5, "chance": 0.5}]
    parts = result_parts(rows, mark="simulated raters")
    assert len(parts) == 2 and all(part.title.endswith("(simulated raters)") for part in parts)
