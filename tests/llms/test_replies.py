"""Answers of language models as they really come: thinking in every wrapping, parts, refusals, rubbish.

And the answer cache that keeps them.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from and_core.captioners.base import CAPTIONERS
from and_core.captioners.server import _content
from and_core.config import PluginConfig
from and_core.encoders.base import ENCODERS, TextEncoder, check_spread
from and_core.errors import ANDError, BusyError, ConfigError
from and_core.llms.base import LLMS, Question
from and_core.openai_api import is_loopback
from and_core.reply import STILL, clean_reply, content_of
from and_core.store.answers import FILE, AnswerCache
from tests.conftest import tone
from tests.fake_server import FakeServer

PLAIN = st.characters(exclude_characters="<>[]|&;\u25c1\u25b7", exclude_categories=["Cs", "Cc"])
RUBBISH = ["!!!!", "\x00\x01", "aaaaaaaa", " ", "\ufffd" * 9, "1234", "\ud800\udfff"]
ANSWER = "All of them are dogs that bark."
THOUGHT = "Hmm, caption one has guns and sirens; maybe a street at night."
WRAPPED = {
    "lone closing tag": "{t}\n</think>\n\n{a}",
    "think": "<think>{t}</think>{a}",
    "Think": "<Think>\n{t}\n</Think>\n{a}",
    "thinking": "<thinking>{t}</thinking>{a}",
    "thought": "<thought>{t}</thought>{a}",
    "reasoning": "<reasoning>{t}</reasoning>\n{a}",
    "reflection": "<think>{t}</think><reflection>{t}</reflection>{a}",
    "scratchpad": "<scratchpad>{t}</scratchpad>{a}",
    "monologue": "<inner_monologue>{t}</inner_monologue>{a}",
    "brackets": "[THINK]{t}[/THINK]{a}",
    "triangles": "\u25c1think\u25b7{t}\u25c1/think\u25b7{a}",
    "prefixed": "<seed:think>{t}</seed:think>{a}",
    "attribute": '<think time="3">{t}</think>{a}',
    "begin and end": "<|begin_of_thought|>{t}<|end_of_thought|><|begin_of_solution|>{a}<|end_of_solution|>",
    "start and end": "<|START_THINKING|>{t}<|END_THINKING|><|START_RESPONSE|>{a}<|END_RESPONSE|>",
    "escaped": "&lt;think&gt;{t}&lt;/think&gt;{a}",
    "with answer": "<think>{t}</think>\n<answer>{a}</answer>",
    "nested": "<think>{t}<think>{t}</think>{a}",
    "prose": "Here is my thought process: {t}\n\nHere is my response:\n{a}",
    "harmony": "<|channel|>analysis<|message|>{t}<|end|><|start|>assistant<|channel|>final<|message|>{a}<|return|>",
    "harmony, commentary": "<|channel|>commentary "
    "to=x<|message|>{t}<|end|><|start|>assistant<|channel|>final<|message|>{a}",
    "harmony without marks": "analysis{t}assistantfinal{a}",
    "channel": "<|channel>thought\n{t}<channel|>{a}",
    "spare tokens": "<unused94>{t}<unused95>{a}",
    "after it": "{a}\n<think>{t}</think>",
    "end of turn": "<think>{t}</think>{a}<|im_end|>",
    "plain": "{a}",
}


@pytest.mark.parametrize("name", WRAPPED)
def test_no_thinking_becomes_an_answer(name: str) -> None:
    assert clean_reply(WRAPPED[name].format(t=THOUGHT, a=ANSWER)).text == ANSWER


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(WRAPPED)),
    thought=st.text(
        st.characters(exclude_characters="<>[]|&;\u25c1\u25b7", exclude_categories=["Cs", "Cc"]), max_size=80
    ),
)
def test_whatever_is_thought_stays_out(name: str, thought: str) -> None:
    reply = clean_reply(WRAPPED[name].format(t=f"QQ{thought}QQ ", a=ANSWER))
    assert reply.text is not None and "QQ" not in reply.text and ANSWER in reply.text


@pytest.mark.parametrize(
    "text",
    [
        "<think>" + THOUGHT,
        "<|channel|>analysis<|message|>" + THOUGHT,
        "[THINK]" + THOUGHT,
        "<|START_THINKING|>" + THOUGHT,
    ],
)
def test_an_answer_that_ends_within_the_thinking_is_none(text: str) -> None:
    assert clean_reply(text, cut=True).error == STILL


@settings(max_examples=200, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["L"]), max_size=60)
    | st.sampled_from(["!!!!", "\x00\x01", "aaaaaaaa", " ", "\ufffd" * 9, "1234", "\ud800\udfff"])
)
def test_what_is_no_text_is_a_failed_answer(text: str) -> None:
    reply = clean_reply(text)
    assert reply.text is None and reply.error


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(codec=None), max_size=60))
def test_an_answer_can_be_stored_and_shown(text: str) -> None:
    words = clean_reply("a dog " + text).text or ""
    assert not [c for c in words if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t\r"]
    words.encode()


TEXT = {"type": "text", "text": ANSWER}
CONTENTS = [
    ({"content": [TEXT]}, ANSWER),
    ({"content": [{"type": "thinking", "thinking": [{"text": THOUGHT}]}, TEXT]}, ANSWER),
    ({"content": [ANSWER[:9], {"text": ANSWER[9:]}]}, ANSWER),
    ({"content": None, "reasoning_content": THOUGHT}, None),
    ({"content": "", "reasoning": THOUGHT}, None),
    ({"content": None, "refusal": "I can't."}, None),
    ({"content": None}, None),
    ({"content": 7}, None),
    ({}, None),
    ({"content": []}, None),
]


@pytest.mark.parametrize(("message", "text"), CONTENTS)
def test_content_in_parts_and_without_text(message: dict[str, Any], text: str | None) -> None:
    reply = content_of(message, cut=True)
    assert reply.text == text and (reply.error is None) == (text is not None)


BODIES = {
    "model 'm' not found": (200, {"error": {"message": "model 'm' not found, try pulling it first"}}),
    "no such route": (200, {"detail": "no such route"}),
    "web page": (200, "<html>Welcome</html>"),
    "too many tokens": (400, {"error": {"message": "too many tokens"}}),
    "busy now": (400, {"message": "busy now"}),
}


@pytest.mark.parametrize("said_", BODIES)
def test_a_servers_own_words_are_shown(said_: str) -> None:
    status, body = BODIES[said_]
    with FakeServer(lambda prompt: ANSWER, body=(status, body)).serve() as url:
        model = LLMS.create(PluginConfig(kind="server", base_url=url, model="m", retries=0))
        ((_, reply),) = model.answer([Question("What?")])
    assert reply.text is None and said_ in (reply.error or ""), reply.error


def test_a_proxy_for_the_internet_is_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens there
    with FakeServer(lambda prompt: ANSWER).serve() as url:
        ((_, reply),) = LLMS.create(PluginConfig(kind="server", base_url=url, model="m", retries=0)).answer(
            [Question("What?")]
        )
    assert reply.text == ANSWER
    here = ("http://localhost/v1", "http://127.8.0.1:1/", "http://[::1]:2/v1", "http://a.localhost/")
    assert all(map(is_loopback, here)) and not any(
        map(is_loopback, ("http://example.org/v1", "http://10.0.0.1", "http://localhost.evil.example"))
    )


def test_a_captioner_without_a_prompt_sends_the_sound_alone() -> None:
    assert [part["type"] for part in _content(tone(), "", 16_000)] == ["input_audio"] and [
        p["type"] for p in _content(tone(), "What?", 16_000)
    ][1:] == ["text"]
    assert CAPTIONERS.create(PluginConfig(kind="server", model="m", prompt="")).settings.prompt == ""


class Alike(TextEncoder):
    """All texts come out all but one vector."""

    kind = "alike"

    def describe(self) -> str:
        return "alike"

    def encode(self, texts: list[str]) -> Any:
        import numpy as np

        rows = np.ones((len(texts), 64)) + 0.05 * np.random.default_rng(0).standard_normal((len(texts), 64))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_an_encoder_that_tells_nothing_apart_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"encoder: alike gives phrases.*mean cosine (1.00|0.99)"):
        check_spread(Alike(None), "encoder")
    for section in ({"kind": "minilm", "model": "bundled"}, {"kind": "small_clap"}):
        check_spread(ENCODERS.create(PluginConfig(**section)), "encoder")


HOLD = (
    "import sqlite3, sys, time; d = sqlite3.connect(sys.argv[1], isolation_level=None); d.execute('BEGIN "
    "EXCLUSIVE'); print('held', flush=True); time.sleep(60)"
)


def test_a_book_that_is_in_use_is_not_called_damaged(tmp_path: Path) -> None:
    answers = AnswerCache(tmp_path)
    answers.put("k", "m", "p", 0, "an answer", None, False)
    answers.close()
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / FILE)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError) as caught:
            AnswerCache(tmp_path, patience=0.2)
        assert (
            "nothing is lost" in str(caught.value)
            and "move it away" not in str(caught.value)
            and str(holder.pid) in str(caught.value)
        )
    finally:
        holder.kill()
        holder.wait()
    assert AnswerCache(tmp_path).given("k")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_book_that_cant_be_written_is_not_called_damaged(tmp_path: Path) -> None:
    AnswerCache(tmp_path).close()
    (tmp_path / FILE).chmod(0o400)
    with pytest.raises(ANDError, match="can't be opened for writing"):
        AnswerCache(tmp_path).put("k", "m", "p", 0, "x", None, False)


def test_answers_kept_before_are_cleaned_once(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    from and_core.store.answers import MIGRATIONS

    db.execute(MIGRATIONS[0])
    for key, text in (("good", ANSWER), ("thinks", f"{THOUGHT}</think>{ANSWER}"), ("rubbish", "!!!!!!")):
        db.execute("INSERT INTO answers VALUES (?, 'm', 'p', 0, ?, NULL, 0, 1)", (key, text))
    db.execute("PRAGMA user_version=1")
    db.close()
    answers = AnswerCache(tmp_path)
    assert answers.get(["good", "thinks"]) == {
        "good": (ANSWER, None, False),
        "thinks": (ANSWER, None, False),
    } and not answers.given("rubbish")
    answers.put("half", "m", "\ud800", 0, "a \udc00 b", None, False)
    assert answers.get(["half"])["half"][0] == "a ? b"
