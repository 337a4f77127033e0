"""Options that changed nothing in a call were ignored; they are refused by name."""

import json
import re

import pytest

from hybridasr.cli import main
from hybridasr.corpus.readers import READERS, ReaderOptions
from hybridasr.errors import UserError


@pytest.fixture
def models(tmp_path):
    """Descriptions of a system that does not adapt, of one that does, and of a network."""
    for name, values in (("mono", {"kind": "gmm", "adapted": False}),
                         ("sat", {"kind": "gmm", "adapted": True}), ("dnn", {"kind": "nnet"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.json").write_text(json.dumps(values))
    return tmp_path


@pytest.mark.parametrize(("line", "option"), [
    ("recognize --threshold 0.5 {}/mono a.wav", "--threshold"),
    ("recognize --near-fillers 3 {}/mono a.wav", "--near-fillers"),
    ("recognize --fillers f.txt {}/mono a.wav", "--fillers"),
    ("recognize --lexicon l.txt {}/mono a.wav", "--lexicon"),
    ("recognize --commands c.txt --graph g {}/mono a.wav", "--graph"),
    ("recognize --fmllr-passes 1 {}/mono a.wav", "--fmllr-passes"),
    ("recognize --nnet-passes=2 {}/mono a.wav", "--nnet-passes"),
    ("recognize --nnet-passes 2 {}/sat a.wav", "--nnet-passes"),
    ("recognize --fmllr-update none {}/dnn a.wav", "--fmllr-update"),
    ("recognize --nnet-epochs 2 {}/dnn a.wav", "--nnet-epochs"),
    ("decode --fmllr-passes 0 {}/mono/graph data out", "--fmllr-passes"),
    ("decode --model {}/dnn --fmllr-passes 3 graph data out", "--fmllr-passes"),
    ("evaluate --commands c.txt --graph g {}/mono data", "--graph"),
    ("evaluate --commands c.txt --homophones {}/mono data", "--homophones"),
    ("evaluate --filler-penalty 1 {}/mono data", "--filler-penalty"),
    ("calibrate --threshold 0.5 {}/dnn data", "--threshold"),
    ("calibrate --commands c.txt --draws 3 {}/dnn data", "--draws"),
    ("calibrate --fillers f.txt {}/dnn data", "--fillers"),
    ("calibrate --lexicon l.txt {}/dnn data", "--lexicon"),
    ("evaluate --lexicon l.txt {}/mono data", "--lexicon"),
    ("tune-scale --acoustic-scale 0.1 {}/dnn data", "--acoustic-scale"),
    ("mkgraph --grammar ngram --commands c.txt --arpa a {}/mono", "--commands"),
    ("mkgraph --arpa a {}/mono", "--arpa"),
    ("make-feats --model {}/mono --num-ceps 20 data", "--num-ceps"),
    ("make-feats --model {}/mono --pitch true data", "--pitch"),
    ("make-feats --kind fbank --num-ceps 20 data", "--num-ceps"),
    ("make-feats --use-log-fbank false data", "--use-log-fbank"),
    ("make-feats --use-energy false --raw-energy false data", "--raw-energy"),
    ("make-feats --dither 0 --seed 3 data", "--seed"),
    ("augment-data --copies 0 --min-snr 3 data out", "--min-snr"),
    ("augment-data --reverb-share 0 --max-rt60 1 data out", "--max-rt60"),
    ("run-recipe --work {}/w --corpus {} --download", "--download"),
    ("run-recipe --work {}/w --download", "--download"),
])
def test_refused_by_name(models, capsys, line, option):
    assert main(line.replace("{}", str(models)).split()) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith(f"error: {option} "), message
    assert re.match(r"error: --[a-z0-9-]+ (has no|without) effect|.*--commands", message), message


def test_corpus_with_a_split_of_its_own(tmp_path):
    (tmp_path / "waves_yesno").mkdir()
    with pytest.raises(UserError, match="--test-speaker has no effect on yesno"):
        READERS["yesno"].read(tmp_path, ReaderOptions(test_speaker="ann"))
