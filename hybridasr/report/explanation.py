"""Owns the page that follows one utterance through a model, from samples to the decision."""

import math
from typing import Any

import numpy as np

from hybridasr.confidence.calibration import standardised
from hybridasr.confidence.command_grammar import CommandGrammar
from hybridasr.confidence.decoded import Decoded
from hybridasr.confidence.measures import NAMES
from hybridasr.confidence.verify import FILLER, LOW, NO_SPEECH, TOO_SHORT, Decision, Verifier
from hybridasr.corpus.levels import SILENT_PEAK
from hybridasr.features.frames import FeatureOptions
from hybridasr.plots import (
    draw_alignment,
    draw_features,
    draw_posteriogram,
    draw_spectrogram,
    draw_spectrum,
    draw_trellis,
    draw_waveform,
)
from hybridasr.plots.signal_plots import frame_power, frame_times
from hybridasr.recognize.recognizer import Recognizer
from hybridasr.recognize.results import make_result
from hybridasr.report.page import (
    Signed,
    paragraph,
    picture,
    player,
    reading,
    section,
    table,
    write_page,
)
from hybridasr.report.trace import (
    FeatureSteps,
    decode_trace,
    decoded_tiers,
    feature_steps,
    phone_posteriors,
    search_trace,
)
from hybridasr.storage import PathLike

LARGEST_AUDIO = 60.0  # seconds that are put into a page
MEANINGS = {
    "filler_ratio": "how much better the command fits than anything else (difference of costs)",
    "filler_ratio_a_frame": "the same, for each frame of the command",
    "margin": "how much worse the next command is",
    "posterior": "log odds of the command among all commands and everything else",
    "phone_ratio": "mean over its phones of how much better they fit than other sounds",
    "worst_phone": "the same of its worst phone",
    "duration": "how usual its phones' durations are",
    "worst_duration": "the same of its most unusual phone",
    "contrast": "how much louder it is than what is around it"}


def explain(recognizer: Recognizer, samples: np.ndarray, name: str, path: PathLike) -> None:
    """Write the page of one utterance.

    Parameters
    ----------
    samples : float32 (num_samples,)
        Of one utterance, at the model's rate, in 16-bit range.
    name : str
        Of the recording.

    Raises
    ------
    UserError
        if the recording is shorter than a frame.
    """
    model = recognizer.model
    steps = feature_steps(model, samples)
    decoded, loglikes = decode_trace(recognizer, steps.frames)
    # As a session: dither makes noise of digital silence, and a search may hear something in it.
    if np.abs(samples).max() < SILENT_PEAK:
        decoded = recognizer.grammar.empty(NO_SPEECH, True)
    result = make_result(decoded)
    verdict = verdict_sentence(decoded, recognizer)
    kind = "verdict" if result["accepted"] else "verdict no"
    seconds = len(samples) / model.features.sample_rate
    sound = [player(samples, model.features.sample_rate, f"the recording {name}")] \
        if seconds <= LARGEST_AUDIO else []
    write_page(path, f"{name}, step by step", [
        paragraph(verdict, kind=kind), *sound,
        *_signal_parts(samples, model.features),
        *_feature_parts(steps, recognizer),
        *_search_parts(recognizer, decoded, loglikes, samples),
        *_decision_parts(decoded, result, recognizer)])


def verdict_sentence(decoded: Decoded, recognizer: Recognizer) -> str:
    """Return in a sentence what was recognised, and why it was accepted or rejected."""
    decision, grammar = decoded.decision, recognizer.grammar
    words = " ".join(decoded.words)
    if decision is None or not isinstance(grammar, CommandGrammar):
        if decoded.reason is None:
            return (f"Recognised as '{words}': of all that the graph can say, this has the least "
                    "cost. A graph has no other words to reject it with.")
        return {NO_SPEECH: "Nothing was recognised: the best path through the graph is silence, "
                           "or none reaches an end.",
                TOO_SHORT: f"Cut short: the recording ends before what the graph can say does"
                           f"{f', after {words}' if words else ''}."}[decoded.reason]
    verifier = grammar.verifier
    best = f"'{decision.command.text}'" if decision.command else "no command"
    if decision.accepted:
        return f"Accepted as {best}: {_evidence(decision, verifier)}."
    if decision.reason == LOW:
        other = f"'{decision.alternatives[0][0].text}'" if decision.alternatives else "another one"
        return (f"Rejected, because it is not clear which command it is: {best} is nearest, but "
                f"{other} is not much worse; {_evidence(decision, verifier)}.")
    if decision.reason == FILLER:
        nearest = (f"; the nearest command is {best}: {_evidence(decision, verifier)}"
                   if decision.command else "; no command came near")
        return "Rejected, because something else than a command fits what was said better" + (
            f"{nearest}.")
    if decision.reason == NO_SPEECH:
        return "Rejected, because nobody speaks: silence fits the recording best."
    return "Rejected, because the recording is too short for a command."


