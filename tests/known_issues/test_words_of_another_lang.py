"""Training with the lang directory of another language made every word <UNK>, and said nothing."""

import logging
from dataclasses import replace

import pytest

from hybridasr.corpus.datadir import DataDir, Utterance
from hybridasr.errors import UserError
from hybridasr.features.normalization import Normalization
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.lexicon.langdir import prepare_lang
from hybridasr.lexicon.lexicon import Pronunciation, make_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.lexicon.transcripts import check_transcripts, unknown_words
from hybridasr.parallel import SerialExecutor
from hybridasr.train.blocks import write_blocks


@pytest.fixture(scope="module")
def lang(tmp_path_factory):
    lexicon = make_lexicon({word: [Pronunciation(1.0, tuple(phones.split()))] for word, phones in
                            {"one": "W AH1 N", "two": "T UW1", "<UNK>": "SPN"}.items()})
    return prepare_lang(lexicon, default_phone_set().covering(lexicon.phones),
                        tmp_path_factory.mktemp("lang"))


def spoken(path, *texts):
    utterances = {f"u{n}": Utterance(f"u{n}", "s", tuple(text.split()), f"u{n}", f"/x/{n}.wav")
                  for n, text in enumerate(texts)}
    return DataDir(path, utterances)


def test_a_training_refuses_words_of_which_none_is_known(lang, tmp_path):
    data = spoken(tmp_path, "yi er", "san")
    with pytest.raises(UserError, match=r"text: none of its words is in .*: 'er' \(1\) 'san' \(1\) "
                                        r"'yi' \(1\); use the"):
        write_blocks(data, lang, Normalization(PipelineOptions()), tmp_path / "blocks",
                     SerialExecutor())
    with pytest.raises(UserError, match=r"'One' \(1, it has 'one'\) 'two!' \(1, it has 'two'\)"):
        check_transcripts(spoken(tmp_path, "One two!"), lang)


def test_some_unknown_words_are_named_with_their_nearest_spelling(lang, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        check_transcripts(spoken(tmp_path, "one Two", "two three", "three"), lang)
    (record,) = caplog.records
    assert "3 of 5 words of the transcripts are not in" in record.message
    assert "'three' (2) 'Two' (1, it has 'two')" in record.message


def test_known_words_pass_in_silence(lang, tmp_path, caplog):
    data = spoken(tmp_path, "one two", "<UNK>", "")
    check_transcripts(data, lang)
    check_transcripts(replace(data, utterances={}), lang)
    assert not caplog.records
    assert unknown_words(data.utterances.values(), lang.words) == {}
