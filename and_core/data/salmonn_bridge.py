"""Runs inside SALMONN's own environment: JSON lines in, JSON lines out. Started by the captioner `salmonn`.

    python salmonn_bridge.py REPO DECODE_YAML DEVICE

In: {"id": 0, "wav": "/path/16kHz.wav", "prompt": "..."}; out: {"id": 0, "text": "..."} or {"id": 0, "error": "..."}.
"""

import json
import os
import sys
from argparse import Namespace


def main() -> None:
    """Answer until the input ends; whatever the model prints goes to the error stream."""
    repo, decode, device = sys.argv[1:4]
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.path.insert(0, repo)
    import torch
    from config import Config
    from models.salmonn import SALMONN
    from transformers import WhisperFeatureExtractor
    from utils import prepare_one_sample

    config = Config(Namespace(cfg_path=decode, options=None)).config
    model = SALMONN.from_config(config.model)
    model.to(device)
    model.eval()
    listener = WhisperFeatureExtractor.from_pretrained(config.model.whisper_path)
    for line in sys.stdin:
        question = json.loads(line)
        answer = {"id": question["id"]}
        try:
            sample = prepare_one_sample(question["wav"], listener, cuda_enabled=device.startswith("cuda"))
            prompt = config.model.prompt_template.format("<Speech><SpeechHere></Speech> " + question["prompt"].strip())
            with (
                torch.no_grad(),
                torch.autocast(device.split(":")[0], dtype=torch.float16, enabled=device.startswith("cuda")),
            ):
                answer["text"] = model.generate(sample, config.generate, prompts=[prompt])[0]
        except Exception as error:  # noqa: BLE001 - one clip that the model fails on must not end the run
            answer["error"] = f"{type(error).__name__}: {error}"
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
