"""Version of each stage's results: raised when they change for the same parameters, or when their layout does.

The pipeline makes these versions and the reader takes no other, so that a dissection made by another version of this
package is called out of date instead of being misread.
"""

STAGE_VERSIONS: dict[str, int] = {
    "clips": 3,
    "activations": 1,
    "labels": 1,
    "class_map": 1,
    "neurons": 2,
    "similar": 1,
    "captions": 2,
    "texts": 2,
    "summaries": 3,
    "calibration": 2,
    "closed": 2,
    "sounds": 1,
    "tab": 1,
    "icl": 1,
    "open": 3,
    "last_layer": 2,
    "explanations": 4,
    "word_counts": 2,
    "clusters": 2,
    "interpretability": 2,
    "interpretability_seeds": 1,
    "acoustics": 2,
    "map": 2,
    "intruder": 1,
    "quantities": 1,
    "scores": 2,
    "confidence": 1,
    "compositions": 1,
    "judged": 1,
    "planted": 1,
    "split": 1,
    "unlearning": 1,
    "importance": 1,
    "listening": 1,
    "decisions": 1,
    "tuning": 1,
    "steering": 1,
    "kept": 1,  # one result that a user kept, under the name kept-KEY
}
