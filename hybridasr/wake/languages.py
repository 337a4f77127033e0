"""Owns what a wake word gains from its language: sounds of other languages count for less.

Where the languages of a training set were recorded apart, a network knows them by their microphones
and voices as well, and takes what is said on other microphones for the other language, sound by
sound. Which language a phrase is of is known, so what the training says about that is discounted.
"""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from hybridasr.lexicon.phones import phone_language
from hybridasr.model.acoustic import AcousticModel

DISCOUNT = 4.0  # nats a frame; chosen on recordings of three English words (egs/wake/RESULTS.md)


def favour_language(model: AcousticModel, phones: Iterable[str]) -> AcousticModel:
    """Return a network for phrases of these phones.

    The priors of senones that only phones of languages of none of the phrases have are raised by
    `DISCOUNT`, so that a frame's score for them falls. A model of one language stays as it is, and
    so does one for phrases of all its languages.

    Parameters
    ----------
    phones : iterable of str
        Names of all phones of the phrases.
    """
    if model.nnet is None:  # which no first stage takes
        return model
    lang, wanted = model.lang, {phone_language(phone) for phone in phones}
    own, other = (np.zeros(model.nnet.num_pdfs, bool) for _ in range(2))
    speech = set(lang.nonsilence_phones)
    for phone, _, pdf in model.transitions.tuples.tolist():
        if phone in speech:
            (own if phone_language(lang.phone_name(phone)) in wanted else other)[pdf] = True
        else:
            own[pdf] = True
    discounted = other & ~own
    if not discounted.any():
        return model
    log_priors = model.nnet.log_priors + np.float32(DISCOUNT) * discounted
    return replace(model, nnet=replace(model.nnet, log_priors=log_priors.astype(np.float32)))
