"""Owns the way out to Kaldi: a model directory as Kaldi's programs read it, in text form.

final.mdl           transition model and mixtures; of a network the transition model alone
final.alimdl        the speaker-independent mixtures of a speaker-adaptive system
final.mat           LDA and MLLT; splice_opts, delta_opts, cmvn_opts the steps before it
tree, phones.txt    and lang/, the text files of the lang directory
ali.1.gz            alignments, where the model has any; num_jobs
Transition-ids are Kaldi's own numbers, both ways: phones, states and pdfs in ascending order.
"""

import gzip
from pathlib import Path

from hybridasr.errors import UserError
from hybridasr.features.archives import read_ark
from hybridasr.kaldi.model_text import kaldi_matrix_text, kaldi_model_text
from hybridasr.kaldi.tree_text import kaldi_tree_text
from hybridasr.model.acoustic import AcousticModel
from hybridasr.model.directory import copy_lang, load_model
from hybridasr.storage import PathLike, atomic_write, read_text, write_text

MODEL = "final.mdl"
_OPTIONAL = ("final.alimdl", "final.mat", "ali.1.gz", "num_jobs")


def export_kaldi(source: PathLike, destination: PathLike) -> str:
    """Write a model directory in Kaldi's form; return the closing line.

    Raises
    ------
    UserError
        if `source` is no model directory, or both are the same.
    """
    source, destination = Path(source), Path(destination)
    if destination.exists() and destination.samefile(source):
        raise UserError("is the model itself; give another directory", destination)
    model = load_model(source)
    for name in (MODEL, *_OPTIONAL):  # of an earlier run
        (destination / name).unlink(missing_ok=True)
    for name, text in _texts(model).items():
        write_text(destination / name, text)
    copy_lang(model.lang.path, destination / "lang")
    write_text(destination / "phones.txt", read_text(destination / "lang" / "phones.txt"))
    count = _write_alignments(source / "ali.ark", destination)
    # Last: a directory with a model is whole.
    write_text(destination / MODEL, kaldi_model_text(model.transitions, model.gmm))
    what = ("transition model and tree of a network" if model.gmm is None
            else f"{model.gmm.num_pdfs} pdfs, {model.gmm.num_gaussians} Gaussians")
    return f"{destination}: {what}, {model.transitions.num_tids} transition-ids, {count} alignments"


def _texts(model: AcousticModel) -> dict[str, str]:
    steps = model.pipeline
    texts = {
        "tree": kaldi_tree_text(model.tree),
        "cmvn_opts": f"--norm-means=true --norm-vars={str(steps.norm_vars).lower()}\n",
        "delta_opts": f"--delta-order={steps.delta_order} --delta-window={steps.delta_window}\n",
        "splice_opts": f"--left-context={steps.splice_left} --right-context={steps.splice_right}\n",
    }
    if model.adaptation is not None:
        texts["final.alimdl"] = kaldi_model_text(model.transitions, model.adaptation.gmm)
    if model.transform is not None:
        texts["final.mat"] = kaldi_matrix_text(model.transform)
    return texts


def _write_alignments(archive: Path, destination: Path) -> int:
    """Write alignments as a packed text archive; return how many there are."""
    if not archive.is_file():
        return 0
    count = 0
    with atomic_write(destination / "ali.1.gz", "wb") as packed, \
            gzip.GzipFile("", "wb", fileobj=packed, mtime=0) as file:
        for name, ids in read_ark(archive):
            file.write(f"{name} {' '.join(map(str, ids.tolist()))} \n".encode())
            count += 1
    write_text(destination / "num_jobs", "1\n")
    return count
