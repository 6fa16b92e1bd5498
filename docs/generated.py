"""Parts of the documentation that are made from the code: `cog -r docs/*.md` writes them, and a test compares them."""

from __future__ import annotations

import ast
import inspect
import textwrap
from pathlib import Path
from pkgutil import resolve_name
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from and_core import config
from and_core.registry import PathMark, PluginConfig, Registry

ROOT = Path(__file__).resolve().parents[1]


# -- settings ----------------------------------------------------------------------------------------------------------


def settings() -> str:
    """Return the settings of a configuration, section by section, then those of every plug-in."""
    sections: list[tuple[str, type[BaseModel]]] = [("A dissection", config.RunConfig)]
    sections += [(name, inner) for name, inner in _inner(config.RunConfig)]
    parts = [f"### `{name}`\n\n{_about(model)}\n\n{_table(model)}" for name, model in sections]
    for section, where in config.REGISTRIES.items():
        if section != "audio_encoder":
            parts.append(_plugins(section, resolve_name(where)))
    return "\n" + "\n\n".join(parts).replace("### `A dissection`", "### A dissection") + "\n\n"


def _inner(model: type[BaseModel]) -> list[tuple[str, type[BaseModel]]]:
    found = ((name, _section(field.annotation)) for name, field in model.model_fields.items())
    return [(name, inner) for name, inner in found if inner is not None and inner is not PluginConfig]


def _section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    return next((inner for part in get_args(annotation) if (inner := _section(part)) is not None), None)


def _plugins(section: str, registry: Registry[Any]) -> str:
    both = "`encoder`, `closed.encoder` and `audio_encoder`" if section == "encoder" else f"`{section}`"
    lines = [f"### Kinds of {both}"]
    for kind in registry.names():
        cls = registry.get(kind)
        lines.append(
            f"#### `{section}: {{kind: {kind}}}`\n\n{_first(cls)}\n\n{_about(cls.Settings)}\n\n{_table(cls.Settings)}"
        )
    return "\n\n".join(lines)


def _about(model: type) -> str:
    """A docstring as Markdown, without the sections of its parameters."""
    text = inspect.cleandoc(model.__doc__ or "")
    return text.split("\nAttributes\n")[0].replace("``", "`").strip()


def _first(model: type) -> str:
    return inspect.cleandoc(model.__doc__ or "").split("\n\n")[0].replace("``", "`").replace("\n", " ")


def _table(model: type[BaseModel]) -> str:
    if not model.model_fields:
        return "No settings."
    said = _comments(model)
    rows = ["| setting | type | default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        given = "required" if field.is_required() else f"`{_default(field)}`"
        rows.append(f"| `{name}` | {_type(field.annotation, field.metadata)} | {given} | {said.get(name, '')} |")
    return "\n".join(rows)


def _default(field: Any) -> str:
    value = field.default if field.default is not PydanticUndefined else field.default_factory()
    if isinstance(value, PluginConfig):
        return f"kind: {value.kind}"
    if isinstance(value, BaseModel):
        return "on"
    if isinstance(value, tuple):
        value = list(value)
    return (
        {None: "null", True: "true", False: "false"}.get(value, str(value))
        if isinstance(value, bool | None)
        else str(value)
    )


def _type(annotation: Any, metadata: Any = ()) -> str:
    if any(isinstance(m, PathMark) and m.always for m in metadata):
        return "file"
    if get_origin(annotation) is Annotated:
        return _type(annotation.__origin__, annotation.__metadata__)
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(part) for part in get_args(annotation)))
    if get_origin(annotation) in (list, tuple, dict):
        inner = [part for part in get_args(annotation) if part is not Ellipsis]
        return (
            "list of " + ", ".join(dict.fromkeys(_type(part) for part in inner))
            if get_origin(annotation) is not dict
            else "mapping"
        )
    names = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "true or false",
        type(None): "`null`",
        Any: "text",
        Path: "file",
    }
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "plug-in" if annotation is PluginConfig else "section"
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}
    bounds = [
        f"{sign} {getattr(m, name)}"
        for m in metadata
        for name, sign in signs.items()
        if getattr(m, name, None) is not None
    ]
    return " ".join([names.get(annotation, str(getattr(annotation, "__name__", annotation))), *bounds])


