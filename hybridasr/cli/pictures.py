"""Owns the verb that draws: recordings and features, models, graphs, one utterance in a model.

The kinds that draw figures of whole sets are in `cli.score_pictures`.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hybridasr.cli import lattice_tools, score_pictures
from hybridasr.cli.search_options import add_decoder, check_decoder, load_decoder
from hybridasr.cli.train import draw_model_tree
from hybridasr.cli.verb import Verb, field_names, refuse, verb_of_kinds

if TYPE_CHECKING:
    import numpy as np

    from hybridasr.features.frames import FeatureOptions
    from hybridasr.model.acoustic import AcousticModel

MOST_FRAMES = 2000  # of a state, that are drawn
Arguments = argparse.ArgumentParser


def add_picture(parser: Arguments) -> None:
    """Add the file to write, the last argument of every kind."""
    parser.add_argument("picture", type=Path, help="the file to write: .svg, .png or .pdf")


def _feature_arguments(parser: Arguments) -> None:
    from hybridasr.features.frames import FeatureOptions
    from hybridasr.options import add_options

    add_options(parser, FeatureOptions)
    parser.add_argument("--model", type=Path, help="model directory whose features are drawn "
                        "(default: those of the options)")


def _features(args: argparse.Namespace) -> "FeatureOptions":
    """Return the features that are asked for: a model's, or those of the options."""
    from hybridasr.features.frames import FeatureOptions
    from hybridasr.model.directory import load_model
    from hybridasr.options import from_args

    if args.model is None:
        return from_args(FeatureOptions, args)
    refuse(args, field_names(FeatureOptions), f"with the features of {args.model}")
    return load_model(args.model).features


def _audio_arguments(parser: Arguments) -> None:
    _feature_arguments(parser)
    parser.add_argument("audio", help="a recording that libsndfile reads")


def _samples(args: argparse.Namespace, rate: int) -> "np.ndarray":
    from hybridasr.cli.verb import check_output
    from hybridasr.corpus.audio import load_audio
    from hybridasr.plots.canvas import pyplot_for

    # A wrong ending is told before any work.
    pyplot_for(args.picture)
    check_output(args.picture, [Path(args.audio)])
    return load_audio(args.audio, rate)


def _waveform_arguments(parser: Arguments) -> None:
    parser.add_argument("audio", help="a recording that libsndfile reads")
    add_picture(parser)


def _waveform(args: argparse.Namespace) -> None:
    from hybridasr.corpus.audio import audio_info
    from hybridasr.plots import draw_waveform

    rate = audio_info(args.audio).sample_rate
    draw_waveform(_samples(args, rate), rate, args.picture)


def _spectrum_arguments(parser: Arguments) -> None:
    parser.add_argument("--time", type=float, help="second whose frame is drawn (the loudest)")
    _audio_arguments(parser)
    add_picture(parser)


def _spectrum(args: argparse.Namespace) -> None:
    import numpy as np

    from hybridasr.plots import draw_spectrum
    from hybridasr.plots.signal_plots import frame_power, frame_times

    options = _features(args)
    samples = _samples(args, options.sample_rate)
    time = args.time
    if time is None:
        power = frame_power(samples, options).sum(axis=1)
        time = float(frame_times(len(power), options)[np.argmax(power)]) if len(power) else 0.0
    draw_spectrum(samples, options, time, args.picture)


def _picture_of_audio(parser: Arguments) -> None:
    _audio_arguments(parser)
    add_picture(parser)


def _spectrogram(args: argparse.Namespace) -> None:
    from hybridasr.plots import draw_spectrogram

    options = _features(args)
    draw_spectrogram(_samples(args, options.sample_rate), options, args.picture)


def _filterbank_arguments(parser: Arguments) -> None:
    _feature_arguments(parser)
    add_picture(parser)


def _filterbank(args: argparse.Namespace) -> None:
    from hybridasr.plots import draw_filterbank

    draw_filterbank(_features(args), args.picture)


