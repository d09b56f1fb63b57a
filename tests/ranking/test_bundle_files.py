"""Bundles on disk: verified at load, the same for the same inputs."""

from __future__ import annotations

import json
import shutil

import pytest

from liverank.errors import BundleError, DataError
from liverank.ranking import bundle_files
from liverank.ranking.bundle_files import load_bundle, verify
from liverank.ranking.fit import fit
from tests.ranking.conftest import SMALL


@pytest.fixture
def copy(fitted, tmp_path):
    return shutil.copytree(fitted[0], tmp_path / "bundle")


def test_manifest_tells_where_it_came_from(fitted, bundle):
    manifest = bundle.manifest
    assert manifest["format"] == 2
    assert manifest["data_hash"]
    assert manifest["config"] == SMALL.model_dump(mode="json")
    assert bundle.hash == fitted[1].bundle_hash
    suffixes = {path.suffix for path in fitted[0].rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}
    assert set(bundle.rankers) == {"count", "popularity", "zero-shot", "linear", "interest", "features", "blend"}


def test_same_inputs_same_bundle(features, fitted, tmp_path):
    assert fit(features, tmp_path / "b", SMALL, tmp_path / "c").bundle_hash == fitted[1].bundle_hash


def test_a_bundle_that_is_replaced_while_it_is_loaded_is_not_taken_for_the_first(copy, monkeypatch):
    def then_replaced(path):
        manifest = verify(path)
        (path / "manifest.json").write_text(json.dumps({**manifest, "created_at": "later"}))
        return manifest

    monkeypatch.setattr(bundle_files, "verify", then_replaced)
    with pytest.raises(BundleError, match="was replaced while it was loaded"):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "no model bundle"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "format None"),
        (lambda folder: (folder / "count" / "arrays.safetensors").unlink(), "lacks count/arrays.safetensors"),
        (lambda folder: truncate(folder / "interest" / "arrays.safetensors"), "altered or truncated"),
        (lambda folder: (folder / "blend" / "settings.json").write_text("{}"), "altered or truncated"),
        (lambda folder: (folder / "code.pkl").write_bytes(b"x"), "does not list"),
        (lambda folder: rewrite(folder, format=99), "format 99"),
        (lambda folder: rewrite(folder, files={"../../etc/passwd": "0"}), "outside it"),
        (lambda folder: rewrite(folder, config={}), "does not hold"),
    ],
)
def test_damaged_bundles_are_refused(copy, damage, says):
    damage(copy)
    with pytest.raises(BundleError, match=says) as caught:
        load_bundle(copy)
    assert caught.value.hint


def truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


def rewrite(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_absent_bundle(tmp_path):
    with pytest.raises(BundleError, match="no model bundle"):
        verify(tmp_path / "nothing")


def test_fit_names_what_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"items\.parquet is missing"):
        fit(tmp_path, tmp_path / "bundle", SMALL, tmp_path / "checkpoints")
