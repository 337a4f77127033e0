"""Owns the fitting of a trained network to one speaker: scale and shift of its normalising layers.

These few thousand numbers can be learned from seconds of speech, where all weights could not. The
targets are the paths of an earlier pass, as in LHUC (Swietojanski and Renals 2014); the statistics
of batch normalisation move to the speaker as well (Li et al. 2016, "Revisiting batch normalization
for practical domain adaptation").

Fitting alone confirms what the first pass takes for another word. `with_speaker_priors` holds
against it: a class that the network finds too often in the speaker's speech counts for less.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hybridasr.errors import UserError
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.nnet.loss import cross_entropy
from hybridasr.nnet.network import Network
from hybridasr.nnet.normalize import BatchNorm, LayerNorm
from hybridasr.nnet.optim import Adam, AdamOptions, Arrays
from hybridasr.nnet.quantize import INT8

BATCH = 256  # frames a step, if there are so many


def speaker_parameters(network: Network) -> Arrays:
    """Return what is fitted to a speaker, named as in `Network.parameters`.

    Raises
    ------
    UserError
        if there is nothing to fit, the weights are int8, or a recurrent layer has no warm-up.
    """
    members = [one for number, layer in enumerate(network.layers)
               for one in layer.members(f"{number}.")]
    if any(isinstance(layer, INT8) for _, layer in members):
        raise UserError("a network with int8 weights cannot adapt to a speaker; use the one in "
                        "float32, or give --nnet-passes 0")
    if any(not layer.local and layer.left == 0 for layer in network.layers):
        raise UserError("a network with a recurrent layer without warmup does not adapt to a "
                        "speaker, which is done on single frames; give --nnet-passes 0")
    parameters = {f"{front}{name}": array for front, layer in members
                  if isinstance(layer, BatchNorm | LayerNorm)
                  for name, array in layer.parameters.items()}
    if not parameters:
        raise UserError("the network has no batchnorm or layernorm, which would adapt to a "
                        "speaker; give --nnet-passes 0, or train one with such layers")
    return parameters


def fit_to_speaker(acoustics: NnetAcoustics, utterances: Sequence[np.ndarray],
                   targets: Sequence[np.ndarray], epochs: int, rate: float, seed: int
                   ) -> NnetAcoustics:
    """Fit a copy of a network to a speaker.

    Parameters
    ----------
    utterances : sequence of float32 (num_frames, dim)
    targets : sequence of int array (num_scores,)
        The pdf of every frame that the network scores; -1: to be left out.
    epochs : int
        Passes over the frames.
    rate : float
        Step size of Adam at the beginning; it falls in a straight line to 0.
    seed : int
        Of the order of the frames and of dropout.

    Raises
    ------
    UserError
        as from `speaker_parameters`.
    """
    # The network itself is shared by all speakers, and by threads.
    network, rng = copy.deepcopy(acoustics.network), np.random.default_rng(seed)
    parameters = speaker_parameters(network)
    optimizer = Adam(AdamOptions(), parameters)
    frames, places = _windows(acoustics, utterances)
    classes = np.concatenate(targets).astype(np.int32)
    around = np.arange(-network.left_context, network.right_context + 1)
    # The last batch is not a small one: all are about as large.
    batches = max(1, len(places) // BATCH)
    for epoch in range(epochs):
        for number, part in enumerate(np.array_split(rng.permutation(len(places)), batches)):
            logits, caches = network.forward(frames[places[part][:, None] + around], True, rng)
            _, slopes, _ = cross_entropy(logits[:, 0], classes[part], 1.0 / len(part))
            grads = network.backward(slopes[:, None], caches)
            progress = (epoch * batches + number) / (epochs * batches)
            optimizer.step(parameters, {name: grads[name] for name in parameters},
                           rate * (1 - progress))
    return replace(acoustics, network=network)


def with_speaker_priors(acoustics: NnetAcoustics, utterances: Sequence[np.ndarray],
                        silence: Sequence[int], prior_frames: float) -> NnetAcoustics:
    """Take what the network finds on average in a speaker's speech for the priors of its classes.

    As Kaldi's nnet3-am-adjust-priors does with training speech: posteriors over these priors give
    every class the share that it has in the training. Silence keeps its prior.

    Parameters
    ----------
    utterances : sequence of float32 (num_frames, dim)
    silence : sequence of int
        The pdfs of silence: how much of it there is says nothing of the speaker.
    prior_frames : float
        Frames that the priors so far count for, at least one.
    """
    # Only classes of speech trade their shares.
    spoken = np.setdiff1d(np.arange(acoustics.num_pdfs), silence)
    priors = np.exp(acoustics.log_priors[spoken].astype(np.float64))
    counts = max(prior_frames, 1.0) * priors / priors.sum()
    for feats in (feats for feats in utterances if len(feats)):
        posteriors = np.exp(acoustics.log_posteriors(feats)[:, spoken])
        # Each stands for `subsampling` frames.
        counts += acoustics.subsampling * posteriors.sum(axis=0, dtype=np.float64)
    log_priors = acoustics.log_priors.copy()
    log_priors[spoken] = np.log(counts / counts.sum() * priors.sum())
    return replace(acoustics, log_priors=log_priors)


def _windows(acoustics: NnetAcoustics, utterances: Sequence[np.ndarray]
             ) -> tuple[np.ndarray, np.ndarray]:
    """Return all utterances, scaled, with their ends repeated, and where scored frames are."""
    network = acoustics.network
    parts, places, begin = [], [], 0
    for feats in utterances:
        parts.append(network.with_context(acoustics.scaled(feats)))
        places.append(begin + network.left_context
                      + np.arange(0, len(feats), network.subsampling))
        begin += len(parts[-1])
    return np.concatenate(parts), np.concatenate(places)