def accepting_threshold(decision: Decision, verifier: Verifier) -> tuple[float, str] | None:
    """Return the least probability of an accepted command, and whose it is; None if none counts."""
    if verifier.calibration is None:
        return None
    own = decision.command.threshold if decision.command else None
    return next((value, whose) for value, whose in (
        (own, "the command's own"), (verifier.threshold, "given with --threshold"),
        (verifier.calibration.threshold, "the model's")) if value is not None)


def _evidence(decision: Decision, verifier: Verifier) -> str:
    threshold = accepting_threshold(decision, verifier)
    if threshold is None or decision.probability is None:
        return _evidence_of_costs(decision, verifier)
    value, whose = threshold
    relation = "reaches" if decision.probability >= value else "is below"
    return (f"the probability that it is right, {decision.probability:.3f}, {relation} the "
            f"threshold of {value:.3f} ({whose})")


def _evidence_of_costs(decision: Decision, verifier: Verifier) -> str:
    """Return what decides without a calibration."""
    start = "the model is not calibrated, so that costs decide, and everything else "
    if decision.measures is None:
        return start + "fits better"
    gap = float(decision.measures[NAMES.index("filler_ratio")]) + verifier.penalty
    return f"{start}{'costs' if gap >= 0 else 'saves'} {abs(gap):.1f}" + (
        " more" if gap >= 0 else "")


def _signal_parts(samples: np.ndarray, options: FeatureOptions) -> list[str]:
    power = frame_power(samples, options).sum(axis=1)
    time = float(frame_times(len(power), options)[np.argmax(power)])
    rate = options.sample_rate
    return [
        section("1 Samples", paragraph(
            f"{len(samples)} numbers, {rate} of them a second: the pressure of the sound."),
            picture(lambda file: draw_waveform(samples, rate, file), "waveform of the recording",
                    reading(draw_waveform), "png")),
        section("2 Frames and spectra", paragraph(
            f"Every {options.frame_shift_ms:g} ms a frame of {options.frame_length_ms:g} ms is cut "
            "out, and its spectrum computed. First the loudest frame, then all of them."),
            picture(lambda file: draw_spectrum(samples, options, time, file),
                    "spectrum of the loudest frame", reading(draw_spectrum)),
            picture(lambda file: draw_spectrogram(samples, options, file),
                    "spectrogram of the recording", reading(draw_spectrogram), "png"))]


def _feature_parts(steps: FeatureSteps, recognizer: Recognizer) -> list[str]:
    model = recognizer.model
    kind = "cepstra (MFCC)" if model.features.kind == "mfcc" else "log mel energies"
    pipeline = model.pipeline
    more = [f"Deltas up to order {pipeline.delta_order} are appended."] * bool(
        pipeline.delta_order)
    if pipeline.splice_left or pipeline.splice_right:
        more.append(f"{pipeline.splice_left} frames before and {pipeline.splice_right} after are "
                    "put beside each frame.")
    if model.transform is not None:
        more.append(f"A linear transform (LDA, MLLT) makes {model.transform.shape[0]} columns of "
                    "them.")
    return [section("3 Features", paragraph(
        f"The mel filters and a logarithm turn each spectrum into {steps.raw.shape[1]} {kind}. The "
        f"mean is taken off (cmvn {pipeline.cmvn}).", *more),
        picture(lambda file: draw_features(steps.raw, steps.normal, model.features, file),
                "features before and after normalisation", reading(draw_features), "png"))]


