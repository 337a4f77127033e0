"""Best paths under many scales, penalties and pruning against enumeration of every path."""

import numpy as np
import pytest
from helpers_lattice import all_paths, compact, random_lattice
from test_paths import nondeterministic

from hybridasr.errors import UserError
from hybridasr.lattice.determinize import determinize_lattice
from hybridasr.lattice.paths import n_best
from hybridasr.lattice.shortest import (
    LatticeScales,
    best_paths,
    costs_from_start,
    prune_lattice,
    scale_lattice,
)

SCALES = [LatticeScales.of_lmwt(lmwt, penalty) for lmwt in (1, 2, 8, 16)
          for penalty in (-1.5, 0.0, 0.25, 4.0)]
SCALES += [LatticeScales(0.5, 0.0), LatticeScales(0.0, 2.0)]


def total(path, scales):
    words, graph, acoustic = path[:3]
    return (scales.lm_scale * graph + scales.acoustic_scale * acoustic
            + scales.word_ins_penalty * len(words))


@pytest.mark.parametrize("seed", range(30))
def test_best_path_under_any_scales(seed):
    rng = np.random.default_rng(seed)
    for lattice in (nondeterministic(rng), determinize_lattice(random_lattice(rng, 9, 24))):
        paths = all_paths(lattice)
        for scales, best in zip(SCALES, best_paths(lattice, SCALES), strict=True):
            if not paths:
                assert best is None
                continue
            row = best.words, best.graph_cost, best.acoustic_cost, tuple(best.transition_ids)
            assert row in paths
            assert total(row, scales) == pytest.approx(min(total(one, scales) for one in paths),
                                                       rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_n_best_of_a_scaled_lattice(seed):
    """As Kaldi's pipe: lattice-scale, lattice-add-penalty, lattice-to-nbest."""
    lattice = nondeterministic(np.random.default_rng(seed))
    for scales in SCALES:
        expected = {}
        for path in all_paths(lattice):
            expected[path[0]] = min(total(path, scales), expected.get(path[0], np.inf))
        found = n_best(scale_lattice(lattice, scales), 10_000)
        assert {one.words: one.total_cost(1.0) for one in found} == pytest.approx(
            expected, rel=1e-12, abs=1e-12)
        assert [one.total_cost(1.0) for one in found] == pytest.approx(sorted(expected.values()))


def test_a_state_that_is_no_end_stays_none():
    scaled = scale_lattice(compact([((1,), 2.0)]), LatticeScales(1.0, 0.0, 3.0))
    assert scaled.final_graph.tolist() == [np.inf, 0.0]
    assert scaled.graph.tolist() == [3.0]


@pytest.mark.parametrize("seed", range(40))
def test_pruning_keeps_what_a_path_within_the_beam_needs(seed):
    rng = np.random.default_rng(seed)
    raw = random_lattice(rng, 8, 18)
    for lattice in (raw, nondeterministic(rng), determinize_lattice(raw)):
        scale, beam = 0.5, float(rng.choice([0.0, 0.3, 1.0, 3.0, np.inf]))
        pruned = prune_lattice(lattice, beam, scale)
        before, after = ([(g + scale * a, w, g, a, t) for w, g, a, t in all_paths(one)]
                         for one in (lattice, pruned))
        if not before:
            assert pruned.num_states == pruned.num_arcs == 0
            continue
        best = min(before)[0]
        # All within the beam stay, nothing new comes; every arc and end is on one of them.
        assert {path for path in before if path[0] <= best + beam} <= set(after) <= set(before)
        costs, finals = pruned.costs(scale)
        assert np.isfinite(costs_from_start(pruned, costs)[0]).all()
        assert (np.diff(pruned.source) >= 0).all()
        assert (pruned.source < pruned.target).all()
        if beam == np.inf:
            assert len(after) == len(before)
        for arc in range(pruned.num_arcs):
            through = costs.copy()
            through[arc] -= 1e6  # every best way takes this arc now
            assert min_total(pruned, through, finals) + 1e6 <= best + beam + 1e-5


def min_total(lattice, costs, finals):
    return float((costs_from_start(lattice, costs)[0] + finals).min())


@pytest.mark.parametrize("values", [{"acoustic_scale": -1.0}, {"lm_scale": np.nan},
                                    {"word_ins_penalty": np.inf}])
def test_scales_that_are_none(values):
    name = next(iter(values)).replace("_", "-")
    with pytest.raises(UserError, match=f"{name} is .*; give a number"):
        LatticeScales(**values)


def test_a_beam_that_is_none():
    with pytest.raises(UserError, match="beam is -1; give a number from 0"):
        prune_lattice(compact([((1,), 0.0)]), -1)
