"""Owns the augmentation of training speech: altered copies of a data directory.

`Augmenter` alters one recording: speed, colour, silence around it, a room, noise, volume, in this
order, each drawn from a generator seeded by the seed and the id of the copy, so that the order of
the work and the number of jobs do not matter. `augment_datadir` writes for every utterance of a set
a copy of each other speed (``sp0.9-<utterance>``; speed and volume, as Kaldi's
perturb_data_dir_speed.sh and _volume.sh do) and a number of copies with rooms and noises
(``noise1-<utterance>``; as reverberate_data_dir.py and augment_data_dir.py do). ``utt2silence``
says how much silence was put before and after each copy, so that its frames can be found in the
original. Join them to the original with 'hybridasr combine-data'.
"""

import zlib
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from hybridasr.corpus.audio import audio_info, is_pipe, load_utterance, write_flac
from hybridasr.corpus.datadir import DataDir, Utterance, flac_name, wav_folder, write_datadir
from hybridasr.corpus.noises import (
    event_noises,
    load_noises,
    noise_files,
    synthetic_noises,
)
from hybridasr.corpus.perturb import (
    FASTEST,
    SLOWEST,
    add_noise,
    change_colour,
    change_speed,
    change_volume,
)
from hybridasr.corpus.room import LONGEST_RT60, SHORTEST_RT60, add_reverb
from hybridasr.errors import UserError
from hybridasr.options import option, to_dict
from hybridasr.parallel import run_blocks, split_blocks
from hybridasr.progress import logger
from hybridasr.storage import PathLike, digest, read_json, write_json

__all__ = ["AugmentOptions", "Augmenter", "add_noise", "add_reverb", "augment_datadir",
           "change_speed", "change_volume", "load_noises", "synthetic_noises"]

VERSION = 2  # raise it with every change that changes a sample
MARKER = "augment.json"
_BLOCK = 20  # utterances a job
LARGEST_COLOUR = 20.0  # decibels
LONGEST_SILENCE = 60.0  # seconds that may be put before, or after, a copy
# What is put around a copy: so many decibels below its speech, or with this share digital zeros.
SILENCE_SNR = (10.0, 60.0)
ZEROS_SHARE = 0.2
# Tables that hold for a copy as they do for the original, and what their keys are.
_CARRIED = {"utt2lang": "utterance", "utt2parts": "utterance", "utt2synthetic": "utterance",
            "spk2gender": "speaker"}


