"""The words of a graph: where they come from, what is refused, what lies beside the graph."""

import logging

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.graph.graph_words import read_graph_words
from hybridasr.hmm.topology import read_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.lang_files import read_symbols
from hybridasr.lexicon.langdir import LangOptions, prepare_lang
from hybridasr.lexicon.lexicon import build_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.tree.tree import allowed_tuples, monophone_tree

pynini = pytest.importorskip("pynini")

from hybridasr.graph.arrays import DecodingGraph  # noqa: E402
from hybridasr.graph.compose import make_hclg, to_fst  # noqa: E402
from hybridasr.graph.mkgraph import WordSources, find_words, make_graph  # noqa: E402
from hybridasr.lm.grammar import command_grammar  # noqa: E402

TRAINED = ["da1", "ti1", "bu1", "la4", "tu1"]


def lang_of(words, path, **options):
    lexicon = build_lexicon(words)
    return prepare_lang(lexicon, default_phone_set().covering(lexicon.phones), path,
                        LangOptions(**options))


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "positions"])
def lang(request, tmp_path_factory):
    # With places, every phone needs a form for each place that a word may have it in.
    return lang_of(TRAINED, tmp_path_factory.mktemp("lang"), position_dependent=request.param)


@pytest.fixture(scope="module")
def system(lang):
    topology = read_topology(lang.topology_text)
    tree = monophone_tree(lang.sets, topology)
    return TransitionModel(topology, allowed_tuples(tree, topology)), tree


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def said(lang, word):
    return [" ".join(pron.phones) for pron in lang.lexicon.entries[word]]


def build(words, system, path, kind="commands"):
    make_graph(words.lang, *system, path, kind, words.phrases, words.ngram, reasons=words.reasons)
    return DecodingGraph.load(path / "graph.npz")


def test_commands_bring_their_words(lang, system, tmp_path):
    commands = write(tmp_path / "c.txt", "打\nda1 ti1\nba1la4\n")
    words = find_words(lang, "commands", WordSources(commands=commands))
    assert words.phrases == [("打",), ("da1", "ti1"), ("ba1la4",)]
    assert said(words.lang, "打") == ["d a1"]  # the only tone that was heard
    graph = build(words, system, tmp_path / "graph")
    assert {words.lang.word_name(w) for w in np.unique(graph.olabel) if w} == {
        "打", "da1", "ti1", "ba1la4"}


@pytest.mark.parametrize(("list_text", "message"), [
    ("da1\nka1\nfu1 da1\n", r"c.txt:2: command 'ka1': 'ka1' needs the phones k, which the model "
     r"has never heard; choose other words, or train with words that contain them\n.*c.txt:3: "
     "command 'fu1 da1': 'fu1' needs the phones f, "),
    ("xqzt\n", r"c.txt:1: command 'xqzt': no pronunciation for 'xqzt'; add it to a lexicon of your "
     r"own \(--lexicon FILE\)"),
])
def test_what_the_model_cannot_say_is_named(lang, tmp_path, list_text, message):
    commands = write(tmp_path / "c.txt", list_text)
    with pytest.raises(UserError, match=message):
        find_words(lang, "loop", WordSources(commands=commands))


def test_many_faults_end_in_a_count(lang, tmp_path):
    commands = write(tmp_path / "c.txt", "".join(f"xq{'z' * n}\n" for n in range(1, 31)))
    with pytest.raises(UserError) as error:
        find_words(lang, "commands", WordSources(commands=commands))
    assert len(str(error.value).splitlines()) == 21
    assert str(error.value).endswith("\nand 10 more")


