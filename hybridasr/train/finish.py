"""Owns the end of a training: the last alignment, the figures, the model directory.

Beside the model lies the alignment of the training set with it (``ali.ark``, ``ali.scp``) and, of a
speaker-adaptive system, the speakers' transforms (``trans.ark``, ``trans.scp``), from which the
next system starts.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from hybridasr.checkpoint import CHECKPOINT
from hybridasr.corpus.datadir import DataDir
from hybridasr.hmm.durations import estimate_durations
from hybridasr.model.acoustic import AcousticModel, Adaptation
from hybridasr.model.alignments import write_alignments, write_transforms
from hybridasr.model.directory import save_model
from hybridasr.options import to_dict
from hybridasr.storage import digest, read_text, write_text
from hybridasr.train.blocks import block_digest, by_utterance, remove_blocks
from hybridasr.train.em import Clock, TrainState, align_all, training_info
from hybridasr.train.passes import PassResult
from hybridasr.tree.show import tree_text


def run_digest(state: TrainState, options: Any) -> str:
    """Return a digest of everything that a training depends on."""
    model = state.model
    # All that changes the result, and nothing else: not --nj, not where the files lie.
    return digest(to_dict(options), to_dict(model.features), to_dict(model.pipeline),
                  read_text(model.lang.path / "topo"), read_text(model.lang.path / "lexiconp.txt"),
                  model.tree.to_dict(), *(block_digest(ref) for ref in state.refs),
                  *(alignment.tobytes() for alignment in state.alignments))


def finish(data: DataDir, state: TrainState, result: PassResult, options: Any, clock: Clock,
           destination: Path, pool: Any, adaptation: Adaptation | None = None) -> AcousticModel:
    """Align once more, write the model directory and remove what only the training needed."""
    # The alignments belong to the last model, the next system starts from them.
    last = align_all(state, options.em.align, pool, "last alignment", collect=False)
    state = replace(state, alignments=last.alignments)
    clock.add("align", last.align_seconds)
    alignments = dict(by_utterance(state.refs, state.alignments))
    write_alignments(destination, alignments.items())
    write_transforms(destination, state.speakers)
    model = replace(state.model, info=training_info(state, result, options, clock),
                    adaptation=adaptation,
                    durations=estimate_durations(alignments.values(), state.model.transitions,
                                                 state.model.lang.nonsilence_phones))
    names = {number: name for name, number in model.lang.phones.items()}
    write_text(destination / "tree.txt", tree_text(model.tree, names) + "\n")
    save_model(model, destination)
    (destination / CHECKPOINT).unlink(missing_ok=True)
    remove_blocks(state.refs)
    return model
