"""Code that a dissection has on record, such as the function that builds its network: run by nobody until a user says
so, once a process."""

from __future__ import annotations

import json

from and_core.config import make_config
from and_core.errors import ConfigError
from and_core.registry import PluginConfig
from and_core.store.dissection import Dissection
from and_core.store.seal import is_sealed

_permitted: set[str] = set()  # targets, as their configurations have them


def permit_target(target: PluginConfig) -> None:
    """Let this process run what loading a target runs: whoever calls this answers for it."""
    _permitted.add(_identity(target))


def permit(d: Dissection) -> None:
    """Let this process run what loading the network of a dissection runs, as a user of a page asks.

    Raises
    ------
    ConfigError
        Somebody else has made the dissection: what it has on record is not run from a page.
    """
    if not is_sealed(d.folder, d.manifest, "activations"):
        raise ConfigError(
            f"{d.name!r} was not made by this installation, so the code that it has on record is not run; make it here "
            "with a configuration of your own: and-dissect run CONFIG"
        )
    permit_target(make_config(d.manifest.config).target)


def is_permitted(target: PluginConfig) -> bool:
    """Return whether a target's code may run in this process."""
    return _identity(target) in _permitted


def forget_permissions() -> None:
    """Forget what was permitted, as a new process has nothing."""
    _permitted.clear()


def _identity(target: PluginConfig) -> str:
    return json.dumps(target.model_dump(mode="json"), sort_keys=True)
