"""Owns Kaldi's GMM models in text form, in and out: transition model and diagonal mixtures.

Reads what ``gmm-copy --binary=false`` writes (``final.mdl``, gzipped or not), and writes the same.
Transition-ids keep their numbers, so alignments of both programs compare id by id.
"""

import numpy as np

from hybridasr.errors import UserError
from hybridasr.gmm.diag import DiagGmm
from hybridasr.hmm.topology import Topology, parse_topology
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.kaldi.tokens import TokenReader, open_tokens
from hybridasr.storage import PathLike


def read_model(path: PathLike) -> tuple[TransitionModel, DiagGmm]:
    """Read a Kaldi GMM model.

    Parameters
    ----------
    path : path
        Text form; gzipped if the name ends in ``.gz``.

    Returns
    -------
    (TransitionModel, DiagGmm)
        The log probabilities are the file's, not the topology's.

    Raises
    ------
    UserError
        if the file is missing, binary or damaged: names line and expected token.
    """
    reader = open_tokens(path)
    transitions = _transition_model(reader)
    gmm = _mixtures(reader)
    # A pdf without a mixture cannot be scored; a mixture that no state uses does no harm.
    if transitions.num_pdfs > gmm.num_pdfs:
        raise UserError(f"the transition model uses {transitions.num_pdfs} pdfs, the mixtures are "
                        f"{gmm.num_pdfs}; restore the file", path)
    reader.finish()
    return transitions, gmm


def kaldi_model_text(transitions: TransitionModel, gmm: DiagGmm | None) -> str:
    """Return a model in Kaldi's text form; without mixtures (a network) the transition model alone.

    Numbers have digits enough for `read_model` to give the same float32 values.
    """
    parts = ["<TransitionModel>", transitions.topology.to_text().rstrip("\n"),
             f"<Triples> {transitions.num_states}",
             *(" ".join(map(str, row)) for row in transitions.tuples.tolist()), "</Triples>",
             "<LogProbs>", f" [ {_numbers(transitions.log_probs)} ]", "</LogProbs>",
             "</TransitionModel>"]
    if gmm is not None:
        parts.append(f"<DIMENSION> {gmm.means.shape[1]} <NUMPDFS> {gmm.num_pdfs}")
        # Kaldi stores inverse variances, and means times these, as `_mixtures` reads them.
        constants, inverse = gmm.scorer().constants, 1.0 / gmm.variances
        linear = gmm.means * inverse
        for begin, end in zip(gmm.offsets[:-1], gmm.offsets[1:], strict=True):
            parts.append(_mixture_text(constants[begin:end], gmm.weights[begin:end],
                                       linear[begin:end], inverse[begin:end]))
    return "\n".join(parts) + "\n"


def kaldi_matrix_text(matrix: np.ndarray) -> str:
    """Return a matrix in Kaldi's text form.

    >>> print(kaldi_matrix_text(np.eye(2)), end="")
     [
      1 0
      0 1 ]
    """
    return " [\n" + "\n".join(f"  {_numbers(row)}" for row in matrix) + " ]\n"


def _mixture_text(constants: np.ndarray, weights: np.ndarray, linear: np.ndarray,
                  inverse: np.ndarray) -> str:
    return (f"<DiagGMM>\n<GCONSTS>  [ {_numbers(constants)} ]\n"
            f"<WEIGHTS>  [ {_numbers(weights)} ]\n"
            f"<MEANS_INVVARS> {kaldi_matrix_text(linear)}"
            f"<INV_VARS> {kaldi_matrix_text(inverse)}</DiagGMM>")


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.12g}" for value in values.tolist())


def _transition_model(reader: TokenReader) -> TransitionModel:
    reader.expect("<TransitionModel>")
    reader.expect("<Topology>")
    topology = _topology(reader)
    tuples = _tuples(reader, topology)
    # Once without the file's numbers, because it tells how many there must be: num_tids + 1, as
    # Kaldi's transition-ids count from 1.
    model = TransitionModel(topology, tuples)
    reader.expect("<LogProbs>")
    place = reader.place
    log_probs = reader.numbers("<LogProbs>", model.num_tids + 1)
    # Rounding in text form may leave a log probability of a sure transition just above 0.
    if log_probs.max() > 1e-4:
        raise reader.error(f"<LogProbs> holds {log_probs.max():g}, at most 0 is expected", place)
    reader.expect("</LogProbs>")
    reader.expect("</TransitionModel>")
    return TransitionModel(topology, tuples, log_probs)