@dataclass(frozen=True)
class AugmentOptions:
    """Which copies are made, and how far they are from the original."""

    speeds: str = option("0.9 1.0 1.1", "speeds, spaces between; a copy for each but 1.0")
    copies: int = option(1, "copies of each utterance with noises and rooms")
    copy_speeds: str = option("1.0", "speeds that theirs are drawn from; at other speeds than 1.0 "
                                     "frames lie elsewhere than the original's", needs="copies")
    colour: float = option(2.5, "deviation of the tilt of the spectrum that copies get, as of "
                                "other microphones, decibels; 0: none")
    silence_share: float = option(0.5, "part of the copies that get silence around them, 0 to 1")
    max_silence: float = option(3.0, "longest silence before, and after, seconds",
                                needs="silence_share")
    min_volume: float = option(0.03, "lowest factor of the volume")
    max_volume: float = option(2.0, "highest factor of the volume (less where it would clip)")
    noises: str = option("", "folders of noise recordings, commas between; none: noises made by "
                             "the program")
    noise_share: float = option(0.8, "part of the copies that get noise, 0 to 1", needs="copies")
    min_snr: float = option(5.0, "lowest ratio of speech to noise, decibels",
                            needs="copies, noise_share")
    max_snr: float = option(25.0, "highest ratio of speech to noise, decibels",
                            needs="copies, noise_share")
    reverb_share: float = option(0.5, "part of the copies that are put in a room, 0 to 1",
                                 needs="copies")
    min_rt60: float = option(0.1, "shortest reverberation, seconds until it is 60 dB down",
                             needs="copies, reverb_share")
    max_rt60: float = option(0.6, "longest reverberation, seconds", needs="copies, reverb_share")
    min_direct: float = option(0.0, "least direct sound over the reverberation, decibels",
                               needs="copies, reverb_share")
    max_direct: float = option(12.0, "most direct sound over the reverberation, decibels",
                               needs="copies, reverb_share")
    sample_rate: int = option(0, "hertz of the copies; 0: each recording's own")
    seed: int = option(0, "seed of everything that is drawn")

    def __post_init__(self):
        """Refuse values outside their range."""
        for name in ("speeds", "copy_speeds"):
            _factors(name, getattr(self, name))
        for lowest, highest, least, most in (
                ("min_volume", "max_volume", 0.001, 1000.0), ("min_snr", "max_snr", -60.0, 120.0),
                ("min_rt60", "max_rt60", SHORTEST_RT60, LONGEST_RT60),
                ("min_direct", "max_direct", -60.0, 60.0)):
            low, high = getattr(self, lowest), getattr(self, highest)
            if not least <= low <= high <= most:
                raise UserError(f"{lowest} {low} and {highest} {high} are no range; give "
                                f"{least:g} <= {lowest} <= {highest} <= {most:g}")
        if not 0 <= self.colour <= LARGEST_COLOUR:
            raise UserError(f"option colour is {self.colour}; give 0 to {LARGEST_COLOUR:g} "
                            "decibels")
        if not 0 <= self.max_silence <= LONGEST_SILENCE:
            raise UserError(f"option max_silence is {self.max_silence}; give 0 to "
                            f"{LONGEST_SILENCE:g} seconds")
        for name in ("noise_share", "reverb_share", "silence_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"option {name} is {getattr(self, name)}; give 0 to 1")
        for name in ("copies", "sample_rate", "seed"):
            if getattr(self, name) < 0:
                raise UserError(f"option {name} is {getattr(self, name)}; give 0 or more")

    @property
    def factors(self) -> tuple[float, ...]:
        """The speeds as numbers."""
        return _factors("speeds", self.speeds)

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of noises."""
        return tuple(part.strip() for part in self.noises.split(",") if part.strip())


def _factors(name: str, text: str) -> tuple[float, ...]:
    """Return speeds as numbers; `UserError` if there are none, one is out of range or twice."""
    try:
        factors = tuple(float(part) for part in text.split())
    except ValueError:
        raise UserError(f"option {name} is '{text}'; give numbers with spaces between, e.g. "
                        "'0.9 1.0 1.1'") from None
    if not factors:
        raise UserError(f"option {name} is empty; give 1.0 for no change")
    if not all(SLOWEST <= factor <= FASTEST for factor in factors):
        raise UserError(f"option {name} is '{text}'; give {SLOWEST} to {FASTEST:g}")
    if len({f"{factor:g}" for factor in factors}) < len(factors):
        raise UserError(f"option {name} is '{text}'; give each speed once")
    return factors


class Augmenter:
    """Alters recordings at random, the same way for the same seed and key.

    Parameters
    ----------
    options : AugmentOptions
    noises : dict of str to float32 array
        As from `load_noises`, at the rate of the recordings; {} if no noise is wanted.

    Raises
    ------
    UserError
        if noise is wanted and there is none.
    """

    def __init__(self, options: AugmentOptions, noises: Mapping[str, np.ndarray]):
        if (options.noise_share > 0 or options.silence_share > 0) and not noises:
            raise UserError("noise is wanted (noise_share, silence_share), but there are no "
                            "noises; give some, or set both shares to 0")
        self.options = options
        # In the order of the names: the draws must not depend on how the noises were collected.
        self._noises = [noises[name] for name in sorted(noises)]

    def augment(self, samples: np.ndarray, rate: int, key: str) -> np.ndarray:
        """Return altered samples.

        Parameters
        ----------
        samples : float32 array (num_samples,)
            In 16-bit range; unchanged.
        rate : int
            Hertz.
        key : str
            Id of the copy; with the seed it decides everything that is drawn.

        Returns
        -------
        float32 array (ceil(num_samples / speed) and the silence around it,)
            `speed` is drawn from `options.speeds`. The volume's factor is drawn evenly in
            decibels.
        """
        options = self.options
        # crc32, because Python's own hash of a string differs from run to run.
        seed = zlib.crc32(key.encode(errors="surrogatepass"))
        rng = np.random.default_rng([options.seed, seed])
        # Drawn whether used or not: an option of one kind does not change the draws of another.
        speed = options.factors[rng.integers(len(options.factors))]
        gain = np.exp(rng.uniform(np.log(options.min_volume), np.log(options.max_volume)))
        with_reverb = rng.random() < options.reverb_share
        rt60 = rng.uniform(options.min_rt60, options.max_rt60)
        direct = rng.uniform(options.min_direct, options.max_direct)
        with_noise = rng.random() < options.noise_share
        snr = rng.uniform(options.min_snr, options.max_snr)
        # Generators of their own: a room takes as many draws as it is long, and must not shift the
        # noise.
        room, place, around, colour = (np.random.default_rng([options.seed, seed, part])
                                      for part in (1, 2, 4, 5))
        samples = change_colour(change_speed(samples, speed), rate, options.colour, colour)
        samples = self._surround(samples, rate, silence_around(options, key), around)
        if with_reverb:
            samples = add_reverb(samples, rate, rt60, direct, room)
        if with_noise:
            noise = self._noises[place.integers(len(self._noises))]
            samples = add_noise(samples, noise, snr, place)
        return change_volume(samples, gain)

    def _surround(self, samples: np.ndarray, rate: int, seconds: tuple[float, float],
                  rng: np.random.Generator) -> np.ndarray:
        """Put silence of a drawn kind and level before and after."""
        before, after = (round(part * rate) for part in seconds)
        if not before + after:
            return samples
        longer = np.pad(samples, (before, after))
        noise = self._noises[rng.integers(len(self._noises))]
        snr, only_around = rng.uniform(*SILENCE_SNR), rng.random() < 0.5
        if rng.random() < ZEROS_SHARE:
            return longer
        noisy = add_noise(longer, noise, snr, rng)
        if only_around:
            # A recording that was cut out of another, or with a microphone that was switched on.
            noisy[before:before + len(samples)] = samples
        return noisy


def silence_around(options: AugmentOptions, key: str) -> tuple[float, float]:
    """Return how much silence a copy gets before and after, seconds in whole hundredths.

    Drawn by seed and key; short ones are the most frequent.
    """
    rng = np.random.default_rng([options.seed, zlib.crc32(key.encode(errors="surrogatepass")), 3])
    before, after = np.round(rng.random(2)**2 * options.max_silence, 2).tolist()
    return (before, after) if rng.random() < options.silence_share else (0.0, 0.0)


@dataclass(frozen=True)
class _Job:
    """An utterance and the copies of it that are missing."""

    source: Utterance
    copies: tuple[tuple[str, Path], ...]  # prefix, file


def augment_datadir(data: DataDir, destination: PathLike, options: AugmentOptions,
                    pool: Executor, allow_pipes: bool = False,
                    channel: str | int = "mix") -> DataDir:
    """Write altered copies of a set as a data directory of their own.

    Copies are FLAC files (16 bit, one channel) ``wav/<prefix>/<utterance>.flac`` in
    `destination`; an utterance that was a segment becomes a recording. Ids of utterances and
    speakers get the prefix; ``utt2uniq`` says which original a copy is of. Files that are there
    are kept if set, options and noises are the same (by size and time of the recordings), so that
    a run that was stopped goes on; otherwise all are made anew.

    Parameters
    ----------
    data : DataDir
        The set; its recordings are read by `load_utterance`.
    destination : path
        New, empty, or of an earlier run.
    options : AugmentOptions
        What is done.
    pool : Executor
        From `hybridasr.parallel.executor`; the files are the same for any number of jobs. Each
        job holds the noises in memory.
    allow_pipes, channel
        As for `load_audio`.

    Returns
    -------
    DataDir
        the copies alone, without the original

    Raises
    ------
    UserError
        if the options ask for no copies, a recording cannot be used, a folder of noises is empty,
        or `destination` holds other files or the originals.
    """
    destination = Path(destination)
    variants = _variants(options)
    if not variants:
        raise UserError(f"copies {options.copies} and speeds '{options.speeds}' ask for no copy; "
                        "give copies 1 or more, or a speed other than 1.0")
    # The destination is checked before anything in it is touched.
    folder = wav_folder(data, destination)
    _claim(destination, _fingerprint(data, options, channel))
    files = {(prefix, key): folder / prefix.rstrip("-") / flac_name(key)
             for prefix in variants for key in data.utterances}
    jobs = []
    for key, source in data.utterances.items():
        missing = tuple((prefix, files[prefix, key]) for prefix in variants
                        if not files[prefix, key].exists())
        # Copies that an earlier run finished are kept, so the work goes on where it stopped.
        if missing:
            jobs.append(_Job(source, missing))
    if jobs:
        logger.info("%s: making %d of %d copies", destination,
                    sum(len(job.copies) for job in jobs), len(files))
        blocks = [(block, options, allow_pipes, channel) for block in split_blocks(jobs, _BLOCK)]
        for _ in run_blocks(pool, _make_files, blocks, "augment"):
            pass
    copies = [Utterance(prefix + key, prefix + source.speaker, source.words, prefix + key,
                        str(files[prefix, key]))
              for prefix in variants for key, source in data.utterances.items()]
    with_text = (data.path / "text").is_file() or any(copy.words for copy in copies)
    written = write_datadir(destination, copies, _tables(data, variants, options), with_text)
    logger.info("%s: %d copies of %d utterances (%s)", destination, len(written), len(data),
                " ".join(prefix.rstrip("-") for prefix in variants))
    return written


def _variants(options: AugmentOptions) -> dict[str, AugmentOptions]:
    """Return the prefix of each kind of copy, and the options that make it."""
    # As in Kaldi's speed perturbation: no noise and no room.
    variants = {f"sp{factor:g}-": replace(options, speeds=f"{factor:g}", noise_share=0.0,
                                          reverb_share=0.0)
                for factor in options.factors if factor != 1.0}
    for number in range(1, options.copies + 1):
        variants[f"noise{number}-"] = replace(options, speeds=options.copy_speeds)
    return variants


def _make_files(jobs: list[_Job], options: AugmentOptions, allow_pipes: bool,
                channel: str | int) -> None:
    variants = _variants(options)
    for job in jobs:
        source = job.source
        # At the recording's own rate unless the user wants another.
        rate = options.sample_rate or audio_info(source.wav, allow_pipes).sample_rate
        samples = load_utterance(source, rate, channel, allow_pipes)
        for prefix, path in job.copies:
            wanted = variants[prefix]
            noises = (_noises(wanted.folders, rate, wanted.seed)
                      if wanted.noise_share > 0 or wanted.silence_share > 0 else {})
            altered = Augmenter(wanted, noises).augment(samples, rate, prefix + source.utterance)
            write_flac(path, altered, rate)


@lru_cache(maxsize=2)
def _noises(folders: tuple[str, ...], rate: int, seed: int) -> dict[str, np.ndarray]:
    """Return the noises, read once in each process."""
    if not folders:
        return synthetic_noises(rate, seed) | event_noises(rate, seed)
    return {f"{number} {name}": samples for number, folder in enumerate(folders)
            for name, samples in load_noises(folder, rate).items()}


def _tables(data: DataDir, variants: Mapping[str, AugmentOptions], options: AugmentOptions
            ) -> dict[str, dict[str, str]]:
    """Return the optional tables of the copies, the lines of `data` under the new ids."""
    unique = data.tables.get("utt2uniq", {})
    tables = {"utt2uniq": {prefix + key: unique.get(key, key)
                           for prefix in variants for key in data.utterances}}
    if options.silence_share > 0:
        tables["utt2silence"] = {
            key: " ".join(f"{seconds:.2f}" for seconds in silence_around(options, key))
            for key in tables["utt2uniq"]}
    for name, kind in _CARRIED.items():
        known = {getattr(u, kind) for u in data.utterances.values()}
        if name in data.tables:
            tables[name] = {prefix + key: value for prefix in variants
                            for key, value in data.tables[name].items() if key in known}
    return tables


def _fingerprint(data: DataDir, options: AugmentOptions, channel: str | int) -> str:
    """Return a digest of all that the samples of the copies depend on."""
    sources = [(u.utterance, u.wav, u.start, u.end) for u in data.utterances.values()]
    # A pipe has neither size nor time, so its command is all that counts.
    wavs = sorted({u.wav for u in data.utterances.values() if not is_pipe(u.wav)})
    # A recording that is missing is named by the job that would read it.
    files = [(wav, *_state(Path(wav))) for wav in wavs if Path(wav).is_file()]
    if options.silence_share > 0 or (options.noise_share > 0 and options.copies > 0):
        files += [(str(path), *_state(path)) for folder in options.folders
                  for path in noise_files(folder)]
    return digest(VERSION, to_dict(options), str(channel), sources, files)


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _claim(destination: Path, wanted: str) -> None:
    """Mark `destination` as these copies; remove those made of other things."""
    marker = destination / MARKER
    if marker.exists():
        if read_json(marker).get("digest") == wanted:
            return
        logger.info("%s: set, options or noises have changed; made anew", destination)
        for path in (destination / "wav").glob("*/*.flac"):
            path.unlink()
    elif destination.is_dir() and any(destination.iterdir()):
        raise UserError("holds files that are no augmented copies; give a new or empty folder",
                        destination)
    write_json(marker, {"digest": wanted, "version": VERSION})
