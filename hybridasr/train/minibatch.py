"""Owns mini-batches: chunks of frames of many utterances, shuffled, with their pdfs.

Takes blocks of features and alignments by utterance; keeps all frames in one array on disk, mapped
into memory, so that a corpus is read once whatever the number of epochs. A chunk is `width` frames
to classify with the context to both sides that the network sees; beyond the ends of an utterance
its first and last frame are repeated. Altered copies of an utterance (``utt2uniq``) take the
alignment of their original, stretched to their length, with silence where some was put around them
(``utt2silence``). Other speech, whose transcript is nothing but the unknown word, needs no
alignment: where it is loud it is spoken noise, the phone of that word, and elsewhere nothing.
"""

import errno
import functools
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hybridasr.corpus.datadir import DataDir
from hybridasr.corpus.join import strings_of_parts
from hybridasr.corpus.synthetic_set import synthetic_utterances
from hybridasr.errors import DamagedFile, UserError
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.online_cmvn import level_columns
from hybridasr.features.pipeline import PipelineOptions
from hybridasr.model.acoustic import AcousticModel
from hybridasr.storage import write_error
from hybridasr.train.blocks import BlockRef, expanded, read_base, read_block

# Other speech is learned where it is no softer than its loud frames by more than this (natural log
# of power): the pauses in it are nobody's speech, and nobody says where they are.
LOUD_PERCENTILE, QUIETER = 90, 3.0
COUNTED = 1 << 12  # chunks whose classes are counted at a time


