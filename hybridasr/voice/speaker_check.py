"""Owns the check of who speaks, and the profiles of those who are enrolled.

It tells members of a household apart. It is no security feature: a similar voice passes, a
recording of the voice passes, and a cold or another microphone may not.

A check is one file, trained on recordings of many speakers (`check_trainer`). A profile is one
file too; it holds its check, and so is all that recognising needs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybridasr.errors import DamagedFile, NotEnoughData, UserError
from hybridasr.storage import PathLike, read_arrays, take_array, write_arrays
from hybridasr.voice.plda import Plda
from hybridasr.voice.voice_vector import DIM, LEAST_FRAMES, voice_vector

FORMAT = 1
LOWEST_RATE, HIGHEST_RATE = 8000, 48000
_SMALLEST = np.finfo(np.float64).tiny


@dataclass(frozen=True, eq=False)
class SpeakerCheck:
    """Tells how much more likely a recording is of an enrolled speaker than of another.

    Attributes
    ----------
    plda : Plda
    rate : int
        Hertz of the samples.
    scale, offset : float
        Of the scores: so that they are log odds, if both were as likely before.
    """

    plda: Plda
    rate: int
    scale: float = 1.0
    offset: float = 0.0

    def enrol(self, recordings: Sequence[np.ndarray], names: Sequence[str] = ()
              ) -> "VoiceProfile":
        """Return the profile of a speaker.

        Parameters
        ----------
        recordings : sequence of array (num_samples,)
            Of this speaker alone, three or more as a rule, in 16-bit range at `rate` hertz.
        names : sequence of str, optional
            What errors call the recordings.

        Raises
        ------
        NotEnoughData
            if there is no recording, or too little speech in one of them.
        """
        if not recordings:
            raise NotEnoughData("no recording to enrol; give three or more")
        vectors = [voice_vector(samples, self.rate) for samples in recordings]
        for number, vector in enumerate(vectors):
            if vector is None:
                name = names[number] if names else f"recording {number + 1}"
                raise NotEnoughData(f"{name}: less than {LEAST_FRAMES / 100:g} s of speech; say "
                                    "something longer")
        return VoiceProfile(self, np.mean(vectors, axis=0), len(vectors))

    def save(self, path: PathLike) -> None:
        """Write the file."""
        write_arrays(path, **self._arrays())

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"format": np.array(FORMAT), "rate": np.array(self.rate),
                "calibration": np.array([self.scale, self.offset]), "mean": self.plda.mean,
                "transform": self.plda.transform, "between": self.plda.between}


@dataclass(frozen=True, eq=False)
class VoiceProfile:
    """The voice of one speaker.

    Attributes
    ----------
    check : SpeakerCheck
    vector : float64 (DIM,)
        Mean of the voice vectors of what was enrolled.
    count : int
        How many these were.
    """

    check: SpeakerCheck
    vector: np.ndarray
    count: int

    def score(self, samples: np.ndarray) -> float | None:
        """Return how likely it is that this speaker speaks, natural log odds; None: too little.

        0: as likely as not, if the speaker and others speak equally often.

        Parameters
        ----------
        samples : array (num_samples,)
            In 16-bit range, at the rate of the check.
        """
        vector = voice_vector(samples, self.check.rate)
        if vector is None:
            return None
        ratio = self.check.plda.scores(self.vector, self.count, vector[None])[0]
        return float(self.check.scale * ratio + self.check.offset)

    def save(self, path: PathLike) -> None:
        """Write the file."""
        write_arrays(path, **self.check._arrays(), vector=self.vector,
                     count=np.array(self.count))


def load_speaker_check(path: PathLike) -> SpeakerCheck:
    """Read a file of `SpeakerCheck.save`.

    Raises
    ------
    UserError
        if there is no such file, or it is of a newer format.
    DamagedFile
        if it is no speaker check.
    """
    arrays = read_arrays(path)
    if "vector" in arrays:
        raise UserError("is the profile of a speaker; give the speaker check that it was made "
                        "with", path)
    return _check_of(arrays, path)


def load_profile(path: PathLike) -> VoiceProfile:
    """Read a file of `VoiceProfile.save`; raises as `load_speaker_check`."""
    if not Path(path).is_file():
        raise UserError("no such profile; make it with 'hybridasr enrol'", path)
    arrays = read_arrays(path)
    if "vector" not in arrays and "transform" in arrays:
        raise UserError("is a speaker check, not the profile of a speaker; make one with "
                        "'hybridasr enrol'", path)
    vector = take_array(arrays, "vector", path, np.float64, (DIM,))
    count = take_array(arrays, "count", path, np.int64, (), 1)
    return VoiceProfile(_check_of(arrays, path), vector, int(count))


def _check_of(arrays: Mapping[str, np.ndarray], path: PathLike) -> SpeakerCheck:
    version = int(take_array(arrays, "format", path, np.int64, (), 1))
    if version > FORMAT:
        raise UserError(f"speaker check of format {version}, this version reads up to {FORMAT}; "
                        "upgrade hybridasr", path)
    rate = int(take_array(arrays, "rate", path, np.int64, (), LOWEST_RATE, HIGHEST_RATE))
    scale, offset = take_array(arrays, "calibration", path, np.float64, (2,)).tolist()
    if scale <= 0:
        raise DamagedFile(f"array 'calibration' has the scale {scale}; remake it", path)
    plda = Plda(take_array(arrays, "mean", path, np.float64, (DIM,)),
                take_array(arrays, "transform", path, np.float64, (DIM, DIM)),
                take_array(arrays, "between", path, np.float64, (DIM,), _SMALLEST))
    return SpeakerCheck(plda, rate, scale, offset)