def test_the_users_lexicon_wins(lang, system, tmp_path):
    commands = write(tmp_path / "c.txt", "xqzt\nda1\n打\n")
    lexicon = write(tmp_path / "lex.txt", "xqzt t i1 l a4\nda1 t a1\nunused K AE\n")
    words = find_words(lang, "commands", WordSources(commands=commands, lexicon=lexicon))
    assert [said(words.lang, word) for word in ("xqzt", "da1", "打")] == [["t i1 l a4"], ["t a1"],
                                                                         ["d a1"]]
    assert words.lang.words["da1"] == lang.words["da1"]
    # Without a list every word of both is a phrase; silence and noise are none.
    lexicon = write(tmp_path / "lex.txt", "xqzt t i1 l a4\n<UNK> SPN\n")
    words = find_words(lang, "commands", WordSources(lexicon=lexicon))
    assert sorted(words.phrases) == sorted((word,) for word in [*TRAINED, "xqzt"])
    build(words, system, tmp_path / "graph")


def test_a_lexicon_in_other_phones_is_refused(lang, tmp_path):
    lexicon = write(tmp_path / "lex.txt", "good d a1\nzip Z IH1 P\n")
    with pytest.raises(UserError, match=r"lex.txt: 'zip' needs the phones IH1 P Z, .* write it "
                                        r"with the phones of .*phones.txt, or train"):
        find_words(lang, "commands", WordSources(lexicon=lexicon))


ARPA = """\\data\\
ngram 1={}

\\1-grams:
{}

\\end\\
"""


def arpa(path, *words):
    return write(path, ARPA.format(len(words) + 2, "\n".join(
        f"-0.6\t{word}" for word in ("<s>", "</s>", *words))))


def test_a_language_model_brings_its_words(lang, system, tmp_path, caplog):
    sources = WordSources(arpa=arpa(tmp_path / "lm", "<unk>", "da1", "打", "kou1", "xqzt"))
    words = find_words(lang, "ngram", sources)
    with caplog.at_level(logging.WARNING, "hybridasr"):
        graph = build(words, system, tmp_path / "graph", "ngram")
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        "2 of the 4 words of the language model are not in words.txt and are left out: kou1 "
        "(phones k ou1 were never heard) xqzt (no pronunciation); give pronunciations in the "
        "model's phones (--lexicon FILE)")
    assert {words.lang.word_name(w) for w in np.unique(graph.olabel) if w} == {"da1", "打"}
    nothing = find_words(lang, "ngram", WordSources(arpa=arpa(tmp_path / "lm", "kou1")))
    with pytest.raises(UserError, match=r"no word of the language model .*kou1 \(phones k ou1"):
        build(nothing, system, tmp_path / "graph", "ngram")


def test_new_words_that_differ_by_case_are_told(lang, tmp_path, caplog):
    lexicon = write(tmp_path / "lex.txt", "TU1 t u1\n")
    with caplog.at_level(logging.WARNING, "hybridasr"):
        find_words(lang, "commands", WordSources(lexicon=lexicon))
    assert "1 new words differ from words of the model by case alone: TU1 is there as tu1" in (
        caplog.text)


@pytest.mark.parametrize("positions", [False, True])
def test_another_lang_directory(lang, system, tmp_path, positions):
    # Fewer phones, other ids, other homophones, other marks of places.
    other = lang_of(["ti1", "bu1", "步"], tmp_path / "other", position_dependent=positions,
                    sil_prob=0.2)
    wanted = {word: said(other, word) for word in other.lexicon.entries}
    with pytest.raises(UserError, match=r"other: its phones u4 are not among those that the model "
                                        r"has heard \(words: 步\); write the words with"):
        find_words(lang, "commands", WordSources(lang=other.path))
    other = lang_of(["ti1", "bu1", "bu1 ti1".replace(" ", "")], tmp_path / "other",
                    position_dependent=positions, sil_prob=0.2)
    wanted = {word: said(other, word) for word in other.lexicon.entries}
    words = find_words(lang, "commands", WordSources(lang=other.path))
    assert words.lang.words == other.words
    assert words.lang.phones == lang.phones
    assert words.lang.sil_prob == 0.2
    assert {word: said(words.lang, word) for word in words.lang.lexicon.entries} == wanted
    build(words, system, tmp_path / "graph")
    assert (tmp_path / "graph/words.txt").read_text() == (other.path / "words.txt").read_text()
    # Words of both: the list is looked up with the phones of the model, not of the directory.
    commands = write(tmp_path / "c.txt", "da1\nbu1ti1\n")
    words = find_words(lang, "commands", WordSources(commands, lang=other.path))
    assert said(words.lang, "da1") == ["d a1"]


