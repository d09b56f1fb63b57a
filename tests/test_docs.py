"""The reference pages are what the code says, and the texts name nothing that is not there."""

from __future__ import annotations

import importlib.util
import re

import pytest

from liverank.config import load_config
from tests.conftest import ROOT

SPEC = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
generate = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(generate)


@pytest.mark.parametrize("name", generate.PAGES)
def test_generated_pages_are_up_to_date(name):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == generate.PAGES[name](), "run `make docs`"


PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("page", PAGES)
def test_links_and_named_files_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = {link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith(("http", "#"))}
    named = set(re.findall(r"`((?:tests|benchmarks|docs|infra|pipelines)/[\w/.-]+)(?:::\w+)?`", text))
    folder = (ROOT / page).parent
    assert [link for link in links if not (folder / link).exists()] == []
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_each_test_the_readme_names_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text):
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{name}"


CONFIGURATIONS = [
    (page, block)
    for page in PAGES
    for block in re.findall(
        r"```yaml\n(# liverank\.yaml\n.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL
    )
]


@pytest.mark.parametrize(("page", "block"), CONFIGURATIONS, ids=[page for page, _ in CONFIGURATIONS])
def test_each_configuration_shown_is_valid(page, block, tmp_path):
    file = tmp_path / "liverank.yaml"
    file.write_text(block, encoding="utf-8")
    load_config(file)


def test_some_configuration_is_shown():
    assert CONFIGURATIONS
