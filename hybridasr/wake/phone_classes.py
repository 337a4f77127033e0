"""Owns the classes of the first stage: senones summed to the states of phones, tones aside.

A first stage must not miss a phrase: neighbours of a phone and tones of a syllable, which it could
only get wrong, do not matter to it. What a frame says for a class is how much more probable the
class is there than at large, beside the best class of the frame: 0 at most.
"""

from dataclasses import dataclass

import numpy as np

from hybridasr.errors import UserError
from hybridasr.lexicon.phones import TONES, base_phone
from hybridasr.model.acoustic import AcousticModel

# A class that is hardly ever there (share of the frames) counts as one that is there so often.
LEAST_PRIOR = 1e-4


@dataclass(frozen=True)
class PhoneClasses:
    """The classes of a network.

    Attributes
    ----------
    columns : dict name of a phone -> list of int
        Its classes in the order of its states; one alone for a network that does not score every
        frame, as a phone may be over within a score.
    sums : float32 (num_pdfs, num_classes)
        Which senones a class adds up; a senone of several classes is shared out equally.
    log_priors : float32 (num_classes,)
        Of the classes in the training alignment.
    """

    columns: dict[str, list[int]]
    sums: np.ndarray
    log_priors: np.ndarray

    def scores(self, loglikes: np.ndarray, log_priors: np.ndarray) -> np.ndarray:
        """Score classes beside the best one of each frame, float32 (num_frames, num_classes).

        Parameters
        ----------
        loglikes : float32 (num_frames, num_pdfs)
            Of the network, as from `NnetAcoustics.loglikes`.
        log_priors : float32 (num_pdfs,)
            Of the network.
        """
        posteriors = np.exp(loglikes + log_priors) @ self.sums
        scores = np.log(np.maximum(posteriors, np.float32(1e-20))) - self.log_priors
        return scores - scores.max(axis=1, keepdims=True, initial=-np.inf)


def phone_classes(model: AcousticModel) -> PhoneClasses:
    """Return the classes of a model.

    Raises
    ------
    UserError
        if it is no network.

    Examples
    --------
    >>> class_name("a4_E"), class_name("AH_B"), class_name("SIL")
    ('a', 'AH', 'SIL')
    """
    if model.nnet is None:
        raise UserError("a wake word needs a network, and this is a GMM; train one with "
                        "'hybridasr train-dnn'")
    members: dict[tuple[str, int], set[int]] = {}
    for phone, state, pdf in model.transitions.tuples.tolist():
        state = state if model.subsampling == 1 else 0
        members.setdefault((class_name(model.lang.phone_name(phone)), state), set()).add(pdf)
    columns: dict[str, list[int]] = {}
    sums = np.zeros((model.nnet.num_pdfs, len(members)), np.float32)
    for number, (name, state) in enumerate(sorted(members)):
        columns.setdefault(name, []).append(number)
        sums[sorted(members[name, state]), number] = 1.0
    sums /= np.maximum(sums.sum(axis=1, keepdims=True), 1.0)
    priors = np.exp(model.nnet.log_priors.astype(np.float64)) @ sums
    log_priors = np.log(np.maximum(priors, LEAST_PRIOR)).astype(np.float32)
    return PhoneClasses(columns, sums, log_priors)


def class_name(phone: str) -> str:
    """Return a phone's name without the mark of its place and its tone."""
    return base_phone(phone).rstrip(TONES)
