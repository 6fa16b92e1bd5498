"""The network that a dissection is of: loaded as its configuration names it, once for everybody who asks."""

from __future__ import annotations

import threading
from collections import OrderedDict

from and_core.config import make_config
from and_core.errors import PermissionNeeded, TargetError
from and_core.memory import exempt_loaded
from and_core.store.dissection import Dissection
from and_core.store.permission import is_permitted
from and_core.targets.base import TARGETS, Target, pick_device

LOADED = 2  # networks kept loaded
_kept: OrderedDict[tuple[str, str], Target] = OrderedDict()
_lock = threading.RLock()


def forget_networks() -> None:
    """Forget what is loaded, as a new process has nothing."""
    with _lock:
        _kept.clear()


def open_target(d: Dissection) -> Target:
    """Return the target of a dissection, loaded.

    Raises
    ------
    TargetError
        It can't be loaded, or it is not the network that was dissected.
    PermissionNeeded
        Loading it runs code, and nobody has permitted it, see :mod:`and_core.store.permission`.
    """
    config = make_config(d.manifest.config)
    permitted = is_permitted(config.target)
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

    Call within :func:`network_lock`, since a network runs one pass at a time.
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


def network_rate(d: Dissection) -> int:
    """Return the rate in Hz at which the network of a dissection hears; it is loaded for that."""
    with _lock:
        return shared_target(d).sample_rate


def network_lock() -> threading.RLock:
    """Return the lock under which shared networks run."""
    return _lock
