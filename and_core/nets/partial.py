"""The weights of one part of a checkpoint and no others: an audio tower without the language model around it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from and_core.errors import ANDError, first_line

SINGLE = ("model.safetensors", "pytorch_model.bin")
SHARDED = ("model.safetensors.index.json", "pytorch_model.bin.index.json")

Rename = Callable[[str], str | None]


def read_part(
    source: str,
    rename: Rename,
    what: str,
    error: type[ANDError],
    loading: dict[str, Any],
    fault_of: Callable[[Path], str | None],
) -> dict[str, torch.Tensor]:
    """Return the weights that `rename` gives a name, as float32 where they are numbers.

    Shards that hold none of them are neither opened nor fetched.

    Parameters
    ----------
    source : str
        A folder, or a hub id.
    rename : callable
        Name in the file -> name in the part, None for what is no part of it.
    what : str
        How a message names the checkpoint.
    error : type of ANDError
        What is raised.
    loading : dict
        How `from_pretrained` is called: ``revision`` and ``local_files_only`` count.
    fault_of : callable
        A file -> what is wrong with it at first sight, None where nothing is
        (:func:`and_core.store.files.weights_fault`).

    Raises
    ------
    ANDError
        There are no weights, a shard is missing or damaged, or none of the weights is of this part.
    """
    part: dict[str, torch.Tensor] = {}
    names: list[str] = []
    for path, listed in _shards(source, rename, what, error, loading):
        fault = fault_of(path)
        if fault is not None:
            raise error(f"{what}: {path.name} {fault}")
        try:
            with _opened(path) as (keys, read):
                names += keys
                wanted = {key: name for key in keys if (name := rename(key)) is not None}
                part |= {name: _plain(read(key)) for key, name in wanted.items()}
        except (OSError, RuntimeError, ValueError, SafetensorError) as fault_of_file:
            raise error(f"{what}: {path.name} can't be read: {first_line(fault_of_file)}") from None
        lacking = sorted(listed - set(keys))
        if lacking:
            raise error(f"{what}: {path.name} lacks {', '.join(lacking[:6])}, which the index promises")
    if not part:
        heads = sorted({".".join(name.split(".")[:2]) for name in names})
        raise error(f"{what} holds no weights of an audio tower; it holds {', '.join(heads[:8]) or 'none at all'}")
    return part


def find_file(source: str, name: str, loading: dict[str, Any]) -> Path | None:
    """Return a file of a checkpoint, fetched from the hub where it is not a folder; None where there is none."""
    if Path(source).is_dir():
        path = Path(source) / name
        return path if path.is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    where = {key: loading[key] for key in ("revision", "local_files_only") if key in loading}
    try:
        return Path(hf_hub_download(source, name, **where))
    except EntryNotFoundError:
        return None


def _shards(
    source: str, rename: Rename, what: str, error: type[ANDError], loading: dict[str, Any]
) -> Iterator[tuple[Path, set[str]]]:
    """Yield files that hold wanted weights, and the names that an index promises of them."""
    try:
        for index, single in zip(SHARDED, SINGLE, strict=True):
            if (whole := find_file(source, single, loading)) is not None:
                yield whole, set()
                return
            if (listing := find_file(source, index, loading)) is None:
                continue
            try:
                by_name = dict(json.loads(listing.read_text(encoding="utf-8"))["weight_map"])
            except (ValueError, KeyError, TypeError) as fault:
                raise error(f"{what}: {index} is no index of weights: {first_line(fault)}") from None
            wanted = {name: str(file) for name, file in by_name.items() if rename(name) is not None}
            for file in sorted(set(wanted.values())):
                path = find_file(source, file, loading) if Path(file).name == file else None
                if path is None:
                    raise error(f"{what}: {index} names {file}, which is not there")
                yield path, {name for name, place in wanted.items() if place == file}
            if not wanted:
                heads = sorted({".".join(name.split(".")[:2]) for name in by_name})
                raise error(f"{what} holds no weights of an audio tower; it holds {', '.join(heads[:8])}")
            return
    except OSError as fault:
        raise error(f"{what} can't be read: {first_line(fault)}") from None
    raise error(f"{what} holds no weights; allowed: {', '.join((*SINGLE, *SHARDED))}")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[str], Callable[[str], torch.Tensor]]]:
    """Give the names in a file and what reads one tensor; the others stay on the disk."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            yield list(file.keys()), file.get_tensor
        return
    tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    yield list(tensors), tensors.__getitem__


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor.clone()
