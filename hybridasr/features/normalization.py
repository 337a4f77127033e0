"""Owns how the utterances of a set are normalised: the recipe, and what is known before each.

What is known of a speaker when an utterance comes decides how well it is recognised. `KNOWN` names
the conditions: all utterances of the set (as Kaldi's recipes do, which hear a whole speaker
before they answer), the earlier ones (a device that remembers), none (a lone recording), or, for
training, one of these drawn for each utterance, so that a model has met them all.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hybridasr.corpus.datadir import DataDir, Utterance
from hybridasr.errors import UserError
from hybridasr.features.archives import ScpTable
from hybridasr.features.cmvn import apply_cmvn, cmvn_stats, sliding_cmvn, sum_stats
from hybridasr.features.feature_tables import scp_table, table_part
from hybridasr.features.frames import FeatureOptions
from hybridasr.features.online_cmvn import (
    NormalizedStream,
    NormalStream,
    OnlineCmvn,
    SpeechStats,
    add_up,
    level_columns,
    speech_stats,
    training_prior,
)
from hybridasr.features.pipeline import PipelineOptions

KNOWN = ("all", "earlier", "none", "drawn")
# Of the utterances of a training set, these parts know nothing, and a few others, of the speaker.
_DRAWN_NONE, _DRAWN_FEW = 0.4, 0.3
_FEW, _MANY = 10, 40  # utterances of the speaker that are known then, and otherwise


@dataclass(frozen=True, eq=False)
class Normalization:
    """Normalises raw features; small, and goes to the workers with their utterances.

    Attributes
    ----------
    pipeline : PipelineOptions
    online : OnlineCmvn, optional
        With cmvn "online".
    before : mapping utterance -> SpeechStats
        What is known of the speaker before the utterance; nothing of those left out.
    speakers : ScpTable, optional
        CMVN statistics by speaker, with cmvn "speaker"; without them a recording counts as its
        own speaker.
    training : float64 (2, dim + 1), optional
        CMVN statistics of the training set, with cmvn "speaker"; steady the mean of a recording
        whose speaker is unknown, as if they were so many more frames of it (as in Kaldi's online
        CMVN).
    """

    pipeline: PipelineOptions
    online: OnlineCmvn | None = None
    before: Mapping[str, SpeechStats] = field(default_factory=dict)
    speakers: ScpTable | None = None
    training: np.ndarray | None = None

    @property
    def prior(self) -> np.ndarray | None:
        """What a model keeps of its training set, float64 (2, dim + 1), if anything."""
        return self.training if self.online is None else self.online.prior.to_array()

    def part(self, utterances: Sequence[Utterance]) -> "Normalization":
        """Return what these utterances need of it."""
        before = {u.utterance: self.before[u.utterance] for u in utterances
                 if u.utterance in self.before}
        return replace(self, before=before, speakers=self.speakers and table_part(
            self.speakers, [u.speaker for u in utterances]))

    def apply(self, raw: np.ndarray, utterance: Utterance) -> np.ndarray:
        """Return normalised features, float32 (num_frames, dim), of raw ones.

        Raises
        ------
        UserError
            if the speaker has no statistics, or they do not fit.
        """
        stats = None
        if self.speakers is not None:
            if utterance.speaker not in self.speakers:
                raise UserError(f"speaker '{utterance.speaker}' has no CMVN statistics; make the "
                                "features again", self.speakers.scp)
            stats = self.speakers[utterance.speaker]
        return self.normalize(raw, self.before.get(utterance.utterance), stats)

    @property
    def waits(self) -> bool:
        """Whether a recording is normalised by all of it, so that nothing is ready before."""
        return self.pipeline.cmvn not in ("online", "none")

    def stream(self, before: SpeechStats | None = None, provisional: bool = False
               ) -> "NormalStream":
        """Begin a lone recording that comes in pieces.

        Parameters
        ----------
        before : SpeechStats, optional
            Of its speaker, before it; used with cmvn "online" only.
        provisional : bool
            Where a recording would be waited for, normalise by what came so far.
        """
        if self.pipeline.cmvn == "online":
            assert self.online is not None
            return NormalizedStream(self.online, before)
        if not self.waits:
            return NormalStream()
        return _RunningStream(self) if provisional else _WholeStream(self)

    def of_recording(self, raw: np.ndarray, stats: np.ndarray) -> np.ndarray:
        """Normalise frames of a recording of an unknown speaker by its statistics (2, dim + 1)."""
        if self.training is not None and self.pipeline.cmvn == "speaker":
            stats = stats + self.training * (self.pipeline.cmvn_prior_frames
                                             / self.training[0, -1])
        return apply_cmvn(raw, stats, self.pipeline.norm_vars)

    def normalize(self, raw: np.ndarray, before: SpeechStats | None = None,
                  stats: np.ndarray | None = None) -> np.ndarray:
        """Normalise a whole recording, float32 (num_frames, dim).

        Parameters
        ----------
        before : SpeechStats, optional
            As for `stream`.
        stats : float64 (2, dim + 1), optional
            CMVN statistics of its speaker, if that is known, with cmvn "speaker".
        """
        pipeline, cmvn = self.pipeline, self.pipeline.cmvn
        if len(raw) == 0 or cmvn == "none":
            return raw
        if cmvn == "online":
            assert self.online is not None
            return self.online.normalize(raw, before)[0]
        if cmvn == "sliding":
            return sliding_cmvn(raw, pipeline.cmvn_window, pipeline.cmvn_min_window,
                                pipeline.cmvn_center, pipeline.norm_vars)
        if stats is not None:
            return apply_cmvn(raw, stats, pipeline.norm_vars)
        return self.of_recording(raw, cmvn_stats(raw))


class _WholeStream(NormalStream):
    """Waits for the end of the recording."""

    def __init__(self, normalization: Normalization):
        self._normalization, self._parts = normalization, []

    def accept(self, raw: np.ndarray) -> np.ndarray:
        self._parts.append(raw)
        return raw[:0]

    def finish(self) -> np.ndarray:
        raw, self._parts = np.concatenate(self._parts), []
        return self._normalization.normalize(raw)


class _RunningStream(NormalStream):
    """Takes the recording so far, this piece included, for the whole one."""

    def __init__(self, normalization: Normalization):
        self._normalization, self._stats = normalization, 0.0

    def accept(self, raw: np.ndarray) -> np.ndarray:
        self._stats = self._stats + cmvn_stats(raw)
        return self._normalization.of_recording(raw, self._stats) if len(raw) else raw


def recording_normalization(features: FeatureOptions, pipeline: PipelineOptions,
                            prior: np.ndarray | None) -> Normalization:
    """Return the normalisation of lone recordings.

    Parameters
    ----------
    prior : float64 (2, dim + 1), optional
        The training set's, as a model keeps it; needed with cmvn "online".

    Raises
    ------
    UserError
        if it is needed and missing.
    """
    training = prior if pipeline.cmvn == "speaker" else None
    return Normalization(pipeline, _online(features, pipeline, prior), training=training)


def set_normalization(data: DataDir, features: FeatureOptions, pipeline: PipelineOptions,
                      prior: np.ndarray | None = None, known: str = "all", seed: int = 0
                      ) -> Normalization:
    """Return the normalisation of the utterances of a set.

    Parameters
    ----------
    data : DataDir
        With features.
    prior : float64 (2, dim + 1), optional
        The training set's; without it this is the training set, and its own is taken.
    known : str
        One of `KNOWN`.
    seed : int
        Of what is drawn.

    Raises
    ------
    UserError
        if statistics are missing, or earlier utterances are asked for and the recipe has no use
        for them.
    """
    if pipeline.cmvn != "online":
        if known == "earlier":
            raise UserError(f"earlier utterances have no effect on cmvn {pipeline.cmvn}; train "
                            "with cmvn online, or leave --known out")
        if pipeline.cmvn != "speaker":
            return Normalization(pipeline)
        speakers = scp_table(data, "cmvn.scp")
        if prior is None:
            prior = sum_stats(np.asarray(speakers[name], np.float64) for name in speakers)
        return Normalization(pipeline, speakers=None if known == "none" else speakers,
                             training=prior)
    stats = utterance_stats(data, features)
    if prior is None:
        average = training_prior(stats.values())
        prior = None if average is None else average.to_array()
    return Normalization(pipeline, _online(features, pipeline, prior),
                         _known_stats(data, stats, known, seed))


def utterance_stats(data: DataDir, features: FeatureOptions) -> dict[str, SpeechStats]:
    """Return what is heard of the speaker in each utterance that has features.

    From ``speech.scp``, which `feature_set.make_feats` writes; without it, of features made
    elsewhere, from the features.
    """
    if "speech.scp" in data.tables:
        table = scp_table(data, "speech.scp")
        return {name: SpeechStats.from_array(table[name]) for name in data.utterances
                if name in table}
    feats = scp_table(data, "feats.scp")
    weight, lift = level_columns(features)
    return {name: speech_stats(feats[name], weight, lift) for name in data.utterances
            if name in feats and len(feats[name])}


def _online(features: FeatureOptions, pipeline: PipelineOptions, prior: np.ndarray | None
            ) -> OnlineCmvn | None:
    if pipeline.cmvn != "online":
        return None
    if prior is None:
        raise UserError("cmvn online begins with the mean of the training set, and the model has "
                        "none; train it again")
    weight, lift = level_columns(features)
    return OnlineCmvn(weight, lift, SpeechStats.from_array(prior), pipeline.cmvn_prior_frames,
                      pipeline.norm_vars, pipeline.cmvn_look_ahead)


def _known_stats(data: DataDir, stats: Mapping[str, SpeechStats], known: str, seed: int
                 ) -> dict[str, SpeechStats]:
    """Return what is known before each utterance; those of which nothing is known are left out."""
    before: dict[str, SpeechStats] = {}
    if known == "none":
        return before
    for names in data.speakers.values():
        own = [name for name in names if name in stats]
        if known == "all" and own:
            total = add_up(stats[name] for name in own)
            before |= {name: total for name in own if total is not None}
        elif known == "earlier":
            for last, name in zip(own, own[1:], strict=False):
                before[name] = before[last] + stats[last] if last in before else stats[last]
        elif known == "drawn":
            for name in own:
                drawn = _drawn(own, name, seed)
                if (total := add_up(stats[other] for other in drawn)) is not None:
                    before[name] = total
    return before


def _drawn(own: Sequence[str], name: str, seed: int) -> list[str]:
    """Draw the utterances of a speaker that are known before one of them."""
    # By the name: what an utterance gets does not change when others are added before it.
    rng = np.random.default_rng([seed, zlib.crc32(name.encode(errors="surrogatepass"))])
    share = rng.random()
    if share < _DRAWN_NONE:
        return []
    count = int(rng.integers(1, _FEW + 1)) if share < _DRAWN_NONE + _DRAWN_FEW else _MANY
    return [own[place] for place in rng.integers(len(own), size=count)]
