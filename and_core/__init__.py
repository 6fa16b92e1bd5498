"""Audio Network Dissection: what each neuron of a deep acoustic model listens to.

The library behind the dashboard. Start with :func:`open_dissection` to read a dissection, or with
:func:`and_core.pipeline.run` to make one.
"""

from and_core.records import NeuronId
from and_core.store.dissection import Dissection, list_dissections, open_dissection

__version__ = "0.1.0"
__all__ = ["Dissection", "NeuronId", "__version__", "list_dissections", "open_dissection"]
