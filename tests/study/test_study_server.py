"""The raters' server: what it serves and what not, thirty raters at once, and everything that can break under it."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from and_core.study.answers import all_answers
from and_core.study.serve import make_app
from and_core.study.study import open_study
from tests.serving import Server
from tests.studies import answer, begin, new_database, small_study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ANSWERS, RATERS, BROWSERS = 50, 30, 5
PLAN = {"tasks": ["fit"], "methods": ["TAB", "DB"], "repeats": 0.0}


@pytest.fixture
def small(cache: Path, tmp_path: Path):
    return small_study(cache, tmp_path / "root", **PLAN, raters=3)


@pytest.fixture
def client(small):
    from starlette.testclient import TestClient

    return TestClient(make_app(small.study))


def test_it_serves_the_rating_page_and_nothing_else(small, client) -> None:
    s = small.study
    one, _ = begin(s, "one")
    two, _ = begin(s, "two")
    page = client.get(f"/r/{one}")
    assert (
        page.status_code == 200
        and "script-src 'self'" in page.headers["content-security-policy"]
        and page.headers["referrer-policy"] == "no-referrer"
    )
    state = client.get(f"/r/{one}/state").json()
    clip = state["item"]["clips"][0]["id"]
    sound = client.get(f"/r/{one}/media/{clip}")
    assert sound.status_code == 200 and sound.content[:4] == b"fLaC" and sound.headers["cache-control"] == "no-store"
    part = client.get(f"/r/{one}/media/{clip}", headers={"Range": "bytes=0-99"})
    assert part.status_code == 206 and part.content == sound.content[:100]
    assert b"small" not in sound.content[:4096] and not {"etag", "last-modified", "content-disposition"} & set(
        sound.headers
    )
    sounds = [path.name for path in s.sounds.iterdir()]
    nothing = [
        "/",
        "/docs",
        "/study",
        "/static/",
        "/static/rate.py",
        "/static/..%2f..%2ferrors.py",
        "/r/",
        "/r/x",
        "/favicon.ico",
        "/clips/small/0.flac",
        "/r/%00",
    ]
    nothing += [
        f"/r/{one}/media/{sounds[0]}",
        f"/r/{two}/media/{clip}",
        f"/r/{one}/media/..%2f..%2fstudy.sqlite",
        f"/sounds/{sounds[0]}",
        "/_stcore/health",
    ]
    nothing += [
        f"/r/{'x' * 32}/state",
        f"/r/{small.owner_token}",
        f"/r/{small.join_token}/state",
        f"/r/{one[:-1]}",
        f"/r/{one}/",
        f"/r/{one}/results",
    ]
    for path in (*nothing, f"/join/{one}", f"/join/{small.owner_token}"):
        assert client.get(path).status_code == 404, path
    for method in ("put", "delete", "patch"):
        assert getattr(client, method)(f"/r/{one}/state").status_code == 405
    assert client.get(f"/r/{one}/events").status_code == 405
    hidden = page.text + client.get("/static/rate.js").text + client.get(f"/r/{one}/state").text
    for name in (*[f.partition(".")[0] for f in sounds], "layer0", "layer1", "small/", ".wav"):
        assert name not in hidden


def test_what_is_sent_is_checked_before_anything_is_kept(small, client) -> None:
    s = small.study
    one, _ = begin(s, "one")
    where = f"/r/{one}/events"
    good = answer(s, client.get(f"/r/{one}/state").json())
    for body in (b"", b"{", b"[1]", b'"x"', b"[" * 60_000, b"\xff\xfe", b'{"kind": "answer"}'):
        assert client.post(where, content=body).status_code == 422, body[:20]
    assert client.post(where, content=b" " * 70_000).status_code == 422
    assert client.post(where, json={**good, "response": 6}).json()["error"].startswith("response='6'")
    assert client.post(f"/r/{'y' * 32}/events", json=good).status_code == 404
    assert len(all_answers(s)) == 0
    saved = client.post(where, json=good)
    assert saved.status_code == 200 and saved.json()["saved"] and saved.json()["state"]["position"] == 1
    stale = client.post(where, json={**good, "uuid": "another-uuid"})
    assert stale.status_code == 409 and stale.json()["state"]["position"] == 1
    assert len(all_answers(s)) == 1


def test_joining_by_the_common_link(small, client) -> None:
    where = f"/join/{small.join_token}"
    assert client.get(where).status_code == 200
    link = client.post(where, json={"pseudonym": "wren"}).json()["link"]
    assert client.get(f"{link}/state").json()["pseudonym"] == "wren"
    for body, reason in (
        ({"pseudonym": "wren"}, "taken"),
        ({"pseudonym": "<script>"}, "not allowed"),
        ({"pseudonym": 7}, "pseudonym"),
        ([], "pseudonym"),
        ({}, "pseudonym"),
    ):
        refused = client.post(where, json=body)
        assert refused.status_code in (400, 422) and reason in refused.json()["error"]
    for name in ("b", "c"):
        assert client.post(where, json={"pseudonym": name}).status_code == 200
    assert "all 3 places" in client.post(where, json={"pseudonym": "d"}).json()["error"]
    closed = small_study(
        small.study.folder.parents[1], small.study.folder.parents[1], name="closed", tasks=["fit"], join=False
    )
    from starlette.testclient import TestClient

    assert TestClient(make_app(closed.study)).get(f"/join/{closed.join_token}").status_code == 404


def rating(rater: int, position: int) -> int:
    """What a rater answers; no two raters say the same everywhere."""
    return (rater * 7 + position * (1 + rater % 3) + rater // 5) % 5 + 1


def rate_by_http(url: str, token: str, rater: int, count: int, positions: dict[str, int] | None = None) -> None:
    """A rater's page without a browser: the same requests, each answer sent again until the server has it."""
    import random

    wait = random.Random(rater)
    with httpx.Client(base_url=f"{url}/r/{token}", timeout=30) as http:
        done = 0
        while done < count:
            try:
                state = http.get("/state").json()
                if "item" not in state:
                    return
                sent = answer(None, state, rating(rater, state["position"]) - 1)
                reply = http.post("/events", json=sent)
                while reply.status_code >= 500:
                    time.sleep(0.1 + wait.random() / 5)
                    reply = http.post("/events", json=sent)
                assert reply.status_code == 200, reply.text
                if positions is not None:
                    positions[f"{rater}/{sent['uuid']}"] = sent["position"]
                done += 1
            except httpx.TransportError:  # the server is gone for a while
                time.sleep(0.2)