def test_a_graph_keeps_its_words(lang, system, tmp_path):
    lexicon = write(tmp_path / "lex.txt", "".join(f"x{n}a 0.5 d a1\n" for n in range(9))
                    + "da1 1.0 t a1\n")
    words = find_words(lang, "commands", WordSources(lexicon=lexicon))
    build(words, system, tmp_path / "graph")
    back = read_graph_words(tmp_path / "graph", lang)
    assert (back.words, back.pronunciations) == (words.lang.words, words.lang.pronunciations)
    # As Kaldi has them: #0, symbols for nine homophones, and one for silence.
    phones = read_symbols(tmp_path / "graph/phones.txt")
    marks = [phones[name] for name in phones if name.startswith("#")]
    assert len(marks) == 11
    listed = (tmp_path / "graph/phones/disambig.int").read_text().split()
    assert sorted(map(int, listed)) == sorted(marks)
    rows = (tmp_path / "graph/phones/align_lexicon.txt").read_text().splitlines()
    assert sum(row.startswith("x") for row in rows) == 9
    assert (tmp_path / "graph/phones/word_boundary.txt").is_file() == lang.position_dependent
    # A graph with the words of the model is not read twice.
    build(find_words(lang, "commands", WordSources()), system, tmp_path / "graph")
    assert read_graph_words(tmp_path / "graph", lang) is lang


@pytest.mark.parametrize(("name", "damage", "message"), [
    ("words.txt", lambda text: text.replace("xqzt", "other"), "lexiconp.txt: word 'xqzt' is not in "
     "words.txt; run mkgraph again"),
    ("words.txt", lambda text: "a b c\n", "words.txt:1: 'a b c' is not '<symbol> <id>'; run mkgr"),
    ("words.txt", lambda text: text + "more 300\n", "words.txt: is not the table that the graph"),
    ("lexiconp.txt", lambda text: text.replace("t i1", "t q1"), "phone 'q1.*' of 'ti1' is not in "
     "phones.txt; run mkgraph again"),
])
def test_damaged_words(lang, system, tmp_path, name, damage, message):
    lexicon = write(tmp_path / "lex.txt", "xqzt t i1 l a4\n")
    build(find_words(lang, "commands", WordSources(lexicon=lexicon)), system, tmp_path / "graph")
    file = tmp_path / "graph" / name
    write(file, damage(file.read_text(encoding="utf-8")))
    with pytest.raises(UserError, match=message):
        read_graph_words(tmp_path / "graph", lang)


def test_a_graph_is_as_that_of_a_model_that_knew_the_words(lang, system, tmp_path):
    # The same words in the lexicon from the start: the same graph but for the ids of words.
    names = ["打", "da1la4", "la4da1", "bu1tu1"]
    commands = write(tmp_path / "c.txt", "".join(f"{name}\n" for name in names))
    words = find_words(lang, "commands", WordSources(commands))
    entries = words.lang.lexicon
    knew = prepare_lang(entries, default_phone_set().covering(entries.phones), tmp_path / "knew",
                        LangOptions(position_dependent=lang.position_dependent))
    assert {n: i for n, i in knew.phones.items() if n[0] != "#"} == {
        n: i for n, i in lang.phones.items() if n[0] != "#"}
    ours, theirs = (make_hclg(one, command_grammar([[name] for name in names], one.words), *system)
                    for one in (words.lang, knew))

    def by_name(graph, one):
        """The graph with the words numbered in the order of their names."""
        pairs = [(one.words[name], 1 + place) for place, name in enumerate(sorted(names))]
        return to_fst(graph).relabel_pairs(opairs=pairs)

    assert pynini.isomorphic(by_name(ours, words.lang), by_name(theirs, knew))
