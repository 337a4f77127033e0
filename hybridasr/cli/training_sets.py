"""Owns the verbs on training sets: how words were said, which utterances fit their transcripts."""

import argparse
from collections.abc import Callable
from pathlib import Path

from hybridasr.cli.verb import Verb, add_nj, check_output


def _prons_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = ("Writes into DIR: prons.1.gz, pron_counts.int, pron_counts.txt, "
                     "pron_counts_nowb.txt, pron_perutt_nowb.txt, sil_counts_nowb.txt and "
                     "pron_bigram_counts_nowb.txt, as Kaldi's get_prons.sh.")
    parser.add_argument("data", type=Path, help="data directory: the transcripts")
    parser.add_argument("lang", type=Path, help="lang directory that it was aligned with")
    parser.add_argument("directory", type=Path, metavar="dir",
                        help="alignment directory, or a system with its own alignments")


def _get_prons(args: argparse.Namespace) -> None:
    from hybridasr.batch.spoken_prons import get_prons
    from hybridasr.corpus.datadir import read_datadir
    from hybridasr.lexicon.langdir import read_lang
    from hybridasr.progress import logger

    logger.info("%s", get_prons(read_datadir(args.data), read_lang(args.lang), args.directory))


def _pronprobs_arguments(parser: argparse.ArgumentParser) -> None:
    from hybridasr.options import parse_bool

    parser.add_argument("--max-normalize", type=parse_bool, default=True, metavar="true|false",
                        help="divide by the probability of a word's best pronunciation (true)")
    parser.epilog = ("Writes a dictionary directory with lexiconp.txt and, with the counts of "
                     "silences and pairs, lexiconp_silprob.txt and silprob.txt, for prepare-lang.")
    parser.add_argument("paths", type=Path, nargs="+",
                        metavar="DICT PRON_COUNTS [SIL_COUNTS BIGRAM_COUNTS] NEW_DICT",
                        help="dictionary directory, or lang directory of looked-up words; "
                        "pron_counts_nowb.txt, sil_counts_nowb.txt and "
                        "pron_bigram_counts_nowb.txt of get-prons; the directory to write")


def _add_pronprobs(args: argparse.Namespace) -> None:
    from hybridasr.errors import UserError
    from hybridasr.lexicon.dict_dir import Dictionary, read_dict_dir, write_dict_dir
    from hybridasr.lexicon.lang_dictionary import dictionary_of
    from hybridasr.lexicon.langdir import read_lang
    from hybridasr.lexicon.pron_counts import (
        estimate_prons,
        estimate_silence,
        least_likely,
        read_pron_counts,
    )
    from hybridasr.progress import logger

    if len(args.paths) not in (3, 5):
        raise UserError("dict-dir-add-pronprobs wants DICT PRON_COUNTS [SIL_COUNTS BIGRAM_COUNTS] "
                        f"NEW_DICT, {len(args.paths)} arguments are there")
    source, *files, destination = args.paths
    check_output(destination, [source])
    counts = read_pron_counts(*files)
    # The lang directory of words that were looked up is their dictionary, too.
    dictionary = (dictionary_of(read_lang(source)) if (source / "lang.json").is_file()
                  else read_dict_dir(source))
    lexicon = estimate_prons(dictionary.lexicon, counts, files[0], args.max_normalize)
    silences = estimate_silence(lexicon, counts) if len(files) == 3 else None
    write_dict_dir(destination, Dictionary(lexicon, dictionary.phone_set, silences))
    several = sum(len(prons) > 1 for prons in lexicon.entries.values())
    logger.info("%s: %d words, %d of them with several pronunciations%s", destination,
                len(lexicon.entries), several,
                f", share of silence {silences.overall:g}" if silences else "")
    if several:
        print("the least likely pronunciations:")
        for probability, text in least_likely(lexicon):
            print(f"{probability:8.4f} {text}")


def _clean_arguments(kind: str) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        from hybridasr.batch import cleanup
        from hybridasr.options import add_options

        add_nj(parser)
        add_options(parser, getattr(cleanup, kind))
        parser.epilog = ("Writes ctm_edits, segments, text and worst into WORK, and a data "
                         "directory of what fits; run make-feats on it.")
        parser.add_argument("data", type=Path, help="data directory; features of the model's kind "
                            "are made into DATA/.features if it has none")
        parser.add_argument("lang", type=Path, help="lang directory of the same phones")
        parser.add_argument("model", type=Path, help="model directory, e.g. exp/tri3b")
        parser.add_argument("work", type=Path, help="where the comparison is written")
        parser.add_argument("cleaned", type=Path, help="the data directory to write")

    return add


def _clean(kind: str) -> Callable[[argparse.Namespace], None]:
    def run(args: argparse.Namespace) -> None:
        from hybridasr.batch import cleanup
        from hybridasr.corpus.datadir import read_datadir
        from hybridasr.lexicon.langdir import read_lang
        from hybridasr.options import from_args
        from hybridasr.parallel import executor

        check_output(args.cleaned, [args.data])
        with executor(args.nj) as pool:
            lines = cleanup.clean_set(read_datadir(args.data), read_lang(args.lang), args.model,
                                      args.work, args.cleaned, pool,
                                      from_args(getattr(cleanup, kind), args))
        print("\n".join(lines))

    return run


VERBS = {
    "clean-data": Verb("keep of a set what its transcripts fit: DATA LANG MODEL WORK CLEANED",
                       _clean_arguments("CleanOptions"), _clean("CleanOptions")),
    "segment-long": Verb("cut long recordings with transcripts into utterances: DATA LANG MODEL "
                         "WORK SEGMENTED", _clean_arguments("LongOptions"), _clean("LongOptions")),
    "get-prons": Verb("count the pronunciations and silences of alignments: DATA LANG DIR",
                      _prons_arguments, _get_prons),
    "dict-dir-add-pronprobs": Verb("give a dictionary directory the probabilities of what was said",
                                   _pronprobs_arguments, _add_pronprobs),
}