@dataclass(frozen=True)
class FrameSet:
    """Frames of whole utterances, one after the other.

    Attributes
    ----------
    path : Path
        Of the features, float32 (num_frames, dim), in numpy's file form.
    pdfs : int32 (num_frames,)
        The class of each frame; -1: of none.
    starts : int64 (num_utterances + 1,)
        First frame of each utterance; the last entry is the number of frames.
    utterances, originals, speakers : list of str
        A copy's original and its speaker are those of the recording that it is a copy of.
    noise : frozenset of str
        The utterances of other speech.
    strings : dict of str to str
        Recording -> the string that it is joined into (`corpus.join`).
    synthetic : frozenset of str
        The utterances that nobody said (`corpus.synthetic_set`).
    """

    path: Path
    pdfs: np.ndarray
    starts: np.ndarray
    utterances: list[str]
    originals: list[str]
    speakers: list[str]
    noise: frozenset[str] = frozenset()
    strings: dict[str, str] = field(default_factory=dict)
    synthetic: frozenset[str] = frozenset()

    @property
    def feats(self) -> np.ndarray:
        """The features, mapped into memory: they do not travel when the set goes to a worker."""
        return _mapped(self.path)

    @property
    def num_frames(self) -> int:
        """Number of frames of all utterances."""
        return int(self.starts[-1])

    def held_out(self, share: float) -> np.ndarray:
        """Choose utterances to watch a training with: bool (num_utts,).

        Whole speakers if `share` of the speakers is one or more, otherwise utterances; drawn by a
        hash of their names. Copies go with their originals, recordings with the string that they
        are part of. Other speech, and what nobody said, is never among them.
        """
        others = self.noise | self.synthetic
        spoken = np.array([name not in others for name in self.utterances])
        watched = watched_speakers((speaker for speaker, counts
                                    in zip(self.speakers, spoken, strict=True) if counts), share)
        if watched:
            return spoken & np.array([speaker in watched for speaker in self.speakers])
        return spoken & np.array([_draw(self.strings.get(original, original)) < share
                                  for original in self.originals])

    def chunks(self, width: int, utterances: np.ndarray) -> np.ndarray:
        """Return the chunks of these utterances: int64 (num_chunks, 3).

        Each row is an utterance, the chunk's first frame and its number of frames: `width`, or the
        whole utterance if `width` is 0 or the utterance is shorter. The last chunk of an utterance
        is moved back to end with it. Chunks of frames without a class are left out, utterances
        that are asked for whole are not.
        """
        rows = []
        for utterance in utterances.tolist():
            begin, end = self.starts[utterance:utterance + 2]
            firsts = np.arange(begin, end, width or end - begin)
            # Rather a few frames twice than a chunk that is padded.
            firsts[-1] = max(begin, end - width) if width else begin
            length = min(width, end - begin) if width else end - begin
            rows.append(np.column_stack([np.full(len(firsts), utterance), firsts,
                                         np.full(len(firsts), length)]))
        chunks = np.concatenate(rows) if rows else np.zeros((0, 3), np.int64)
        return chunks[~self.chunks_within(chunks, np.array([-1]))] if width else chunks

    def chunks_within(self, chunks: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return which chunks hold frames of these classes only, bool (num_chunks,)."""
        # Counts up to each frame: a chunk is silent if as many are inside as it is long.
        inside = np.concatenate([[0], np.cumsum(np.isin(self.pdfs, classes))])
        firsts, lengths = chunks[:, 1], chunks[:, 2]
        return inside[firsts + lengths] - inside[firsts] == lengths

    def class_counts(self, chunks: np.ndarray, num_classes: int) -> np.ndarray:
        """Return how many frames of each class the chunks hold, int64 (num_classes,)."""
        counts = np.zeros(num_classes, np.int64)
        # Some chunks at a time: whole utterances are padded to the longest.
        for start in range(0, len(chunks), COUNTED):
            part = chunks[start:start + COUNTED]
            pdfs = self.targets(part, part[:, 2].max())
            counts += np.bincount(pdfs[pdfs >= 0], minlength=num_classes)
        return counts

    def targets(self, chunks: np.ndarray, width: int, subsampling: int = 1) -> np.ndarray:
        """Return the classes of some chunks' frames, int32 (num_chunks, width), -1 = left out.

        Of every `subsampling`-th frame, the first of each chunk among them.
        """
        places = subsampling * np.arange(width)
        frames = np.minimum(chunks[:, 1:2] + places, self.num_frames - 1)
        return np.where(places < chunks[:, 2:], self.pdfs[frames], -1).astype(np.int32)

    def batch(self, chunks: np.ndarray, left: int, right: int) -> np.ndarray:
        """Return the frames of some chunks, float32 (batch, left + longest + right, dim).

        Parameters
        ----------
        chunks : int64 (batch, 3)
        left, right : int
            Frames of context to each side of a chunk.
        """
        begins, ends = self.starts[chunks[:, 0]][:, None], self.starts[chunks[:, 0] + 1][:, None]
        frames = chunks[:, 1:2] + np.arange(-left, chunks[:, 2].max() + right)
        # Beyond its ends an utterance goes on as its first and last frame.
        return self.feats[np.clip(frames, begins, ends - 1)]


@dataclass(frozen=True)
class AlignmentFinder:
    """Alignments of utterances, and of copies by those of their originals.

    Attributes
    ----------
    alignments : mapping of str to int32 (num_scores,)
        Transition-ids by utterance, one for each `subsampling` frames.
    unique : mapping of str to str
        The original of each copy.
    around : mapping of str to (int, int)
        Frames of silence before and after a copy.
    silence : int
        Transition-id that these get.
    subsampling : int
        Frames that a transition-id stands for.
    """

    alignments: Mapping[str, np.ndarray]
    unique: Mapping[str, str]
    around: Mapping[str, tuple[int, int]]
    silence: int
    subsampling: int = 1

    @classmethod
    def of(cls, alignments: Mapping[str, np.ndarray], model: AcousticModel, data: DataDir,
           frame_shift: float) -> "AlignmentFinder":
        """Return the alignments of a set; arguments as of `gather_frames`."""
        return cls(alignments, data.tables.get("utt2uniq", {}), silence_frames(data, frame_shift),
                   silence_tid(model), model.subsampling)

    def find(self, name: str, length: int) -> np.ndarray | None:
        """Return the alignment of an utterance of so many frames, int32; None if none fits."""
        alignment, each = self.alignments.get(name), self.subsampling
        if alignment is not None:
            alignment = framewise(alignment, each, length)
        elif self.unique.get(name) in self.alignments:
            before, after = self.around.get(name, (0, 0))
            # More silence than there are frames is of other features: the copy is left out.
            if before + after < length:
                original = self.alignments[self.unique[name]]
                inside = stretched(framewise(original, each, each * len(original)),
                                   length - before - after)
                alignment = np.pad(inside, (before, after), constant_values=self.silence)
        return alignment if length and alignment is not None and len(alignment) == length else None


def gather_frames(refs: Sequence[BlockRef], pipeline: PipelineOptions,
                  alignments: Mapping[str, np.ndarray], model: AcousticModel, data: DataDir,
                  frame_shift: float, path: Path) -> FrameSet:
    """Put the aligned utterances of all blocks into one set, whose features lie in `path`.

    Parameters
    ----------
    pipeline : PipelineOptions
        What is appended to the blocks' features (deltas, neighbouring frames).
    alignments : mapping of str to int32 (num_frames,)
        Transition-ids by utterance; an utterance without, or with another number of frames, is
        left out unless it is a copy of one, or other speech.
    model : AcousticModel
        That the alignments are of. Where it scores some of the frames only, the others take the
        ids of the nearest scored ones.
    data : DataDir
        Whose ``utt2uniq`` names the originals of copies, ``utt2silence`` what is around them.
    frame_shift : float
        Seconds.

    Raises
    ------
    UserError
        if no utterance is aligned, or features are not finite.
    """
    tid_pdf = model.transitions.tid_pdf
    aligned = AlignmentFinder.of(alignments, model, data, frame_shift)
    unknown, noise_pdf = {model.lang.oov}, spoken_noise_pdf(model)
    places, pdfs, names, noise = [], [], [], set()
    for ref in refs:
        block = read_block(ref)
        for number, name in enumerate(block.utterances):
            rows = block.rows(number)
            length = rows.stop - rows.start
            alignment = aligned.find(name, length)
            if alignment is not None:
                pdfs.append(tid_pdf[alignment].astype(np.int32))
            elif length and noise_pdf is not None and set(block.words[number]) == unknown:
                loud = loud_frames(read_base(ref)[rows], model.features)
                pdfs.append(np.where(loud, noise_pdf, -1).astype(np.int32))
                noise.add(name)
            else:
                continue
            places.append((ref, rows))
            names.append(name)
    if len(names) == len(noise):
        raise UserError("none of the utterances has an alignment; align this set first", data.path)
    return join_frames(places, names, np.concatenate(pdfs), pipeline, data, path, frozenset(noise))


def join_frames(places: Sequence[tuple[BlockRef, slice]], names: list[str], pdfs: np.ndarray,
                pipeline: PipelineOptions, data: DataDir, path: Path,
                noise: frozenset[str] = frozenset()) -> FrameSet:
    """Put utterances of blocks into one set, whose features lie in `path`.

    Parameters
    ----------
    places : sequence of (block, frames of the utterance in it)
    names : list of str
        The utterances.
    pdfs : int32 (num_frames,)
        Of all of them in a row.

    Raises
    ------
    UserError
        if features are not finite.
    """
    unique = data.tables.get("utt2uniq", {})
    lengths = [rows.stop - rows.start for _, rows in places]
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    feats = None
    last, block_feats = None, None
    for place, (ref, rows) in enumerate(places):
        # A block is read once: its utterances follow one another.
        if ref is not last:
            last, block_feats = ref, expanded(ref, pipeline)
        part = block_feats[rows]
        if feats is None:
            feats = reserved_frames(path, int(starts[-1]), part.shape[1])
        # One bad frame would turn the whole network into what is not a number.
        if not np.isfinite(part).all():
            raise UserError(f"utterance '{names[place]}' has features that are not numbers; run "
                            "make-feats again, or leave it out", data.path)
        feats[starts[place]:starts[place + 1]] = part
    feats.flush()
    # A copy is held out together with its original, or the network would know it.
    originals = [unique.get(name, name) for name in names]
    speakers = [data.utterances[original if original in data.utterances else name].speaker
                for name, original in zip(names, originals, strict=True)]
    return FrameSet(path, pdfs, starts, names, originals, speakers, noise, strings_of_parts(data),
                    synthetic_utterances(data))


def spoken_noise_pdf(model: AcousticModel) -> int | None:
    """Return the pdf that stands for spoken noise, the phone of the unknown word.

    That of the phone's first state; None if another phone has it too.
    """
    lang, tuples = model.lang, model.transitions.tuples
    phones = {phone for _, pron in lang.pronunciations.get(lang.oov, ()) for phone in pron}
    if len(phones) != 1 or not phones <= {*lang.silence_phones} - {lang.optional_silence}:
        return None
    own = tuples[:, 0] == phones.pop()
    pdf = int(tuples[own & (tuples[:, 1] == 0), 2][0])
    return None if np.any(tuples[~own, 2] == pdf) else pdf


def loud_frames(feats: np.ndarray, options: FeatureOptions) -> np.ndarray:
    """Return which frames of a recording are as loud as speech in it, bool (num_frames,).

    Parameters
    ----------
    feats : float32 (num_frames, dim)
        Nothing appended; the mean may be taken off.

    Examples
    --------
    >>> levels = np.array([0, 0, 9, 8, 9, 1], np.float32)
    >>> options = FeatureOptions(kind="fbank", num_mel_bins=4, use_energy=False)
    >>> loud_frames(np.repeat(levels[:, None], 4, axis=1), options).tolist()
    [False, False, True, True, True, False]
    """
    levels = np.asarray(feats, np.float64) @ level_columns(options)[0]
    # Not the loudest frame itself: it may be a knock.
    return levels >= np.percentile(levels, LOUD_PERCENTILE) - QUIETER


def silence_frames(data: DataDir, frame_shift: float) -> dict[str, tuple[int, int]]:
    """Return how many frames of silence were put before and after each copy.

    Parameters
    ----------
    frame_shift : float
        Seconds.

    Raises
    ------
    DamagedFile
        if a line of ``utt2silence`` has no two numbers.
    """
    frames = {}
    for name, value in data.tables.get("utt2silence", {}).items():
        try:
            before, after = (round(float(part) / frame_shift) for part in value.split())
        except (ValueError, OverflowError):
            raise DamagedFile(f"'{name} {value}' has no two numbers of seconds",
                              data.path / "utt2silence") from None
        frames[name] = max(before, 0), max(after, 0)
    return frames


def silence_tid(model: AcousticModel) -> int:
    """Return the transition-id that frames of silence put around speech get.

    The self-loop of the middle state of the silence phone.
    """
    transitions, phone = model.transitions, model.lang.optional_silence
    states = np.flatnonzero(transitions.tuples[:, 0] == phone)
    # A long silence stays in a middle state; the first and the last are passed by the way.
    return transitions.self_loop(int(states[len(states) // 2]) + 1)


def reserved_frames(path: Path, num_frames: int, dim: int) -> np.ndarray:
    """Make a file for frames and return it mapped: float32 (num_frames, dim), to be written.

    Its space is taken at once: writing to a mapped file on a full disk ends the process.

    Raises
    ------
    ResourceError
        if the disk has no room for it.
    """
    header = {"descr": "<f4", "fortran_order": False, "shape": (num_frames, dim)}
    try:
        with open(path, "wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            file.flush()
            _reserve(file, file.tell() + 4 * num_frames * dim)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise write_error(error, path) from error
    return np.load(path, mmap_mode="r+")


def _reserve(file: BinaryIO, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
    zeros = bytes(1 << 20)
    for start in range(file.tell(), size, len(zeros)):
        file.write(zeros[:size - start])


def framewise(alignment: np.ndarray, subsampling: int, num_frames: int) -> np.ndarray:
    """Return the alignment of all frames: each takes the id of the nearest scored one.

    An alignment of another number of frames comes back as it is.

    >>> framewise(np.array([7, 8, 9]), 3, 8).tolist()
    [7, 7, 8, 8, 8, 9, 9, 9]
    """
    if subsampling == 1 or len(alignment) != -(-num_frames // subsampling):
        return alignment
    nearest = (np.arange(num_frames) + subsampling // 2) // subsampling
    return alignment[np.minimum(nearest, len(alignment) - 1)]


def stretched(alignment: np.ndarray, length: int) -> np.ndarray:
    """Return the alignment of a copy at another speed: each frame that of the original's time."""
    place = ((np.arange(length) + 0.5) * len(alignment) / length).astype(np.int64)
    return alignment[place]


def watched_speakers(speakers: Iterable[str], share: float) -> set[str]:
    """Return the speakers that a training only watches; none if `share` is less than one."""
    # By a hash: who is held out does not change when speakers are added.
    names = sorted(set(speakers), key=_draw)
    # A share such as 0.2 of 5 speakers must not round down to none.
    return set(names[:int(share * len(names) + 1e-9)])


def _draw(name: str) -> float:
    return zlib.crc32(name.encode()) / 2**32


@functools.lru_cache(maxsize=2)
def _mapped(path: Path) -> np.ndarray:
    return np.load(path, mmap_mode="r")
