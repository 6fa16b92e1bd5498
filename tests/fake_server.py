"""A stand-in for an OpenAI-compatible server that can be slow, fail, answer nonsense or hang up."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

Say = Callable[[str], str]


class FakeServer:
    """Answers `/v1/chat/completions` with ``say(prompt)``; the behaviours named in the prompt's text change how.

    `behave(prompt, tries)` may return ``"fail"`` (status 500), ``"deny"`` (401), ``"tell"`` (400, with the key in it),
    ``"garbage"`` (no JSON), ``"shape"`` (JSON of another shape), ``"hangup"`` (closes in mid-answer), ``"cut"`` (ran
    into the limit), ``"empty"``, or anything else for a plain answer.
    """

    def __init__(
        self,
        say: Say,
        delay: float = 0.0,
        behave: Callable[[str, int], str] = lambda prompt, tries: "",
        body: Any = None,
    ) -> None:
        self.body = body  # (status, what is sent) in place of an answer
        self.say, self.delay, self.behave = say, delay, behave
        self.asked: Counter[str] = Counter()
        self.bodies: list[dict] = []
        self.running = self.most = 0
        self.lock = Lock()

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Base URL of the running server."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                content = body["messages"][-1]["content"]
                prompt = (
                    content if isinstance(content, str) else next(p["text"] for p in content if p["type"] == "text")
                )
                with fake.lock:
                    fake.asked[prompt] += 1
                    tries = fake.asked[prompt]
                    fake.bodies.append({**body, "authorization": self.headers.get("Authorization")})
                    fake.running += 1
                    fake.most = max(fake.most, fake.running)
                time.sleep(fake.delay)
                with fake.lock:
                    fake.running -= 1
                self._answer(body, prompt, fake.behave(prompt, tries))

            def _answer(self, body: dict, prompt: str, how: str) -> None:
                if fake.body is not None:
                    status, sent = fake.body
                    return self._send(status, sent.encode() if isinstance(sent, str) else json.dumps(sent).encode())
                if how == "fail":
                    return self._send(500, b'{"error": {"message": "out of memory"}}')
                if how == "deny":
                    return self._send(401, b'{"error": {"message": "wrong key"}}')
                if how == "tell":  # a careless server that repeats the key it was sent
                    return self._send(
                        400, json.dumps({"error": {"message": f"bad header {self.headers['Authorization']}"}}).encode()
                    )
                if how == "garbage":
                    return self._send(200, b"<html>welcome</html>")
                if how == "shape":
                    return self._send(200, b'{"choices": []}')
                choice = {"index": 0, "finish_reason": "length" if how == "cut" else "stop"}
                message = {"role": "assistant", "content": "" if how == "empty" else fake.say(prompt)}
                answer = {
                    "id": "1",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": [{**choice, "message": message}],
                }
                data = json.dumps(answer).encode()
                self._send(200, data, half=how == "hangup")

            def _send(self, status: int, data: bytes, half: bool = False) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if half else data)
                if half:
                    self.close_connection = True

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            server.server_close()


def tiny_chat_model(folder: str, template: bool = True) -> str:
    """A random causal language model with a tokenizer of single bytes, in the hub's own format."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {t: i for i, t in enumerate(["<pad>", "<s>", "</s>", *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    if template:
        fast.chat_template = (
            "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}{% if "
            "add_generation_prompt %}assistant: {% endif %}"
        )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocab),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=4096,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder
