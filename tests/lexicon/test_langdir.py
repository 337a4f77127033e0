"""The lang directory: files, disambiguation, options, faults, agreement with Kaldi's."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridasr.errors import UserError
from hybridasr.hmm.topology import read_topology
from hybridasr.lexicon.lang_files import read_symbols
from hybridasr.lexicon.langdir import LangOptions, disambiguate, prepare_lang, read_lang
from hybridasr.lexicon.lexicon import Lexicon, Pronunciation, build_lexicon, make_lexicon
from hybridasr.lexicon.phones import add_positions, default_phone_set

PHONES = ["A", "B", "C"]


def lexicon_of(**words: str) -> Lexicon:
    """Make a lexicon from word="phones", alternatives divided by /, with <UNK>."""
    entries = {word: [Pronunciation(1.0, tuple(p.split())) for p in text.split("/")]
               for word, text in words.items()}
    return make_lexicon({**entries, "<UNK>": [Pronunciation(1.0, ("SPN",))]})


def prepare(path, lexicon, **options):
    return prepare_lang(lexicon, default_phone_set().covering(PHONES), path, LangOptions(**options))


WORDS = lexicon_of(one="W AH N", won="W AH N", a="AH/EY", ma="m a1/m a2", to="T", too="T UW")


@pytest.mark.parametrize("options", [
    {}, {"position_dependent": True}, {"share_tones": True, "sil_prob": 0.0},
    {"used_phones_only": False},
])
def test_round_trip(tmp_path, options):
    made = prepare(tmp_path, WORDS, **options)
    read = read_lang(tmp_path)
    assert read == made
    assert read.disambig_pronunciations == made.disambig_pronunciations


def test_same_input_same_bytes(tmp_path):
    shuffled = Lexicon(dict(reversed(WORDS.entries.items())))
    prepare(tmp_path / "1", WORDS)
    prepare(tmp_path / "2", make_lexicon(shuffled.entries))
    files = sorted(p.relative_to(tmp_path / "1") for p in (tmp_path / "1").rglob("*.*"))
    assert len(files) >= 29
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_words_and_phones(tmp_path):
    lang = prepare(tmp_path, WORDS)
    assert list(lang.words) == ["<eps>", "<UNK>", "a", "ma", "one", "to", "too", "won", "#0", "<s>",
                                "</s>"]
    assert list(lang.words.values()) == list(range(11))
    assert list(lang.phones) == ["<eps>", "SIL", "SPN", "AH", "EY", "N", "T", "UW", "W", "a1", "a2",
                                 "m", "#0", "#1", "#2", "#3"]
    assert lang.silence_phones == [1, 2]
    assert lang.nonsilence_phones == list(range(3, 12))
    assert lang.disambig_phones == [12, 13, 14, 15]
    assert lang.silence_disambig == 15
    assert lang.optional_silence == 1
    assert lang.oov == 1
    assert lang.phone_name(3) == "AH"
    assert lang.word_name(2) == "a"
    assert read_symbols(tmp_path / "words.txt") == lang.words


def test_disambiguation_of_homophones_and_beginnings(tmp_path):
    lang = prepare(tmp_path, WORDS)
    shown = {(lang.word_name(w), " ".join(map(lang.phone_name, phones)))
             for w, _, phones in lang.disambig_pronunciations}
    assert shown == {("<UNK>", "SPN"), ("a", "AH"), ("a", "EY"), ("ma", "m a1"), ("ma", "m a2"),
                     ("one", "W AH N #1"), ("won", "W AH N #2"), ("to", "T #1"), ("too", "T UW")}


@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple), max_size=25))
def test_disambiguated_pronunciations_are_prefix_free(pronunciations):
    marks = disambiguate(pronunciations)
    marked = [(*phones, 100 + mark) if mark else phones
              for phones, mark in zip(pronunciations, marks, strict=True)]
    assert len(set(marked)) == len(marked)
    for first in marked:
        for second in marked:
            if first is not second:
                assert second[: len(first)] != first
    # No symbol where none is needed.
    for i, (phones, mark) in enumerate(zip(pronunciations, marks, strict=True)):
        others = pronunciations[:i] + pronunciations[i + 1 :]
        assert (mark > 0) == any(other[: len(phones)] == phones for other in others)
    assert all(mark <= pronunciations.count(phones)
               for phones, mark in zip(pronunciations, marks, strict=True))


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(st.sampled_from([f"w{i}" for i in range(9)]),
                       st.lists(st.sampled_from(PHONES), min_size=1, max_size=3), min_size=1),
       st.booleans())
def test_any_lexicon_round_trips(tmp_path_factory, words, position_dependent):
    path = tmp_path_factory.mktemp("lang")
    lexicon = lexicon_of(**{word: " ".join(phones) for word, phones in words.items()})
    lang = prepare(path, lexicon, position_dependent=position_dependent)
    assert read_lang(path) == lang
    for word, phones in words.items():
        (_, ids), = lang.pronunciations[lang.words[word]]
        assert [lang.phone_name(i).split("_")[0] for i in ids] == phones


def test_sets_and_tones(tmp_path):
    lang = prepare(tmp_path, WORDS)
    assert lang.sets == [[i] for i in range(1, 12)]
    lang = prepare(tmp_path, WORDS, share_tones=True)
    assert [lang.phones["a1"], lang.phones["a2"]] in lang.sets
    assert len(lang.sets) == 10
    lines = (tmp_path / "phones/roots.txt").read_text().splitlines()
    assert "shared split a1 a2" in lines
    assert "shared split SIL" in lines


def test_extra_questions_ask_about_phones_in_use_only(tmp_path):
    lang = prepare(tmp_path, WORDS)
    used = {*lang.silence_phones, *lang.nonsilence_phones}
    assert all(question and {*question} <= used for question in lang.extra_questions)
    assert len({tuple(q) for q in lang.extra_questions}) == len(lang.extra_questions)
    assert [lang.phones["a2"]] in lang.extra_questions  # second tone


def test_all_phones_on_request(tmp_path):
    lang = prepare(tmp_path, WORDS, used_phones_only=False)
    phone_set = default_phone_set()
    assert len(lang.silence_phones) == 3
    assert len(lang.nonsilence_phones) == len(phone_set.nonsilence_phones) + len({"A", "C"})


def test_position_dependent_phones(tmp_path):
    assert add_positions(("x",)) == ("x_S",)
    assert add_positions(("x", "y")) == ("x_B", "y_E")
    assert add_positions(("x", "y", "z", "x")) == ("x_B", "y_I", "z_I", "x_E")
    lang = prepare(tmp_path, WORDS, position_dependent=True)
    (_, phones), = lang.pronunciations[lang.words["one"]]
    assert [lang.phone_name(p) for p in phones] == ["W_B", "AH_I", "N_E"]
    assert lang.phone_name(lang.optional_silence) == "SIL"
    boundary = dict(line.split() for line in
                    (tmp_path / "phones/word_boundary.txt").read_text().splitlines())
    assert boundary["SIL"] == "nonword"
    assert boundary["SPN_S"] == "singleton"
    assert boundary["W_B"] == "begin"
    assert boundary["W_E"] == "end"
    assert boundary["W_I"] == "internal"
    assert len(boundary) == len(lang.silence_phones) + len(lang.nonsilence_phones)
    assert [lang.phones[f"W_{x}"] for x in "BEIS"] in lang.sets
    ends = [p for name, p in lang.phones.items() if name.endswith("_E") and name[:3] != "SIL"]
    assert any({*question} == {p for p in ends if p in lang.nonsilence_phones}
               for question in lang.extra_questions)
    # Back without positions: nothing of the old kind is left.
    prepare(tmp_path, WORDS)
    assert not (tmp_path / "phones/word_boundary.txt").exists()


def test_files_agree_with_each_other(tmp_path):
    lang = prepare(tmp_path, WORDS, position_dependent=True)
    for name in ("silence", "nonsilence", "context_indep", "optional_silence", "disambig"):
        names = (tmp_path / f"phones/{name}.txt").read_text().split()
        numbers = (tmp_path / f"phones/{name}.int").read_text().split()
        assert [str(lang.phones[n]) for n in names] == numbers
        assert (tmp_path / f"phones/{name}.csl").read_text() == ":".join(numbers) + "\n"
    for name in ("sets", "extra_questions", "roots", "align_lexicon", "word_boundary"):
        named = (tmp_path / f"phones/{name}.txt").read_text().splitlines()
        rows = (tmp_path / f"phones/{name}.int").read_text().splitlines()
        tables = {**lang.words, **lang.phones}
        assert [" ".join(str(tables.get(field, field)) for field in line.split())
                for line in named] == rows
    align = (tmp_path / "phones/align_lexicon.txt").read_text().splitlines()
    assert align[0] == "<eps> <eps> SIL"
    assert "one one W_B AH_I N_E" in align
    topology = read_topology(lang.topology_text)
    assert topology.phones == lang.silence_phones + lang.nonsilence_phones
    assert topology.for_phone(lang.phones["SIL"]).num_pdf_classes == 5
    assert topology.for_phone(lang.phones["W_B"]).num_pdf_classes == 3
    assert (tmp_path / "oov.txt").read_text() == "<UNK>\n"


def test_probabilities_are_kept(tmp_path):
    lexicon = make_lexicon({"<UNK>": [Pronunciation(1.0, ("SPN",))],
                            "x": [Pronunciation(1.0, ("A",)), Pronunciation(0.25, ("B",))]})
    prepare(tmp_path, lexicon)
    lang = read_lang(tmp_path)
    assert [prob for prob, _ in lang.pronunciations[lang.words["x"]]] == [1.0, 0.25]


def test_faults_when_making(tmp_path):
    with pytest.raises(UserError, match="word 'x' uses the phone 'QQ', which is not in the phone"):
        prepare(tmp_path, lexicon_of(x="A QQ"))
    with pytest.raises(UserError, match="the lexicon has no <UNK>; add the line '<UNK> SPN'"):
        prepare(tmp_path, make_lexicon({"x": [Pronunciation(1.0, ("A",))]}))
    with pytest.raises(UserError, match="'A_B' cannot name a phone"):
        prepare_lang(lexicon_of(x="A_B"), default_phone_set().covering(["A_B"]), tmp_path)
    with pytest.raises(UserError, match="sil-prob is 1.0; give a number from 0 to below 1"):
        LangOptions(sil_prob=1.0)
    assert not (tmp_path / "lang.json").exists()


@pytest.mark.parametrize("name", ["lang.json", "words.txt", "topo", "phones/sets.int",
                                  "lexiconp.txt", "phones/extra_questions.int"])
def test_missing_files_when_reading(tmp_path, name):
    prepare(tmp_path, WORDS)
    (tmp_path / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing; run 'hybridasr prepare-lang'"):
        read_lang(tmp_path)


@pytest.mark.parametrize(("name", "text", "message"), [
    ("lang.json", '{"format": 2, "options": {}}', "format 2 is newer than this program knows"),
    ("lang.json", '{"format": 1, "options": {"sil": 1}}', "unknown option 'sil'"),
    ("phones/sets.int", "1\nx\n", "sets.int:2: holds something else than phone ids"),
    ("words.txt", "<eps> 0\na b c\n", "words.txt:2: 'a b c' is not '<symbol> <id>'"),
    ("words.txt", "<eps> 0\n", "is not in words.txt"),
    ("phones.txt", "<eps> 0\n", "is not in phones.txt"),
])
def test_damaged_files_when_reading(tmp_path, name, text, message):
    prepare(tmp_path, WORDS)
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_lang(tmp_path)


def test_a_crash_leaves_no_lang_json(tmp_path, monkeypatch):
    prepare(tmp_path, WORDS)
    assert json.loads((tmp_path / "lang.json").read_text())["options"]["sil_prob"] == 0.5

    def fail(*_):
        raise OSError("disk gone")

    monkeypatch.setattr("hybridasr.lexicon.langdir.write_lexicon", fail)
    with pytest.raises(OSError, match="disk gone"):
        prepare(tmp_path, WORDS, sil_prob=0.25)
    assert not (tmp_path / "lang.json").exists()


def test_a_built_lexicon_makes_a_lang_directory(tmp_path):
    lang = prepare_lang(build_lexicon(["打开空调", "Speech"]), default_phone_set(), tmp_path)
    assert {"SIL", "SPN", "k", "ong1", "CH"} <= {*lang.phones}
    assert "GBG" not in lang.phones


@pytest.mark.realdata
@pytest.mark.parametrize("system", ["kaldi_tri1_dsp20", "kaldi_tri1_words_zh"])
def test_agreement_with_kaldi(ref_root, reference_lexicon, tmp_path, system):
    """Kaldi's lexicon gives Kaldi's phones, words, disambiguation symbols and topology."""
    reference = {word: [Pronunciation(1.0, phones) for phones in sorted(pronunciations)]
                 for word, pronunciations in reference_lexicon(system).items()}
    lexicon = make_lexicon({**reference, "<SIL>": [Pronunciation(1.0, ("SIL",))],
                            "<UNK>": [Pronunciation(1.0, ("SPN",))]})
    lang = prepare_lang(lexicon, default_phone_set(), tmp_path)
    # <UNK> and SPN are not in Kaldi's.
    phones = [name for name in lang.phones if name != "SPN"]
    words = [name for name in lang.words if name != "<UNK>"]
    assert phones == list(read_symbols(ref_root / system / "phones.txt"))
    assert words == list(read_symbols(ref_root / system / "words.txt"))
    topology = read_topology(lang.topology_text)
    theirs = read_topology((ref_root / system / "topo").read_text())
    for ours, reference_entry in zip(topology.entries, theirs.entries, strict=True):
        assert ours.states == reference_entry.states
