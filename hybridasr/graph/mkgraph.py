"""Owns the step from a model and a grammar to a graph directory that the search can load.

graph.npz      flat arrays for the search
HCLG.fst       the same for people and OpenFst's tools; G.fst, words.txt, phones.txt
graph.json     kind of grammar, sizes; written last
"""

from collections.abc import Sequence
from pathlib import Path

from hybridasr.corpus.command_list import read_commands
from hybridasr.errors import UserError
from hybridasr.graph.arrays import model_key
from hybridasr.graph.compose import GraphOptions, make_hclg, write_graph
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.lexicon import SPECIAL_WORDS
from hybridasr.lm import GRAMMARS
from hybridasr.lm.grammar import command_grammar, ngram_grammar
from hybridasr.options import to_dict
from hybridasr.progress import logger
from hybridasr.storage import write_json
from hybridasr.tree.tree import DecisionTree


def make_graph(lang: Lang, transitions: TransitionModel, tree: DecisionTree, destination: Path,
               kind: str, phrases: Sequence[Sequence[str]] = (), arpa: Path | None = None,
               options: GraphOptions | None = None) -> str:
    """Build a graph directory for a model; return the closing line.

    Parameters
    ----------
    lang, transitions, tree
        The model's.
    kind : "commands", "loop" or "ngram"
        One of `phrases` an utterance; any number of them; or the n-gram in the file `arpa`.
    phrases : sequence of word sequences

    Raises
    ------
    UserError
        if a word is not in the model's words.txt, or the grammar is empty.
    """
    if kind not in GRAMMARS:
        raise UserError(f"grammar '{kind}' is unknown; choose one of {', '.join(GRAMMARS)}")
    words = lang.words
    if kind == "ngram":
        if arpa is None:
            raise UserError("grammar ngram needs --arpa FILE; make one with 'hybridasr train-lm'")
        grammar = ngram_grammar(arpa, words)
    else:
        grammar = command_grammar([list(phrase) for phrase in phrases], words, loop=kind == "loop")
    options = options or GraphOptions()
    graph = make_hclg(lang, grammar, transitions, tree, options)
    write_graph(destination, graph, grammar, lang)
    # graph.json comes last: a directory without it is unfinished.
    write_json(destination / "graph.json", {
        "grammar": kind, "phrases": len(phrases) or None, "states": graph.num_states,
        "arcs": graph.num_arcs, "options": to_dict(options), "model": model_key(tree, words)})
    line = f"{destination}: {kind} grammar, {graph.num_states} states, {graph.num_arcs} arcs"
    logger.debug("%s", line)
    return line


def grammar_phrases(lang: Lang, commands: Path | None) -> list[tuple[str, ...]]:
    """Return the phrases of a grammar: those of a command list, or every word of the lexicon."""
    if commands is not None:
        return [command.words for command in read_commands(commands)]
    words = [lang.word_name(word) for word in lang.pronunciations]
    return [(word,) for word in words if word not in SPECIAL_WORDS]
