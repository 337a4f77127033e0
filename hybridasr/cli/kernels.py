"""Owns the verb that compiles the kernels at install time: small runs of the verbs that use them.

numba compiles a kernel for the types of its first call, so every kernel must be called. The
speech is of a made-up language whose phones are chords, small enough for a few seconds.
"""

import argparse
import contextlib
import functools
import logging
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from hybridasr.cli.verb import Parser, Verb

_CHORDS = {"d": (1900, 3100), "t": (4300, 6100), "b": (250, 1000), "l": (450, 5200),
           "a1": (750, 1250), "i1": (280, 2300), "u1": (330, 640)}  # phone -> hertz
_COMMANDS = ("da1ti1", "bu1la1", "li1du1")
_SMALL = "--num-iters 3 --max-iter-inc 2 --realign-iters 1"
_NETWORKS = {  # each layer kind is in one of them
    "plain": "splice offsets=-1:1\naffine dim=8\nbatchnorm\nrelu\ndropout rate=0.1\naffine dim=8\n"
             "pnorm dim=4\nrenorm\naffine dim=4\nsigmoid\naffine dim=4\ntanh\nlayernorm\noutput\n",
    "memory": "tdnn dim=4 offsets=-1,0,1\nlstm cell=4 projection=2\ngru cell=4\nrnn cell=4\n"
              "bidirectional cell=4\nattention key=2 value=2\ntdnnf dim=13 bottleneck=2\n"
              "linear dim=4\noutput\n",
    "image": "conv channels=2 kernel=3,5 pool=3\nrelu\naffine dim=4\noutput\n",
}
# In this order; {root} is the folder of the run.
_LINES = (
    "make-feats --pitch true {root}/pitch",
    "make-feats --use-energy false {root}/train",
    "make-feats --use-energy false {root}/test",
    "prepare-lang {root}/train {root}/test {root}/lang",
    "train-lm {root}/train {root}/lm.arpa",
    "train-mono --totgauss 60 " + _SMALL + " {root}/train {root}/lang {root}/exp/mono",
    "train-deltas 20 60 " + _SMALL + " {root}/train {root}/lang {root}/exp/mono {root}/exp/tri1",
    "train-lda-mllt 20 60 --mllt-iters 2 " + _SMALL
    + " {root}/train {root}/lang {root}/exp/tri1 {root}/exp/tri2b",
    "train-sat 20 60 --fmllr-iters 2 --fmllr-min-count 50 " + _SMALL
    + " {root}/train {root}/lang {root}/exp/tri2b {root}/exp/tri3b",
    "train-quick 20 60 " + _SMALL
    + " {root}/train {root}/lang {root}/exp/tri3b {root}/exp/tri4b",
    "mkgraph {root}/exp/mono",
    "mkgraph {root}/exp/tri3b",
    "mkgraph --grammar ngram --arpa {root}/lm.arpa {root}/exp/mono {root}/exp/mono/graph_lm",
    "decode --write-lattices true {root}/exp/mono/graph_lm {root}/test {root}/exp/mono/decode",
    "decode {root}/exp/tri3b/graph {root}/test {root}/exp/tri3b/decode",
    "recognize {root}/exp/mono {root}/wav/s0-0.wav",
    # Another rate, which is changed.
    "recognize --raw s16le:44100:1 {root}/exp/mono {root}/wav/s0-0.wav",
    "recognize --commands {root}/commands.txt {root}/exp/mono {root}/wav/s0-0.wav",
    "align {root}/test {root}/lang {root}/exp/tri3b {root}/ali",
    "make-feats --kind fbank --num-mel-bins 20 {root}/train",
    "make-feats --kind fbank --num-mel-bins 20 {root}/test",
    *(f"train-dnn --network {{root}}/{name}.conf --num-epochs 1 --minibatch-size 64 --chunk-width "
      f"{width} --held-out 0.3 --optimizer {optimizer} "
      f"{{root}}/train {{root}}/lang {{root}}/exp/mono {{root}}/exp/{name}"
      for name, width, optimizer in (("memory", 20, "sgd"), ("image", 4, "adam"),
                                     ("plain", 1, "adam"))),
    "make-denlats {root}/train {root}/lang {root}/exp/plain {root}/denlats",
    *(f"train-{kind} --num-epochs 1 {{root}}/train {{root}}/lang {{root}}/exp/plain "
      f"{{root}}/exp/mono {{root}}/denlats {{root}}/exp/{kind}" for kind in ("mmi", "smbr")),
    "train-chain --network {root}/plain.conf --num-epochs 1 --minibatch-size 600 --chunk-width 60 "
    "--numleaves 20 --held-out 0.3 {root}/train {root}/lang {root}/exp/mono {root}/exp/chain",
    "mkgraph {root}/exp/plain",
    "decode --nnet-passes 2 {root}/exp/plain/graph {root}/test {root}/exp/plain/decode",
    "tune-scale --held-out {root}/exp/plain {root}/train",
    "calibrate --held-out {root}/exp/plain {root}/train",
    "recognize --commands {root}/commands.txt {root}/exp/plain {root}/wav/s0-0.wav",
    "vad {root}/exp/plain {root}/wav/s0-0.wav",
    "quantize {root}/exp/plain {root}/exp/int8",
    "recognize --commands {root}/commands.txt {root}/exp/int8 {root}/wav/s0-0.wav",
    "suggest-fillers --lang {root}/exp/plain {root}/commands.txt",
    "train-ctc --network {root}/memory.conf --num-epochs 1 --minibatch-size 512 --held-out 0.3 "
    "{root}/train {root}/lang {root}/exp/ctc",
    "train-transducer --num-epochs 1 --minibatch-size 512 --held-out 0.3 --cell 8 --joint 8 "
    "{root}/train {root}/exp/ctc {root}/exp/transducer",
    "decode-labels --label-beam 2 {root}/exp/transducer {root}/test {root}/exp/labels",
    "recognize --commands {root}/commands.txt {root}/exp/ctc {root}/wav/s0-0.wav",
)


