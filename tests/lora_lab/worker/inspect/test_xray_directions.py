"""Directions of an update against dense decompositions of B·A, phi against its definition, and chance."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lora_lab.worker.inspect.lora_update import Update
from lora_lab.worker.inspect.subspaces import (
    compute_bases,
    compute_dora_change,
    compute_overlap,
    compute_row_directions,
    compute_spectrum,
    count_nonzero,
    decompose_update,
    project_through_weight,
    sample_directions,
)
from lora_lab.xray.result import compute_expected_overlap

SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 15))
SEEDS = st.integers(0, 2**16)
QUICK = settings(max_examples=60, deadline=None)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def update_of(d_out: int, d_in: int, rank: int, *, seed: int = 0, scale: float = 2.0) -> Update:
    left, right = drawn(d_out, rank, seed=seed), drawn(rank, d_in, seed=seed + 1)
    return Update(name="layers.0.q_proj", left=left, right=right, scale=scale)


def dense(update: Update) -> Tensor:
    return update.scale * update.left @ update.right


def directions(size: int, count: int, *, seed: int) -> Tensor:
    return sample_directions(size, count, torch.Generator().manual_seed(seed))


@QUICK
@given(SIZES, SEEDS, st.floats(0.01, 100))
def test_singular_values_are_those_of_the_dense_update(
    sizes: tuple[int, int, int], seed: int, scale: float
) -> None:
    update = update_of(*sizes, seed=seed, scale=scale)
    expected = torch.linalg.svdvals(dense(update))
    found = decompose_update(update)
    count = len(found.values)
    assert count == min(sizes[2], *sizes[:2]) or count == min(sizes[2], max(sizes[:2]))
    both = min(count, len(expected))
    assert torch.allclose(found.values[:both], expected[:both], atol=1e-9 * float(expected[0]))
    assert float(found.values[both:].abs().sum() + expected[both:].abs().sum()) < 1e-9 * float(expected[0])
    rebuilt = found.outputs @ torch.diag(found.values) @ found.inputs.T
    assert torch.allclose(rebuilt, dense(update), atol=1e-9 * float(expected[0]))


@QUICK
@given(SIZES, SEEDS)
def test_a_bases_columns_are_orthonormal_and_span_what_they_name(
    sizes: tuple[int, int, int], seed: int
) -> None:
    update = update_of(*sizes, seed=seed)
    of_b_and_a = {"A": update.right.T, "B": update.left, "inputs": dense(update).T, "outputs": dense(update)}
    for side, basis in compute_bases(update).items():
        assert torch.allclose(basis.T @ basis, torch.eye(basis.shape[1], dtype=basis.dtype), atol=1e-9)
        matrix = of_b_and_a[side]
        assert torch.allclose(basis @ basis.T @ matrix, matrix, atol=1e-4 * float(matrix.norm()))


@QUICK
@given(st.integers(2, 10), st.integers(1, 10), st.integers(1, 10), SEEDS)
def test_phi_is_symmetric_within_0_and_1_and_1_with_itself(
    size: int, first: int, second: int, seed: int
) -> None:
    one, other = directions(size, first, seed=seed), directions(size, second, seed=seed + 1)
    firsts, seconds = range(1, one.shape[1] + 1), range(1, other.shape[1] + 1)
    phi = torch.tensor(compute_overlap(one, other, firsts, seconds))
    back = torch.tensor(compute_overlap(other, one, seconds, firsts))
    assert torch.allclose(phi, back.T)
    assert bool((phi >= -1e-9).all())
    assert bool((phi <= 1 + 1e-9).all())
    assert torch.allclose(
        torch.tensor(compute_overlap(one, one, firsts, firsts)).double(), torch.ones(1).double()
    )


def test_phi_is_the_papers_equation_4() -> None:
    one, other = directions(9, 3, seed=1), directions(9, 5, seed=2)
    found = compute_overlap(one, other, [2], [4])[0][0]
    assert found == pytest.approx(float(torch.linalg.norm(one[:, :2].T @ other[:, :4]) ** 2) / 2)


def test_a_subspace_that_contains_the_other_overlaps_it_wholly_and_an_orthogonal_one_not_at_all() -> None:
    every = directions(8, 8, seed=3)
    assert compute_overlap(every[:, :2], every, [2], [8])[0][0] == pytest.approx(1)
    assert compute_overlap(every[:, :2], every[:, 2:5], [2], [3])[0][0] == pytest.approx(0)


def test_where_an_update_has_fewer_directions_there_is_no_phi() -> None:
    one, other = directions(8, 2, seed=4), directions(8, 3, seed=5)
    assert compute_overlap(one, other, [1, 3], [3, 4])[1] == [None, None]
    assert compute_overlap(one, other, [1, 3], [3, 4])[0][1] is None


@pytest.mark.parametrize(("size", "first", "second"), [(32, 4, 16), (48, 1, 1), (20, 8, 3)])
def test_random_subspaces_overlap_by_the_larger_dimension_over_all_of_them(
    size: int, first: int, second: int
) -> None:
    rng = torch.Generator().manual_seed(6)
    drawn_phis = []
    for _ in range(1500):
        one, other = (sample_directions(size, count, rng) for count in (first, second))
        drawn_phis.append(compute_overlap(one, other, [first], [second])[0][0])
    phis = torch.tensor(drawn_phis)
    error = float(phis.std()) / math.sqrt(len(phis))
    assert abs(float(phis.mean()) - compute_expected_overlap(first, second, size)) < 4 * error


def test_a_zero_update_has_no_directions() -> None:
    update = Update(name="q", left=torch.zeros(6, 2).double(), right=drawn(2, 5, seed=0), scale=2.0)
    found = compute_bases(update)
    assert {side: basis.shape[1] for side, basis in found.items()} == {
        "A": 2, "B": 0, "inputs": 0, "outputs": 0
    }  # fmt: skip
    assert count_nonzero(decompose_update(update).values, 6) == 0


def test_directions_of_a_zero_singular_value_are_left_out() -> None:
    twice = drawn(1, 7, seed=0).repeat(2, 1)  # two equal rows: rank 1
    assert compute_row_directions(twice).shape == (7, 1)


def test_amplification_of_a_constructed_case() -> None:
    """W holds 3 in the update's direction and 10 in its own strongest; the update adds 6 there."""
    outputs, inputs = directions(6, 2, seed=7), directions(5, 2, seed=8)
    weight = outputs @ torch.diag(torch.tensor([10.0, 3.0]).double()) @ inputs.T
    update = Update(name="q", left=outputs[:, 1:], right=inputs[:, 1:].T, scale=6.0)
    found = decompose_update(update)
    assert float(found.values.norm()) == pytest.approx(6)
    assert project_through_weight(weight, found.outputs, found.inputs) == pytest.approx(3)
    assert float(compute_spectrum(weight)[:1].norm()) == pytest.approx(10)


