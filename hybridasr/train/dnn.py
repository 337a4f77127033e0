"""Owns the training of networks on the alignments of an earlier system.

Every frame's class is its pdf in the alignment; tree, transitions and lexicon are the earlier
system's, and so is the graph. The features may be of another kind, as long as the frames are the
same; altered copies of recordings (see `hybridasr.corpus.augment`) need no alignments of their own,
nor does other speech, which is nothing but the unknown word.
"""

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hybridasr.batch.align_set import align_set
from hybridasr.corpus.datadir import DataDir
from hybridasr.errors import UserError
from hybridasr.features.feature_kind import read_feature_options
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.normalization import set_normalization
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.hmm.durations import estimate_durations
from hybridasr.lexicon.langdir import Lang
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.directory import save_model
from hybridasr.options import to_dict
from hybridasr.parallel import training_process
from hybridasr.storage import PathLike, read_text, write_text
from hybridasr.train.blocks import remove_blocks, write_blocks
from hybridasr.train.minibatch import FrameSet, gather_frames, spoken_noise_pdf
from hybridasr.train.nnet_options import DnnOptions
from hybridasr.train.nnet_trainer import fit
from hybridasr.train.start import read_source

logger = logging.getLogger("hybridasr")
PRIOR_FRAMES = 20  # that the training set's speech counts for in the mean of a lone recording's
# Frames up to 16 to each side, the far ones every second: a syllable and more.
DEFAULT_NETWORK = """\
splice offsets=-16,-14,-12,-10,-8,-6,-4,-3,-2,-1,0,1,2,3,4,6,8,10,12,14,16
""" + 3 * """\
affine dim=512
batchnorm
relu
dropout rate=0.1
""" + "output\n"


def train_dnn(data: DataDir, lang: Lang, source: PathLike, destination: PathLike, pool: Executor,
              options: DnnOptions, threads: int = 1) -> AcousticModel:
    """Train a network on the alignments in `source` and write it to `destination`.

    Parameters
    ----------
    data : DataDir
        With features; altered copies (``utt2uniq``) take the alignments of their originals.
        Utterances without alignment that are nothing but the unknown word are other speech: the
        network learns them as spoken noise, which a filler of commands makes use of.
    threads : int
        Of the matrix products, if there is one job; the result does not depend on it.

    Returns
    -------
    AcousticModel
        Beside it in `destination`: ``held_out``, the utterances that were only watched, and, with
        `realign`, ``ali``, the network's own alignments.

    Raises
    ------
    UserError
        if the alignments do not fit data or lexicon, the description of the network is wrong, or
        the training diverges.
    """
    begun, destination = time.perf_counter(), Path(destination)
    model = _train(data, lang, Path(source), destination, pool, options, threads)
    # Each time the network before it gives the classes, often better than the mixtures.
    for _ in range(options.realign):
        ali = destination / "ali"
        logger.info("%s", align_set(_originals(data), lang, destination, ali, pool))
        model = _train(data, lang, ali, destination, pool, options, threads)
    # Of all rounds of alignment and training together.
    info = {**model.info, "train_seconds": round(time.perf_counter() - begun, 2)}
    model = replace(model, info=info)
    save_model(model, destination)
    return model


def _train(data: DataDir, lang: Lang, source: Path, destination: Path, pool: Executor,
           options: DnnOptions, threads: int) -> AcousticModel:
    begun = time.perf_counter()
    earlier = read_source(source, _originals(data), lang, same_features=False)
    features = read_feature_options(data.path)
    _check_masks(options, features)
    _check_frames(features, earlier.model.features, data.path)
    text = read_text(options.network) if options.network else DEFAULT_NETWORK
    pipeline = PipelineOptions(
        cmvn=options.cmvn, norm_vars=options.norm_vars, delta_order=options.delta_order,
        cmvn_prior_frames=PRIOR_FRAMES if options.cmvn == "online" else 50)
    # The network meets what it will be used with: nothing known of a speaker, a little, much.
    known = "drawn" if pipeline.cmvn == "online" else "all"
    normalization = set_normalization(
        data, features, pipeline, set_normalization(_with_words(data, lang), features,
                                                    pipeline).prior, known, options.seed)
    # Tree and transitions stay the earlier system's, so that its graph fits.
    model = replace(earlier.model, lang=lang, pipeline=pipeline, features=features, transform=None,
                    adaptation=None, gmm=None, info={}, cmvn=normalization.prior,
                    durations=estimate_durations(earlier.alignments.values(),
                                                 earlier.model.transitions, lang.nonsilence_phones))
    # Deltas are appended later, when the frames are gathered.
    refs = write_blocks(data, lang, normalization, destination / "blocks", pool)
    frames = gather_frames(refs, pipeline, earlier.alignments, model, data,
                           features.frame_shift_ms / 1000, refs[0].directory / "frames.npy")
    logger.debug("%d of %d utterances, %d frames", len(frames.utterances), len(data),
                 frames.num_frames)
    if frames.noise:
        model = replace(model, info={"noise_pdf": spoken_noise_pdf(model)})
    acoustics, figures = _fit(frames, text, model, options, pool, threads,
                              destination / "checkpoint.npz")
    _write_held_out(destination / "held_out", frames, options)
    noise = [name in frames.noise for name in frames.utterances]
    if frames.noise:
        figures["noise_hours"] = round(np.diff(frames.starts)[noise].sum()
                                       * features.frame_shift_ms / 3.6e6, 4)
    info = dict(model.info, **figures, train_seconds=round(time.perf_counter() - begun, 2),
                pdfs=model.tree.num_pdfs, parameters=acoustics.network.num_parameters,
                utterances=len(frames.utterances), options=to_dict(options),
                hours=round(frames.num_frames * features.frame_shift_ms / 3.6e6, 4))
    model = replace(model, nnet=acoustics, info=info)
    save_model(model, destination)
    (destination / "checkpoint.npz").unlink(missing_ok=True)
    remove_blocks(refs)
    return model


