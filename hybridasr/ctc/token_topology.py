"""Owns T: the states, tree and transitions that make a CTC network an acoustic model.

A label lasts one frame or more, and blanks may follow it; before a label like the one before there
must be one (between equal labels CTC needs a blank). As HMM states of a phone:

    0  its label, or, after a phone of the same label, a blank that cannot be left out
    1  its label after such a blank
    2  blanks behind the label, if any

The optional silence between words is nothing but blanks. So the pdfs are the network's classes,
and graphs, search and alignment are those of any other model. What a state may not do in a context
is a transition of probability 0, which no graph has (`hmm.transitions.IMPOSSIBLE`). Miao, Gowayyed
and Metze, "EESEN: end-to-end speech recognition using deep RNN models and WFST-based decoding",
2015, has the same T as a transducer of its own.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from hybridasr.ctc.ctc_loss import BLANK
from hybridasr.errors import UserError
from hybridasr.hmm.topology import HmmState, Topology, TopologyEntry
from hybridasr.hmm.transitions import IMPOSSIBLE, TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.phones import base_phone
from hybridasr.tree.tree import PDF_CLASS, DecisionTree, Leaf, Node, Split, Table, allowed_tuples

FIRST, AGAIN, BEHIND, END = range(4)  # HMM states of a phone
# All transitions of a state have one probability, so that all paths of an utterance cost alike;
# blanks behind a label are a little dearer than a pause, which takes the long ones.
STAY, STAY_BEHIND = 0.5, 0.4


def phone_labels(lang: Lang) -> dict[int, int]:
    """Return the label of every phone that is no pause; 1 is the first.

    Variants of a phone by its place in the word share a label.

    Raises
    ------
    UserError
        if the lang directory allows no silence, which stands for the blanks around words.
    """
    if lang.sil_prob == 0 and lang.silence_probs is None:
        raise UserError("has no silence between words, which stands for CTC's blanks there; make "
                        "it with --sil-prob 0.5", lang.path)
    numbers: dict[str, int] = {}
    return {phone: numbers.setdefault(base_phone(lang.phone_name(phone)), len(numbers) + 1)
            for phone in sorted({*lang.silence_phones, *lang.nonsilence_phones}
                                - {*pause_phones(lang)})}


def pause_phones(lang: Lang) -> list[int]:
    """Return the phones that are nothing but blanks: the optional silence and its variants."""
    pause = base_phone(lang.phone_name(lang.optional_silence))
    return [phone for phone in lang.silence_phones if base_phone(lang.phone_name(phone)) == pause]


def label_names(lang: Lang) -> list[str]:
    """Return the names of the classes: the blank, then the labels."""
    names = {label: base_phone(lang.phone_name(phone))
             for phone, label in phone_labels(lang).items()}
    return ["<blank>", *(names[label] for label in sorted(names))]


def token_tree(lang: Lang) -> DecisionTree:
    """Return the tree over (phone before, phone) whose pdfs are the classes of the network."""
    labels = phone_labels(lang)
    like: dict[int, set[int]] = {}
    for phone, label in labels.items():
        like.setdefault(label, set()).add(phone)
    branches: list[Node | None] = [None] * (1 + max([*pause_phones(lang), *labels]))
    for phone in pause_phones(lang):
        branches[phone] = Leaf(BLANK)
    for phone, label in labels.items():
        first = Split(0, frozenset(like[label]), Leaf(BLANK), Leaf(label))
        branches[phone] = Table(PDF_CLASS, (first, Leaf(label), Leaf(BLANK)))
    return DecisionTree(2, 1, 1 + len(like), Table(1, tuple(branches)))


def token_transitions(lang: Lang, tree: DecisionTree) -> TransitionModel:
    """Return the transition model of `token_tree`."""
    def state(number: int, stay: float, *targets: int) -> HmmState:
        return HmmState(number, ((number, stay), *((to, 1 - stay) for to in targets)))

    phones = (state(FIRST, STAY, AGAIN, BEHIND, END), state(AGAIN, STAY, BEHIND, END),
              state(BEHIND, STAY_BEHIND, END), HmmState(-1, ()))
    topology = Topology((TopologyEntry(tuple(phone_labels(lang)), phones),
                         TopologyEntry(tuple(pause_phones(lang)), (state(0, STAY, 1),
                                                                   HmmState(-1, ())))))
    model = TransitionModel(topology, allowed_tuples(tree, topology))
    first = (model.tid_hmm_state == FIRST) & ~np.isin(model.tid_phone, pause_phones(lang))
    # A blank that must stand there leads to the label; a label does not go on as itself again.
    wrong = np.where(model.tid_pdf == BLANK, model.tid_next > AGAIN, model.tid_next == AGAIN)
    log_probs = np.where(first & wrong, IMPOSSIBLE, model.log_probs).astype(np.float32)
    return TransitionModel(topology, map(tuple, model.tuples.tolist()), log_probs)


def transcript_labels(words: Sequence[int], lang: Lang,
                      labels: Mapping[int, int] | None = None) -> np.ndarray:
    """Return the labels of a transcript, int32: those of each word's likeliest pronunciation.

    Parameters
    ----------
    words : sequence of word ids
    labels : mapping, optional
        `phone_labels` of the lang directory, if they are there already.

    Raises
    ------
    UserError
        if a word has no pronunciation.
    """
    labels = phone_labels(lang) if labels is None else labels
    sequence: list[int] = []
    for word in words:
        choices = lang.pronunciations.get(word)
        if not choices:
            raise UserError(f"no pronunciation for '{lang.word_name(word)}'; add it to the lexicon "
                            "and run prepare-lang again", lang.path)
        phones = max(choices, key=lambda choice: choice[0])[1]
        # A silence within a word is nothing but blanks.
        sequence += [labels[phone] for phone in phones if phone in labels]
    return np.array(sequence, np.int32)
