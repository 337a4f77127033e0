"""Reading of Kaldi's models and trees: small texts written by hand, whole and damaged."""

import gzip
import itertools

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from hybridasr.errors import UserError
from hybridasr.kaldi.model_text import read_model
from hybridasr.kaldi.tree_text import read_tree

# Phone 1 with two emitting states, phone 2 with one; pdf 1 has two Gaussians of two dimensions.
MODEL = """<TransitionModel>
<Topology>
<TopologyEntry>
<ForPhones>
1
</ForPhones>
<State> 0 <PdfClass> 0 <Transition> 0 0.75 <Transition> 1 0.25 </State>
<State> 1 <PdfClass> 1 <Transition> 1 0.5 <Transition> 2 0.5 </State>
<State> 2 </State>
</TopologyEntry>
<TopologyEntry>
<ForPhones>
2
</ForPhones>
<State> 0 <PdfClass> 0 <Transition> 0 0.75 <Transition> 1 0.25 </State>
<State> 1 </State>
</TopologyEntry>
</Topology>
<Triples> 3
1 0 1
1 1 0
2 0 1
</Triples>
<LogProbs>
 [ 0 -0.1 -2.3 -0.5 -0.9 -0.7 -0.6 ]
</LogProbs>
</TransitionModel>
<DIMENSION> 2 <NUMPDFS> 2 <DiagGMM>
<GCONSTS>  [ -3.1 ]
<WEIGHTS>  [ 1 ]
<MEANS_INVVARS>  [
  2 -1 ]
<INV_VARS>  [
  4 0.5 ]
</DiagGMM>
<DiagGMM>
<GCONSTS>  [ -3.1 -2 ]
<WEIGHTS>  [ 0.25 0.75 ]
<MEANS_INVVARS>  [
  0 1
  3 -2 ]
<INV_VARS>  [
  1 2
  0.5 1 ]
</DiagGMM>
"""


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_model_by_hand(tmp_path):
    transitions, gmm = read_model(write(tmp_path / "final.mdl", MODEL))
    np.testing.assert_array_equal(transitions.tuples, [[1, 0, 1], [1, 1, 0], [2, 0, 1]])
    np.testing.assert_allclose(transitions.log_probs, [0, -0.1, -2.3, -0.5, -0.9, -0.7, -0.6],
                               rtol=1e-6)
    assert transitions.tid_pdf.tolist() == [-1, 1, 1, 0, 0, 1, 1]
    assert transitions.tid_is_final.tolist() == [False, False, False, False, True, False, True]
    assert gmm.offsets.tolist() == [0, 1, 3]
    np.testing.assert_allclose(gmm.means, [[0.5, -2], [0, 0.5], [6, -2]], rtol=1e-12)
    np.testing.assert_allclose(gmm.variances, [[0.25, 2], [1, 0.5], [2, 1]], rtol=1e-12)
    frames = np.array([[0.3, -1.0], [4.0, 0.5]], np.float32)
    densities = np.stack([np.log(weight) + multivariate_normal(mean, np.diag(variance)).logpdf(
        frames) for weight, mean, variance in zip(gmm.weights, gmm.means, gmm.variances,
                                                  strict=True)], axis=1)
    expected = np.stack([densities[:, 0], logsumexp(densities[:, 1:], axis=1)], axis=1)
    np.testing.assert_allclose(gmm.scorer().loglikes(frames), expected, rtol=1e-5, atol=1e-5)


def test_other_spellings_of_the_same_model(tmp_path):
    """Gzipped; newer transition models with the pdf of the self-loop; no constants."""
    expected = read_model(write(tmp_path / "a.mdl", MODEL))
    newer = MODEL.replace("Triples>", "Tuples>").replace("1 0 1\n", "1 0 1 1\n")
    newer = newer.replace("1 1 0\n", "1 1 0 0\n").replace("2 0 1\n", "2 0 1 1\n")
    without = "".join(line for line in MODEL.splitlines(True) if "<GCONSTS>" not in line)
    (tmp_path / "b.mdl.gz").write_bytes(gzip.compress(MODEL.encode()))
    for path in (tmp_path / "b.mdl.gz", write(tmp_path / "c.mdl", newer),
                 write(tmp_path / "d.mdl", without),
                 write(tmp_path / "e.mdl", MODEL.replace("\n", " "))):
        transitions, gmm = read_model(path)
        np.testing.assert_array_equal(transitions.tuples, expected[0].tuples)
        np.testing.assert_array_equal(transitions.log_probs, expected[0].log_probs)
        for name in ("weights", "means", "variances", "offsets"):
            np.testing.assert_array_equal(getattr(gmm, name), getattr(expected[1], name))