def _fit(frames: FrameSet, text: str, model: AcousticModel, options: DnnOptions, pool: Executor,
         threads: int, checkpoint: Path):
    # Columns of other kinds than fbank are no neighbouring frequencies.
    bins = model.features.num_mel_bins if model.features.kind == "fbank" else 0
    arguments = (frames, text, options.network or "the default network", model.tree.num_pdfs,
                 np.array(model.silence_pdfs), bins, options)
    if options.num_jobs > 1:
        return fit(*arguments, pool, checkpoint)
    # One job gains from the wide kernels, which only a fresh process can have.
    with training_process() as trainer:
        return fit(*arguments, trainer, checkpoint, threads)


def _check_masks(options: DnnOptions, features: FeatureOptions) -> None:
    """Refuse stripes of frequency where they have no effect, before any work is done."""
    if options.masks.freq_masks and features.kind != "fbank":
        raise UserError("stripes of frequency (freq_masks) are for fbank features; these are "
                        f"{features.kind}; leave --freq-masks out, or make fbank features")
    if options.delta_order and options.masks.freq_masks:
        raise UserError("stripes of frequency (freq_masks) leave the derivatives as they are; give "
                        "one of freq_masks and delta_order")


def _originals(data: DataDir) -> DataDir:
    """Return the set without altered copies of its utterances, if the originals are there."""
    # A set of copies alone must be trained on all the same.
    unique: Mapping[str, str] = data.tables.get("utt2uniq", {})
    originals = {name: utterance for name, utterance in data.utterances.items()
            if unique.get(name, name) == name}
    return replace(data, utterances=originals) if originals else data


def _with_words(data: DataDir, lang: Lang) -> DataDir:
    """Return the set without other speech, whose mean says nothing of the words."""
    unknown = lang.word_name(lang.oov)
    return replace(data, utterances={name: one for name, one in data.utterances.items()
                                     if set(one.words) != {unknown}})


def _write_held_out(path: Path, frames: FrameSet, options: DnnOptions) -> None:
    held_out = frames.held_out(options.held_out)
    names = [name for name, original, held in
             zip(frames.utterances, frames.originals, held_out, strict=True)
             if held and name == original]
    write_text(path, "".join(f"{name}\n" for name in names))


def _check_frames(ours: FeatureOptions, theirs: FeatureOptions, path: Path) -> None:
    """Refuse features whose frames are not those of the alignments."""
    # The alignment has one id a frame: frames must lie where they lay.
    for name in ("frame_length_ms", "frame_shift_ms", "snip_edges"):
        if getattr(ours, name) != getattr(theirs, name):
            raise UserError(f"{name} expected {getattr(theirs, name)} as in the alignments, found "
                            f"{getattr(ours, name)}; run make-feats with the same frames", path)


def network_line(directory: Path, info: dict[str, Any]) -> str:
    """Return the health line of a trained network."""
    held = info["held_out_accuracy"]
    other = f" ({info['noise_hours']:.2f} h of other speech)" if "noise_hours" in info else ""
    return (f"{directory}: {info['hours']:.2f} h{other}, {info['pdfs']} pdfs, {info['parameters']} "
            f"parameters, frames right {info['accuracy']:.1f} %"
            + (f", of those held out {held:.1f} %" if held is not None else "")
            + f", {info['frames_a_second']} frames a second, {info['train_seconds']:.1f} s")
