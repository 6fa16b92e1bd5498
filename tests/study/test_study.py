"""Human studies: the plan, what is drawn, sessions and their storage, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from and_core.audio.media import flac, read_flac
from and_core.errors import AnswerConflict, AnswerRefused, StorageError, StudyError
from and_core.study import migrations
from and_core.study.answers import DICTIONARY, all_answers, export, import_answers, read_export
from and_core.study.database import META, Database, IntegrityError
from and_core.study.session import Session
from and_core.study.simulate import simulate
from and_core.study.sounds import beeps, loudness, normalise, read_sound
from and_core.study.study import Place, Study, open_study
from tests.conftest import command, tone
from tests.studies import answer, begin, new_database, small_plan, small_study

BACKENDS = ["sqlite", "postgresql"]


@pytest.fixture(scope="module")
def drawn(cache: Path, tmp_path_factory: pytest.TempPathFactory):
    """A study whose plan is looked at; nobody answers it."""
    return small_study(cache, tmp_path_factory.mktemp("drawn"), methods=["TAB", "DB", "SUM"])


# -- sounds
# --------------------------------------------------------------------------------------------------------------------


def test_loudness_is_the_standards_and_clips_are_brought_to_it() -> None:
    full = np.sin(2 * np.pi * 997 * np.arange(48_000 * 3) / 48_000).astype(np.float32)
    assert loudness(full, 48_000) == pytest.approx(-3.01, abs=0.05)  # ITU-R BS.1770: a full-scale sine of 997 Hz
    for level, seconds in ((0.01, 3.0), (0.9, 3.0), (0.2, 0.05)):
        made = normalise(tone(seconds, 16_000, level=level), 16_000, -23.0)
        assert loudness(made, 16_000) == pytest.approx(-23.0, abs=0.1)
    click = np.zeros(16_000, np.float32)
    click[100] = 0.5
    assert (
        np.abs(normalise(click, 16_000, -14.0)).max() <= 10 ** (-1 / 20) + 1e-6
    )  # peaks are never clipped: it stays quieter
    silent = np.zeros(8_000, np.float32)
    assert np.array_equal(normalise(silent, 16_000, -23.0), silent)


def test_kept_sounds_are_at_one_loudness_under_names_that_tell_nothing(drawn) -> None:
    study = drawn.study
    found = []
    for path in study.sounds.glob("*.flac"):
        wave, rate = read_flac(path.read_bytes())
        found.append((loudness(wave, rate), float(np.abs(wave).max())))
        assert path.stem == "".join(c for c in path.stem if c in "0123456789abcdef") and len(path.stem) == 64
    level = np.array([f[0] for f in found if f[1] < 0.88])
    assert len(level) > 5 and np.abs(level + 23).max() < 0.2
    path = next(study.sounds.glob("*.flac"))
    data = path.read_bytes()
    path.write_bytes(flac(tone(), 16_000))
    with pytest.raises(StudyError, match="damaged"):
        read_sound(study.sounds, path.name)
    path.write_bytes(data)
    with pytest.raises(StudyError, match="missing"):
        read_sound(study.sounds, "0" * 64 + ".flac")
    wave, rate = read_flac(beeps(3, -23.0))
    edges = np.diff((np.abs(wave).reshape(-1, 400).max(1) > 0.02).astype(int))
    assert (edges == 1).sum() + (np.abs(wave[:400]).max() > 0.02) == 3


# -- storage and sessions, on both databases
# -----------------------------------------------------------------------------------


@pytest.fixture(params=BACKENDS)
def study(request, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    return small_study(
        cache, tmp_path / "root", new_database(request.param, monkeypatch), tasks=["write", "fit"], methods=["DB"]
    )


def test_a_session_from_consent_to_the_last_answer(study) -> None:
    made, s = study, study.study
    token = s.take_place("blue finch")
    place = s.place(token)
    assert (
        s.joined_by(made.join_token)
        and not s.joined_by(made.owner_token)
        and s.owned_by(made.owner_token)
        and not s.owned_by(token)
    )
    assert place is not None and s.place("x" * 32) is None
    with pytest.raises(StudyError, match="taken"):
        s.take_place("Blue Finch")
    first = Session(s, place)
    assert first.state()["stage"] == "consent"
    with pytest.raises(AnswerRefused, match="consent"):
        first.record({"kind": "flag", "uuid": "u" * 8, "position": 0, "fault": "audio"})
    first.record({"kind": "consent", "uuid": "consent-1", "agreed": True})
    wrong = Session(s, place)
    assert wrong.record({"kind": "volume", "uuid": "volume-0", "count": 77})["right"] is False
    session = Session(s, place)
    assert session.state()["stage"] == "volume"
    assert session.record({"kind": "volume", "uuid": "volume-1", "count": session.beep_count()})["right"] is True
    session = Session(s, place)
    state = session.state()
    assert state["stage"] == "item" and state["item"]["training"]
    told = session.record(answer(s, state))
    assert told["feedback"]["expected"] and told["feedback"]["why"]
    hidden = json.dumps(state)
    for word in (
        "layer",
        "activation",
        "neuron",
        "DB",
        ".wav",
        "clock_tick",
        "expected",
        "control",
        "truth",
        s.sounds.name + "/",
    ):
        assert word not in hidden.replace(state["item"]["description"] or "", ""), word
    total = state["total"]
    for position in range(1, total):
        session = Session(
            open_study(s.name, root=s.folder.parents[1]), place
        )  # resumed from disk each time, in the same order
        assert session.position == position
        session.record(answer(s, session.state(), position))
    assert Session(s, place).state()["stage"] == "done"
    rows = all_answers(s)
    assert (
        len(rows) == total
        and list(rows.columns) == list(DICTIONARY)
        and rows["position"].tolist() == list(range(total))
    )
    assert set(rows["rater"]) == {"blue finch"}


def at_first_text(study: Study, place: Place) -> Session:
    """A session that has come to its first text to write."""
    session = Session(study, place)
    while session.state()["item"]["task"] != "write":
        session.record(answer(study, session.state()))
        session = Session(study, place)
    return session


def test_answers_that_are_none_are_refused(study) -> None:
    s = study.study
    _, place = begin(s, "a")
    session = at_first_text(s, place)
    good = answer(s, session.state())
    first = next(iter(good["plays"]))
    bad: list[tuple[dict[str, Any], str]] = [
        ({"response": "a"}, "a word"),
        ({"response": 7}, "a word"),
        ({"response": "x" * 2001}, "2000"),
        ({"plays": {}}, "listen"),
        ({"heard": {first: 0.1}}, "listen"),
        ({"heard": {**good["heard"], first: float("nan")}}, "seconds"),
        ({"plays": {**good["plays"], first: True}}, "plays"),
        ({"ms": -1}, "ms"),
        ({"position": 10**6}, "position"),
        ({"kind": "dance"}, "dance"),
        ({"uuid": "x"}, "uuid"),
        ({"uuid": None}, "uuid"),
        ({"plays": None}, "plays"),
    ]
    for change, told in bad:
        with pytest.raises(AnswerRefused, match=told):
            session.record({**good, **change})
    with pytest.raises(AnswerRefused):
        session.record(["answer"])
    with pytest.raises(AnswerConflict):
        session.record({**good, "position": good["position"] + 1})
    assert Session(s, place).position == good["position"]
    session.record({**good, "response": "nothing_shared"})
    assert Session(s, place).position == good["position"] + 1


def test_sent_twice_is_one_row_two_tabs_are_told_and_undo_is_a_new_row(study) -> None:
    s = study.study
    _, place = begin(s, "a")
    for _ in range(3):
        session = Session(s, place)
        session.record(answer(s, session.state()))
    one, two, stale = Session(s, place), Session(s, place), Session(s, place)  # tabs at the same item
    sent = answer(s, one.state(), 1)
    assert one.record(sent)["saved"] and one.record(sent)["saved"] and two.record(sent)["saved"]
    with pytest.raises(AnswerConflict, match="another tab"):
        stale.record(answer(s, stale.state(), 2))
    now = Session(s, place)
    state = now.state()
    assert state["can_undo"] and state["position"] == sent["position"] + 1
    undo = {"kind": "undo", "uuid": "undo-0001", "position": sent["position"], "serial": state["undo_serial"]}
    now.record(undo)
    with pytest.raises(AnswerConflict):
        Session(s, place).record({**undo, "uuid": "undo-0002"})
    back = Session(s, place)
    assert back.position == sent["position"] and back.state()["item"]["serial"] == 2
    back.record(answer(s, back.state(), 3))
    rows = all_answers(s)
    mine = rows[rows["position"] == sent["position"]]
    assert mine["live"].tolist() == [False, True] and len(mine) == 2


def test_rows_are_only_ever_added_and_keys_hold(study) -> None:
    s = study.study
    _, place = begin(s, "a")
    session = Session(s, place)
    session.record(answer(s, session.state()))
    for statement in (
        "UPDATE event SET body = '{}'",
        "DELETE FROM event",
        "UPDATE study SET plan = '{}'",
        "DELETE FROM assignment",
        "UPDATE item SET truth = '{}'",
        "DELETE FROM claim",
        "INSERT INTO event (rater_id, kind, uuid, body, created) VALUES (99999, 'answer', 'foreign-key', '{}', '')",
    ):
        with pytest.raises((StorageError, IntegrityError)):
            with s.database.write() as connection:
                connection.execute(text(statement))
    assert len(all_answers(s)) == 1
    with pytest.raises(StudyError, match="already"):
        small_study(s.folder.parents[1], s.folder.parents[1], tasks=["fit"])


def test_half_characters_and_broken_sounds_do_not_stop_a_study(study) -> None:
    s = study.study
    _, place = begin(s, "a")
    session = at_first_text(s, place)
    sent = answer(s, session.state())
    session.record({**sent, "response": "boom \ud83d here\x00 \x1b[0m"})
    assert json.loads(all_answers(s)["response"].iloc[-1]) == "boom here [0m"
    session = Session(s, place)
    sent = answer(s, session.state())
    broken = next(iter(sent["plays"]))
    unheard = {**sent, "plays": {**sent["plays"], broken: 0}, "heard": {**sent["heard"], broken: 0}}
    with pytest.raises(AnswerRefused, match="listen"):
        session.record(unheard)
    session.record(
        {
            "kind": "flag",
            "uuid": "flag-0001",
            "position": sent["position"],
            "fault": "audio",
            "clip": broken,
            "note": "\ud800",
        }
    )
    again = Session(s, place)
    assert [c["broken"] for c in again.state()["item"]["clips"] if c["id"] == broken] == [True]
    again.record(unheard)
    assert (all_answers(s)["kind"] == "flag").sum() == 1 and export(all_answers(s), "csv")


def test_the_last_answer_can_be_taken_back(study) -> None:
    s = study.study
    _, place = begin(s, "a")
    while (state := Session(s, place).state())["stage"] == "item":
        Session(s, place).record(answer(s, state))
    assert state["can_undo"]
    Session(s, place).record(
        {"kind": "undo", "uuid": "undo-0001", "position": state["position"] - 1, "serial": state["undo_serial"]}
    )
    assert Session(s, place).state()["stage"] == "item"


def test_many_join_at_once_and_each_has_a_place(study) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(6) as pool:
        tokens = list(pool.map(study.study.take_place, "abcdef"))
    assert len({study.study.place(token).number for token in tokens}) == 6


def test_places_run_out_a_new_link_ends_the_old_one_and_the_clock_may_jump(study) -> None:
    from datetime import UTC, datetime, timedelta

    s = study.study
    times = iter(datetime(2030, 1, 1, tzinfo=UTC) - timedelta(days=i) for i in range(1000))
    s.now = lambda: next(times)  # each reading lies a day before the last
    first, place = begin(s, "a")
    for _ in range(4):
        session = Session(s, place)
        session.record(answer(s, session.state()))
    again = s.invite("a")
    assert s.place(first) is None and s.place(again) == place and Session(s, place).position == 4
    assert all_answers(s)["position"].tolist() == [0, 1, 2, 3]
    for name in "bcdef":
        s.invite(name)
    with pytest.raises(StudyError, match="all 6 places"):
        s.invite("g")
    for name in ("", "<b>", "x" * 41, "a/b"):
        with pytest.raises(StudyError, match="pseudonym"):
            s.take_place(name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_database_of_the_first_version_is_brought_up_to_date(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_database(backend, monkeypatch)
    where = url or tmp_path / "old.sqlite"
    latest = migrations.MIGRATIONS
    monkeypatch.setattr(migrations, "MIGRATIONS", latest[:1])
    old = Database(where, create=True)
    with old.write() as connection:
        connection.execute(
            text(
                "INSERT INTO study (name, plan, fingerprint, version, secret, owner_hash, join_hash, created) VALUES "
                "('x','{}','f','1','s','o','j','t')"
            )
        )
    monkeypatch.setattr(migrations, "MIGRATIONS", latest)
    new = Database(where)
    with new.read() as connection:
        found = migrations.columns(connection)
        assert connection.execute(text("SELECT name FROM study")).scalars().all() == ["x"]
        assert connection.execute(text("SELECT number FROM migration ORDER BY number")).scalars().all() == [1, 2]
    assert {name: {c.name for c in table.columns} for name, table in META.tables.items()} == {
        n: c for n, c in found.items() if n != "migration"
    }
    monkeypatch.setattr(migrations, "MIGRATIONS", latest[:1])
    with pytest.raises(StorageError, match="step 2"):
        Database(where)


def test_databases_that_can_not_be_used_are_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no database"):
        Database(tmp_path / "gone.sqlite")
    (tmp_path / "text.sqlite").write_text("this is no database, " * 100)
    with pytest.raises(StorageError, match="not a database"):
        Database(tmp_path / "text.sqlite")
    for url, told in (("mysql://x/y", "mysql"), ("nonsense", "URL")):
        with pytest.raises(StudyError, match=told):
            Database(url)
    pytest.importorskip("psycopg", reason="psycopg is not installed (pip install -e '.[test]')")
    with pytest.raises(StorageError):
        Database("postgresql://nobody@127.0.0.1:9/none", busy=2)


# -- export, import, command
# ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_what_is_exported_comes_back_and_sites_are_pooled(form: str, cache: Path, tmp_path: Path) -> None:
    simulated = {"seed": 0}
    here, there = (
        small_study(cache, tmp_path / name, tasks=["write", "fit"], simulated=simulated).study
        for name in ("here", "there")
    )
    assert here.fingerprint == there.fingerprint
    simulate(there)
    answers = all_answers(there)
    path = tmp_path / f"there.{form}"
    path.write_bytes(export(answers, form))
    assert export(all_answers(there), form) == path.read_bytes()
    assert read_export(path).equals(answers)
    assert import_answers(here, path, "there") == (len(answers), 0)
    assert import_answers(here, path, "there") == (0, len(answers))
    pooled = all_answers(here)
    assert pooled.drop(columns="site").equals(answers.drop(columns="site")) and set(pooled["site"]) == {"there"}
    other = small_study(cache, tmp_path / "other", tasks=["write"], simulated=simulated).study
    with pytest.raises(StudyError, match="plan"):
        import_answers(other, path, "there")
    broken = tmp_path / f"broken.{form}"
    broken.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2] if form == "parquet" else b"uuid,site\n1,2\n")
    with pytest.raises(StudyError, match="no export"):
        read_export(broken)


def test_an_answer_taken_back_after_an_import_is_taken_back_here_and_rubbish_is_refused(
    cache: Path, tmp_path: Path
) -> None:
    here, there = (small_study(cache, tmp_path / name, tasks=["write", "fit"]).study for name in ("here", "there"))
    _, place = begin(there, "finch")
    for _ in range(4):
        session = Session(there, place)
        session.record(answer(there, session.state()))
    path = tmp_path / "there.csv"
    path.write_bytes(export(all_answers(there), "csv"))
    assert import_answers(here, path, "there") == (4, 0)
    state = Session(there, place).state()
    Session(there, place).record({"kind": "undo", "uuid": "undo-0001", "position": 3, "serial": state["undo_serial"]})
    Session(there, place).record(answer(there, Session(there, place).state(), 2))
    path.write_bytes(export(all_answers(there), "csv"))
    assert import_answers(here, path, "there") == (2, 3)
    assert sorted(all_answers(here)["live"]) == [False, True, True, True, True]
    good = read_export(path)
    for column, value in (
        ("response", "99"),
        ("response", '"x'),
        ("item", 999),
        ("task", "sing"),
        ("method", "XYZ"),
        ("neuron", "layer9/1"),
        ("seconds_heard", "[]"),
    ):
        bad = good.copy()
        bad.loc[bad["task"] == "fit", column] = value
        path.write_bytes(export(bad, "csv"))
        with pytest.raises(StudyError, match="row"):
            import_answers(here, path, "other")
    assert len(all_answers(here)) == 5


def test_a_formula_in_a_text_is_no_formula_in_a_spreadsheet(study, tmp_path: Path) -> None:
    s = study.study
    _, place = begin(s, "a")
    while True:
        session = Session(s, place)
        state = session.state()
        sent = answer(s, state)
        if state["item"]["task"] == "write":
            session.record({**sent, "response": "=HYPERLINK(1)"})
            break
        session.record(sent)
    raw = export(all_answers(s), "csv")
    (tmp_path / "x.csv").write_bytes(raw)
    assert read_export(tmp_path / "x.csv").equals(all_answers(s))


def test_the_commands_from_plan_to_results(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small").symlink_to(cache / "small")
    monkeypatch.setenv("AND_CACHE", str(tmp_path))
    monkeypatch.delenv("AND_STUDY_DATABASE", raising=False)
    plan = small_plan(simulated={}, tasks=["write", "fit"]).model_dump_json()
    (tmp_path / "study.yaml").write_text(plan)
    made = command("study", "new", str(tmp_path / "study.yaml"))
    assert made.startswith("0 ") and "owner's token" in made and "simulated raters" in made
    assert "already" in command("study", "new", str(tmp_path / "study.yaml"))
    assert "simulated raters" in command("study", "list")
    assert "simulated-1" in command("study", "progress", "study") and "attention" in command(
        "study", "progress", "study", "--items"
    )
    told = command("study", "results", "study", "--no-texts")
    assert "Table 3 (simulated raters)" in told and "3.24" in told and "Krippendorff" in told
    assert command("study", "export", "study", "--out", str(tmp_path / "out.csv")).startswith("0 ")
    assert (tmp_path / "out.dictionary.csv").read_text().count("\n") > len(DICTIONARY)
    assert "no study" in command("study", "results", "nothing")
    (tmp_path / "people.yaml").write_text(small_plan(name="people", tasks=["fit"]).model_dump_json())
    assert "/join/" in command("study", "new", str(tmp_path / "people.yaml"))
    assert "/r/" in command("study", "invite", "people", "finch", "wren")
