"""Owns the rescoring of the lattices of a set: another language model's costs in their place.

`exchanged` and `mixed_with_neural` say which costs each lattice gets; `rescore_set` goes through
the set, and checks that the old model is the lattices'.
"""

from collections.abc import Callable
from pathlib import Path

from hybridasr.batch.decode_dir import LATTICES, LatticeSource
from hybridasr.errors import UserError, name_some
from hybridasr.lattice.lattice import CompactLattice
from hybridasr.lattice.lattice_text import lattice_writer
from hybridasr.lattice.lm_check import LmCheck
from hybridasr.lattice.lm_rescore import LmCosts, rescore_lattice
from hybridasr.lattice.neural_costs import MixedCosts, NeuralCosts
from hybridasr.lattice.shortest import LatticeScales, best_paths, prune_lattice
from hybridasr.nnlm.neural_lm import NeuralLm
from hybridasr.progress import logger, progress

# A lattice, as it is to be rescored, and the model whose costs it gets.
Change = Callable[[CompactLattice], tuple[CompactLattice, LmCosts]]


def exchanged(new: LmCosts) -> Change:
    """Give every lattice the costs of one model."""
    return lambda lattice: (lattice, new)


def mixed_with_neural(source: LatticeSource, old: LmCosts, model: NeuralLm, weight: float,
                      order: int, beam: float | None = None) -> Change:
    """Give every lattice the costs of a mixture of a neural model and the lattices' own.

    Parameters
    ----------
    weight : float
        Share of the neural model, 0 to 1; `old` has the rest.
    order : int
        Histories with the same last `order` - 1 words are one to the neural model.
    beam : float, optional
        Leave out before what is so much worse than the best path.
    """
    def change(lattice: CompactLattice) -> tuple[CompactLattice, LmCosts]:
        if beam is not None:
            lattice = prune_lattice(lattice, beam, source.acoustic_scale)
        return lattice, MixedCosts(old, NeuralCosts(model, lattice, source.names, order), weight)

    return change


def rescore_set(source: LatticeSource, old: LmCosts, change: Change, out: Path,
                old_name: object, new_name: object) -> None:
    """Write each lattice that `change` returns with the costs of the model that it returns.

    Parameters
    ----------
    old : LmCosts
        The model that the lattices were decoded with; a warning says so if it cannot be.
    out : path
        The archive; named ``lat.1.gz`` it makes its folder a decode directory.
    old_name, new_name
        For messages.

    Raises
    ------
    UserError
        if the old model cannot say a path, or nothing is left of any lattice.
    """
    record = source.record
    check = LmCheck(old, source.acoustic_scale, record.lm_scale, record.word_ins_penalty)
    unsayable, empty, count = set(), [], 0
    with lattice_writer(out) as writer:
        for key, whole in progress(source.lattices(), desc="rescoring", unit="lattices"):
            check.add(whole)
            lattice, new = change(whole)
            try:
                other, words = rescore_lattice(lattice, old, new, source.names, record.lm_scale)
            except UserError as error:
                raise error.within(f"{old_name}: lattice of '{key}'") from None
            unsayable |= words
            empty += [key] * (other.num_states == 0 < lattice.num_states)
            count += 1
            writer.write(key, other)
        if empty and len(empty) == count:
            raise UserError("can say no path of any lattice; give a language model of their words",
                            str(new_name))
    if out.name == LATTICES:
        record.write(out.parent)
    if check.doubtful:
        logger.warning("%s: the graph costs of the lattices are not those of this model; give the "
                       "one that the graph was made with", old_name)
    if unsayable:
        logger.warning("%s cannot say %s: paths with them are left out%s", new_name,
                       name_some(sorted(source.names[word] for word in unsayable)),
                       f"; nothing is left of {name_some(empty)}" if empty else "")


def best_words(source: LatticeSource) -> dict[str, list[str]]:
    """Return the words of the best path of every lattice at its own scale; none of an empty one."""
    scales = [LatticeScales(source.acoustic_scale)]
    paths = ((name, best_paths(lattice, scales)[0]) for name, lattice in source.lattices())
    return {name: [] if path is None else [source.names[word] for word in path.words]
            for name, path in paths}
