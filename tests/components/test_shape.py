"""What holds for every component: small bodies that import only the library, and no postponed annotations."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import components
from components.component import IMAGE

STEPS = sorted(
    path for path in Path(components.__file__).parent.glob("*.py") if path.stem not in ("__init__", "component")
)


def test_there_is_a_module_a_step():
    assert [path.stem for path in STEPS] == sorted(
        ["ingest", "validate", "features", "train", "evaluate", "register", "deploy", "refuse", "tune"]
    )


@pytest.mark.parametrize("path", STEPS, ids=lambda path: path.stem)
def test_a_body_is_an_adapter(path):
    tree = ast.parse(path.read_text())
    (function,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert function.name == path.stem
    body = [node for node in function.body[1:] if not isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(body) <= 10
    assert not [node for node in ast.walk(function) if isinstance(node, ast.FunctionDef | ast.ClassDef)][1:]
    imported = {node.module.split(".")[0] for node in ast.walk(function) if isinstance(node, ast.ImportFrom)}
    assert imported <= {"liverank", "pathlib", "datetime"}
    assert "from __future__" not in path.read_text()


def test_the_local_runner_takes_the_image_for_a_python_image():
    assert "python" in IMAGE
    assert "python3" not in IMAGE
    assert not IMAGE.endswith(":latest")
