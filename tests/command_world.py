"""A world that can be heard: phones are chords, words of a few phones, speakers of other pitch.

Recordings, data directories and a trained model, small enough for tests of whole programs.
"""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import soundfile

from hybridasr.confidence.calibration import Calibration, Regression
from hybridasr.confidence.command_grammar import RejectOptions
from hybridasr.corpus.datadir import Utterance, read_datadir, write_datadir
from hybridasr.features.feature_set import make_feats
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.lexicon.langdir import prepare_lang
from hybridasr.lexicon.lexicon import build_lexicon
from hybridasr.lexicon.phones import default_phone_set
from hybridasr.options import build_options
from hybridasr.parallel import SerialExecutor
from hybridasr.recognize.recognizer import Recognizer, load
from hybridasr.train.dnn import train_dnn
from hybridasr.train.mono import MonoOptions, train_mono
from hybridasr.train.nnet_options import DnnOptions
from hybridasr.train.sat import SatOptions, train_sat

RATE = 16000
CHORDS = {"d": (1900, 3100), "t": (4300, 6100), "b": (250, 1000), "l": (450, 5200),
          "a1": (750, 1250), "i1": (280, 2300), "u1": (330, 640)}
SYLLABLES = [onset + vowel for onset in "dtbl" for vowel in ("a1", "i1", "u1")]
COMMANDS = ["da1ti1", "bu1la1", "li1du1 ta1"]
OUTSIDE = ["ba1lu1", "tu1bi1", "di1la1 bu1", "ta1da1"]
MONO = build_options(MonoOptions, num_iters=10, max_iter_inc=6, totgauss=60)
FEATURES, PIPELINE = FeatureOptions(use_energy=False), PipelineOptions(delta_order=1)


def syllables(text):
    """The syllables of a text, each an onset and a vowel."""
    letters = text.replace(" ", "")
    return [letters[place:place + 3] for place in range(0, len(letters), 3)]


def speak(text, rng, pitch=1.0):
    """Samples of a text: noise, then each phone for 70 to 110 ms, then noise; int16."""
    parts = [np.zeros(int(RATE * rng.uniform(0.08, 0.15)))]
    for syllable in syllables(text):
        for phone in (syllable[0], syllable[1:]):
            times = np.arange(int(RATE * rng.uniform(0.07, 0.11))) / RATE
            tones = sum(np.sin(2 * np.pi * hertz * pitch * times + rng.uniform(0, 6))
                        for hertz in CHORDS[phone])
            parts.append((1500 if phone in "dtbl" else 4000) * tones)
    parts.append(np.zeros(int(RATE * rng.uniform(0.08, 0.15))))
    samples = np.concatenate(parts)
    return np.round(samples + 40 * rng.normal(size=len(samples))).astype(np.int16)


def write_set(path, texts, speakers, rng):
    """Record every text by every speaker (name -> pitch); a data directory with features."""
    utterances = []
    for name, pitch in speakers.items():
        for number, text in enumerate(texts):
            key = f"{name}-{number:03d}"
            wav = path / "wav" / f"{key}.wav"
            wav.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(wav, speak(text, rng, pitch), RATE)
            utterances.append(Utterance(key, name, tuple(text.split()), key, str(wav)))
    write_datadir(path, utterances)
    make_feats(read_datadir(path), FEATURES, SerialExecutor())
    return read_datadir(path)


def make_world(root: Path, pipeline: PipelineOptions = PIPELINE) -> SimpleNamespace:
    """Train monophones on random words; a set of commands and outside words by other speakers.

    The model's lexicon has neither: they are looked up when they are asked for.
    """
    rng = np.random.default_rng(3)
    words = ["".join(rng.choice(SYLLABLES, 2)) for _ in range(30)] + SYLLABLES
    lexicon = build_lexicon(sorted(set(words)))
    lang = prepare_lang(lexicon, default_phone_set().covering(lexicon.phones), root / "lang")
    train = write_set(root / "train", words, {"s0": 1.0, "s1": 0.97, "s2": 1.03}, rng)
    test = write_set(root / "test", [*COMMANDS, *OUTSIDE] * 2,
                     {"t0": 0.99, "t1": 1.02, "t2": 0.98}, rng)
    train_mono(train, lang, FEATURES, pipeline, root / "mono", SerialExecutor(), MONO)
    return SimpleNamespace(root=root, train=train, test=test, lang=lang, mono=root / "mono")


PLAIN = "splice offsets=-3:3\naffine dim=48\nrelu\noutput\n"


def make_network(world: SimpleNamespace, path: Path, layers: str = PLAIN, epochs: int = 6) -> Path:
    """Train a small network on the alignments of the monophones; some speech is held out."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "nnet.conf").write_text(layers)
    train_dnn(world.train, world.lang, world.mono, path, SerialExecutor(), DnnOptions(
        network=str(path / "nnet.conf"), num_epochs=epochs, minibatch_size=64, held_out=0.3,
        initial_learning_rate=0.01, final_learning_rate=0.001))
    return path


def make_adaptive(world: SimpleNamespace, path: Path) -> Path:
    """Train a speaker-adaptive system on the alignments of the monophones."""
    options = build_options(SatOptions, num_iters=6, max_iter_inc=4, totgauss=120, numleaves=40,
                            thresh=20.0, realign_iters="3", fmllr_iters="2",
                            fmllr_min_count=100.0)
    train_sat(world.train, world.lang, world.mono, path, SerialExecutor(), options)
    return path


def calibrated_recognizer(world: SimpleNamespace, commands: list[str], bias: float,
                          threshold: float = 0.5) -> Recognizer:
    """A recogniser whose probability follows how much better than anything else a command fits.

    `bias` is the log odds of a command that fits as well as anything else.
    """
    model = load(world.mono, commands=commands).model
    regression = Regression(np.zeros(1), np.ones(1), np.ones(1), bias)
    recognizer = Recognizer(model, calibration=Calibration(("filler_ratio",), regression, 0.5),
                            reject=RejectOptions(threshold=threshold))
    recognizer.set_commands(commands)
    return recognizer
