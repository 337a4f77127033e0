"""Takes words that were never trained as commands, the other words of the set being outside.

    tools/bench/bench_new_words.py MODEL DATA [--draws 3]

MODEL is calibrated, DATA has features of its kind and holds words that were not in the training
(words_zh: exp/dnn and data/network/test). Half of the words, at most 100, are the commands of a
draw. Printed: per cent of utterances, as in the second table of a recipe.
"""

import argparse
import time
from pathlib import Path

from hybridasr.batch.spot_set import spot_set
from hybridasr.corpus.datadir import read_datadir
from hybridasr.evaluation.calibrate import DrawOptions, draw_lists
from hybridasr.evaluation.spotting import decision_figures
from hybridasr.model.directory import load_model
from hybridasr.parallel import executor
from hybridasr.score.result_table import DECISION_COLUMNS, format_table


def main() -> None:
    """Decode with each list, print its figures."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--nj", type=int, default=2)
    args = parser.parse_args()
    data, lang = read_datadir(args.data), load_model(args.model).lang
    lists = draw_lists(data, DrawOptions(draws=args.draws), lang)
    with executor(args.nj) as pool:
        rows = [decision_figures(trials) for trials in spot_set(args.model, data, lists, pool)]
    print(time.strftime("%Y-%m-%d"), args.model)
    print(format_table(rows, [name for name in DECISION_COLUMNS if name in rows[0]]))


if __name__ == "__main__":
    main()
