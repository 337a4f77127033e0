"""Alignments at the output rate, copies, and the tree that is grown on them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hybridasr.chain.numerator import PhoneTimes
from hybridasr.decode.words import phone_segments
from hybridasr.hmm.topology import chain_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.lang_files import Root
from hybridasr.train.chain_tree import (
    chain_tree,
    moved_times,
    output_alignment,
    output_keys,
    set_phone_times,
)
from hybridasr.train.minibatch import FrameSet
from hybridasr.tree.build import TreeOptions
from hybridasr.tree.tree import allowed_tuples, monophone_tree

TOPOLOGY = chain_topology([1, 2, 3, 4])


@pytest.fixture
def model():
    tree = monophone_tree([[1], [2], [3], [4]], TOPOLOGY)
    return tree, TransitionModel(TOPOLOGY, allowed_tuples(tree, TOPOLOGY))


@pytest.mark.parametrize("bounds", [[0, 3, 9, 30], [0, 1, 2, 12], [0, 10, 11, 14]])
def test_transition_ids_are_a_path_of_the_phones(model, bounds):
    tree, transitions = model
    times = PhoneTimes((1, 2, 4), np.array(bounds))
    ids = output_alignment(times, 3, transitions, tree)
    segments = phone_segments(ids, transitions)
    assert [one.label for one in segments] == [1, 2, 4]
    assert len(ids) == -(-bounds[-1] // 3)
    keys = output_keys(times, 3, [1])
    # Every id is of the pdf-class that the keys say, and of the phone.
    np.testing.assert_array_equal(transitions.tid_pdf_class[ids], keys[:, 2])
    np.testing.assert_array_equal(transitions.tid_phone[ids], keys[:, 1])
    for before, after in zip(ids, ids[1:], strict=False):
        if not transitions.tid_is_self_loop[after]:
            state = 0 if transitions.tid_is_final[before] else transitions.tid_next[before]
            assert transitions.tid_hmm_state[after] in (state, 0)
    assert output_alignment(PhoneTimes((1, 2, 4), np.array([0, 1, 2, 5])), 3, transitions,
                            tree) is None


def test_copies_are_stretched_and_padded():
    times = PhoneTimes((1, 2, 1), np.array([0, 10, 20, 30]))
    assert moved_times(times, 33, (0, 0), 1).bounds.tolist() == [0, 11, 22, 33]
    # Silence that is there already grows.
    padded = moved_times(times, 40, (6, 4), 1)
    assert padded.phones == (1, 2, 1)
    assert padded.bounds.tolist() == [0, 16, 26, 40]
    spoken = moved_times(PhoneTimes((2, 3), np.array([0, 10, 20])), 30, (6, 4), 1)
    assert spoken.phones == (1, 2, 3, 1)
    assert spoken.bounds.tolist() == [0, 6, 16, 26, 30]


def make_frames(tmp_path, rng):
    """Phones 2 and 3 in two contexts; phone 3 sounds otherwise behind 2 than behind 4."""
    centres = {(2, 2): 5, (3, 3): 9, (2, 3): -9, (1, 1): 0, (4, 4): 14}
    feats, alignments, names = [], {}, []
    for number in range(40):
        phones = [1, int(rng.choice([2, 4])), 3, int(rng.choice([2, 4])), 3, 1]
        rows, bounds = [], [0]
        for left, phone in zip([0, *phones], phones, strict=False):
            length = int(rng.integers(6, 12))
            centre = centres.get((left, phone), centres[phone, phone])
            rows.append(centre + rng.normal(size=(length, 4)) + [0, phone, 0, left == 2])
            bounds.append(bounds[-1] + length)
        names.append(f"u{number:02d}")
        alignments[names[-1]] = PhoneTimes(tuple(phones), np.array(bounds))
        feats.append(np.concatenate(rows).astype(np.float32))
    starts = np.concatenate([[0], np.cumsum([len(part) for part in feats])])
    pdfs = np.concatenate([np.repeat(one.phones, np.diff(one.bounds))
                           for one in alignments.values()]).astype(np.int32)
    np.save(tmp_path / "frames.npy", np.concatenate(feats))
    return FrameSet(Path(tmp_path / "frames.npy"), pdfs, starts, names, names,
                    ["s"] * len(names)), list(alignments.values())


def test_the_tree_asks_for_the_left_neighbour_where_it_matters(tmp_path):
    frames, times = make_frames(tmp_path, np.random.default_rng(1))
    roots = [Root((phone,), True, True) for phone in (1, 2, 3, 4)]
    lang = SimpleNamespace(silence_phones=[1], sets=[[1], [2], [3], [4]], roots=roots,
                           extra_questions=[])
    tree = chain_tree(frames, times, 5, lang, TOPOLOGY, 3, TreeOptions(numleaves=12,
                                                                       context_width=2))
    assert (tree.context_width, tree.central_position) == (2, 1)
    assert tree.pdf((2, 3), 0) != tree.pdf((4, 3), 0)
    # Silence has no neighbours.
    assert len({tree.pdf((left, 1), 1) for left in (0, 1, 2, 3, 4)}) == 1
    flat = chain_tree(frames, times, 5, lang, TOPOLOGY, 3, TreeOptions(context_width=1))
    assert flat.num_pdfs == 8
    again = chain_tree(frames, times, 5, lang, TOPOLOGY, 3, TreeOptions(numleaves=12,
                                                                        context_width=2))
    assert again == tree


def test_times_of_a_set_come_from_the_originals(model, tmp_path):
    tree, transitions = model
    ids = output_alignment(PhoneTimes((1, 2, 4), np.array([0, 9, 18, 30])), 1, transitions, tree)
    frames = FrameSet(tmp_path / "none", np.zeros(95, np.int32), np.array([0, 30, 63, 75, 95]),
                      ["a", "a-fast", "noise", "b"], ["a", "a", "noise", "b"], ["s"] * 4,
                      frozenset({"noise"}))
    data = SimpleNamespace(tables={"utt2silence": {"a-fast": "0.03 0.0"}}, path=tmp_path)
    system = SimpleNamespace(transitions=transitions, subsampling=1,
                             lang=SimpleNamespace(optional_silence=1),
                             features=SimpleNamespace(frame_shift_ms=10.0))
    times = set_phone_times(frames, {"a": ids}, system, data)
    assert [one and one.phones for one in times] == [(1, 2, 4), (1, 2, 4), None, None]
    assert times[0].bounds.tolist() == [0, 9, 18, 30]
    assert times[1].bounds.tolist() == [0, 12, 21, 33]
    # Alignments of a network that scores every third frame.
    system.subsampling = 3
    third = output_alignment(PhoneTimes((1, 2, 4), np.array([0, 9, 18, 30])), 3, transitions, tree)
    assert set_phone_times(frames, {"a": third}, system, data)[0].bounds.tolist() == [0, 9, 18, 30]
