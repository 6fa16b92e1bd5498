"""Prompt templates: text files with ``$name`` where something is put in; users may replace any of them."""

from __future__ import annotations

from pathlib import Path
from string import Template

from and_core.data import bundled
from and_core.errors import ConfigError

BUNDLED = bundled("prompts")
FIELDS: dict[str, frozenset[str]] = {
    "summary": frozenset({"captions", "count"}),
    "icl_top1": frozenset({"concepts", "summary"}),
    "icl_top5": frozenset({"concepts", "summary"}),
    "acoustic_word": frozenset({"word"}),
    "judge": frozenset({"explanation", "caption"}),
}
NEEDED: dict[str, frozenset[str]] = {**FIELDS, "summary": frozenset({"captions"})}


def load_prompts(folder: str = "bundled") -> dict[str, str]:
    """Return template text by name: those of a folder, the package's own where the folder has none.

    Parameters
    ----------
    folder : str
        ``bundled``, or a folder with any of `summary.txt`, `icl_top1.txt`, `icl_top5.txt`, `acoustic_word.txt` or
        `judge.txt`.

    Raises
    ------
    ConfigError
        No such folder, an unknown file, or a template that lacks a field or asks for one there is not.
    """
    own = {} if folder == "bundled" else {p.stem: p for p in Path(folder).glob("*.txt")}
    if folder != "bundled" and not Path(folder).is_dir():
        raise ConfigError(f"prompts={folder!r} is no folder")
    unknown = sorted(own.keys() - FIELDS.keys())
    if unknown:
        raise ConfigError(
            f"prompts={folder!r} holds {', '.join(u + '.txt' for u in unknown)}; allowed: "
            f"{', '.join(n + '.txt' for n in FIELDS)}"
        )
    texts = {}
    for name, fields in FIELDS.items():
        path = own.get(name, BUNDLED / f"{name}.txt")
        try:
            texts[name] = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the prompt {path} can't be read: {error}") from None
        template = Template(texts[name])
        names = set(template.get_identifiers())
        if not template.is_valid() or names - fields or NEEDED[name] - names:
            allowed = ", ".join("$" + f for f in sorted(fields)) or "none"
            raise ConfigError(
                f"the prompt {path} has the fields {', '.join(sorted(names)) or 'none'}; it must have and may only "
                f"have: {allowed} ($$ is a plain $)"
            )
    return texts


def fill(template: str, **values: object) -> str:
    """Return a template with its fields put in; what is put in is never read as a template."""
    return Template(template).substitute(values)
