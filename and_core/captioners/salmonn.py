"""SALMONN, the paper's captioner, by a bridge to the user's own checkout and interpreter (it needs Python 3.9 and an
old transformers)."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Thread
from typing import Annotated, Any

import numpy as np
import soundfile as sf
from pydantic import Field

from and_core.captioners.base import CAPTIONERS, PROMPT, ListeningCaptioner
from and_core.data import bundled
from and_core.errors import ConfigError
from and_core.registry import FilePath, Settings
from and_core.reply import Reply, clean_reply
from and_core.store.files import sha256_file

GIVE_UP = 3  # times in a row that the process ends, after which it is not started again


class SalmonnSettings(Settings):
    """`repo`: checkout of bytedance/SALMONN (branch salmonn); `python`: its interpreter; `decode`: its decoding YAML.

    `timeout` seconds a clip.
    """

    repo: FilePath
    python: FilePath
    decode: FilePath
    device: str = "cuda:0"
    prompt: str = PROMPT
    timeout: Annotated[float, Field(gt=0)] = 1800.0

    def reaches(self) -> list[str]:
        """Return the interpreter."""
        return [f"starts the program {self.python}"]


@CAPTIONERS.register
class Salmonn(ListeningCaptioner[SalmonnSettings]):
    """One clip at a time over JSON lines; the model runs in a process of its own, started by a list of arguments."""

    kind = "salmonn"

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        for name, wanted in (("repo", "is_dir"), ("python", "is_file"), ("decode", "is_file")):
            if not getattr(getattr(settings, name), wanted)():
                raise ConfigError(f"captions.{name}={str(getattr(settings, name))!r} is not there")

    def identity(self) -> str:
        """Return the bytes of the decoding configuration, and the prompt."""
        s = self.settings
        return json.dumps([sha256_file(s.decode), s.prompt])

    def describe(self) -> str:
        """Return one line for provenance."""
        return f"SALMONN ({self.settings.decode.name})"

    def replies(self, waves: Iterable[np.ndarray]) -> Iterator[tuple[int, Reply]]:
        """Yield replies in order.

        A process that has ended is started again for the next clip, until it ends several times in a row.
        """
        s = self.settings
        command = [
            str(s.python.absolute()),
            str(bundled("salmonn_bridge.py")),
            str(s.repo.absolute()),
            str(s.decode.absolute()),
            s.device,
        ]
        bridge: _Bridge | None = None
        ends = 0
        with tempfile.TemporaryDirectory() as scratch:
            try:
                for number, wave in enumerate(waves):
                    bridge = bridge or _Bridge(command, s.repo)
                    path = Path(scratch) / f"{number}.wav"
                    sf.write(path, wave, self.sample_rate, subtype="PCM_16")
                    reply = bridge.ask({"id": number, "wav": str(path), "prompt": s.prompt}, s.timeout)
                    ends = ends + 1 if bridge.ended else 0
                    if bridge.ended and ends < GIVE_UP:
                        bridge.close()
                        bridge = None
                    yield number, reply
                    path.unlink()
            finally:
                if bridge is not None:
                    bridge.close()


class _Bridge:
    """The other process: a line out, a line back; what it says besides is kept for its last words."""

    def __init__(self, command: list[str], folder: Path) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8", errors="replace"
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._said: deque[str] = deque(maxlen=5)
        self.ended = False
        self._threads = [Thread(target=self._read, daemon=True), Thread(target=self._listen, daemon=True)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if line.strip():
                self._said.append(line.strip())

    def ask(self, question: dict[str, Any], timeout: float) -> Reply:
        """Return the reply to one clip; a line that answers another question is an error, never passed on."""
        try:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            self._process.kill()
            self.ended = True
            return Reply(None, f"SALMONN gave no answer in {timeout:g} s; its process was ended")
        except (BrokenPipeError, OSError):
            line = None
        if line is None:
            self.ended = True
            self._lines.put(None)
            self._threads[1].join(2)
            return Reply(None, f"SALMONN's process has ended: {self._said[-1] if self._said else 'without a word'}")
        try:
            answer = json.loads(line)
            known = answer["id"] == question["id"]
        except (json.JSONDecodeError, KeyError, TypeError):
            known = False
        if not known:
            return Reply(None, f"SALMONN's bridge answered nonsense: {line.strip()[:120]}")
        if "error" in answer:
            return Reply(None, f"SALMONN failed on this clip: {answer['error'][:200]}")
        return clean_reply(str(answer.get("text", "")).replace("</s>", "").replace("<s>", ""))

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