def _search_parts(recognizer: Recognizer, decoded: Decoded, loglikes: np.ndarray,
                  samples: np.ndarray) -> list[str]:
    model, shift = recognizer.model, recognizer.model.frame_shift
    posteriors, names = phone_posteriors(model, loglikes)
    what = "network" if model.nnet is not None else "mixtures of Gaussians"
    adapted = " The model was adapted to the speaker first." if model.adaptation else ""
    parts = [section("4 Scores", paragraph(
        f"The {what} score{'s' if model.nnet is not None else ''} every frame under each of "
        f"{loglikes.shape[1]} states of phones in context.{adapted}"),
        picture(lambda file: draw_posteriogram(posteriors, names, shift, file),
                "probability of each phone over time", reading(draw_posteriogram), "png"))]
    trace = search_trace(recognizer, decoded, loglikes)
    of_commands = isinstance(recognizer.grammar, CommandGrammar)
    parts.append(section("5 Search", paragraph(
        f"Tokens walk through the graph of {'the commands' if of_commands else 'what may be said'},"
        f" a state a frame; those whose cost is more than {trace.beam:g} above the best are "
        "dropped.", *(["Everything else that may be said is searched in a graph of its own."]
                      if of_commands else [])),
        picture(lambda file: draw_trellis(trace.costs, trace.best, trace.beam, shift, file),
                "living tokens of the search over time", reading(draw_trellis), "png")
        if np.isfinite(trace.costs).any() else paragraph("No token lived.")))
    tiers = decoded_tiers(model, decoded)
    if any(tiers.values()):
        parts.append(section("6 Words and phones in time", paragraph(
            "The best path tells when each state was passed."),
            picture(lambda file: draw_alignment(samples, model.features, tiers, file),
                    "words, phones and states under the spectrogram", reading(draw_alignment))))
    return parts


def _decision_parts(decoded: Decoded, result: dict[str, Any], recognizer: Recognizer) -> list[str]:
    parts = [table("Result", ["field", "value"],
                   [[name, " ".join(map(str, result[name])) if isinstance(result[name], list)
                     else result[name]] for name in ("text", "confidence", "accepted", "reason",
                                                     "partial")])]
    if result["result"]:
        parts.append(table("Words", ["word", "from, s", "to, s", "probability"],
                           [[w["word"], w["start"], w["end"], w["conf"]]
                            for w in result["result"]]))
    decision, grammar = decoded.decision, recognizer.grammar
    if decision is not None and isinstance(grammar, CommandGrammar):
        if decision.measures is not None:
            parts.append(_measures_table(decision.measures, grammar.verifier))
        if result["alternatives"]:
            parts.append(table("Other commands that came near", ["command", "probability"],
                               [[one["text"], one["confidence"]]
                                for one in result["alternatives"]]))
    elif decoded.path is not None:
        path = decoded.path
        parts.append(table("Costs of the best path", ["part", "cost"], [
            ["graph: pronunciations, transitions, language model", path.graph_cost],
            ["acoustics, scaled", path.acoustic_cost], ["both", path.total_cost]]))
    return [section("7 Decision", *parts)]


def _measures_table(measures: np.ndarray, verifier: Verifier) -> str:
    """Return what speaks for and against the command, measure by measure."""
    calibration = verifier.calibration
    if calibration is None:
        return table("What is measured of the command: larger speaks for it",
                     ["measure", "value", "what it is"],
                     [[name.replace("_", " "), float(value), MEANINGS[name]]
                      for name, value in zip(NAMES, measures, strict=True)])
    regression, columns = calibration.regression, calibration.columns(NAMES)
    values = measures[columns]
    parts = standardised(values, regression.means, regression.scales) * regression.weights
    rows = sorted(([name.replace("_", " "), float(value), Signed(float(part)), MEANINGS[name]]
                   for name, value, part in zip(calibration.names, values, parts, strict=True)),
                  key=lambda row: -abs(row[2].value))
    rows.insert(0, ["start", None, Signed(regression.bias), "before anything is measured"])
    total = float(parts.sum() + regression.bias)
    rows.append(["sum", None, Signed(total), "log odds that the command is right: a probability of "
                 f"{1 / (1 + math.exp(-total)):.3f}"])
    return table("What speaks for the command (+) and against it (-), in log odds, the most first",
                 ["measure", "value", "log odds", "what it is"], rows)
