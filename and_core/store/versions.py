"""Version of each stage's results: raised when they change for the same parameters, or when their layout does.

The pipeline makes these versions and the reader takes no other, so that a dissection made by another version of this package is
called out of date instead of being misread.
"""

STAGE_VERSIONS: dict[str, int] = {
    "clips": 3,
    "activations": 1,
    "neurons": 2,
    "similar": 1,
    "captions": 1,
    "texts": 1,
    "summaries": 1,
    "calibration": 1,
    "closed": 1,
    "open": 1,
    "last_layer": 1,
    "explanations": 3,
}
