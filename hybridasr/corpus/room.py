"""Owns simulated rooms: the impulse response of a small room, and speech heard in it.

The early reflections are those of a shoebox by the image method (Allen and Berkley, "Image method
for efficiently simulating small-room acoustics", 1979), in a room, and from and to places, drawn
at random; walls turn the sign, which keeps low frequencies from piling up (Lehmann and Johansson
2008). From 40 ms on, where images come faster than samples, noise of the same mean power takes
their place. All of it decays by 60 dB in `rt60` seconds. Takes and gives float32 samples in the
16-bit range.
"""

import numpy as np
from scipy.signal import fftconvolve

from hybridasr.corpus.perturb import limit_peak
from hybridasr.errors import UserError

SPEED_OF_SOUND = 343.0  # metres a second
SHORTEST_RT60, LONGEST_RT60 = 0.1, 5.0  # seconds
_SMALLEST_ROOM, _LARGEST_ROOM = (3.0, 2.5, 2.3), (7.0, 5.0, 3.2)  # metres
_FROM_WALL = 0.4  # metres at least from a wall to mouth and microphone
_MIXING_TIME = 0.04  # seconds after the direct sound


def add_reverb(samples: np.ndarray, rate: int, rt60: float, direct_to_reverb: float,
               rng: np.random.Generator) -> np.ndarray:
    """Let the samples be heard in a small room, with the same energy.

    Parameters
    ----------
    samples : float32 array (num_samples,)
    rate : int
        Hertz.
    rt60, direct_to_reverb, rng
        As for `room_response`.

    Returns
    -------
    float32 array (num_samples,)
        The direct sound is where it was, so that alignments of `samples` hold; what rings on
        after the end is cut. Less energy only where the peak would not fit into 16 bits.

    Raises
    ------
    UserError
        if a value is out of its range.
    """
    response = room_response(rate, rt60, direct_to_reverb, rng)
    if len(samples) == 0:
        return samples.copy()
    dry = samples.astype(np.float64)
    wet = fftconvolve(dry, response)[:len(dry)]
    before, after = np.dot(dry, dry), np.dot(wet, wet)
    if before <= 0.0 or after <= 0.0:
        return samples.copy()
    return limit_peak(wet * np.sqrt(before / after))


def room_response(rate: int, rt60: float, direct_to_reverb: float,
                  rng: np.random.Generator) -> np.ndarray:
    """Return the impulse response of a room drawn at random.

    Parameters
    ----------
    rate : int
        Hertz.
    rt60 : float
        Seconds in which the reverberation falls by 60 dB, 0.1 to 5.
    direct_to_reverb : float
        Energy of the direct sound over that of all the rest, decibels.
    rng : numpy Generator
        Draws the room, the places of mouth and microphone, and the tail.

    Returns
    -------
    float64 array (ceil(rt60 * rate),)
        Sample 0 is the direct sound, 1.0.

    Raises
    ------
    UserError
        if a value is out of its range.
    """
    if rate < 1:
        raise UserError(f"a rate of {rate} Hz; give a positive number")
    if not SHORTEST_RT60 <= rt60 <= LONGEST_RT60:
        raise UserError(f"a reverberation of {rt60} s; give {SHORTEST_RT60} to {LONGEST_RT60:g}")
    if not -60 <= direct_to_reverb <= 60:
        raise UserError(f"direct sound {direct_to_reverb} dB over the rest; give -60 to 60")
    size = rng.uniform(_SMALLEST_ROOM, _LARGEST_ROOM)
    mouth, microphone = (rng.uniform(_FROM_WALL, size - _FROM_WALL) for _ in range(2))
    count = max(int(np.ceil(rt60 * rate)), 2)
    mixing = min(int(_MIXING_TIME * rate), count)
    response = np.zeros(count)
    response[:mixing] = _early_reflections(size, mouth, microphone, rate, mixing)
    # Images come at 4 pi c^3 t^2 / V a second and each has the power 1 / (c t)^2.
    power = 4 * np.pi * SPEED_OF_SOUND / (np.prod(size) * rate)
    response[mixing:] = rng.standard_normal(count - mixing) * np.sqrt(power)
    response *= 10 ** (-3 * np.arange(count) / (rate * rt60))
    energy = np.sum(response[1:]**2)
    if energy > 0:
        response *= np.sqrt(10 ** (-direct_to_reverb / 10) / energy)
    response[0] = 1.0
    return response


def _early_reflections(size: np.ndarray, mouth: np.ndarray, microphone: np.ndarray, rate: int,
                       count: int) -> np.ndarray:
    """Return the images of the mouth as heard in `count` samples from the direct sound on.

    Metres, (3,) each; an image at d metres has the amplitude 1 / d: the walls' loss is the
    caller's. Without the direct sound; images that come in its sample are left out.
    """
    direct = np.linalg.norm(mouth - microphone)
    reach = direct + count / rate * SPEED_OF_SOUND
    squares, turns = [], []
    for axis in range(3):
        order = int(np.ceil(reach / (2 * size[axis]))) + 1
        shift, mirrored = np.meshgrid(np.arange(-order, order + 1), [0, 1], indexing="ij")
        place = (1 - 2 * mirrored) * mouth[axis] + 2 * shift * size[axis]
        squares.append(((place - microphone[axis])**2).ravel())
        # Walls hit: shift and shift - mirrored; their parity is that of `mirrored`.
        turns.append((1.0 - 2.0 * mirrored).ravel())
    distance = np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2])
    sign = turns[0][:, None, None] * turns[1][:, None] * turns[2]
    delay = np.rint((distance - direct) / SPEED_OF_SOUND * rate).astype(np.int64)
    in_time = (delay > 0) & (delay < count)
    return np.bincount(delay[in_time], sign[in_time] / distance[in_time], minlength=count)