def _write_world(root: Path) -> None:
    """Write recordings, data directories, networks and a command list."""
    import numpy as np
    import soundfile

    from hybridasr.corpus.datadir import Utterance, write_datadir

    # A fixed seed: the same recordings on every machine, so a failure can be repeated.
    rng, rate = np.random.default_rng(0), 16000
    syllables = [onset + vowel for onset in "dtbl" for vowel in ("a1", "i1", "u1")]
    words = [*_COMMANDS, *syllables]

    def speak(word: str, pitch: float) -> np.ndarray:
        parts = [np.zeros(rate // 10)]
        # A word is written as syllables of three characters: onset, vowel and tone.
        for phone in (part for at in range(0, len(word), 3) for part in (word[at], word[at + 1:
                                                                                        at + 3])):
            times = np.arange(int(rate * rng.uniform(0.07, 0.11))) / rate
            parts.append(3000 * sum(np.sin(2 * np.pi * hertz * pitch * times)
                                    for hertz in _CHORDS[phone]))
        samples = np.concatenate([*parts, np.zeros(rate // 10)])
        # A little noise: pure zeros would give silence no variance to model.
        return np.round(samples + 40 * rng.normal(size=len(samples))).astype(np.int16)

    (root / "wav").mkdir()
    utterances = []
    # Several speakers, for the verbs that adapt to a speaker.
    for number in range(4):
        for place, word in enumerate(words * 2):
            key = f"s{number}-{place}"
            path = root / "wav" / f"{key}.wav"
            soundfile.write(path, speak(word, 1 + 0.02 * number), rate)
            utterances.append(Utterance(key, f"s{number}", (word,), key, str(path)))
    for name, part in (("train", utterances), ("test", utterances[:6]), ("pitch", utterances[:1])):
        write_datadir(root / name, part)
    for name, text in _NETWORKS.items():
        (root / f"{name}.conf").write_text(text)
    (root / "commands.txt").write_text("\n".join(_COMMANDS) + "\n")


def _compile(verbs: Mapping[str, Verb], args: argparse.Namespace) -> None:
    from hybridasr.errors import UserError
    from hybridasr.kernels.messages import loaded_kernels
    from hybridasr.progress import logger

    begun, failures = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="hybridasr-") as folder:
        root = Path(folder)
        _write_world(root)
        # One step needs the files of the step before, so their order matters.
        for line in _LINES:
            name, *words = line.split()
            parser = Parser(prog=name, allow_abbrev=False)
            verbs[name].arguments(parser)
            logger.debug("%s", line)
            with _silence(logger):
                try:
                    verbs[name].run(parser.parse([word.format(root=root) for word in words]))
                # The other verbs go on: most kernels can still be compiled.
                except UserError as error:  # an extra is missing, or what it would have made
                    failures.append(f"{name}: {error}")
    total, ready = loaded_kernels()
    # Nothing was compiled, so the first failure is the cause.
    if not ready:
        raise UserError(failures[0])
    logger.info("%d of %d kernels are compiled, %.0f s; they are kept in %s", ready, total,
                time.monotonic() - begun, os.environ.get("NUMBA_CACHE_DIR", "memory alone"))
    if failures:
        logger.warning("%d of %d steps could not run; first: %s", len(failures), len(_LINES),
                       failures[0])


@contextlib.contextmanager
def _silence(logger: logging.Logger):
    """Drop the output and the log of the verbs; messages about compiling stay."""
    def is_of_kernels(record: logging.LogRecord) -> bool:
        return record.module == "messages"

    logger.addFilter(is_of_kernels)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
    finally:
        logger.removeFilter(is_of_kernels)


def verbs(others: Mapping[str, Verb]) -> dict[str, Verb]:
    """Return the verb, which runs some of the `others`."""
    return {"compile-kernels": Verb("compile the numerical kernels now instead of at their first "
                                    "use", lambda parser: None,
                                    functools.partial(_compile, others))}
