"""Audio Network Dissection: what each neuron of a deep acoustic model listens to.

The library behind the dashboard. Start with :func:`open_dissection` to read a dissection; with
:func:`explain_network`, or :func:`and_core.pipeline.run` and a configuration, to make one.
"""

from typing import TYPE_CHECKING, Any

from and_core.records import NeuronId
from and_core.store.dissection import Dissection, list_dissections, open_dissection

if TYPE_CHECKING:
    from and_core.pipeline.explain import explain_network

__version__ = "0.1.0"
__all__ = ["Dissection", "NeuronId", "__version__", "explain_network", "list_dissections", "open_dissection"]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first asked for: reading a dissection does not."""
    if name == "explain_network":
        from and_core.pipeline.explain import explain_network

        return explain_network
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
