"""Numbers that the AND paper reports, to stand beside ours. Table 7, and with it Table 2."""

from __future__ import annotations

NETWORKS = ("AST", "BEATs-finetuned", "BEATs-frozen")
# (network, method) -> similarity function -> (top-1 %, top-5 %, mean cosine), ESC-50, 50 classes
LAST_LAYER: dict[tuple[str, str], dict[str, tuple[float, float, float]]] = {
    ("AST", "TAB"): {
        "cos": (2, 16, 0.23),
        "cos_cubed": (92, 98, 0.97),
        "rank_reorder": (84, 92, 0.91),
        "wpmi": (96, 100, 0.98),
        "soft_wpmi": (96, 98, 0.98),
    },
    ("AST", "DB"): {
        "cos": (80, 82, 0.85),
        "cos_cubed": (100, 100, 1.0),
        "rank_reorder": (86, 100, 0.93),
        "wpmi": (88, 100, 0.95),
        "soft_wpmi": (2, 10, 0.24),
    },
    ("BEATs-finetuned", "TAB"): {
        "cos": (50, 80, 0.64),
        "cos_cubed": (66, 94, 0.77),
        "rank_reorder": (52, 80, 0.67),
        "wpmi": (68, 94, 0.77),
        "soft_wpmi": (74, 92, 0.82),
    },
    ("BEATs-finetuned", "DB"): {
        "cos": (76, 100, 0.83),
        "cos_cubed": (74, 96, 0.82),
        "rank_reorder": (56, 90, 0.71),
        "wpmi": (62, 94, 0.75),
        "soft_wpmi": (2, 10, 0.23),
    },
    ("BEATs-frozen", "TAB"): {
        "cos": (14, 34, 0.35),
        "cos_cubed": (38, 76, 0.56),
        "rank_reorder": (18, 48, 0.42),
        "wpmi": (46, 72, 0.60),
        "soft_wpmi": (42, 80, 0.60),
    },
    ("BEATs-frozen", "DB"): {
        "cos": (58, 82, 0.69),
        "cos_cubed": (46, 82, 0.62),
        "rank_reorder": (36, 72, 0.56),
        "wpmi": (34, 68, 0.53),
        "soft_wpmi": (2, 10, 0.23),
    },
}
TABLE_2: dict[str, dict[str, tuple[float, float, float]]] = {
    "AST": {"ICL": (72, 60, 0.83), "TAB": (96, 100, 0.98), "DB": (100, 100, 1.0)},
    "BEATs-finetuned": {"ICL": (52, 56, 0.68), "TAB": (74, 92, 0.82), "DB": (76, 100, 0.83)},
    "BEATs-frozen": {"ICL": (16, 16, 0.37), "TAB": (46, 72, 0.60), "DB": (58, 82, 0.69)},
}
# Table 4: (network, strategy) -> average number ablated, change on the concept, change on the others, gap (others minus
# concept)
TABLE_4: dict[tuple[str, str], tuple[int, float, float, float]] = {
    ("AST", "random"): (3000, -13.52, -13.48, 0.04), ("AST", "TAB"): (3317, -4.19, -4.03, 0.16),
    ("AST", "DB"): (3317, -7.18, -7.41, -0.23), ("AST", "OCP"): (2808, -10.73, -6.83, 3.90),
    ("BEATs-finetuned", "random"): (3000, -0.55, -0.55, 0.00), ("BEATs-finetuned", "TAB"): (2765, -0.50, -0.49, 0.01),
    ("BEATs-finetuned", "DB"): (2765, -0.53, -0.57, -0.04), ("BEATs-finetuned", "OCP"): (2677, -2.00, -0.51, 1.49),
    ("BEATs-frozen", "random"): (3000, -0.72, -0.73, -0.01), ("BEATs-frozen", "TAB"): (2765, -0.42, -0.51, -0.09),
    ("BEATs-frozen", "DB"): (2765, -0.48, -0.58, -0.10), ("BEATs-frozen", "OCP"): (2906, -0.65, -0.55, 0.10),
}  # fmt: skip
