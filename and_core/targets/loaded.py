"""The network that a dissection is of: loaded as its configuration names it, once for everybody who asks."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict

from and_core.config import PluginConfig, make_config
from and_core.errors import ConfigError, PermissionNeeded, TargetError
from and_core.memory import exempt_loaded
from and_core.store.dissection import Dissection
from and_core.store.seal import is_sealed
from and_core.targets.base import TARGETS, Target, pick_device

LOADED = 2  # networks kept loaded
_kept: OrderedDict[tuple[str, str], Target] = OrderedDict()
_lock = threading.RLock()
_permitted: set[str] = set()  # targets whose code this process may run, as their configurations have them


def permit_target(target: PluginConfig) -> None:
    """Let this process run what loading a target runs, such as a factory's code: whoever calls this answers for it."""
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


def forget() -> None:
    """Forget what is loaded and what was permitted, as a new process has neither."""
    with _lock:
        _kept.clear()
        _permitted.clear()


def _identity(target: PluginConfig) -> str:
    return json.dumps(target.model_dump(mode="json"), sort_keys=True)


def open_target(d: Dissection) -> Target:
    """Return the target of a dissection, loaded.

    Raises
    ------
    TargetError
        It can't be loaded, or it is not the network that was dissected.
    PermissionNeeded
        Loading it runs code, and nobody has called :func:`permit`.
    """
    config = make_config(d.manifest.config)
    permitted = _identity(config.target) in _permitted
    if not permitted and (lines := TARGETS.reaches(config.target)):
        raise PermissionNeeded(f"The network of {d.name!r} is not loaded yet: loading it {'; '.join(lines)}.", d.name)
    target = TARGETS.create(config.target, recorded=not permitted)
    fingerprint, dissected = target.fingerprint()[:16], d.notes("activations")["checkpoint"]
    if fingerprint != dissected:
        raise TargetError(
            f"target.checkpoint has changed since {d.name!r} was made: fingerprint {fingerprint}, "
            f"dissected {dissected}; run the dissection again"
        )
    target.load(pick_device(config.activations.device))
    return target


def shared_target(d: Dissection) -> Target:
    """Return what :func:`open_target` gives, the last few kept loaded.

    Call within :func:`using`, since a network runs one pass at a time.
    """
    key = (str(d.folder), d.manifest.stages["activations"].key)
    with _lock:
        if key not in _kept:
            _kept[key] = open_target(d)
            while len(_kept) > LOADED:
                _kept.popitem(last=False)
            exempt_loaded()
        _kept.move_to_end(key)
        return _kept[key]


def network_lock() -> threading.RLock:
    """Return the lock under which shared networks run."""
    return _lock
