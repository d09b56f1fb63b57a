"""Figures of others, and of plain recipes measured beforehand: rows to stand beside.

`[R]`: read in the named paper or repository; `[M]`: measured beforehand on the same file, by another implementation.
"""

from __future__ import annotations

from typing import Final

Published = tuple[tuple[str, str, str], ...]
"""Row, its figures as published, its mark."""

HEADS: Final = {
    "games": "NDCG@10 / Recall@10, all users",
    "ml100k": "NDCG@10 / Recall@10, all users",
    "ml1m": "NDCG@10 / HR@10",
    "lists": "NDCG@10 / HR@10",
    "zero-shot": "NDCG@10",
    "uci": "NDCG@10 / HR@10: all baskets; new customers; returning, items new to them",
    "cold": "NDCG@10: cold / warm",
}
ROWS: Final[dict[str, Published]] = {
    "games": (
        ("SASRec", ".0783 / .1446", "[R]"),
        ("LRURec", ".0800 / .1463", "[R]"),
        ("LlamaRec-7B", ".0887 / .1599", "[R]"),
        ("count model", ".0633 / .1094", "[M]"),
        ("count + TF-IDF, weight chosen on validation", ".0686 / .1183", "[M]"),
        ("SASRec with title embeddings", ".0865 / .1574", "[M], one seed"),
        ("its log-softmax + 2 x count + 2 x TF-IDF", ".0997 / .1743", "[M], one seed"),
    ),
    "ml100k": (
        ("SASRec", ".0522 / .0993", "[R]"),
        ("LRURec", ".0705 / .1426", "[R]"),
        ("LlamaRec-7B", ".0759 / .1524", "[R]"),
        ("count model", ".0777 / .1344", "[M]"),
        ("count + TF-IDF, weight chosen on validation", ".0865 / .1426", "[M], with the titles of its own movie file"),
    ),
    "ml1m": (
        ("count model", ".1573 / .2700", "[M]"),
        ("SASRec, BCE", ".1259 / .2392", "[R]"),
        ("gSASRec", ".1726 / .3003", "[R]"),
        ("RecTools SASRec, softmax", ".1779 / .3058", "[R]"),
        ("HSTU", ".1720 / .3097", "[R], own preprocessing"),
        ("HSTU-large", ".1893 / .3294", "[R], own preprocessing"),
    ),
    "lists": (("SASRec's lists as given", ".0493 / .0982; truth in the list .324", "[M]"),),
    "zero-shot": (
        ("TF-IDF", ".515", "[M]"),
        ("GPT-3.5 (Hou et al., 2024)", ".488", "[R]"),
        ("SASRec, trained", ".789", "[R]"),
    ),
    "uci": (
        ("popularity, half-life 14 days", ".1171 / .533; .0974 / .510; .0626 / .314", "[M]"),
        ("what the customer bought most", ".2696 / .730; .0974 / .510; -", "[M]"),
        ("co-occurrence", "-; -; .0638 / .294", "[M]"),
        ("co-occurrence + 0.5 TF-IDF + popularity", "-; -; .0765 / .358", "[M]"),
    ),
    "cold": (
        ("counts only", "0 / .0650", "[M]"),
        ("counts + TF-IDF, weight 1.0", ".0088 / .0671", "[M]"),
        ("text only", ".0222 / .0252", "[M]"),
    ),
}