@pytest.mark.parametrize(("old", "new", "line", "message"), [
    ("<TransitionModel>\n<", "<Nnet3>\n<", 1, "'<TransitionModel>' is expected, '<Nnet3>' found"),
    ("<Topology>\n", "", 2, "'<Topology>' is expected, '<TopologyEntry>' found"),
    ("</Topology>", "", 3, "'</Topology>' is expected after this line and never comes"),
    ("<PdfClass> 1", "<ForwardPdfClass> 1", 19, "chain models, which this version does not read"),
    ("<PdfClass> 1", "<PdfClass> x", 19, "<Topology> is damaged (a pdf-class is 'x'"),
    ("<Transition> 2 0.5 ", "<Transition> 2 ", 19, "<Topology> is damaged ("),
    ("<State> 1 <PdfClass> 1", "<State> 3 <PdfClass> 1", 19, "not numbered from 0"),
    ("<Transition> 2 0.5", "<Transition> 3 0.5", 19, "the target of a transition is '3'"),
    ("<Transition> 2 0.5", "<Transition> -1 0.5", 19,
     "the target of a transition is '-1'"),
    ("<Transition> 2 0.5", "<Transition> 2 0", 19, "a number above 0 and up to 1 expected"),
    ("<Transition> 2 0.5", "<Transition> 2 nan", 19, "a number above 0 and up to 1 expected"),
    (" <Transition> 1 0.5 <Transition> 2 0.5", "", 19,
     "state 1 has no <PdfClass> or no <Transition>"),
    ("<Triples> 3", "<Pairs> 3", 19, "'<Triples>' or '<Tuples>' is expected, '<Pairs>' found"),
    ("<Triples> 3", "<Triples> three", 19, "the number of <Triples> is expected, 'three' found"),
    ("<Triples> 3", "<Triples> 0", 19, "the number of <Triples> is 0, at least 1 is expected"),
    ("<Triples> 3", "<Triples> 4", 23, "a phone is expected, '</Triples>' found"),
    ("<Triples> 3", "<Triples> 2", 22, "'</Triples>' is expected, '2' found"),
    ("1 1 0\n", "1 1.5 0\n", 21, "an HMM state is expected, '1.5' found"),
    ("1 1 0\n", "1 1 -1\n", 21, "a pdf is -1, at least 0 is expected"),
    ("1 1 0\n", "1 1 30000000000\n", 21, "a pdf is 30000000000, at most 2147483647 is expected"),
    ("2 0 1\n", "3 0 1\n", 22, "<Triples> has phone 3, which <Topology> lacks"),
    ("1 1 0\n", "1 2 0\n", 21, "has state 2 of phone 1, which does not emit"),
    ("1 1 0\n", "1 0 0\n", 21, "has (1, 0, 0) after (1, 0, 1), ascending order is expected"),
    ("-0.7 -0.6 ]", "-0.7 ]", 25, "<LogProbs> has 6 numbers, 7 are expected"),
    ("-0.7 -0.6 ]", "-0.7 0.6 ]", 25, "<LogProbs> holds 0.6, at most 0 is expected"),
    ("-0.7 -0.6 ]", "-0.7 -x6 ]", 25, "<LogProbs> has '-x6' where a number is expected"),
    ("-0.7 -0.6 ]", "-0.7 -inf ]", 25, "<LogProbs> has '-inf' where a number is expected"),
    ("</LogProbs>\n", "", 26, "'</LogProbs>' is expected, '</TransitionModel>' found"),
    ("<DIMENSION> 2", "<DIMENSION> 0", 28, "the dimension is 0, at least 1 is expected"),
    ("<DIMENSION> 2", "<DIMENSION> 3", 31, "<MEANS_INVVARS> of pdf 0 has 2 numbers, 3 are"),
    ("<NUMPDFS> 2", "<NUMPDFS> 0", 28, "the number of pdfs is 0, at least 1 is expected"),
    ("  0.5 1 ]\n</DiagGMM>\n", "  0.5 1 ]\n</DiagGMM>\n<DiagGMM>\n", 46,
     "the end is expected, '<DiagGMM>' found"),
    ("<NUMPDFS> 2", "<NUMPDFS> 1", None, "uses 2 pdfs, the mixtures are 1"),
    ("<NUMPDFS> 2", "<NUMPDFS> 3", 45, "ends where '<DiagGMM>' is expected"),
    ("[ 0.25 0.75 ]", "[ 0.25 ]", 38, "<WEIGHTS> of pdf 1 has 1 numbers, 2 are expected"),
    ("[ 0.25 0.75 ]", "[ 0 1 ]", 38, "<WEIGHTS> of pdf 1 has 2 numbers, the least 0;"),
    ("<GCONSTS>  [ -3.1 -2 ]\n<WEIGHTS>  [ 0.25 0.75 ]", "<WEIGHTS>  [ ]", 37,
     "<WEIGHTS> of pdf 1 has 0 numbers, the least inf"),
    ("  0.5 1 ]", "  0.5 ]", 42, "<INV_VARS> of pdf 1 has 3 numbers, 4 are expected"),
    ("  0.5 1 ]", "  0.5 -1 ]", 42, "<INV_VARS> of pdf 1 holds -1; numbers above 0 are expected"),
    ("  0.5 1 ]", "  0.5 nan ]", 44, "<INV_VARS> of pdf 1 has 'nan' where a number is expected"),
    ("  0.5 1 ]\n</DiagGMM>\n", "  0.5 1", 42, "<INV_VARS> of pdf 1 has no ']'"),
    ("<INV_VARS>  [\n  1 2", "<INV_VARS>  1 2", 42, "'[' is expected, '1' found"),
    ("1 0 1\n1 1 0\n2 0 1", "1 0 1\n1 1 0\n2 0 2", None,
     "the transition model uses 3 pdfs, the mixtures are 2"),
])
def test_damaged_models(tmp_path, old, new, line, message):
    assert old in MODEL
    path = write(tmp_path / "final.mdl", MODEL.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        read_model(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: " if line is None else f"{path}:{line}: ")
    assert message in text
    assert "restore" in text


def test_chain_models_in_tuples(tmp_path):
    text = MODEL.replace("Triples>", "Tuples>").replace("1 0 1\n", "1 0 1 0\n")
    with pytest.raises(UserError, match=r":20: .*self-loop differs.*chain models"):
        read_model(write(tmp_path / "final.mdl", text))


@pytest.mark.parametrize("cut", range(1, 100, 7))
def test_a_model_cut_short_is_refused(tmp_path, cut):
    tokens = MODEL.split()
    text = " ".join(tokens[:len(tokens) * cut // 100])
    with pytest.raises(UserError, match=r"final\.mdl:1: .*(expected|no '\]'|\bends\b)"):
        read_model(write(tmp_path / "final.mdl", text))


@pytest.mark.parametrize("read", [read_model, read_tree])
def test_files_of_another_kind(tmp_path, read):
    with pytest.raises(UserError, match=r"none: no such file; check the path"):
        read(tmp_path / "none")
    with pytest.raises(UserError, match=r"none\.gz: no such file; check the path"):
        read(tmp_path / "none.gz")
    (tmp_path / "binary").write_bytes(b"\0B<TransitionModel> \x04")
    with pytest.raises(UserError, match="Kaldi's binary form; copy it with --binary=false"):
        read(tmp_path / "binary")
    (tmp_path / "binary.gz").write_bytes(gzip.compress(b"\0BToPdf"))
    with pytest.raises(UserError, match="Kaldi's binary form; copy it with --binary=false"):
        read(tmp_path / "binary.gz")
    (tmp_path / "text.gz").write_text(MODEL)
    with pytest.raises(UserError, match=r"text\.gz: cannot be unpacked"):
        read(tmp_path / "text.gz")
    (tmp_path / "half.gz").write_bytes(gzip.compress(MODEL.encode())[:-20])
    with pytest.raises(UserError, match=r"half\.gz: cannot be unpacked"):
        read(tmp_path / "half.gz")
    (tmp_path / "bad.gz").write_bytes(gzip.compress(b"\xff\xfe\xff"))
    with pytest.raises(UserError, match=r"bad\.gz: is not text once unpacked"):
        read(tmp_path / "bad.gz")
    (tmp_path / "empty").write_text("")
    with pytest.raises(UserError, match=r"empty:1: ends where .* is expected"):
        read(tmp_path / "empty")


# Phone 1 by its pdf-class; phones 2 and 3 by the neighbours, 0 among them; no phone 0.
TREE = """ContextDependency 3 1 ToPdf TE 1 4 ( NULL TE -1 2 ( CE 0 CE 1 )
SE 0 [ 0 3 ]
{ SE -1 [ 0 ]
{ CE 2 CE 3 }
SE 2 [ 1 ]
{ CE 4 CE 5 }
}
CE 6 )
EndContextDependency
"""


def tree_by_hand(left, phone, right, pdf_class):
    """What TREE says, written out; None where it has no answer."""
    if phone == 1:
        return {0: 0, 1: 1}.get(pdf_class)
    if phone == 2 and left in (0, 3):
        return 2 if pdf_class == 0 else 3
    if phone == 2:
        return 4 if right == 1 else 5
    return 6 if phone == 3 else None


def test_tree_by_hand(tmp_path):
    tree = read_tree(write(tmp_path / "tree", TREE))
    assert (tree.context_width, tree.central_position, tree.num_pdfs) == (3, 1, 7)
    for left, phone, right, pdf_class in itertools.product(range(5), range(5), range(5), range(3)):
        expected = tree_by_hand(left, phone, right, pdf_class)
        if expected is None:
            with pytest.raises(UserError, match=f"no pdf for pdf-class {pdf_class} of phone "
                                                f"{phone} in "):
                tree.pdf((left, phone, right), pdf_class)
        else:
            assert tree.pdf((left, phone, right), pdf_class) == expected
    with pytest.raises(UserError, match=r"window \(1, 2\) has 2 phones, the tree's have 3"):
        tree.pdf((1, 2), 0)


def test_monophone_tree_of_one_leaf(tmp_path):
    path = tmp_path / "tree.gz"
    path.write_bytes(gzip.compress(b"ContextDependency 1 0 ToPdf CE 4 EndContextDependency"))
    tree = read_tree(path)
    assert (tree.context_width, tree.central_position, tree.num_pdfs) == (1, 0, 5)
    assert tree.pdf((9,), 2) == 4


@pytest.mark.parametrize(("old", "new", "line", "message"), [
    ("ContextDependency 3", "Dependency 3", 1, "'ContextDependency' is expected, 'Dependency'"),
    ("3 1 ToPdf", "0 1 ToPdf", 1, "the context width is 0, at least 1 is expected"),
    ("3 1 ToPdf", "3 3 ToPdf", 1, "the central position is 3, less than the context width 3"),
    ("3 1 ToPdf", "3 -1 ToPdf", 1, "the central position is -1, at least 0 is expected"),
    ("ToPdf", "ToLeaf", 1, "'ToPdf' is expected, 'ToLeaf' found"),
    ("CE 6", "XE 6", 8, "'CE' or 'SE' or 'TE' or 'NULL' is expected, 'XE' found"),
    ("CE 6", "CE -6", 8, "a pdf is -6, at least 0 is expected"),
    ("CE 6", "CE )", 8, "a pdf is expected, ')' found"),
    ("TE 1 4", "TE 3 4", 1, "the tree asks for place 3 of a window of 3 phones"),
    ("TE 1 4", "TE -2 4", 1, "the key of a question is -2, at least -1 is expected"),
    ("TE 1 4", "TE 1 -4", 1, "the size of a table is -4, at least 0 is expected"),
    ("TE 1 4", "TE 1 5", 8, "'CE' or 'SE' or 'TE' or 'NULL' is expected, ')' found"),
    ("TE 1 4", "TE 1 3", 8, "')' is expected, 'CE' found"),
    ("TE 1 4 (", "TE 1 4", 1, "'(' is expected, 'NULL' found"),
    ("SE 2 [ 1 ]", "SE 2 1", 5, "'[' is expected, '1' found"),
    ("SE 2 [ 1 ]", "SE 2 [ 1", 6, "a phone, a pdf-class or ']' is expected, '{' found"),
    ("{ CE 4", "CE 4", 6, "'{' is expected, 'CE' found"),
    ("{ CE 4 CE 5 }", "{ CE 4 NULL }", 6, "a question needs two answers, NULL found"),
    ("{ CE 4 CE 5 }", "{ CE 4 CE 5 CE 6 }", 6, "'}' is expected, 'CE' found"),
    ("EndContextDependency", "", 8, "ends where 'EndContextDependency' is expected"),
    ("EndContextDependency", "EndContextDependency 7", 9, "the end is expected, '7' found"),
])
def test_damaged_trees(tmp_path, old, new, line, message):
    assert old in TREE
    path = write(tmp_path / "tree", TREE.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        read_tree(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("body", ["NULL", "TE 0 2 ( NULL NULL )"])
def test_trees_without_leaves(tmp_path, body):
    text = f"ContextDependency 1 0 ToPdf {body} EndContextDependency"
    with pytest.raises(UserError, match="a tree with leaves is expected, NULL found"):
        read_tree(write(tmp_path / "tree", text))


@pytest.mark.parametrize(("opening", "closing"), [("SE 0 [ 1 ] { CE 0 ", "} "),
                                                  ("TE 0 1 ( ", ") ")])
def test_depth_of_trees(tmp_path, opening, closing):
    def nested(depth):
        return write(tmp_path / "tree", f"ContextDependency 1 0 ToPdf {opening * depth}CE 1 "
                                        f"{closing * depth}EndContextDependency")
    assert read_tree(nested(200)).num_pdfs == 2
    with pytest.raises(UserError, match="more than 300 questions deep"):
        read_tree(nested(5000))
