"""Equations of the documentation as MathML, which browsers draw themselves:
no script, no font, no request to anywhere."""

from __future__ import annotations

import re
from typing import Any

from latex2mathml.converter import convert

DISPLAYED = re.compile(r"^\$\$\n(.+?)\n\$\$$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<![\\$`\w])\$([^$`\n]+?)\$(?![\w$])")
CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.MULTILINE | re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace ``$...$`` and ``$$...$$`` outside code by MathML."""
    parts = CODE.split(markdown)
    return "".join(part if number % 2 else _equations(part) for number, part in enumerate(parts))


def _equations(text: str) -> str:
    text = DISPLAYED.sub(lambda equation: convert(equation[1].replace("\n", " "), display="block"), text)
    return INLINE.sub(lambda equation: convert(equation[1]), text)