def _mfcc_arguments(parser: Arguments) -> None:
    parser.epilog = ("Without --model, normalisation takes off the mean of the recording; with "
                     "it, what the model does to a lone recording.")
    _picture_of_audio(parser)


def _mfcc(args: argparse.Namespace) -> None:
    from hybridasr.features.mfcc import compute_features
    from hybridasr.model.directory import load_model
    from hybridasr.plots import draw_features
    from hybridasr.report.trace import feature_steps

    options = _features(args)
    samples = _samples(args, options.sample_rate)
    if args.model is None:
        raw = compute_features(samples, options)
        normal = raw - raw.mean(axis=0) if len(raw) else raw
    else:
        steps = feature_steps(load_model(args.model), samples)
        raw, normal = steps.raw, steps.normal
    draw_features(raw, normal, options, args.picture)


def _pitch(args: argparse.Namespace) -> None:
    from hybridasr.corpus.audio import audio_info
    from hybridasr.features.pitch import PitchOptions, compute_pitch
    from hybridasr.plots import draw_pitch

    options = PitchOptions(sample_rate=audio_info(args.audio).sample_rate)
    track = compute_pitch(_samples(args, options.sample_rate), options)
    draw_pitch(track, options.frame_shift_ms / 1000, args.picture)


def _model_argument(parser: Arguments) -> None:
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/tri1")


def _phone(model: "AcousticModel", name: str) -> int:
    from hybridasr.errors import UserError

    number = model.lang.phones.get(name)
    # Disambiguation symbols and <eps> are in phones.txt, and have no HMM.
    if number is None or number not in model.transitions.topology.phones:
        raise UserError(f"no phone '{name}'; see {model.lang.path / 'phones.txt'}")
    return number


def _topology_arguments(parser: Arguments) -> None:
    _model_argument(parser)
    parser.add_argument("phone", help="name of a phone, e.g. SIL")
    add_picture(parser)


def _topology(args: argparse.Namespace) -> None:
    from hybridasr.model.directory import load_model
    from hybridasr.plots import draw_topology
    from hybridasr.plots.model_plots import phone_transitions

    model = load_model(args.model)
    arcs = phone_transitions(model.transitions, _phone(model, args.phone))
    draw_topology(arcs, args.phone, args.picture)


def _gaussians_arguments(parser: Arguments) -> None:
    parser.epilog = ("MODEL is a system of mixtures with the alignment of its training set "
                     "(ali.scp), DATA that set; without --pdf, the pdf of the phone's state with "
                     "the most frames is drawn. At most "
                     f"{MOST_FRAMES} frames, of utterances in a random order that is always the "
                     "same.")
    parser.add_argument("--pdf", type=int, help="number of the pdf")
    parser.add_argument("--phone", metavar="NAME", help="phone whose state is drawn")
    parser.add_argument("--state", type=int, default=1, help="of the phone, from 0 (1)")
    parser.add_argument("--columns", default="0,1", metavar="X,Y",
                        help="columns of the features that are drawn (0,1)")
    _model_argument(parser)
    parser.add_argument("data", type=Path, help="data directory of its training set")
    add_picture(parser)


