"""What ships with the package: prompts, concept sets, lexicon, tagger, the demo's networks, forms of human studies."""

from __future__ import annotations

from pathlib import Path


def bundled(name: str) -> Path:
    """Return the path of a file or folder that ships with the package.

    Parameters
    ----------
    name : str
        Path below ``and_core/data``, such as ``"weights/ast"``.

    Raises
    ------
    FileNotFoundError
        The installation lacks it.

    Examples
    --------
    >>> bundled("concepts/esc50.txt").name
    'esc50.txt'
    """
    path = Path(__file__).parent / name
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; the installation of Audio Network Dissection is incomplete")
    return path
