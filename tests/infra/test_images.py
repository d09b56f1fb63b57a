"""The Containerfiles: fixed bases, no root, nothing written outside /tmp, nothing that only tests need."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT

FILES = sorted((ROOT / "infra" / "images").glob("*.Containerfile"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def lines(request) -> list[str]:
    text = request.param.read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def arguments(lines: list[str], instruction: str) -> list[str]:
    return [line.removeprefix(f"{instruction} ") for line in lines if line.startswith(f"{instruction} ")]


def last_stage(lines: list[str]) -> list[str]:
    return lines[max(i for i, line in enumerate(lines) if line.startswith("FROM ")) :]


def test_there_is_an_image_for_each_part():
    assert [path.stem for path in FILES] == ["monitoring", "serving", "training"]


def test_bases_are_fixed(lines):
    (base,) = [one.removeprefix("PYTHON=") for one in arguments(lines, "ARG") if one.startswith("PYTHON=")]
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", base)
    assert all(one.startswith("${PYTHON}") for one in arguments(lines, "FROM"))


def test_the_user_is_a_number_and_not_root(lines):
    assert arguments(last_stage(lines), "USER") == ["10001:0"]


def test_everything_written_goes_below_tmp(lines):
    environment = dict(re.findall(r"(\w+)=(\S+)", " ".join(arguments(last_stage(lines), "ENV"))))
    for name in ("HOME", "HF_HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME"):
        assert environment[name].startswith("/tmp")
    assert arguments(last_stage(lines), "WORKDIR") == ["/tmp"]


def test_the_last_stage_runs_nothing_and_holds_no_tests(lines):
    assert arguments(last_stage(lines), "RUN") == []
    copied = " ".join(arguments(lines, "COPY"))
    assert "tests" not in copied
    installed = " ".join(arguments(lines, "RUN"))
    assert not re.search(r"\bdev\b|pytest|mypy|ruff", installed)
    assert "--constraint" in installed or "-c constraints.txt" in installed


def test_copied_paths_exist_and_are_in_the_build_context(lines):
    context = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for copy in arguments(lines, "COPY"):
        if copy.startswith("--from"):
            continue
        for source in copy.split()[:-1]:
            assert source in context
            assert (ROOT / source).exists()


def test_each_image_has_only_its_part():
    text = {path.stem: path.read_text() for path in FILES}
    assert "--no-deps kfp" in text["training"]
    assert "kfp" not in re.sub(r"#.*", "", text["serving"])
    assert "serving" not in " ".join(arguments(text["training"].splitlines(), "COPY"))
