"""Distances of phones: the table, the edit distance, and confusions counted."""

import itertools
import json
from functools import cache

import numpy as np
import pytest

from hybridasr.confidence.confusion import (
    Confusions,
    PhoneDistances,
    align_phones,
    edit_distances,
    estimate_confusions,
    load_confusions,
    table_distances,
)
from hybridasr.confidence.near import distance
from hybridasr.errors import UserError
from hybridasr.lexicon import tables_dir
from hybridasr.lexicon.phones import default_phone_set


def cost(distances, said, heard):
    return distances.substitution[distances.index[said], distances.index[heard]]


def with_none(distances):
    """The matrix with "no phone" as its last row and column."""
    size = len(distances.phones)
    full = np.zeros((size + 1, size + 1))
    full[:size, :size] = distances.substitution
    full[:size, size], full[size, :size] = distances.deletion, distances.insertion
    return full


def test_table_is_a_metric_on_all_phones():
    distances = table_distances()
    assert distances.phones == default_phone_set().nonsilence_phones
    full = with_none(distances)
    np.testing.assert_array_equal(full, full.T)
    assert np.all(full[~np.eye(len(full), dtype=bool)] > 0)
    for middle in range(len(full)):
        assert np.all(full <= full[:, middle, None] + full[middle] + 1e-9)


@pytest.mark.parametrize(("phone", "nearer", "farther"), [
    ("zh", "z", "g"), ("ch", "c", "t"), ("sh", "s", "f"), ("n", "l", "d"), ("r", "l", "m"),
    ("f", "h", "k"), ("b", "p", "zh"), ("in1", "ing1", "an1"), ("en4", "eng4", "in4"),
    ("an2", "ang2", "ai2"), ("a1", "a4", "i1"), ("ing3", "ing2", "ong3"), ("iao1", "ao1", "u1"),
    ("S", "TH", "M"), ("IH", "IY", "AW"), ("B", "P", "S"), ("j", "a1", None)])
def test_table_orders_phones_as_ears_do(phone, nearer, farther):
    distances = table_distances()
    unlike = distances.substitution.max()
    if farther is None:
        assert cost(distances, phone, nearer) == unlike
    else:
        assert cost(distances, phone, nearer) < cost(distances, phone, farther) <= unlike


def test_phones_of_another_lexicon_are_unlike_but_for_their_tones():
    distances = table_distances(["foo1", "foo2", "bar1", "a1"])
    assert cost(distances, "foo1", "foo2") == cost(distances, "foo2", "foo1") == 1.0
    assert cost(distances, "foo1", "bar1") == cost(distances, "foo1", "a1") == 6.0


@pytest.mark.parametrize(("line", "wrong"), [
    ("consonant b zh labial stop plain", "consonant b zh labial stop"),
    ("feature vowel coda 0.9 n ng", "feature vowel coda 0.9 n"),
    ("tone 0.7 2 3", "tone -1 2 3"), ("near f h 1.2", "nearly f h 1.2"),
    ("unlike 6.0", "unlike much")])
