"""Names of clusters: the words that set their sentences apart."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from and_core.query.cluster_names import STOP, cluster_names, cluster_words
from tests.query.test_flips import SimpleNamespaceHashable


def clustered(*clusters: list[str]) -> Any:
    rows = [{"cluster": i, "text": text} for i, texts in enumerate(clusters) for text in texts]
    return SimpleNamespaceHashable(
        cluster_sentences=pa.Table.from_pylist(rows),
        notes=lambda stage: {"clusters": len(clusters)},
        require=lambda stage: None,
    )


def test_a_cluster_is_named_after_what_others_do_not_say() -> None:
    d = clustered(
        ["A dog barks.", "The dog is barking loudly.", "Barking of a dog, recorded outside."],
        ["Rain falls on a roof.", "The rain is loud.", "Rain, and a dog far away."],
        ["It is one."],
    )
    names = cluster_names(d)
    assert names[0].split(", ")[0] == "barking" and names[1].split(", ")[0] == "rain"
    words = dict(cluster_words(d)[0])
    assert words["dog"] < words["barking"], "the other cluster has a dog too"
    assert names[2] == "cluster 2", "stop words make no name"
    for ranked in cluster_words(d):
        weights = [weight for _, weight in ranked]
        assert weights == sorted(weights, reverse=True) and not STOP & {word for word, _ in ranked}


def test_every_cluster_of_a_dissection_has_a_name_of_its_own(dissection) -> None:
    names = cluster_names(dissection)
    assert len(names) == dissection.notes("clusters")["clusters"] == len(set(names))