def _comments(model: type[BaseModel]) -> dict[str, str]:
    """What the source says of each field: the comment beside it, or its entry in the docstring."""
    said: dict[str, str] = {}
    for cls in reversed(
        [c for c in model.__mro__ if isinstance(c, type) and issubclass(c, BaseModel) and c is not BaseModel]
    ):
        try:
            lines, _ = inspect.getsourcelines(cls)
        except (OSError, TypeError):
            continue
        source = textwrap.dedent("".join(lines))
        rows = source.split("\n")
        for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                last, before = rows[node.end_lineno - 1], rows[node.lineno - 2].strip()  # type: ignore[operator]
                comment = last[node.end_col_offset or 0 :].partition("#")[2].strip() or (
                    before[1:].strip() if before.startswith("#") else ""
                )
                if comment:
                    said[node.target.id] = comment
        said |= _attributes(inspect.cleandoc(cls.__doc__ or ""))
    return {name: text.replace("|", "\\|").replace("``", "`") for name, text in said.items()}


def _attributes(doc: str) -> dict[str, str]:
    part = doc.partition("\nAttributes\n")[2]
    said: dict[str, str] = {}
    names: list[str] = []
    for line in part.split("\n"):
        if line and not line.startswith((" ", "-")) and " : " in line:
            names = [name.strip() for name in line.split(" : ")[0].split(",")]
        elif line.startswith("    ") and names:
            for name in names:
                said[name] = f"{said.get(name, '')} {line.strip()}".strip()
    return said


# -- commands ----------------------------------------------------------------------------------------------------------


def commands() -> str:
    """Return every command with its arguments and options, as `--help` shows them."""
    from and_core.cli.main import app

    return "\n" + "\n\n".join(_command("and-dissect", typer.main.get_command(app))) + "\n\n"


def _command(path: str, command: Any) -> list[str]:
    if hasattr(command, "commands"):
        parts = [f"## `{path}`\n\n{command.help}"] if path != "and-dissect" else []
        return parts + [part for name, inner in command.commands.items() for part in _command(f"{path} {name}", inner)]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    usage = " ".join([path, *(f"{p.name.upper()}{'...' if p.nargs == -1 else ''}" for p in arguments)])
    lines = [f"## `{usage}`\n\n{inspect.cleandoc(command.help or '')}"]
    rows = [f"| `{p.name.upper()}` | | {_help(p)} |" for p in arguments]
    for p in (p for p in command.params if p.param_type_name == "option" and p.name != "help"):
        given = "" if p.default in (None, False, [], ()) or callable(p.default) else f"`{p.default}`"
        rows.append(f"| `{' / '.join([*p.opts, *p.secondary_opts])}` | {given} | {_help(p)} |")
    return [*lines, *(["\n".join(["| | default | |", "|---|---|---|", *rows])] if rows else [])]


def _help(parameter: Any) -> str:
    return " ".join(str(getattr(parameter, "help", "") or "").split()).replace("|", "\\|")


# -- tables, figures, rooms, plug-ins ----------------------------------------------------------------------------------


def tables() -> str:
    """Return the names of all tables and figures that commands and pages show."""
    from and_core.figures.catalogue import TABLES
    from and_core.figures.gallery import FIGURES

    rows = ["| table | |", "|---|---|", *(f"| `{name}` | {_summary(function)} |" for name, function in TABLES.items())]
    rows += [
        "",
        "| figure | |",
        "|---|---|",
        *(f"| `{name}` | {_summary(function)} |" for name, function in FIGURES.items()),
    ]
    return "\n" + "\n".join(rows) + "\n\n"


def _summary(function: Any) -> str:
    return inspect.cleandoc(function.__doc__ or "").split("\n")[0].replace("|", "\\|")


def rooms() -> str:
    """Return the rooms of the package from the ground up: what each holds, and which rooms it imports from."""
    listed = ast.parse((ROOT / "tests" / "test_walls.py").read_text())
    order = next(
        ast.literal_eval(n.value)
        for n in listed.body
        if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "ROOMS"
    )
    rows = ["| | room | what it holds | imports from |", "|---|---|---|---|"]
    for number, room in enumerate(order, 1):
        folder = ROOT / "and_core" / room
        file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
        about = (ast.get_docstring(ast.parse(file.read_text())) or "").split("\n")[0]
        used = sorted(_imports(folder if folder.is_dir() else file) & set(order) - {room}, key=order.index)
        rows.append(f"| {number} | `{room}` | {about} | {', '.join(f'`{name}`' for name in used)} |")
    return "\n" + "\n".join(rows) + "\n\n"


def _imports(place: Path) -> set[str]:
    found: set[str] = set()
    for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("and_core."):
                found.add(str(node.module).split(".")[1])
            elif isinstance(node, ast.ImportFrom) and node.module == "and_core":
                found |= {alias.name for alias in node.names}
    return found
