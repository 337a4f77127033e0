"""OpenFst's files against OpenFst itself; damaged and foreign files."""

import re
import struct

import numpy as np
import pynini
import pytest
import pywrapfst

from hybridasr.errors import UserError
from hybridasr.graph.openfst import FlatFst, fst_bytes, parse_fst, read_fst

COLUMNS = ("arc_offsets", "ilabel", "olabel", "weight", "nextstate", "final")


def random_fst(seed, num_states=30, num_arcs=80):
    """(transducer made arc by arc, the same as columns)."""
    rng = np.random.default_rng(seed)
    fst = pynini.Fst()
    fst.add_states(num_states)
    fst.set_start(3)
    final = np.full(num_states, np.inf, np.float32)
    for state in rng.choice(num_states, 5, replace=False).tolist():
        final[state] = np.float32(rng.normal())
        fst.set_final(state, float(final[state]))
    source = np.sort(rng.integers(num_states - 1, size=num_arcs))  # the last state has no arcs
    ilabel, olabel = rng.integers(0, 9, size=(2, num_arcs))
    weight = rng.normal(size=num_arcs).astype(np.float32)
    target = rng.integers(num_states, size=num_arcs)
    for state, *arc in zip(source.tolist(), ilabel.tolist(), olabel.tolist(), weight.tolist(),
                           target.tolist(), strict=True):
        fst.add_arc(state, pynini.Arc(*arc))
    return fst, FlatFst.from_arcs(3, source, ilabel, olabel, weight, target, final)


def assert_same(found, expected):
    assert found.start == expected.start
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert getattr(found, name).dtype == getattr(expected, name).dtype, name


def const_bytes(fst, path):
    pywrapfst.convert(fst, "const").write(str(path))
    return path.read_bytes()


HEADER = 4 + 4 + len("const") + 4 + len("standard") + struct.calcsize("<iiQqqq")


def aligned(data, num_states):
    """Put a const file's states and arcs on multiples of 16 bytes, as --fst_align does."""
    flags = HEADER - struct.calcsize("<iQqqq")
    assert struct.unpack_from("<i", data, flags) == (0,)
    head = data[:flags] + struct.pack("<i", 4) + data[flags + 4:HEADER]
    for part in (data[HEADER:HEADER + 20 * num_states], data[HEADER + 20 * num_states:]):
        head += bytes(-len(head) % 16) + part
    return head


@pytest.mark.parametrize("seed", range(3))
def test_reads_what_openfst_writes(seed, tmp_path):
    fst, expected = random_fst(seed)
    assert_same(parse_fst(fst.write_to_string()), expected)
    data = const_bytes(fst, tmp_path / "const.fst")
    assert_same(parse_fst(data), expected)
    assert len(aligned(data, 30)) > len(data)
    assert_same(parse_fst(aligned(data, 30)), expected)


def test_states_that_the_header_does_not_count():
    fst, expected = random_fst(4)
    data = bytearray(fst.write_to_string())
    place = HEADER + len("vector") - len("const") - 16
    assert struct.unpack_from("<q", data, place) == (30,)
    struct.pack_into("<q", data, place, -1)
    assert_same(parse_fst(bytes(data)), expected)


def test_symbol_tables_are_passed_over():
    fst, expected = random_fst(5)
    table = pynini.SymbolTable("numbers")
    for name in ("<eps>", "one", "二", "three"):
        table.add_symbol(name)
    fst.set_input_symbols(table)
    fst.set_output_symbols(table)
    assert_same(parse_fst(fst.write_to_string()), expected)


@pytest.mark.parametrize("seed", range(3))
def test_openfst_reads_what_is_written(seed):
    fst, flat = random_fst(seed)
    again = pynini.Fst.read_from_string(fst_bytes(flat))
    assert again.start() == 3
    assert pynini.isomorphic(again, fst, delta=0)
    assert again.verify()
    # Properties that nobody checked must not be claimed: OpenFst would sort nothing.
    assert again.arcsort("ilabel").properties(pynini.I_LABEL_SORTED, True)
    rows = [arc.ilabel for arc in again.arcs(0)]
    assert rows == sorted(rows)


