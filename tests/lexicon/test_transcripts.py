"""Words that a lang directory lacks: counted, named, refused above a share."""

from pathlib import Path

import pytest

from hybridasr.cli import main
from hybridasr.corpus.datadir import DataDir, Utterance, write_datadir
from hybridasr.errors import UserError
from hybridasr.lexicon.langdir import prepare_lang
from hybridasr.lexicon.lexicon import Pronunciation, make_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.lexicon.transcripts import limit_unknown_words


@pytest.fixture(scope="module")
def lang(tmp_path_factory):
    lexicon = make_lexicon({word: [Pronunciation(1.0, (phone,))] for word, phone in
                            {"one": "AH", "two": "UW", "<UNK>": "SPN"}.items()})
    return prepare_lang(lexicon, default_phone_set(), tmp_path_factory.mktemp("lang"))


def spoken(*texts):
    return DataDir(Path("data"), {
        f"u{n}": Utterance(f"u{n}", "s", tuple(text.split()), f"u{n}", f"/x/{n}.wav")
        for n, text in enumerate(texts)})


def test_refused_above_the_share_and_not_at_it(lang):
    data = spoken("one two Two", "three one", "three <UNK> one")  # 3 of 8 are unknown
    limit_unknown_words(data, lang, 3 / 8)
    with pytest.raises(UserError, match=r"data/text: 3 of its 8 words \(37.5 %\) are not in .* and "
                       r"would become <UNK>: 'three' \(2\) 'Two' \(1, it has 'two'\); .*"
                       r"--max-oov-share 0.38"):
        limit_unknown_words(data, lang, 0.37)
    with pytest.raises(UserError, match="3 of its 8"):
        limit_unknown_words(data, lang)


def test_sets_without_unknown_words_pass(lang):
    limit_unknown_words(spoken("one two", ""), lang, 0.0)
    limit_unknown_words(spoken(), lang, 0.0)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_shares_are_checked(lang, share):
    with pytest.raises(UserError, match="give a number from 0 to 1"):
        limit_unknown_words(spoken("one"), lang, share)


@pytest.mark.parametrize("verb", ["train-mono", "train-deltas", "train-lda-mllt", "train-sat",
                                  "train-quick", "train-dnn", "train-chain", "train-ctc", "align"])
def test_every_training_verb_refuses(lang, tmp_path, capsys, verb):
    data = write_datadir(tmp_path / "data", spoken("one three", "two one one").utterances.values())
    places = [data.path, lang.path, *(tmp_path / name for name in ("ali", "exp"))]
    if verb in ("train-mono", "train-ctc"):
        del places[2]
    words = list(map(str, places))
    assert main([verb, *words]) == 1
    assert "1 of its 5 words (20.0 %) are not in" in capsys.readouterr().err
    assert not (tmp_path / "exp" / "model.json").exists()
    # With leave it goes on, to what is missing next.
    assert main([verb, "--max-oov-share", "0.2", *words]) == 1
    assert "20.0 %" not in capsys.readouterr().err
