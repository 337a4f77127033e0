"""Owns the verbs that train systems, named as Kaldi's steps/train_*.sh."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridasr.cli.search_options import check_adaptation
from hybridasr.cli.verb import Verb, add_nj, check_output, refuse

if TYPE_CHECKING:
    from hybridasr.model.acoustic import AcousticModel


def add_oov_share(parser: argparse.ArgumentParser) -> None:
    """Add --max-oov-share."""
    from hybridasr.lexicon.transcripts import MAX_OOV_SHARE

    parser.add_argument("--max-oov-share", type=float, default=MAX_OOV_SHARE, metavar="SHARE",
                        help="refuse a set of whose words the lang directory lacks more than this "
                        f"share; fewer become its unknown word ({MAX_OOV_SHARE})")


def read_training_set(data: Path, lang: Path, max_oov_share: float) -> tuple[Any, Any]:
    """Read data and lang directory, and refuse them if too few words are in both."""
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.lexicon.langdir import read_lang
    from hybridasr.lexicon.transcripts import limit_unknown_words

    both = read_datadir(data), read_lang(lang)
    limit_unknown_words(*both, max_oov_share)
    return both


def _mono_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.features.pipeline import PipelineOptions
    from hybridasr.options import add_options
    from hybridasr.train.mono import MonoOptions

    add_nj(parser)
    add_options(parser, MonoOptions)
    add_options(parser, PipelineOptions)
    add_oov_share(parser)
    for name in ("data", "lang", "exp"):
        parser.add_argument(name, type=Path)


def _train_mono(args: argparse.Namespace) -> None:
    from hybridasr.features.feature_kind import read_feature_options
    from hybridasr.features.pipeline import PipelineOptions
    from hybridasr.options import from_args, to_dict
    from hybridasr.parallel import executor
    from hybridasr.progress import job_log, logger
    from hybridasr.train.em import training_line
    from hybridasr.train.mono import MonoOptions, train_mono

    options = from_args(MonoOptions, args)
    # The log begins with the options, so that a result can be explained later.
    log = args.exp / "log" / "train.log"
    with executor(args.nj) as pool, job_log(log, "hybridasr train-mono", to_dict(options)):
        model = train_mono(*read_training_set(args.data, args.lang, args.max_oov_share),
                           read_feature_options(args.data), from_args(PipelineOptions, args),
                           args.exp, pool, options)
        logger.info("%s", training_line(args.exp, model.info, args.nj))


def _arguments(kind: str) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        from hybridasr.options import add_options
        from hybridasr.train.ladder import TRAINERS

        add_nj(parser)
        add_options(parser, TRAINERS[kind].options)
        add_oov_share(parser)
        parser.add_argument("paths", nargs="+", metavar="[NUMLEAVES TOTGAUSS] DATA LANG ALI EXP",
                            help="sizes as in Kaldi's steps (or --numleaves and --totgauss); data "
                            "and lang directories; an earlier system or alignment directory; "
                            "where the new one goes")

    return add


def _train(kind: str) -> Callable[[argparse.Namespace], None]:
    def run(args: argparse.Namespace) -> None:
        from hybridasr.errors import UserError
        from hybridasr.options import from_args, to_dict
        from hybridasr.parallel import executor
        from hybridasr.progress import job_log, logger
        from hybridasr.train.em import training_line
        from hybridasr.train.ladder import TRAINERS

        words = list(args.paths)
        # Kaldi's scripts give both numbers first; two data directories with such names do not
        # occur.
        if len(words) == 6 and words[0].isdecimal() and words[1].isdecimal():
            refuse(args, ("numleaves", "totgauss"), "beside the arguments NUMLEAVES TOTGAUSS")
            args.numleaves, args.totgauss = int(words[0]), int(words[1])
            words = words[2:]
        if len(words) != 4:
            raise UserError(f"train-{kind} wants [NUMLEAVES TOTGAUSS] DATA LANG ALI EXP, "
                            f"{len(args.paths)} arguments are there")
        data, lang, source, destination = map(Path, words)
        check_output(destination, [data, lang, source])
        options = from_args(TRAINERS[kind].options, args)
        log = destination / "log" / "train.log"
        with executor(args.nj) as pool, job_log(log, f"hybridasr train-{kind}", to_dict(options)):
            model = TRAINERS[kind].train(*read_training_set(data, lang, args.max_oov_share), source,
                                         destination, pool, options)
            logger.info("%s", training_line(destination, model.info, args.nj))

    return run


def _network(kind: str) -> tuple[type, Callable[..., Any], Callable[..., str]]:
    """Return options, training and closing line of a kind of network; imported when wanted."""
    if kind == "chain":
        from hybridasr.train.chain import chain_line, train_chain
        from hybridasr.train.chain_options import ChainOptions

        return ChainOptions, train_chain, chain_line
    from hybridasr.train.dnn import network_line, train_dnn
    from hybridasr.train.nnet_options import DnnOptions

    return DnnOptions, train_dnn, network_line


def _network_arguments(kind: str) -> Callable[[argparse.ArgumentParser], None]:
    def arguments(parser: argparse.ArgumentParser) -> None:
        from hybridasr.options import add_options

        add_nj(parser)
        if kind == "chain":
            parser.epilog = ("The features of DATA may be of another kind than those of the "
                             "alignments; the tree is grown anew. Make the graph with mkgraph, "
                             "and choose the acoustic scale with tune-scale.")
        add_options(parser, _network(kind)[0])
        add_oov_share(parser)
        for name in ("data", "lang", "ali", "exp"):
            parser.add_argument(name, type=Path)

    return arguments


def _train_network(kind: str) -> Callable[[argparse.Namespace], None]:
    def run(args: argparse.Namespace) -> None:
        from hybridasr.options import from_args, to_dict
        from hybridasr.parallel import executor
        from hybridasr.progress import job_log, logger

        options_class, train, line = _network(kind)
        options, log = from_args(options_class, args), args.exp / "log" / "train.log"
        teacher = to_dict(options).get("teacher")
        check_output(args.exp, [args.data, args.lang, args.ali,
                                *([Path(teacher)] if teacher else [])])
        with executor(args.nj) as pool, job_log(log, f"hybridasr train-{kind}", to_dict(options)):
            model = train(*read_training_set(args.data, args.lang, args.max_oov_share), args.ali,
                          args.exp, pool, options, args.nj)
            logger.info("%s", line(args.exp, model.info))

    return run


def _align_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.batch.align_set import OutputOptions
    from hybridasr.decode.align import AlignOptions
    from hybridasr.model.adaptation import AdaptOptions
    from hybridasr.options import add_options

    add_nj(parser)
    parser.epilog = (
        "Writes words.ctm and phones.ctm (a label a line: <recording> <channel> <start> <dur> "
        "<label>, times in the recording), ali.ark, outliers.txt and, if asked for, states.ctm and "
        "TextGrids.")
    for options in (AlignOptions, AdaptOptions, OutputOptions):
        add_options(parser, options)
    add_oov_share(parser)
    parser.add_argument("data", type=Path, help="data directory; features of the model's kind are "
                        "made into DATA/.features if it has none")
    parser.add_argument("lang", type=Path, help="lang directory of the same phones")
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/tri1")
    parser.add_argument("ali", type=Path, help="the alignment directory to write")


def _align(args: argparse.Namespace) -> None:
    from hybridasr.batch.align_set import OutputOptions, align_set
    from hybridasr.decode.align import AlignOptions, natural_options
    from hybridasr.model.adaptation import AdaptOptions
    from hybridasr.model.directory import load_model
    from hybridasr.options import change_options, from_args, given_options, to_dict
    from hybridasr.output.outliers import report_head
    from hybridasr.parallel import executor
    from hybridasr.progress import job_log, logger

    check_output(args.ali, [args.data, args.lang, args.model])
    check_adaptation(args, args.model)
    both = read_training_set(args.data, args.lang, args.max_oov_share)
    model = load_model(args.model)
    natural = natural_options(model.transitions.topology, model.subsampling)
    options = change_options(natural, **given_options(AlignOptions, args))
    log = args.ali / "log" / "align.log"
    with executor(args.nj) as pool, job_log(log, "hybridasr align", to_dict(options)):
        line = align_set(*both, args.model, args.ali, pool, options,
                         from_args(AdaptOptions, args), from_args(OutputOptions, args))
        logger.info("%s", line)
    print(report_head(args.ali / "outliers.txt"))


def _tree_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--phone", metavar="NAME", help="only the part of this phone")
    parser.add_argument("--pdf", type=int, metavar="N",
                        help="say which phones and which questions lead to this pdf")
    parser.add_argument("--picture", type=Path, metavar="FILE",
                        help="draw it (.svg, .png or .pdf; needs matplotlib)")
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/tri1")


def _show_tree(args: argparse.Namespace) -> None:
    from hybridasr.model.directory import load_model
    from hybridasr.tree.show import explain_pdf, tree_text

    model = load_model(args.model)
    tree, names = _tree_of(model, args.phone, args.model)
    if args.pdf is not None:
        print(explain_pdf(tree, args.pdf, names))
    # The picture and the explanation replace the text, which may have thousands of lines.
    elif args.picture is None:
        print(tree_text(tree, names))
    if args.picture is not None:
        draw_model_tree(model, args.phone, args.picture, args.model)


def draw_model_tree(model: "AcousticModel", phone: str | None, picture: Path, path: Path) -> None:
    """Draw the tree of a model, or the part of one phone; `path` is its directory."""
    from hybridasr.plots import draw_tree

    draw_tree(*_tree_of(model, phone, path), picture)


def _tree_of(model: "AcousticModel", phone: str | None, path: Path):
    """Return (tree, names of phones); of one phone, its part of the tree."""
    from hybridasr.errors import UserError
    from hybridasr.tree.show import pruned

    names = {number: name for name, number in model.lang.phones.items()}
    if phone is None:
        return model.tree, names
    # Disambiguation symbols and <eps> are in phones.txt, but no tree knows them.
    if phone not in model.lang.phones or phone.startswith(("#", "<")):
        raise UserError(f"no phone '{phone}'; see {path / 'lang' / 'phones.txt'}")
    return pruned(model.tree, model.lang.phones[phone]), names


_HELP = {  # beside TRAINERS, whose import would load every trainer for a mere --help
    "deltas": "train triphones on features with deltas",
    "lda-mllt": "train triphones on LDA+MLLT features",
    "sat": "train a speaker-adaptive system (fMLLR)",
    "quick": "train a new tree on a speaker-adaptive system, without starting over",
}
VERBS = {
    "train-mono": Verb("train a monophone GMM-HMM: DATA LANG EXP", _mono_arguments, _train_mono),
    **{f"train-{kind}": Verb(f"{text}: DATA LANG ALI EXP", _arguments(kind), _train(kind))
       for kind, text in _HELP.items()},
    "train-dnn": Verb("train a network on the alignments of a system: DATA LANG ALI EXP",
                      _network_arguments("dnn"), _train_network("dnn")),
    "train-chain": Verb("train a network by lattice-free MMI: DATA LANG ALI EXP",
                        _network_arguments("chain"), _train_network("chain")),
    "align": Verb("align a data directory: DATA LANG MODEL ALI; phones, words, states, outliers",
                  _align_arguments, _align),
    "show-tree": Verb("print or draw the decision tree of a model, or explain a pdf",
                      _tree_arguments, _show_tree),
}
