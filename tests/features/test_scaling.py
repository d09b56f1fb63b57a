"""Capping and scaling: learned numbers by hand, and what is done with values that were never seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from liverank.features.candidate_features import Feature, candidate_features
from liverank.features.scaling import QUARTILES_OF_A_NORMAL, Scaling, learned_scaling, unscaled

NUMBER, COUNT, FLAG = Feature("number"), Feature("count", "count"), Feature("flag", "flag")


def test_standard_scaling_by_hand() -> None:
    scaling = learned_scaling(np.array([[1.0], [2.0], [3.0], [6.0]]), [NUMBER], "standard", 1.0)
    assert scaling.centre.tolist() == [3.0]
    assert scaling.scale.tolist() == pytest.approx([np.sqrt((4 + 1 + 0 + 9) / 4)])
    assert scaling.apply(np.array([[3.0], [6.0], [99.0]]))[:, 0].tolist() == pytest.approx(
        [0, 3 / np.sqrt(3.5), 3 / np.sqrt(3.5)]
    )


def test_robust_scaling_by_hand() -> None:
    values = np.arange(9, dtype=float)[:, None]
    scaling = learned_scaling(values, [NUMBER], "robust", 1.0)
    assert scaling.centre.tolist() == [4.0]
    assert scaling.scale.tolist() == pytest.approx([4 / QUARTILES_OF_A_NORMAL])


def test_a_robust_scale_of_mostly_zeros_is_the_deviation() -> None:
    values = np.array([0.0] * 9 + [10.0])[:, None]
    scaling = learned_scaling(values, [NUMBER], "robust", 1.0)
    assert scaling.centre.tolist() == [0.0]
    assert scaling.scale.tolist() == pytest.approx([3.0])


def test_outliers_are_capped_before_anything_is_learned() -> None:
    values = np.append(np.arange(1000.0), 1e12)[:, None]
    scaling = learned_scaling(values, [NUMBER], "standard", 0.99)
    assert scaling.high[0] < 1000
    assert scaling.scale[0] < 300
    assert scaling.apply(np.array([[1e15]])) == scaling.apply(np.array([[scaling.high[0]]]))


def test_counts_are_logged_and_flags_left_alone() -> None:
    values = np.array([[0.0, 1.0], [np.e - 1, 0.0], [np.e**2 - 1, 0.0]])
    scaling = learned_scaling(values, [COUNT, FLAG], "standard", 1.0)
    assert scaling.centre.tolist() == pytest.approx([1.0, 0.0])
    assert scaling.apply(values)[:, 1].tolist() == [1.0, 0.0, 0.0]


def test_a_feature_that_never_changed_becomes_0() -> None:
    scaling = learned_scaling(np.full((5, 1), 7.0), [NUMBER], "standard", 0.99)
    assert scaling.apply(np.array([[7.0], [9.0]]))[:, 0].tolist() == [0.0, 0.0]


def test_nothing_to_learn_from_leaves_values_as_they_are() -> None:
    scaling = learned_scaling(np.zeros((0, 2)), [NUMBER, COUNT], "robust", 0.99)
    assert scaling.apply(np.array([[5.0, np.e - 1]]))[0].tolist() == pytest.approx([5.0, 1.0])


@given(
    arrays.arrays(np.float64, st.tuples(st.integers(1, 20), st.just(3)), elements=st.floats(-1e6, 1e6)),
    st.sampled_from(["robust", "standard"]),
    st.floats(0.6, 1.0),
    arrays.arrays(np.float64, (4, 3), elements=st.floats(allow_nan=True, allow_infinity=True)),
)
def test_scaled_values_are_finite_bounded_and_in_order(
    learned: np.ndarray, how: str, cap: float, seen: np.ndarray
) -> None:
    scaling = learned_scaling(learned, [NUMBER, COUNT, NUMBER], how, cap)  # type: ignore[arg-type]
    scaled = scaling.apply(seen)
    assert np.isfinite(scaled).all()
    order = np.argsort(np.nan_to_num(seen[:, 0]), kind="stable")
    clean = scaling.apply(np.nan_to_num(seen))
    assert (np.diff(clean[order, 0]) >= 0).all()
    again = Scaling.of_arrays(scaling.arrays())
    assert (again.apply(seen) == scaled).all()


def test_every_feature_has_one_name() -> None:
    features = candidate_features((1, 7), ("home",), ("phone",))
    names = [feature.name for feature in features]
    assert len(set(names)) == len(names)
    assert len(unscaled(features).low) == len(names)
