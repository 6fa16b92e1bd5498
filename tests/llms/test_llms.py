"""Language models: one contract for every kind, and what a server may do wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from and_core.config import PluginConfig
from and_core.errors import ConfigError, MissingExtra
from and_core.llms.base import LLMS, LanguageModel, Question
from and_core.pipeline.llm_cache import CachedLLM
from and_core.testing import check_language_model
from tests.conftest import ROOT
from tests.fake_server import FakeServer, tiny_chat_model

STAND_IN = """
class SamplingParams:
    def __init__(self, temperature, top_p, max_tokens, seed):
        self.max_tokens = max_tokens

class _Text:
    def __init__(self, text, cut):
        self.text, self.finish_reason = text, "length" if cut else "stop"

class _Out:
    def __init__(self, text, cut):
        self.outputs = [_Text(text, cut)]

class LLM:
    def __init__(self, model, max_model_len, gpu_memory_utilization, seed, trust_remote_code):
        assert trust_remote_code is False

    def chat(self, turns, sampling, use_tqdm):
        return [_Out("You said: " + t[0]["content"], s.max_tokens < 4) for t, s in zip(turns, sampling)]
"""


def model(kind: str, **settings: object) -> LanguageModel:
    return LLMS.create(PluginConfig(kind=kind, **settings))


@contextmanager
def server(tmp_path: Path) -> Iterator[dict]:
    with FakeServer(lambda prompt: f"You said: {prompt}").serve() as url:
        yield {"base_url": url, "model": "fake"}


@contextmanager
def in_process(tmp_path: Path) -> Iterator[dict]:
    yield {"model": tiny_chat_model(str(tmp_path / "model")), "batch": 3}


@contextmanager
def vllm(tmp_path: Path) -> Iterator[dict]:
    (tmp_path / "vllm.py").write_text(STAND_IN)
    sys.path.insert(0, str(tmp_path))
    try:
        yield {"model": "fake", "batch": 2}
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("vllm", None)


KINDS: dict[str, Callable] = {"server": server, "transformers": in_process, "vllm": vllm}


@pytest.mark.parametrize("kind", LLMS.names())
def test_every_language_model(kind: str, tmp_path: Path) -> None:
    with KINDS[kind](tmp_path) as settings:
        made = check_language_model(lambda: model(kind, **settings))
        if kind != "transformers":  # a random network may say nothing
            assert dict(made.answer([Question("say it", max_tokens=8)]))[0].text == "You said: say it"


def test_vllm_names_its_extra() -> None:
    with pytest.raises(MissingExtra, match=r"audio-network-dissection\[vllm\]"):
        list(model("vllm", model="x").answer([Question("a")]))


def test_a_model_without_chat_template_is_refused(tmp_path: Path) -> None:
    made = model("transformers", model=tiny_chat_model(str(tmp_path / "base"), template=False))
    with pytest.raises(ConfigError, match="has no chat template"):
        list(made.answer([Question("a")]))
    with pytest.raises(ConfigError, match="can't be loaded"):
        list(model("transformers", model=str(tmp_path / "none")).answer([Question("a")]))


def test_batches_padding_and_long_prompts_in_process(tmp_path: Path) -> None:
    folder = tiny_chat_model(str(tmp_path / "m"))
    together, alone = model("transformers", model=folder, batch=4), model("transformers", model=folder, batch=1)
    requests = [Question("a" * n, max_tokens=6) for n in (3, 80, 20, 5)]
    one, many = dict(alone.answer(requests)), dict(together.answer(requests))
    assert one == many, "padding must not be read"
    mixed = dict(together.answer([Question("long " * 1000), *requests, Question("x" * 4060, max_tokens=6)]))
    assert mixed[0].text is None and "the model takes 4096" in str(mixed[0].error)
    assert [mixed[i + 1] for i in range(4)] == [one[i] for i in range(4)], "a prompt that is too long spoils no other"
    sampled = [Question("hello", sample=i, temperature=1.0, max_tokens=12) for i in (0, 1)]
    assert (
        dict(alone.answer(sampled)) == dict(alone.answer(sampled))
        and len({r.text for r in dict(alone.answer(sampled)).values()}) == 2
    )


def test_what_a_server_may_do_wrong(tmp_path: Path) -> None:
    def behave(prompt: str, tries: int) -> str:
        return "" if prompt.startswith("later") and tries > 1 else prompt.split()[-1]

    ways = ["fail", "garbage", "shape", "hangup", "empty", "cut", "plain"]
    fake = FakeServer(lambda prompt: "fine", behave=behave)
    with fake.serve() as url:
        made = model("server", base_url=url, model="m", retries=1, in_flight=2)
        got = dict(
            made.answer([Question(f"now {way}") for way in ways] + [Question("later fail"), Question("later hangup")])
        )
    assert [got[i].text for i in range(9)] == [None, None, None, None, None, "fine", "fine", "fine", "fine"]
    for i, reason in enumerate(["500", "nonsense", "nonsense", "no whole answer", "empty"]):
        assert reason in str(got[i].error), got[i]
    assert got[5].cut and not got[6].cut
    assert fake.most <= 2 and fake.asked["now fail"] == 2 and fake.asked["later hangup"] == 2, (
        "bounded, and tried again as often as allowed"
    )


def test_a_wrong_key_or_model_is_not_tried_for_every_question() -> None:
    fake = FakeServer(lambda prompt: "", behave=lambda prompt, tries: "deny")
    with fake.serve() as url:
        got = dict(
            model("server", base_url=url, model="m", retries=0, in_flight=2).answer(
                [Question(str(i)) for i in range(200)]
            )
        )
    assert (
        len(got) == 200
        and sum(fake.asked.values()) < 20
        and "refused" in str(got[0].error)
        and "not tried" in str(got[199].error)
    )


def test_stopping_in_the_middle_waits_for_nothing() -> None:
    fake = FakeServer(lambda prompt: "fine", delay=3.0, behave=lambda prompt, tries: "")
    with fake.serve() as url:
        answers = model("server", base_url=url, model="m", in_flight=4).answer(Question(str(i)) for i in range(100))
        next(iter(answers))
        began = time.time()
        answers.close()  # type: ignore[attr-defined]
        assert time.time() - began < 2


def test_two_local_models_never_share_answers(tmp_path: Path) -> None:
    one, two = Path(tiny_chat_model(str(tmp_path / "one"))), Path(tiny_chat_model(str(tmp_path / "two")))
    assert model("transformers", model=str(one)).fingerprint() == model("transformers", model=str(two)).fingerprint()
    (two / "chat_template.jinja").write_text("other")
    assert model("transformers", model=str(one)).fingerprint() != model("transformers", model=str(two)).fingerprint()
    for weights in two.glob("*.safetensors"):
        weights.unlink()
    with pytest.raises(ConfigError, match="holds no weights"):
        model("transformers", model=str(two)).fingerprint()
    tagged = [model("server", model="m", tag=tag).fingerprint() for tag in ("", "second")]
    assert tagged[0] != tagged[1], "a server's model may change behind its name"


def test_a_server_that_is_down_is_not_asked_forever() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    made = model("server", base_url=url, model="m", retries=0, in_flight=4)
    began = time.time()
    got = dict(made.answer([Question(str(i)) for i in range(500)]))
    assert time.time() - began < 20 and len(got) == 500
    assert "gave no whole answer" in str(got[0].error) and "could not be reached or lets nobody in; not tried" in str(
        got[499].error
    )
    assert url in str(got[499].error)


def test_the_key_is_sent_and_kept_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeServer(lambda prompt: "fine", behave=lambda prompt, tries: "tell" if prompt == "tell" else "")
    with fake.serve() as url:
        settings = {"base_url": url, "model": "m", "retries": 0, "api_key_env": "AND_TEST_KEY"}
        with pytest.raises(ConfigError, match="AND_TEST_KEY"):
            list(model("server", **settings).answer([Question("a")]))
        monkeypatch.setenv("AND_TEST_KEY", "bad key\x01")
        with pytest.raises(ConfigError, match="holds no key"):
            model("server", **settings)
        with pytest.raises(ConfigError, match="base_url"):
            model("server", base_url="http://user:word@127.0.0.1/v1", model="m")
        monkeypatch.setenv("AND_TEST_KEY", "s3cret-s3cret\n")
        cached_llm = CachedLLM(model("server", **settings), tmp_path, lambda stage, done, total: None)
        cached_llm.fetch("x", [Question("a"), Question("tell")], 2)
        assert "[key]" in str(cached_llm([Question("tell")])[0].error)
        cached_llm.answers.close()
    assert fake.bodies[0]["authorization"] == "Bearer s3cret-s3cret"
    assert all(b"s3cret" not in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def test_a_question_is_asked_once_and_a_failed_one_again(tmp_path: Path) -> None:
    fake = FakeServer(
        lambda prompt: f"fine {prompt}", behave=lambda prompt, tries: "fail" if prompt == "bad" and tries == 1 else ""
    )
    with fake.serve() as url:

        def cached_llm() -> CachedLLM:
            return CachedLLM(
                model("server", base_url=url, model="m", retries=0), tmp_path, lambda stage, done, total: None
            )

        requests = [Question("a"), Question("bad"), Question("a"), Question("c")]
        one = cached_llm()
        assert one.fetch("x", iter(requests), 4)[:2] == (3, 1)
        assert [r.text for r in one(requests)] == ["fine a", None, "fine a", "fine c"] and "500" in str(
            one(requests)[1].error
        )
        assert one([Question("never")])[0].error == "not asked"
        assert one.answers.counts() == (2, 1)
        two = cached_llm()
        assert two.fetch("x", requests, 4)[:2] == (1, 0)
        assert two([Question("bad")])[0].text == "fine bad"
    assert fake.asked == {"a": 1, "bad": 2, "c": 1}


def test_a_damaged_book_is_named(tmp_path: Path) -> None:
    from and_core.errors import ANDError
    from and_core.store.answers import AnswerCache

    (tmp_path / "answers.sqlite").write_bytes(b"this is no database " * 100)
    with pytest.raises(ANDError, match="move it away"):
        AnswerCache(tmp_path)


KILLED = """
import sys
from pathlib import Path
from and_core.config import PluginConfig
from and_core.llms.base import LLMS, Question
from and_core.pipeline.llm_cache import CachedLLM
model = LLMS.create(PluginConfig(kind="server", base_url=sys.argv[1], model="m", in_flight=4))
cached_llm = CachedLLM(model, Path(sys.argv[2]), lambda *a: print(a[1], flush=True))
cached_llm.fetch("x", (Question(str(i)) for i in range(60)), 60)
print("end", flush=True)
"""


def test_a_killed_run_asks_nothing_twice(tmp_path: Path) -> None:
    fake = FakeServer(lambda prompt: "fine", delay=0.05)
    with fake.serve() as url:
        command = [sys.executable, "-c", KILLED, url, str(tmp_path)]
        killed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert killed.stdout is not None
        kept = 0
        for line in killed.stdout:
            kept = int(line)
            if kept >= 20:
                killed.kill()
                break
        killed.wait()
        first = sum(fake.asked.values())
        assert first < 60
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.endswith("end\n")
    assert len(fake.asked) == 60
    assert sum(n - 1 for n in fake.asked.values()) <= 4 + first - kept, (
        "only what was on its way when the run was killed is asked again"
    )


def test_transformers_serve_answers(tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="transformers serve needs fastapi and uvicorn (test extra)")
    folder = tiny_chat_model(str(tmp_path / "tiny"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(Path(sys.executable).with_name("transformers")),
        "serve",
        folder,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--device",
        "cpu",
    ]
    log = (tmp_path / "log.txt").open("w")
    serving = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"}, cwd=tmp_path)
    try:
        for _ in range(240):
            assert serving.poll() is None, (tmp_path / "log.txt").read_text()
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", timeout=1).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.25)
        made = model("server", base_url=f"http://127.0.0.1:{port}/v1", model=folder, in_flight=2, timeout=60)
        got = dict(made.answer([Question(f"hello {i}", max_tokens=8) for i in range(4)]))
        local = dict(
            model("transformers", model=folder, batch=1).answer(
                [Question(f"hello {i}", max_tokens=8) for i in range(4)]
            )
        )
    finally:
        serving.terminate()
        serving.wait(20)
        log.close()
    assert any(r.text for r in got.values()), [r.error for r in got.values()]
    assert [r.text for r in got.values() if r.text] and {k: r.text for k, r in got.items()} == {
        k: r.text for k, r in local.items()
    }
