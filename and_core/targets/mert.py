"""MERT (Li et al. 2023, arXiv 2306.00107): on the hub with code of its own, which is never run; without constant-Q
features it is HuBERT at 24 kHz."""

from __future__ import annotations

from typing import Any

from and_core.errors import TargetError

MODEL_TYPE, ARCHITECTURE = "mert_model", "MERTModel"
# what HuBERT has no part for -> the value at which MERT does without
WITHOUT = {"feature_extractor_cqt": False, "deepnorm": False}
OWN = ("auto_map", "model_type", "attention_relax", "feature_extractor_cqt_bins", *WITHOUT)  # no settings of HuBERT


def is_mert(values: dict[str, Any]) -> bool:
    """Return whether a configuration, as `config.json` has it, is MERT's."""
    return values.get("model_type") == MODEL_TYPE or values.get("architectures") == [ARCHITECTURE]


def hubert_config(what: str, values: dict[str, Any]) -> Any:
    """Return the configuration of the HuBERT that a MERT is.

    `attention_relax` counts only together with `deepnorm`.

    Raises
    ------
    TargetError
        It has a part that HuBERT has not: constant-Q features (those of 330M parameters), or deep norm.
    """
    from transformers import HubertConfig

    parts = [f"{name}={values[name]!r}" for name, without in WITHOUT.items() if values.get(name, without) != without]
    if parts:
        raise TargetError(
            f"{what} is a MERT with {', '.join(parts)}: HuBERT has no such part, and code that comes with a checkpoint "
            "is never run; take one without, such as m-a-p/MERT-v1-95M"
        )
    config: Any = HubertConfig.from_dict({name: value for name, value in values.items() if name not in OWN})
    config._commit_hash = values.get("_commit_hash")
    return config