def _gaussians(args: argparse.Namespace) -> None:
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.errors import UserError
    from hybridasr.model.directory import load_model
    from hybridasr.plots import draw_gaussians
    from hybridasr.plots.model_plots import mixture_view
    from hybridasr.report.state_frames import frames_of_pdf, state_pdf

    if (args.pdf is None) == (args.phone is None):
        raise UserError("give one of --pdf and --phone")
    if args.pdf is not None:
        refuse(args, ["state"], "with --pdf, which is of one state")
    model = load_model(args.model)
    if model.gmm is None:
        raise UserError("a network has no Gaussians; give a system of mixtures", args.model)
    pdf, title = args.pdf, f"pdf {args.pdf}"
    if args.phone is not None:
        pdf = state_pdf(model, args.model, _phone(model, args.phone), args.state)
        title = f"{args.phone}, state {args.state}, pdf {pdf}"
    if not 0 <= pdf < model.gmm.num_pdfs:
        raise UserError(f"no pdf {pdf}; the model has 0 to {model.gmm.num_pdfs - 1}", args.model)
    gmm, part = model.gmm, slice(*model.gmm.offsets[pdf:pdf + 2])
    frames = frames_of_pdf(model, args.model, read_datadir(args.data, False), pdf, MOST_FRAMES)
    view = mixture_view(frames, gmm.weights[part], gmm.means[part], gmm.variances[part],
                        _columns(args.columns, gmm.means.shape[1]))
    draw_gaussians(view, title, args.picture)


def _columns(text: str, dim: int) -> tuple[int, int]:
    from hybridasr.errors import UserError

    parts = text.split(",")
    if len(parts) != 2 or not all(part.isdigit() and int(part) < dim for part in parts):
        raise UserError(f"columns '{text}' are not two numbers from 0 to {dim - 1} with a comma "
                        "between; give for example 0,1")
    return int(parts[0]), int(parts[1])


def _tree_arguments(parser: Arguments) -> None:
    parser.add_argument("--phone", metavar="NAME", help="only the part of this phone")
    _model_argument(parser)
    add_picture(parser)


def _tree(args: argparse.Namespace) -> None:
    from hybridasr.model.directory import load_model

    draw_model_tree(load_model(args.model), args.phone, args.picture, args.model)


def _fst_arguments(parser: Arguments) -> None:
    parser.epilog = ("Without symbols, labels are numbers. For L.fst give --isymbols phones.txt "
                     "--osymbols words.txt, for G.fst words.txt twice, for HCLG.fst --model and "
                     "--osymbols words.txt.")
    parser.add_argument("--isymbols", type=Path, metavar="FILE", help="names of the inputs")
    parser.add_argument("--osymbols", type=Path, metavar="FILE", help="names of the outputs")
    parser.add_argument("--model", type=Path, help="model directory, for inputs that are "
                        "transition-ids: shown as phone and state")
    parser.add_argument("fst", type=Path, help="a transducer of OpenFst's binary form, or "
                        "graph.npz")
    add_picture(parser)


def _fst(args: argparse.Namespace) -> None:
    from hybridasr.errors import UserError
    from hybridasr.graph.arrays import DecodingGraph
    from hybridasr.graph.openfst import read_flat
    from hybridasr.lexicon.lang_files import read_symbols
    from hybridasr.model.directory import load_model
    from hybridasr.plots import draw_fst

    if args.isymbols and args.model:
        raise UserError("give one of --isymbols and --model: both name the inputs")
    fst = DecodingGraph.load(args.fst) if args.fst.suffix == ".npz" else read_flat(args.fst)
    inward, outward = ({} if path is None else
                       {number: name for name, number in read_symbols(path).items()}
                       for path in (args.isymbols, args.osymbols))
    if args.model:
        model = load_model(args.model)
        transitions = model.transitions
        inward = {tid: f"{model.lang.phone_name(int(transitions.tid_phone[tid]))}_"
                  f"{transitions.tid_hmm_state[tid]}" for tid in range(1, transitions.num_tids + 1)}
    draw_fst(fst, inward, outward, args.fst.name, args.picture)


def _utterance_arguments(parser: Arguments) -> None:
    add_decoder(parser)
    _model_argument(parser)
    parser.add_argument("audio", help="a recording that libsndfile reads, one utterance")
    add_picture(parser)


def _decoded(args: argparse.Namespace):
    """Return (recogniser, samples, what was decoded, its scores)."""
    from hybridasr.report.trace import decode_trace, feature_steps

    check_decoder(args)
    recognizer = load_decoder(args)
    samples = _samples(args, recognizer.model.features.sample_rate)
    frames = feature_steps(recognizer.model, samples).frames
    return recognizer, samples, *decode_trace(recognizer, frames)


