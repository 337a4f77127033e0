"""Compares a network's voice activity with the silence of an alignment, frame by frame.

    tools/bench/bench_vad.py MODEL DATA ALI

DATA has the features of MODEL; ALI is an alignment directory of the same utterances (made with
'hybridasr align'). Printed: per cent of frames wrong, of the silent and of the spoken ones.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np

from hybridasr.corpus.datadir import read_datadir
from hybridasr.features.archives import read_ark
from hybridasr.features.feature_set import load_feats
from hybridasr.model.directory import load_model
from hybridasr.recognize.vad import VadOptions, speech_probabilities, speech_segments


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "data", "ali"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    model, aligner = load_model(args.model), load_model(args.ali)
    phones = aligner.transitions.tid_phone
    wrong, total = np.zeros(2), np.zeros(2)
    alignments = dict(read_ark(args.ali / "ali.ark"))
    shift = model.features.frame_shift_ms / 1000
    exact = dataclasses.replace(VadOptions(), padding=0.0)
    data = read_datadir(args.data)
    for name, feats in load_feats(data, model.normalization(data)):
        ids = alignments.get(name)
        if ids is None or len(ids) != len(feats):
            continue
        spoken = ~np.isin(phones[ids], aligner.lang.silence_phones)
        found = np.zeros(len(feats), bool)
        for segment in speech_segments(speech_probabilities(model, feats),
                                       model.frame_shift, exact):
            found[round(segment.start / shift):round(segment.end / shift)] = True
        for kind in (0, 1):
            wrong[kind] += (found[spoken == kind] != kind).sum()
            total[kind] += (spoken == kind).sum()
    print(f"{int(total.sum())} frames, wrong {100 * wrong.sum() / total.sum():.2f} %: of the "
          f"silent {100 * wrong[0] / total[0]:.2f} %, of the spoken "
          f"{100 * wrong[1] / total[1]:.2f} %")


if __name__ == "__main__":
    main()
