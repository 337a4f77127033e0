"""Owns speech enhancement before the features: a high-pass, noise suppression, gain control.

Takes samples in 16-bit range as they come and gives as many, at the same places in time; the same
to the last bit however they are cut. The high-pass is a Butterworth filter of second order. Noise
suppression and gain control are those of WebRTC, through the package `webrtc-noise-gain`, which
the extra ``enhance`` installs; whoever asks for one of them also gets WebRTC's own high-pass.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hybridasr.corpus.resample import Resampler
from hybridasr.errors import UserError, require_extra
from hybridasr.options import option

# WebRTC's, of the audio that it takes: hertz, samples of a block, and samples for which noise
# suppression holds its output back; gain control alone does not.
WEBRTC_RATE = 16000
WEBRTC_BLOCK = 160
WEBRTC_DELAY = 96
# The package wants a target level, which changes nothing of what it does.
_TARGET_LEVEL = 3
_ORDER = 2
_NOTHING = np.zeros(0, np.float32)


@dataclass(frozen=True)
class EnhanceOptions:
    """What is done to audio before it is recognised; by default nothing."""

    noise_suppression: int = option(0, "how much noise WebRTC takes out, 1 (a little) to 4; 0: "
                                    "none")
    auto_gain: bool = option(False, "let WebRTC turn soft speech up")
    high_pass: float = option(0.0, "hertz below which a filter takes the audio out, such as 60; 0: "
                              "no filter")

    def __post_init__(self):
        """Refuse values outside their range."""
        for name, most in (("noise_suppression", 4), ("high_pass", 1000)):
            if not 0 <= getattr(self, name) <= most:
                raise UserError(f"option {name} is {getattr(self, name)}; give 0 to {most}")


class _Stage(Protocol):
    def accept(self, samples: np.ndarray) -> np.ndarray: ...

    def finish(self) -> np.ndarray: ...


class Enhancer:
    """Enhances a stream of audio.

    Parameters
    ----------
    options : EnhanceOptions
    rate : int
        Hertz of the samples.

    Attributes
    ----------
    delay : float
        Seconds for which a sample waits, at most, until it comes out; at rates other than
        `WEBRTC_RATE` also for the reach of two resampling filters, some milliseconds.

    Raises
    ------
    UserError
        if the package is missing, or the rate is too high for WebRTC or too low for the high-pass.

    >>> enhancer = Enhancer(EnhanceOptions(high_pass=60.0), 16000)
    >>> (abs(enhancer.accept(np.full(3, 500.0, np.float32))) < 1e-6).tolist()
    [True, True, True]
    """

    def __init__(self, options: EnhanceOptions, rate: int):
        self._stages: list[_Stage] = []
        self.delay = 0.0
        if options.high_pass:
            self._stages.append(_HighPass(options.high_pass, rate))
        if options.noise_suppression or options.auto_gain:
            self._stages.append(_WebRtc(options, rate))
            self.delay = (WEBRTC_BLOCK + _late_samples(options)) / WEBRTC_RATE

    def accept(self, samples: np.ndarray) -> np.ndarray:
        """Take the next samples, float32 (num_samples,); return those that are ready, float32."""
        for stage in self._stages:
            samples = stage.accept(samples)
        return samples

    def finish(self) -> np.ndarray:
        """Return the samples that waited, float32; another stream may begin."""
        rest = _NOTHING
        for stage in self._stages:
            rest = np.concatenate([stage.accept(rest), stage.finish()])
        return rest


class _HighPass:
    """Takes low hum and offsets out; what comes first counts as if it had always been there."""

    def __init__(self, hertz: float, rate: int):
        if 2 * hertz >= rate:
            raise UserError(f"a high-pass of {hertz:g} Hz for audio of {rate} Hz; give less than "
                            f"{rate // 2}")
        from scipy.signal import butter  # half of the start-up time, and rarely needed

        self._sections = butter(_ORDER, hertz, "highpass", fs=rate, output="sos")
        self._state: np.ndarray | None = None

    def accept(self, samples: np.ndarray) -> np.ndarray:
        from scipy.signal import sosfilt, sosfilt_zi

        if not len(samples):
            return _NOTHING
        if self._state is None:
            self._state = sosfilt_zi(self._sections) * float(samples[0])
        out, self._state = sosfilt(self._sections, samples.astype(np.float64), zi=self._state)
        return out.astype(np.float32)

    def finish(self) -> np.ndarray:
        self._state = None
        return _NOTHING


def _late_samples(options: EnhanceOptions) -> int:
    return WEBRTC_DELAY if options.noise_suppression else 0


class _WebRtc:
    """Noise suppression and gain control, block by block at `WEBRTC_RATE`."""

    def __init__(self, options: EnhanceOptions, rate: int):
        require_extra("webrtc_noise_gain", "enhance", "noise suppression and gain control")
        if rate > WEBRTC_RATE:
            raise UserError(f"noise suppression and gain control of {rate} Hz; they work up to "
                            f"{WEBRTC_RATE} Hz, leave them out")
        self._options = options
        self._up, self._down = Resampler(rate, WEBRTC_RATE), Resampler(WEBRTC_RATE, rate)
        self._begin()

    def _begin(self) -> None:
        from webrtc_noise_gain import AudioProcessor

        options = self._options
        self._processor = AudioProcessor(_TARGET_LEVEL * options.auto_gain,
                                         options.noise_suppression)
        self._held = _NOTHING  # samples of a block that is not whole yet
        self._late = _late_samples(options)  # samples to come that are before the first one
        self._waiting = 0  # samples that came in and are not out yet

    def accept(self, samples: np.ndarray) -> np.ndarray:
        self._waiting += len(samples)
        return self._out(self._down.accept(self._processed(self._up.accept(samples))))

    def finish(self) -> np.ndarray:
        # Behind the end there is silence for what is late and for a last whole block.
        silence = np.zeros(WEBRTC_DELAY + WEBRTC_BLOCK, np.float32)
        last = self._processed(np.concatenate([self._up.finish(), silence]))
        rest = self._out(np.concatenate([self._down.accept(last), self._down.finish()]))
        self._begin()
        return rest

    def _processed(self, samples: np.ndarray) -> np.ndarray:
        held = np.concatenate([self._held, samples])
        whole = len(held) // WEBRTC_BLOCK * WEBRTC_BLOCK
        self._held = held[whole:]
        blocks = np.clip(np.rint(held[:whole]), -32768, 32767).astype("<i2")
        out = b"".join(self._processor.Process10ms(block.tobytes()).audio
                       for block in blocks.reshape(-1, WEBRTC_BLOCK))
        first = min(self._late, whole)
        self._late -= first
        return np.frombuffer(out, "<i2")[first:].astype(np.float32)

    def _out(self, samples: np.ndarray) -> np.ndarray:
        samples = samples[:self._waiting]
        self._waiting -= len(samples)
        return samples
