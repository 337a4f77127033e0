"""Owns the verbs on language: lexicon and lang directory, decoding graph."""

import argparse
from pathlib import Path

from hybridasr.cli.verb import Verb, check_output, refuse


def _lang_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.lexicon.langdir import LangOptions
    from hybridasr.options import add_options

    parser.add_argument("--lexicon", type=Path, metavar="FILE",
                        help="own pronunciations (<word> <phone> ...), which win over all others")
    parser.add_argument("--oov", default="error", choices=("error", "guess", "spn"),
                        help="a word without pronunciation: stop, guess, or spoken noise (error)")
    parser.add_argument("--mix-phones", action="store_true", help="look words that --lexicon lacks "
                        "up in the built-in tables, even if its phones are others")
    parser.add_argument("--oov-word", default="<UNK>", metavar="WORD", help="the word of a "
                        "dictionary directory that stands for unknown ones (<UNK>)")
    add_options(parser, LangOptions)
    parser.epilog = ("A dictionary directory holds lexicon.txt, lexiconp.txt or "
                     "lexiconp_silprob.txt with silprob.txt; silence_phones.txt, "
                     "nonsilence_phones.txt, optional_silence.txt; and perhaps "
                     "extra_questions.txt. Nothing is added to it.")
    parser.add_argument("words", type=Path, nargs="+",
                        help="data directories (their text) and command lists, templates or JSGF; "
                        "or one dictionary directory of Kaldi's form")
    parser.add_argument("lang", type=Path, help="the lang directory to write")


def _prepare_lang(args: argparse.Namespace) -> None:
    from hybridasr.errors import UserError
    from hybridasr.graph.mklang import make_dict_lang, make_lang
    from hybridasr.lexicon.dict_dir import is_dict_dir
    from hybridasr.lexicon.langdir import LangOptions
    from hybridasr.lexicon.silence_probs import find_silence_probs
    from hybridasr.options import from_args

    dictionaries = [path for path in args.words if is_dict_dir(path)]
    if dictionaries:
        if len(args.words) > 1:
            raise UserError("is a dictionary directory, which brings all words; give it alone",
                            dictionaries[0])
        check_output(args.lang, dictionaries)
        refuse(args, ["lexicon", "oov", "mix_phones"], "on a dictionary directory")
        if find_silence_probs(dictionaries[0]) is not None:
            refuse(args, ["sil_prob"], "on a dictionary with silprob.txt")
        make_dict_lang(dictionaries[0], args.lang, from_args(LangOptions, args), args.oov_word)
        return
    refuse(args, ["oov_word"], "without a dictionary directory")
    for path in args.words:
        if path.is_dir() and not (path / "text").is_file():
            raise UserError("is neither a data directory (wav.scp, utt2spk, text) nor a dictionary "
                            "directory (lexicon.txt, nonsilence_phones.txt ...)", path)
    make_lang(args.words, args.lang, from_args(LangOptions, args), args.oov, args.lexicon,
              args.mix_phones, ("--oov", "--mix-phones"))


def _graph_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.graph.self_loops import GraphOptions
    from hybridasr.lm import GRAMMARS
    from hybridasr.options import add_options

    parser.add_argument("--grammar", default="commands", choices=GRAMMARS, help="commands: one "
                        "an utterance; loop: any number; ngram: from --arpa; rules: templates or "
                        "JSGF of --commands, with weights and repetitions (commands)")
    parser.add_argument("--commands", type=Path, metavar="FILE",
                        help="command list, templates or JSGF (default: every word of the lexicon)")
    parser.add_argument("--arpa", type=Path, metavar="FILE", help="language model for ngram, "
                        "ARPA or binary")
    parser.add_argument("--lexicon", type=Path, metavar="FILE", help="own pronunciations (<word> "
                        "<phone> ...) in the model's phones, which win over all others")
    parser.add_argument("--lang", type=Path, metavar="DIR", help="lang directory whose words take "
                        "the place of the model's; its phones must be the model's by name")
    add_options(parser, GraphOptions)
    parser.epilog = ("Words that the model does not know are looked up in --lexicon and in the "
                     "built-in tables; nothing is trained. The graph keeps its words beside it.")
    parser.add_argument("model", type=Path, help="model directory, e.g. exp/mono")
    parser.add_argument("graph", type=Path, nargs="?", help="graph directory (MODEL/graph)")


def _mkgraph(args: argparse.Namespace) -> None:
    from hybridasr.graph.mkgraph import WordSources, find_words, make_graph
    from hybridasr.graph.self_loops import GraphOptions, natural_scales
    from hybridasr.model.directory import load_model
    from hybridasr.options import change_options, given_options
    from hybridasr.progress import logger

    if args.grammar == "ngram":
        refuse(args, ["commands"], "on the grammar ngram, which is made of --arpa")
    else:
        refuse(args, ["arpa"], f"on the grammar {args.grammar}", "give --grammar ngram")
    model = load_model(args.model)
    scales = change_options(natural_scales(model.transitions.topology),
                            **given_options(GraphOptions, args))
    words = find_words(model.lang, args.grammar, WordSources(
        args.commands, args.arpa, args.lexicon, args.lang))
    logger.info("%s", make_graph(words.lang, model.transitions, model.tree,
                                 args.graph or args.model / "graph", args.grammar, words.phrases,
                                 words.ngram, scales, words.reasons,
                                 words.net))


VERBS = {
    "prepare-lang": Verb("lexicon and lang directory for the words of data and command lists",
                         _lang_arguments, _prepare_lang),
    "mkgraph": Verb("build the decoding graph of a model", _graph_arguments, _mkgraph),
}