def _topology(reader: TokenReader) -> Topology:
    body = reader.until("</Topology>")
    if "<ForwardPdfClass>" in body:
        raise reader.error("<PdfClass> is expected, <ForwardPdfClass> found: the model is one of "
                           "Kaldi's chain models, which this version does not read")
    try:
        return parse_topology(body)
    except ValueError as error:
        raise reader.error(f"<Topology> is damaged ({error})") from None


def _tuples(reader: TokenReader, topology: Topology) -> list[tuple[int, int, int]]:
    """Read (phone, HMM state, pdf), or (phone, state, pdf, pdf of the self-loop)."""
    kind = reader.expect("<Triples>", "<Tuples>")
    count = reader.integer(f"the number of {kind}", 1)
    rows: list[tuple[int, int, int]] = []
    for _ in range(count):
        place = reader.place
        phone, state = reader.integer("a phone"), reader.integer("an HMM state")
        pdf = reader.integer("a pdf", 0)
        # Only chain models have two pdfs for a state; here both numbers must be the same.
        if kind == "<Tuples>" and reader.integer("the pdf of a self-loop") != pdf:
            raise reader.error("the pdf of the self-loop differs from the forward one: the model "
                               "is one of Kaldi's chain models, which this version does not read",
                               place)
        try:
            states = topology.for_phone(phone).states[:-1]
        except UserError:
            raise reader.error(f"{kind} has phone {phone}, which <Topology> lacks",
                               place) from None
        if not 0 <= state < len(states) or states[state].pdf_class < 0:
            raise reader.error(f"{kind} has state {state} of phone {phone}, which does not emit",
                               place)
        row = (phone, state, pdf)
        if rows and row <= rows[-1]:
            # The order is the numbering of the transition-states.
            raise reader.error(f"{kind} has {row} after {rows[-1]}, ascending order is expected",
                               place)
        rows.append(row)
    reader.expect("</Triples>" if kind == "<Triples>" else "</Tuples>")
    return rows


def _mixtures(reader: TokenReader) -> DiagGmm:
    reader.expect("<DIMENSION>")
    dim = reader.integer("the dimension", 1)
    reader.expect("<NUMPDFS>")
    parts = [_mixture(reader, pdf, dim)
             for pdf in range(reader.integer("the number of pdfs", 1))]
    weights, linear, inverse = (np.concatenate(column) for column in zip(*parts, strict=True))
    offsets = np.cumsum([0] + [len(part[0]) for part in parts]).astype(np.int64)
    # Kaldi stores inverse variances and means times these: its log likelihood is then linear in
    # them.
    return DiagGmm(weights, linear / inverse, 1.0 / inverse, offsets)


def _mixture(reader: TokenReader, pdf: int,
             dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read weights (n,), means times inverse variances (n, dim), inverse variances (n, dim)."""
    reader.expect("<DiagGMM>")
    constants = None
    if reader.peek() == "<GCONSTS>":
        reader.expect("<GCONSTS>")
        # They follow from the rest; only their number is of use.
        constants = reader.numbers(f"<GCONSTS> of pdf {pdf}")
    reader.expect("<WEIGHTS>")
    place = reader.place
    name = f"<WEIGHTS> of pdf {pdf}"
    weights = reader.numbers(name, None if constants is None else len(constants))
    if len(weights) == 0 or weights.min() <= 0:
        raise reader.error(f"{name} has {len(weights)} numbers, the least "
                           f"{weights.min(initial=np.inf):g}; numbers above 0 are expected", place)
    shape = (len(weights), dim)
    reader.expect("<MEANS_INVVARS>")
    linear = reader.numbers(f"<MEANS_INVVARS> of pdf {pdf}", len(weights) * dim).reshape(shape)
    reader.expect("<INV_VARS>")
    place = reader.place
    name = f"<INV_VARS> of pdf {pdf}"
    inverse = reader.numbers(name, len(weights) * dim).reshape(shape)
    if inverse.min() <= 0:
        raise reader.error(f"{name} holds {inverse.min():g}; numbers above 0 are expected",
                           place)
    reader.expect("</DiagGMM>")
    return weights, linear, inverse