def test_a_graph_for_the_search(tmp_path):
    fst, flat = random_fst(6)
    fst.write(str(tmp_path / "HCLG.fst"))
    graph = read_fst(tmp_path / "HCLG.fst")
    assert graph.start == 3
    assert graph.num_arcs == flat.num_arcs
    for state in range(graph.num_states):
        row = slice(graph.arc_offsets[state], graph.arc_offsets[state + 1])
        assert row == slice(flat.arc_offsets[state], flat.arc_offsets[state + 1])
        order = np.argsort(flat.ilabel[row] == 0, kind="stable")
        np.testing.assert_array_equal(graph.ilabel[row], flat.ilabel[row][order])
        np.testing.assert_array_equal(graph.weight[row], flat.weight[row][order])
        assert (graph.ilabel[graph.eps_offsets[state]:row.stop] == 0).all()


def test_files_cut_short(tmp_path):
    fst, _ = random_fst(7, 6, 8)
    fst.set_input_symbols(pynini.SymbolTable("none"))
    path = tmp_path / "cut.fst"
    for data in (fst.write_to_string(), const_bytes(fst, path)):
        for length in range(len(data)):
            path.write_bytes(data[:length])
            with pytest.raises(UserError, match=rf"{re.escape(str(path))}: .*;"):
                read_fst(path)


def test_wrong_bytes_never_leave_the_arrays(tmp_path):
    rng = np.random.default_rng(0)
    fst, _ = random_fst(8, 6, 12)
    refused = []
    for data in (fst.write_to_string(), const_bytes(fst, tmp_path / "const.fst")):
        for _ in range(1500):
            damaged = bytearray(data)
            damaged[rng.integers(len(data))] = rng.integers(256)
            try:
                found = parse_fst(bytes(damaged), "x.fst")
            except UserError as error:
                refused.append(str(error))
                continue
            assert found.arc_offsets[0] == 0
            assert (np.diff(found.arc_offsets) >= 0).all()
            assert found.arc_offsets[-1] == found.num_arcs
            assert -1 <= found.start < found.num_states
            if found.num_arcs:
                assert 0 <= found.nextstate.min() <= found.nextstate.max() < found.num_states
    assert len(refused) > 300
    assert all(message.startswith("x.fst: ") for message in refused)


def test_other_files(tmp_path):
    path = tmp_path / "x.fst"
    with pytest.raises(UserError, match=r"x\.fst: no such file"):
        read_fst(path)
    with pytest.raises(UserError, match=f"{tmp_path.name}: cannot be read"):
        read_fst(tmp_path)
    path.write_bytes(b"PK\x03\x04" + bytes(200))
    with pytest.raises(UserError, match=r"x\.fst: not an OpenFst binary file"):
        read_fst(path)
    fst, _ = random_fst(9)
    pynini.arcmap(fst, map_type="to_log").write(str(path))
    with pytest.raises(UserError, match="'vector' with 'log' arcs; .* fstconvert"):
        read_fst(path)
    data = const_bytes(fst, path)
    path.write_bytes(data.replace(b"\5\0\0\0const", b"\7\0\0\0const16"))
    with pytest.raises(UserError, match="'const16' with 'standard' arcs"):
        read_fst(path)
    pynini.Fst().write(str(path))
    with pytest.raises(UserError, match="no start state"):
        read_fst(path)
    version = fst.write_to_string().replace(b"standard\2", b"standard\7")
    with pytest.raises(UserError, match="version 7 of type 'vector'"):
        parse_fst(version)


def test_arcs_between_states_that_are_not_there():
    for source, target in ((0, 2), (2, 0), (-1, 0)):
        with pytest.raises(ValueError, match=r"outside 0\.\.1"):
            FlatFst.from_arcs(0, [source], [1], [1], [0.0], [target], np.zeros(2))


@pytest.mark.parametrize("system", ["kaldi_tri1_dsp20", "kaldi_tri1_words_zh"])
def test_kaldis_files(system, ref_root):
    for name in ("L.fst", "G.fst", "HCLG.fst"):
        path = ref_root / system / name
        fst = pynini.Fst.read(str(path))
        found = parse_fst(path.read_bytes(), path)
        assert found.num_states == fst.num_states()
        assert pynini.isomorphic(pynini.Fst.read_from_string(fst_bytes(found)), fst, delta=0)
        assert read_fst(path).num_arcs == sum(fst.num_arcs(state) for state in fst.states())