def _alignment_arguments(parser: Arguments) -> None:
    parser.add_argument("--text", help="what is said, words of the model with blanks between "
                        "(default: what the model recognises)")
    _utterance_arguments(parser)


def _alignment(args: argparse.Namespace) -> None:
    from hybridasr.model.directory import load_model
    from hybridasr.plots import draw_alignment
    from hybridasr.report.trace import align_trace, decoded_tiers, feature_steps

    if args.text is None:
        recognizer, samples, decoded, _ = _decoded(args)
        tiers, features = decoded_tiers(recognizer.model, decoded), recognizer.model.features
    else:
        refuse(args, sorted(set(args.given) - {"text", "debug"}), "with --text, which is aligned")
        model = load_model(args.model)
        features = model.features
        samples = _samples(args, features.sample_rate)
        tiers, _ = align_trace(model, feature_steps(model, samples).frames, args.text)
    draw_alignment(samples, features, tiers, args.picture)


def _posteriogram(args: argparse.Namespace) -> None:
    from hybridasr.plots import draw_posteriogram
    from hybridasr.report.trace import phone_posteriors

    recognizer, _, _, loglikes = _decoded(args)
    posteriors, names = phone_posteriors(recognizer.model, loglikes)
    shift = recognizer.model.frame_shift
    draw_posteriogram(posteriors, names, shift, args.picture)


def _trellis(args: argparse.Namespace) -> None:
    from hybridasr.plots import draw_trellis
    from hybridasr.report.trace import search_trace

    recognizer, _, decoded, loglikes = _decoded(args)
    trace = search_trace(recognizer, decoded, loglikes)
    shift = recognizer.model.frame_shift
    draw_trellis(trace.costs, trace.best, trace.beam, shift, args.picture)


KINDS = {
    "waveform": Verb("samples over time: AUDIO PICTURE", _waveform_arguments, _waveform),
    "spectrum": Verb("spectrum of one frame, and the mel filters' view of it: AUDIO PICTURE",
                     _spectrum_arguments, _spectrum),
    "spectrogram": Verb("spectra over time: AUDIO PICTURE", _picture_of_audio, _spectrogram),
    "filterbank": Verb("the mel filters: PICTURE", _filterbank_arguments, _filterbank),
    "mfcc": Verb("features before and after normalisation: AUDIO PICTURE", _mfcc_arguments, _mfcc),
    "pitch": Verb("pitch and voicing over time: AUDIO PICTURE", _waveform_arguments, _pitch),
    "alignment": Verb("words, phones and states under the spectrogram: MODEL AUDIO PICTURE",
                      _alignment_arguments, _alignment),
    "topology": Verb("HMM of a phone with its probabilities: MODEL PHONE PICTURE",
                     _topology_arguments, _topology),
    "gaussians": Verb("Gaussians of a state and its frames: MODEL DATA PICTURE",
                      _gaussians_arguments, _gaussians),
    "tree": Verb("decision tree: MODEL PICTURE", _tree_arguments, _tree),
    "fst": Verb("a small transducer (L, G, HCLG): FST PICTURE", _fst_arguments, _fst),
    "trellis": Verb("the search's living tokens and its best path: MODEL AUDIO PICTURE",
                    _utterance_arguments, _trellis),
    "lattice": Verb("one lattice: LATTICES [WORDS] UTTERANCE PICTURE",
                    lattice_tools.show_arguments, lattice_tools.show_lattice),
    "posteriogram": Verb("probability of each phone over time: MODEL AUDIO PICTURE",
                         _utterance_arguments, _posteriogram),
    **score_pictures.KINDS,
}
VERBS = {"show": verb_of_kinds("draw a picture: KIND ARGUMENTS PICTURE", KINDS)}