def test_random_directions_hold_the_share_of_w_that_the_closed_form_says() -> None:
    """k ||W|| / sqrt(d_in d_out), in the root mean square."""
    weight, rng = drawn(24, 16, seed=9), torch.Generator().manual_seed(10)
    squares = [
        project_through_weight(weight, sample_directions(24, 3, rng), sample_directions(16, 3, rng)) ** 2
        for _ in range(1500)
    ]
    mean = torch.tensor(squares).mean().sqrt()
    assert float(mean) == pytest.approx(3 * float(weight.norm()) / math.sqrt(24 * 16), rel=0.03)


@QUICK
@given(SIZES, SEEDS)
def test_a_dense_spectrum_is_that_of_the_decomposition(sizes: tuple[int, int, int], seed: int) -> None:
    matrix = drawn(sizes[0], sizes[1], seed=seed)
    expected = torch.linalg.svdvals(matrix)
    assert torch.allclose(compute_spectrum(matrix), expected, atol=1e-6 * float(expected[0]))


def test_doras_whole_change_is_zero_at_its_start_and_pure_magnitude_after_a_change_of_that_alone() -> None:
    weight = drawn(6, 4, seed=11)
    lengths = weight.norm(dim=1)
    untrained = Update(
        name="q", left=torch.zeros(6, 2).double(), right=drawn(2, 4, seed=12), scale=1.0, magnitude=lengths
    )
    assert float(compute_dora_change(untrained, weight).norm()) == pytest.approx(0, abs=1e-12)
    doubled = Update(name="q", left=untrained.left, right=untrained.right, scale=1.0, magnitude=2 * lengths)
    assert torch.allclose(compute_dora_change(doubled, weight), weight)