def test_damaged_table_is_named_with_its_line(monkeypatch, tmp_path, line, wrong):
    for path in tables_dir().glob("*.txt"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    table = tmp_path / "phone_distances.txt"
    lines = table.read_text(encoding="utf-8").split("\n")
    place = lines.index(line)
    lines[place] = wrong
    table.write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setenv("HYBRIDASR_LEXICON", str(tmp_path))
    with pytest.raises(UserError, match=f"phone_distances.txt:{place + 1}: '{wrong}' is no line"):
        table_distances(["b"])


def random_sequences(generator, phones, number, longest=6):
    return [tuple(generator.choice(phones, generator.integers(0, longest + 1)).tolist())
            for _ in range(number)]


def slow_distance(said, heard, distances):
    """The least cost over all alignments, by recursion."""
    first, second = distances.ids(said), distances.ids(heard)

    @cache
    def least(i, j):
        ways = [0.0] if i == j == 0 else []
        if i:
            ways.append(least(i - 1, j) + distances.deletion[first[i - 1]])
        if j:
            ways.append(least(i, j - 1) + distances.insertion[second[j - 1]])
        if i and j:
            ways.append(least(i - 1, j - 1) + distances.substitution[first[i - 1], second[j - 1]])
        return min(ways)

    return least(len(first), len(second))


def lopsided(phones, seed):
    """Costs that differ in the two directions and break the triangle."""
    generator = np.random.default_rng(seed)
    substitution = generator.uniform(0.1, 6, (len(phones), len(phones)))
    np.fill_diagonal(substitution, 0)
    return PhoneDistances(tuple(phones), substitution, *generator.uniform(0.5, 4, (2, len(phones))))


def test_edit_distance_agrees_with_recursion_and_alignment():
    phones = ["a1", "b", "i4", "k", "S"]
    generator, distances = np.random.default_rng(1), lopsided(phones, 2)
    for said, heard in zip(random_sequences(generator, phones, 60),
                           random_sequences(generator, phones, 60), strict=True):
        expected = slow_distance(said, heard, distances)
        assert distance(said, heard, distances) == pytest.approx(expected, abs=1e-9)
        pairs = align_phones(said, heard, distances)
        assert tuple(s for s, _ in pairs if s) == said
        assert tuple(h for _, h in pairs if h) == heard
        paid = sum(distances.deletion[distances.index[s]] if h is None
                   else distances.insertion[distances.index[h]] if s is None
                   else cost(distances, s, h) for s, h in pairs)
        assert paid == pytest.approx(expected, abs=1e-9)


def test_limit_changes_only_costs_above_it():
    phones = ["a1", "b", "i4", "k", "S"]
    generator, distances = np.random.default_rng(3), lopsided(phones, 4)
    sequences = random_sequences(generator, phones, 200)
    flat = distances.ids([phone for sequence in sequences for phone in sequence])
    offsets = np.cumsum([0, *map(len, sequences)], dtype=np.int64)
    for said in random_sequences(generator, phones, 5):
        exact = edit_distances(distances.ids(said), flat, offsets, distances)
        limited = edit_distances(distances.ids(said), flat, offsets, distances, 5.0)
        near = exact <= 5.0
        np.testing.assert_array_equal(limited[near], exact[near])
        assert np.all(limited[~near] > 5.0)


@pytest.mark.parametrize("distances", [table_distances(), lopsided("abcdefg", 5).symmetric()],
                         ids=["table", "symmetric"])
def test_edit_distance_is_a_metric(distances):
    generator = np.random.default_rng(6)
    some = generator.choice(distances.phones, 7, replace=False).tolist()
    sequences = list(dict.fromkeys(random_sequences(generator, some, 12)))
    costs = np.array([[distance(a, b, distances) for b in sequences] for a in sequences])
    np.testing.assert_allclose(costs, costs.T, rtol=0, atol=1e-9)
    assert np.all((costs == 0) == np.eye(len(costs), dtype=bool))
    for middle in range(len(costs)):
        assert np.all(costs <= costs[:, middle, None] + costs[middle] + 1e-9)


def test_symmetric_costs_are_the_mean_unless_a_way_round_is_shorter():
    costs = np.array([[0, 4.0, 1], [6, 0, 2], [1, 2, 0]])
    found = PhoneDistances(("a", "b", "c"), costs, [1.0, 3, 3], [2.0, 6, 3]).symmetric()
    assert cost(found, "a", "b") == cost(found, "b", "a") == 3.0  # by way of c; the mean is 5
    assert cost(found, "b", "c") == 2.0
    np.testing.assert_array_equal(found.deletion, [1.5, 4.5, 2.5])  # c: 3, or by way of a
    np.testing.assert_array_equal(found.insertion, found.deletion)


def test_distance_per_phone():
    distances = table_distances()
    said, heard = ["k", "ong1", "t", "iao2"], ["k", "ong1", "t", "iao1"]
    assert distance(said, heard, distances) == cost(distances, "iao2", "iao1")
    assert distance(said, heard, distances, per_phone=True) == cost(distances, "iao2", "iao1") / 4
    assert distance([], [], distances, per_phone=True) == 0
    with pytest.raises(UserError, match="no distances of the phones foo"):
        distance(["foo"], said, distances)


def test_without_data_the_table_remains():
    table, found = table_distances(), estimate_confusions([]).distances()
    np.testing.assert_allclose(with_none(found), with_none(table), rtol=0, atol=1e-9)


PLANTED = {"zh": {"zh": 0.6, "z": 0.4}, "z": {"z": 0.9, "zh": 0.1}, "b": {"b": 1.0},
           "in1": {"in1": 0.7, "ing1": 0.3}, "ing1": {"ing1": 1.0},
           "a1": {"a1": 0.8, "o1": 0.05, "a4": 0.15}, "a4": {"a4": 1.0},
           "g": {"g": 0.95, "b": 0.05}}
LOST, ADDED = 0.04, 0.03


def noisy_channel(seed, number):
    generator, phones = np.random.default_rng(seed), list(PLANTED)
    for _ in range(number):
        said = generator.choice(phones, 12).tolist()
        heard = []
        for phone in said:
            if generator.random() < ADDED:
                heard.append("m")
            if phone != "z" or generator.random() >= LOST:
                heard.append(str(generator.choice(list(PLANTED[phone]),
                                                  p=list(PLANTED[phone].values()))))
        yield said, heard


def test_estimation_recovers_a_planted_channel():
    found = estimate_confusions(noisy_channel(7, 4000)).distances()
    for said, row in PLANTED.items():
        for heard, probability in row.items():
            if heard != said:
                expected = -np.log(probability / row[said])
                assert cost(found, said, heard) == pytest.approx(expected, abs=0.2), (said, heard)
    z, m = found.index["z"], found.index["m"]
    right = (1 - LOST) * PLANTED["z"]["z"]
    assert found.deletion[z] == pytest.approx(-np.log(LOST / right), abs=0.3)
    assert found.insertion[m] == pytest.approx(-np.log(ADDED / (1 - ADDED)), abs=0.3)
    # What never happened has become rarer than the table says, and the order of ears is kept.
    table = table_distances()
    assert cost(found, "b", "k") > cost(table, "b", "k") + 3
    assert found.insertion[z] > table.insertion[z] + 3
    assert cost(found, "b", "p") < cost(found, "b", "k")
    # Phones that nobody said are as in the table.
    assert cost(found, "sh", "s") == pytest.approx(cost(table, "sh", "s"), abs=1e-9)


def test_counts_are_those_of_the_alignments():
    pairs = [(["b", "in1"], ["b", "ing1"])] * 3 + [(["b", "in1"], ["in1"]),
                                                         (["in1"], ["in1", "b"])]
    found = estimate_confusions(pairs)
    place = {phone: number for number, phone in enumerate(found.phones)}
    b, n, ng = place["b"], place["in1"], place["ing1"]
    expected = {(b, b): 3, (n, ng): 3, (n, n): 2, (b, len(place)): 1, (len(place), b): 1}
    assert {tuple(where): found.counts[tuple(where)]
            for where in np.argwhere(found.counts).tolist()} == expected


def test_a_phone_mostly_taken_for_another_stays_distinct():
    found = estimate_confusions([(["n"], ["l"])] * 1000).distances()
    assert cost(found, "n", "l") == 0.1
    assert np.all(with_none(found.symmetric())[~np.eye(len(found.phones) + 1, dtype=bool)] > 0)


def test_of_other_phones_only_the_table_speaks():
    found = estimate_confusions([(["n"], ["l"])] * 50).distances(["l", "n", "foo1", "foo2"])
    assert found.phones == ("l", "n", "foo1", "foo2")
    assert cost(found, "n", "l") < 1.0
    assert cost(found, "foo1", "foo2") == pytest.approx(1.0, abs=1e-9)


def test_saved_and_loaded(tmp_path):
    path = tmp_path / "confusions.json"
    kept = estimate_confusions(noisy_channel(8, 20), ["foo"])
    kept.save(path)
    again = load_confusions(path)
    assert again.phones == kept.phones
    assert "foo" in again.phones
    np.testing.assert_array_equal(again.counts, kept.counts)
    Confusions(("a",), np.zeros((2, 2))).save(path)
    assert load_confusions(path).counts.shape == (2, 2)


GOOD = {"format": 1, "phones": ["a", "b"], "counts": {"a": {"a": 3, "<eps>": 1}}}


@pytest.mark.parametrize(("change", "match"), [
    (None, "holds no confusions"), ({"format": 2}, "upgrade hybridasr"),
    ({"format": "x"}, "holds no confusions"), ({"phones": None}, "no list of phones"),
    ({"phones": ["a", "a"]}, "no list of phones"), ({"phones": ["a", ["b"]]}, "no list of phones"),
    ({"counts": [1]}, "no counts"),
    ({"counts": {"c": {"a": 1}}}, "'c' are damaged"), ({"counts": {"a": {"c": 1}}}, "'a' are dam"),
    ({"counts": {"a": {"b": -1}}}, "'a' are damaged"), ({"counts": {"a": {"b": "x"}}}, "'a' are"),
    ({"counts": {"a": 3}}, "'a' are damaged")])
def test_damaged_files_are_refused(tmp_path, change, match):
    path = tmp_path / "confusions.json"
    path.write_text(json.dumps(GOOD))
    assert load_confusions(path).counts.sum() == 4
    path.write_text(json.dumps([] if change is None else GOOD | change))
    with pytest.raises(UserError, match=f"confusions.json: .*{match}"):
        load_confusions(path)


def test_broken_json_is_named_with_its_line(tmp_path):
    path = tmp_path / "confusions.json"
    path.write_text('{"format": 1,\n"phones": [')
    with pytest.raises(UserError, match="confusions.json:2: not JSON"):
        load_confusions(path)


def test_wrong_arrays_are_refused():
    for substitution, deletion in itertools.product([np.zeros((2, 2)), np.eye(2)], [[1], [1, -1]]):
        with pytest.raises(ValueError, match="finite costs|distance 0"):
            PhoneDistances(("a", "b"), substitution, np.array(deletion), np.ones(2))