async def rate_by_browser(url: str, tokens: dict[int, str], count: int) -> None:
    from playwright.async_api import async_playwright, expect

    expect.set_options(timeout=60_000)

    async def one(browser, rater: int, token: str) -> None:
        page = await (await browser.new_context()).new_page()
        await page.goto(f"{url}/r/{token}")
        for position in range(count):
            await expect(page.locator("#count")).to_have_text(re.compile(rf"^{position} of"))
            practice = await page.locator("main .mark").count()
            for clip in range(await page.locator(".clip").count()):
                await page.keyboard.press(str(clip + 1))
                await expect(page.locator(".clip small").nth(clip)).to_have_text("heard")
            await page.keyboard.press("asdfg"[rating(rater, position) - 1])
            await page.keyboard.press("Enter")
            if practice:
                await page.wait_for_selector(".feedback")
                await expect(page.locator("#go")).to_have_attribute("aria-disabled", "false")
                await page.keyboard.press("Enter")
        await expect(page.locator("#count")).to_have_text(re.compile(rf"^{count} of"))

    async with async_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--mute-audio", "--autoplay-policy=no-user-gesture-required"]
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        await asyncio.gather(*(one(browser, rater, token) for rater, token in tokens.items()))
        await browser.close()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("backend", "answers"),
    [
        ("sqlite", 15),
        ("postgresql", 15),
        *(pytest.param(b, ANSWERS, marks=pytest.mark.slow) for b in ("sqlite", "postgresql")),
    ],
)
def test_thirty_raters_at_once_lose_double_and_cross_nothing(
    backend: str, answers: int, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty in one server, five of them in real Chromium (on SQLite.

    Where there is none, all thirty without), fifty answers each (15 in the quick suite).
    """
    url = new_database(backend, monkeypatch)
    study = small_study(
        cache,
        tmp_path / "root",
        url,
        **PLAN,
        raters=RATERS,
        raters_per_item=RATERS,
        listen=0.0,
        neurons={"per_block": 7, "kinds": ["output"]},
    ).study
    tokens = {n: begin(study, f"rater {n}")[0] for n in range(RATERS)}
    in_browser = {n: tokens[n] for n in range(BROWSERS)} if CHROMIUM and backend == "sqlite" else {}
    with Server(tmp_path / "root") as server, ThreadPoolExecutor(RATERS) as pool:
        others = [pool.submit(rate_by_http, server.url, tokens[n], n, answers) for n in tokens if n not in in_browser]
        if in_browser:
            asyncio.run(rate_by_browser(server.url, in_browser, answers))
        for other in others:
            other.result()
    rows = all_answers(study)
    assert len(rows) == RATERS * answers == rows["uuid"].nunique()
    assert Counter(rows["rater"]) == {f"rater {n}": answers for n in range(RATERS)}
    assert not rows.duplicated(["rater", "position"]).any() and rows["live"].all()
    for n in range(RATERS):
        mine = rows[rows["rater"] == f"rater {n}"].sort_values("position")
        assert mine["position"].tolist() == list(range(answers))
        assert [int(v) for v in mine["response"]] == [rating(n, p) for p in range(answers)], n


def test_an_answer_shown_as_saved_outlives_kill_9(cache: Path, tmp_path: Path) -> None:
    study = small_study(cache, tmp_path / "root", **PLAN, raters=4, raters_per_item=4).study
    tokens = [begin(study, f"rater {n}")[0] for n in range(4)]
    positions: dict[str, int] = {}
    server = Server(tmp_path / "root").start()
    try:
        with ThreadPoolExecutor(4) as pool:
            others = [pool.submit(rate_by_http, server.url, token, n, 20, positions) for n, token in enumerate(tokens)]
            for least in (8, 30):
                while len(positions) < least:
                    time.sleep(0.01)
                server.kill()
                kept = dict(positions)
                server.start()
                assert len(kept) >= least
            for other in others:
                other.result()
    finally:
        server.kill()
    rows = all_answers(study)
    here = dict(zip(rows["uuid"].str.replace(":", "/"), rows["position"], strict=True))
    assert {uuid: position for uuid, position in positions.items() if here.get(uuid) != position} == {}
    assert not rows.duplicated(["rater", "position"]).any() and len(rows) >= len(positions)


def _limit(pid: int, size: int) -> None:
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


@pytest.mark.parametrize("fault", ["locked", "full", "gone"])
def test_a_database_that_fails_is_told_and_the_answer_is_taken_later(fault: str, cache: Path, tmp_path: Path) -> None:
    if fault == "full" and not hasattr(resource, "prlimit"):
        pytest.skip("the size of a process's files can't be limited on this system")
    study = small_study(cache, tmp_path / "root", **PLAN, raters=3).study
    token, _ = begin(study, "a")
    path = study.database.path
    assert path is not None
    with Server(tmp_path / "root") as server, httpx.Client(base_url=f"{server.url}/r/{token}", timeout=30) as http:
        sent = answer(study, http.get("/state").json())
        if fault == "locked":
            holder = sqlite3.connect(path, isolation_level=None)
            holder.execute("BEGIN EXCLUSIVE")
            mend: Callable[[], object] = lambda: holder.execute("ROLLBACK")  # noqa: E731
        elif fault == "full":
            assert server.process is not None
            pid = server.process.pid
            _limit(pid, 100)
            mend = lambda: _limit(pid, resource.RLIM_INFINITY)  # noqa: E731
        else:
            away = path.with_name("away.sqlite")
            path.rename(away)
            mend = lambda: away.rename(path)  # noqa: E731
        failed = http.post("/events", json=sent)
        assert failed.status_code == 503 and "database" in failed.json()["error"], failed.text
        assert str(path) not in failed.text or fault == "gone"
        if fault == "gone":
            assert not path.exists()  # no empty one was made in its place
        mend()
        assert http.post("/events", json=sent).status_code == 200
    assert len(all_answers(study)) == 1


def test_a_database_that_hangs_is_said_in_time_and_nothing_is_lost_or_doubled(small) -> None:
    from starlette.testclient import TestClient

    token, _ = begin(small.study, "one")
    slow = open_study(small.study.name, root=small.study.folder.parent.parent, busy=60.0)
    client = TestClient(make_app(slow, patience=0.5))
    state = client.get(f"/r/{token}/state").json()
    sent = answer(slow, state)
    holder = sqlite3.connect(small.study.database.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    late = [client.post(f"/r/{token}/events", json=sent) for _ in range(2)]
    assert [reply.status_code for reply in late] == [503, 503] and time.monotonic() - began < 40
    assert "can't be used now" in late[0].json()["error"]
    holder.execute("ROLLBACK")
    assert client.post(f"/r/{token}/events", json=sent).status_code == 200
    assert all_answers(small.study)["kind"].tolist() == ["answer"]


def test_a_request_that_never_ends_is_given_up(small) -> None:
    app = make_app(small.study, patience=0.2)
    token, _ = begin(small.study, "one")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": f"/r/{token}/events",
        "raw_path": b"",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1"), (b"content-length", b"1000")],
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
    }
    messages: list[dict] = []

    async def receive() -> dict:
        if not messages and not getattr(receive, "begun", False):
            receive.begun = True  # type: ignore[attr-defined]
            return {"type": "http.request", "body": b"{", "more_body": True}
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        messages.append(message)

    asyncio.run(asyncio.wait_for(app(scope, receive, send), 10))
    assert messages[0]["status"] == 408


def test_nobody_takes_all_places_by_the_common_link_at_once(cache: Path, tmp_path: Path) -> None:
    from starlette.testclient import TestClient

    made = small_study(cache, tmp_path / "root", **PLAN, raters=20)
    app = make_app(made.study)
    far, here = TestClient(app, client=("192.0.2.7", 5)), TestClient(app, client=("127.0.0.1", 5))
    positions = [far.post(f"/join/{made.join_token}", json={"pseudonym": f"bird {n}"}).status_code for n in range(14)]
    assert positions == [200] * 12 + [429] * 2
    assert here.post(f"/join/{made.join_token}", json={"pseudonym": "owl"}).status_code == 200


def test_an_address_that_is_taken_is_told(cache: Path, tmp_path: Path) -> None:
    small_study(cache, tmp_path / "root", **PLAN, raters=3)
    with Server(tmp_path / "root") as server:
        command = ["and-dissect", "study", "serve", "study", "--port", str(server.port)]
        import sys

        done = subprocess.run(
            [sys.executable, "-m", "and_core.cli", *command[1:]],
            env={**os.environ, "AND_CACHE": str(tmp_path / "root")},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1 and f"port={server.port}" in done.stderr


def test_readers_do_not_wait_for_a_writer(cache: Path, tmp_path: Path) -> None:
    study = small_study(cache, tmp_path / "root", **PLAN, raters=3).study
    begin(study, "a")
    held = threading.Event()
    with study.database.write():
        began = time.monotonic()
        assert len(all_answers(study)) == 0 and time.monotonic() - began < 30
        held.set()
    assert held.is_set()
