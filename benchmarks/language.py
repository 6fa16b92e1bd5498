"""Texts and answers: each text encoded once against once per neuron; requests in flight against the bound.

Filter banks in a batch.
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import torch

from and_core.audio.fbank import kaldi_fbank
from and_core.config import PluginConfig
from and_core.corpus.captions import NAMES, SYNONYMS
from and_core.dissect.similarity import SIMILARITIES
from and_core.encoders.base import ENCODERS
from and_core.llms.base import LLMS, Question
from benchmarks.report import Row, alone, finish, seconds

NEURONS, CLIPS, CONCEPTS, K = 55_346, 2_000, 50, 5
SAMPLE = 12
DELAY, IN_FLIGHT, REQUESTS = 0.2, 32, 640
SERVER = """
import asyncio, json, sys

CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "An answer of a few words."}}
BODY = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [CHOICE]}).encode()
LENGTH = str(len(BODY)).encode()
HEAD = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: "
ANSWER = HEAD + LENGTH + b"\\r\\n\\r\\n" + BODY

async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            lines = head.lower().split(b"\\r\\n")
            length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
            await reader.readexactly(length)
            await asyncio.sleep(float(sys.argv[1]))
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=256)
    print("http://127.0.0.1:%d/v1" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


def captions(count: int) -> list[str]:
    """Texts of the length of a caption, no two alike."""
    rng = np.random.default_rng(0)
    names = [n for group in NAMES.values() for n in group]
    words = [w for group in SYNONYMS.values() for w in group]
    return [
        f"This is {rng.choice(names)}, number {i}. The sound is {', '.join(rng.choice(words, 4))}. Behind it is "
        f"{rng.choice(names)}."
        for i in range(count)
    ]


def encoding() -> None:
    """All of DB with each text encoded once; and the same texts encoded anew for every neuron, on a sample."""
    encoder = ENCODERS.create(PluginConfig(kind="minilm", model="bundled"))
    texts, concepts = (
        captions(CLIPS),
        [f"concept {name[0]}" for name in list(NAMES.values())] + [f"other {i}" for i in range(CONCEPTS - len(NAMES))],
    )
    encoder.encode(texts[:8])
    u = np.random.default_rng(0).standard_normal((CLIPS, NEURONS)).astype(np.float32)

    def once() -> None:
        cosine = encoder.encode(texts) @ encoder.encode(concepts).T
        SIMILARITIES["cos_cubed"](u, torch.softmax(torch.from_numpy(20 * cosine), 1).numpy())

    def anew() -> None:
        for neuron in range(SAMPLE):
            best = np.argsort(u[:, neuron])[-K:]
            cosine = encoder.encode([texts[i] for i in best]) @ encoder.encode(concepts).T
            SIMILARITIES["cos"](u[best][:, neuron : neuron + 1], cosine)

    whole, sample = seconds(once), seconds(anew)
    finish(once=whole, anew=sample / SAMPLE * NEURONS)


def in_flight() -> None:
    """Requests a second against a server that takes 200 ms for each, in a process of its own."""
    serving = subprocess.Popen([sys.executable, "-c", SERVER, str(DELAY)], stdout=subprocess.PIPE, text=True)
    assert serving.stdout is not None
    try:
        url = serving.stdout.readline().strip()
        model = LLMS.create(PluginConfig(kind="server", base_url=url, model="m", in_flight=IN_FLIGHT))
        list(model.answer([Question(f"warm {i}") for i in range(IN_FLIGHT)]))
        began = time.perf_counter()
        replies = list(model.answer(Question(f"question {i}") for i in range(REQUESTS)))
        taken = time.perf_counter() - began
    finally:
        serving.kill()
    assert all(reply.text for _, reply in replies)
    finish(rate=REQUESTS / taken, ideal=IN_FLIGHT / DELAY)


def filter_banks() -> None:
    """Log-mel energies of 32 clips of 10 s: ours in one batch, transformers' extractor for AST (its NumPy path) on the
    same."""
    from transformers import ASTFeatureExtractor

    waves = (np.random.default_rng(0).standard_normal((32, 160_000)) * 0.1).astype(np.float32)
    extractor = ASTFeatureExtractor()
    ours = seconds(lambda: kaldi_fbank(torch.from_numpy(waves)))
    theirs = seconds(lambda: extractor(list(waves), sampling_rate=16_000, return_tensors="pt"))
    finish(ours=ours, theirs=theirs)


def rows() -> list[Row]:
    """Rows of the table."""
    texts, flight, banks = (alone("benchmarks.language", part) for part in ("encoding", "in_flight", "filter_banks"))
    share = flight["rate"] / flight["ideal"]
    return [
        Row(
            f"DB for {NEURONS:,} neurons, each of {CLIPS:,} captions encoded once, against encoding a neuron's "
            "captions and the concepts anew",
            f"{texts['once']:.0f} s; anew {texts['anew'] / 3600:.1f} h (from {SAMPLE} neurons, extrapolated): "
            f"{texts['anew'] / texts['once']:.0f}x",
            "-",
            None,
        ),
        Row(
            f"requests a second, {IN_FLIGHT} in flight, to a server that takes {1000 * DELAY:.0f} ms",
            f"{flight['rate']:.0f} of {flight['ideal']:.0f}: {100 * share:.0f} %",
            "90 %",
            share >= 0.9,
        ),
        Row(
            "filter banks of 32 clips of 10 s, in one batch, against transformers' extractor",
            f"{banks['theirs'] / banks['ours']:.1f}x faster",
            "-",
            None,
        ),
    ]


if __name__ == "__main__":
    {"encoding": encoding, "in_flight": in_flight, "filter_banks": filter_banks}[sys.argv[1]]()
