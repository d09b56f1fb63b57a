"""docs/features.md tells of every table of a features folder and of every column."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq

from liverank.config.candidates import CandidateConfig
from tests.conftest import ROOT
from tests.features.conftest import build, event, shown, write

FAMILIES = (
    (r"_\d+d$", "_Wd"),
    (r"^seen_.+", "seen_<type>"),
    (r"^(surface|device)_is_.*", r"\1_is_*"),
    (r"^(cosine|pearson|jaccard)_(max|mean)$", r"\1_*"),
)


def test_every_table_and_column_is_told(tmp_path: Path) -> None:
    events = [event(f"e{n:02d}", f"u{n % 3}", f"i{n % 7:02d}", n, context={"device": "phone"}) for n in range(60)]
    lists = [shown(f"l{n}", f"u{n % 3}", ["i01", "i02"], n + 0.5, surface="home") for n in range(30)]
    built = build(write(tmp_path / "data", events, lists), tmp_path / "out", candidate=CandidateConfig(table=True))
    page = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`([^`]+)`", page))
    tables = {path.name: path for path in built.folder.iterdir() if path.suffix == ".parquet" or path.is_dir()}
    assert len(tables) == 11
    for name, path in tables.items():
        assert any(word.strip("/").removesuffix(".parquet") == name.removesuffix(".parquet") for word in told), name
        files = [path] if path.is_file() else sorted(path.glob("*.parquet"))
        for column in {column for file in files for column in pq.read_schema(file).names}:
            family = column
            for pattern, general in FAMILIES:
                family = re.sub(pattern, general, family)
            assert family in told, f"{name}: {column}"
