"""Lang directories spelled in syllables and characters."""

import pytest

from hybridasr.ctc.label_units import unit_lang
from hybridasr.ctc.token_topology import label_names
from hybridasr.errors import UserError
from hybridasr.lexicon.langdir import LangOptions, prepare_lang, read_lang
from hybridasr.lexicon.lexicon import build_lexicon
from hybridasr.lexicon.phones import default_phone_set


@pytest.fixture(scope="module")
def lang(tmp_path_factory):
    lexicon = build_lexicon(["打开", "开灯", "ok"])
    return prepare_lang(lexicon, default_phone_set(), tmp_path_factory.mktemp("lang"),
                        LangOptions(sil_prob=0.3, position_dependent=True))


def test_phones_are_the_lang_directory_itself(lang, tmp_path):
    assert unit_lang(lang, "phones", tmp_path / "units") is lang


@pytest.mark.parametrize(("units", "expected"), [
    ("characters", {"<blank>", "SPN", "打", "开", "灯", "o", "k"}),
    ("syllables", {"<blank>", "SPN", "da3", "kai1", "deng1", "OW", "K", "EY"})])
def test_words_are_spelled_in_units(lang, tmp_path, units, expected):
    made = unit_lang(lang, units, tmp_path / "units")
    assert {*label_names(made)} == expected
    assert made.words == lang.words
    assert made.sil_prob == 0.3
    again = read_lang(tmp_path / "units")
    assert again.pronunciations == made.pronunciations
    assert [len(phones) for _, phones in made.pronunciations[made.words["打开"]]] == [2]
    assert made.oov == lang.oov


def test_other_units_are_refused(lang, tmp_path):
    with pytest.raises(UserError, match="choose from phones"):
        unit_lang(lang, "letters", tmp_path)
