"""Dictionary directories: written and read, from lang directories and back, on the command line."""

import re

import pytest

from hybridasr.cli import main
from hybridasr.lexicon.dict_dir import is_dict_dir, read_dict_dir, write_dict_dir
from hybridasr.lexicon.lang_dictionary import dictionary_of
from hybridasr.lexicon.langdir import LangOptions, prepare_lang, read_lang
from hybridasr.lexicon.lexicon import build_lexicon
from hybridasr.lexicon.phones import default_phone_set

FILES = {"lexicon.txt": "!SIL SIL\n<noise> SPN\ncafe\u0301 K AE0 F EY1\nab AE1 B\nab AE0 B\n",
         "silence_phones.txt": "SIL\nSPN\n", "nonsilence_phones.txt": "AE0 AE1\nB\nEY1\nF\nK\nZZ\n",
         "optional_silence.txt": "SIL\n", "extra_questions.txt": "AE1 EY1\n"}


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "dict"
    path.mkdir()
    for name, text in FILES.items():
        (path / name).write_text(text)
    return path


def test_written_and_read(directory, tmp_path):
    read = read_dict_dir(directory)
    # Words as transcripts are read: one normal form.
    assert list(read.lexicon.entries) == ["!SIL", "<noise>", "ab", "caf\u00e9"]
    assert read.phone_set.sets == (("SIL",), ("SPN",), ("AE0", "AE1"), ("B",), ("EY1",), ("F",),
                                   ("K",), ("ZZ",))
    write_dict_dir(tmp_path / "again", read)
    assert read_dict_dir(tmp_path / "again") == read
    assert is_dict_dir(directory)
    assert not is_dict_dir(tmp_path)


@pytest.mark.parametrize("options", [{}, {"position_dependent": True}, {"tone_roots": False}])
def test_a_lang_directory_made_of_its_own_dictionary_is_the_same(tmp_path, options):
    lexicon = build_lexicon(["打开", "空调", "bu2yao4", "light"])
    lang = prepare_lang(lexicon, default_phone_set(), tmp_path / "lang", LangOptions(**options))
    write_dict_dir(tmp_path / "dict", dictionary_of(lang))
    read = read_dict_dir(tmp_path / "dict")
    again = prepare_lang(read.lexicon, read.phone_set, tmp_path / "again", LangOptions(**options))
    assert again.phones == lang.phones
    assert again.roots == lang.roots
    assert again.pronunciations == lang.pronunciations
    if not options.get("position_dependent"):
        assert again.extra_questions == lang.extra_questions


def run(*words):
    return main(["prepare-lang", *map(str, words)])


def test_the_verb_takes_a_dictionary(directory, tmp_path):
    assert run("--oov-word", "<noise>", directory, tmp_path / "lang") == 0
    lang = read_lang(tmp_path / "lang")
    assert lang.word_name(lang.oov) == "<noise>"
    assert {"L.fst", "L_disambig.fst"} <= {path.name for path in (tmp_path / "lang").iterdir()}
    # Its own phones, the built-in ones do not come in; ZZ is in no word.
    assert {name for name in lang.phones if not name.startswith(("#", "<"))} == {
        "SIL", "SPN", "AE0", "AE1", "B", "EY1", "F", "K"}
    roots = (tmp_path / "lang" / "phones" / "roots.txt").read_text()
    assert "shared split AE0 AE1\n" in roots
    assert "AE1 EY1\n" in (tmp_path / "lang" / "phones" / "extra_questions.txt").read_text()
    assert run("--oov-word", "<noise>", "--used-phones-only", "false", directory,
               tmp_path / "lang") == 0
    assert "ZZ" in read_lang(tmp_path / "lang").phones


@pytest.mark.parametrize(("words", "message"), [
    (["{}", "lang"], "no <UNK> for unknown words; .*--oov-word \\(it has <noise>\\)"),
    (["--lexicon", "x", "{}", "lang"], "--lexicon has no effect on a dictionary directory"),
    (["{}", "{}", "lang"], "brings all words; give it alone"),
    (["{}", "dict"], "would be written over"),
])
def test_wrong_use(directory, tmp_path, capsys, words, message):
    words = [word.format(directory) for word in words[:-1]] + [str(tmp_path / words[-1])]
    assert run(*words) == 1
    assert re.search(message, capsys.readouterr().err)


def test_silence_by_word_and_one_probability_do_not_go_together(directory, tmp_path, capsys):
    (directory / "lexiconp_silprob.txt").write_text("<UNK> 1 0.2 1 1 SPN\nb 1 0.2 1 1 B\n")
    assert run(directory, tmp_path / "lang") == 1
    assert "silprob.txt is missing" in capsys.readouterr().err
    (directory / "silprob.txt").write_text("<s> 0.5\n</s>_s 1\n</s>_n 1\noverall 0.2\n")
    assert run("--sil-prob", "0.4", directory, tmp_path / "lang") == 1
    assert "--sil-prob has no effect on a dictionary with silprob.txt" in capsys.readouterr().err
    assert run(directory, tmp_path / "lang") == 0
    lang = read_lang(tmp_path / "lang")
    assert (lang.sil_prob, lang.silence_probs.begin) == (0.2, 0.5)
    # A later one without them leaves none behind.
    (directory / "lexiconp_silprob.txt").unlink()
    assert run("--oov-word", "<noise>", directory, tmp_path / "lang") == 0
    assert read_lang(tmp_path / "lang").silence_probs is None
