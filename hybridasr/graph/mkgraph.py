"""Owns the step from a model and a grammar to a graph directory that the search can load.

graph.npz      flat arrays for the search
words.txt      the words of the graph, which the model need not know; lexiconp.txt, phones.txt,
               phones/
HCLG.fst       the same as graph.npz for people and OpenFst's tools; G.fst
graph.json     kind of grammar, sizes; written last
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hybridasr.corpus.command_list import fault_lines
from hybridasr.errors import UserError, name_some
from hybridasr.grammar.command_file import read_command_file, read_grammar
from hybridasr.grammar.rule_net import RuleNet, rule_net
from hybridasr.graph.compose import GraphOptions, make_hclg, write_graph
from hybridasr.graph.graph_words import graph_record
from hybridasr.graph.self_loops import natural_scales
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.extend import (
    heard_phones,
    with_commands,
    with_sayable_words,
    with_words_of,
)
from hybridasr.lexicon.langdir import Lang, read_lang
from hybridasr.lexicon.lexicon import RESERVED_WORDS, SPECIAL_WORDS, Lexicon, read_own_lexicon
from hybridasr.lexicon.own_lexicon import near_by_case
from hybridasr.lm import GRAMMARS
from hybridasr.lm.grammar import command_grammar, ngram_grammar, rule_grammar
from hybridasr.lm.model_file import read_ngram
from hybridasr.lm.ngram import NgramModel
from hybridasr.lm.pynini_import import pynini
from hybridasr.options import to_dict
from hybridasr.progress import logger
from hybridasr.storage import write_json
from hybridasr.tree.tree import DecisionTree


@dataclass(frozen=True)
class WordSources:
    """Where the words of a graph come from, beside the model.

    Attributes
    ----------
    commands : path, optional
        A command list, templates or a JSGF grammar; without it every word is a phrase.
    arpa : path, optional
        An n-gram model.
    lexicon : path, optional
        Pronunciations that win over all others.
    lang : path, optional
        A lang directory whose words and pronunciations take the place of the model's.
    """

    commands: Path | None = None
    arpa: Path | None = None
    lexicon: Path | None = None
    lang: Path | None = None


@dataclass(frozen=True)
class GraphWords:
    """What a graph may say.

    Attributes
    ----------
    lang : Lang
        The model's, with all words of the grammar.
    phrases : list of word sequences
    ngram : NgramModel or None
    net : RuleNet or None
    reasons : dict word -> reason
        Words of `ngram` that the model cannot say.
    """

    lang: Lang
    phrases: list[tuple[str, ...]] = field(default_factory=list)
    ngram: NgramModel | None = None
    net: RuleNet | None = None
    reasons: dict[str, str] = field(default_factory=dict)


def find_words(lang: Lang, kind: str, sources: WordSources) -> GraphWords:
    """Find the words of a grammar and how they are said with the phones of a model.

    Words that the model's lexicon lacks come from the user's lexicon or from the built-in tables.

    Parameters
    ----------
    lang : Lang
        The model's.
    kind : "commands", "loop", "ngram" or "rules"

    Raises
    ------
    UserError
        if a file is damaged, or naming each command, or word of the lexicon, that the model
        cannot say. Words of an n-gram model that it cannot say are left out by `make_graph`.
    """
    phones = heard_phones(lang)
    own = read_own_lexicon(sources.lexicon) if sources.lexicon else None
    base = with_words_of(lang, read_lang(sources.lang)) if sources.lang else lang
    if kind == "ngram":
        if sources.arpa is None:
            raise UserError("grammar ngram needs --arpa FILE; make one with 'hybridasr train-lm'")
        ngram = read_ngram(sources.arpa)
        # Marks such as <unk> are no words, and no table has them.
        asked = [word for word in ngram.vocabulary if not word.startswith("<")]
        more, unsaid = with_sayable_words(base, asked, own, phones=phones)
        words = GraphWords(more, ngram=ngram, reasons={
            word: why.reason for word, why in unsaid.items()})
    elif kind == "rules":
        words = _rule_words(base, sources.commands, own, phones)
    elif sources.commands:
        commands = read_command_file(sources.commands)
        words = GraphWords(with_commands(base, commands, sources.commands, own, phones=phones),
                           [command.words for command in commands])
    else:
        more, unsaid = with_sayable_words(base, _words(own), own, phones=phones)
        if unsaid:
            raise fault_lines([(0, why.line) for why in unsaid.values()], sources.lexicon)
        words = GraphWords(more, grammar_phrases(more, None))
    _warn_of_another_case(words.lang, base.words)
    return words


def _rule_words(base: Lang, path: Path | None, own: Lexicon | None, phones: Collection[str]
                ) -> GraphWords:
    if path is None:
        raise UserError("grammar rules needs --commands FILE: sentence templates or a JSGF grammar")
    net = rule_net(read_grammar(path))
    more, unsaid = with_sayable_words(base, net.places, own, phones=phones)
    if unsaid:
        raise fault_lines([(net.places[word].line, f"column {net.places[word].column}: {why.line}")
                           for word, why in unsaid.items()], path)
    return GraphWords(more, net=net)


def _words(own: Lexicon | None) -> list[str]:
    """Return the words of a user's lexicon that somebody may say."""
    return [word for word in (own.entries if own else ())
            if word not in SPECIAL_WORDS and word not in RESERVED_WORDS]


def _warn_of_another_case(lang: Lang, before: Collection[str]) -> None:
    """Warn of new words that the model has in another case: transcripts have one of the two."""
    pairs = near_by_case(lang.words, before)
    if pairs:
        logger.warning("%d new words differ from words of the model by case alone: %s; write them "
                       "as the transcripts do", len(pairs),
                       name_some([f"{word} is there as {entry}" for word, entry in pairs]))


def make_graph(lang: Lang, transitions: TransitionModel, tree: DecisionTree, destination: Path,
               kind: str, phrases: Sequence[Sequence[str]] = (),
               arpa: NgramModel | Path | None = None, options: GraphOptions | None = None,
               reasons: Mapping[str, str] | None = None, net: RuleNet | None = None) -> str:
    """Build a graph directory for a model; return the closing line.

    Parameters
    ----------
    lang : Lang
        The model's, or with more words (`find_words`); its phones must be the model's.
    transitions, tree
        The model's.
    kind : "commands", "loop", "ngram" or "rules"
        One of `phrases` an utterance; any number of them; the n-gram model `arpa`; or `net`.
    phrases : sequence of word sequences
    reasons : mapping word -> reason, optional
        Why words of the n-gram model are not in `lang`, for the warning.

    Raises
    ------
    UserError
        if a word of a phrase is not in `lang`, or the grammar is empty.
    """
    if kind not in GRAMMARS:
        raise UserError(f"grammar '{kind}' is unknown; choose one of {', '.join(GRAMMARS)}")
    if kind == "ngram":
        if arpa is None:
            raise UserError("grammar ngram needs an n-gram model; make one with 'hybridasr "
                            "train-lm'")
        grammar = ngram_grammar(arpa, lang.words, reasons)
    elif kind == "rules":
        if net is None:
            raise UserError("grammar rules needs the net of a grammar")
        grammar = rule_grammar(net, lang.words)
    else:
        grammar = command_grammar([list(phrase) for phrase in phrases], lang.words,
                                  loop=kind == "loop")
    return compose_graph(lang, transitions, tree, destination, kind, grammar, options,
                         len(phrases) or None)


def compose_graph(lang: Lang, transitions: TransitionModel, tree: DecisionTree, destination: Path,
                  kind: str, grammar: pynini.Fst, options: GraphOptions | None = None,
                  num_phrases: int | None = None) -> str:
    """Compose a grammar with a model and write the graph directory; return the closing line.

    Parameters
    ----------
    kind : str
        What ``graph.json`` calls the grammar.
    grammar : pynini.Fst
        Acceptor of words of `lang`.

    Raises
    ------
    UserError
        as from `make_hclg`.
    """
    options = options or natural_scales(transitions.topology)
    graph = make_hclg(lang, grammar, transitions, tree, options)
    # graph.json comes last: a directory without it is unfinished.
    (destination / "graph.json").unlink(missing_ok=True)
    write_graph(destination, graph, grammar, lang)
    write_json(destination / "graph.json", {
        "grammar": kind, "phrases": num_phrases, "states": graph.num_states,
        "arcs": graph.num_arcs, "options": to_dict(options),
        **graph_record(tree, lang, transitions.topology)})
    line = f"{destination}: {kind} grammar, {graph.num_states} states, {graph.num_arcs} arcs"
    logger.debug("%s", line)
    return line


def grammar_phrases(lang: Lang, commands: Path | None) -> list[tuple[str, ...]]:
    """Return the phrases of a grammar: those of a command list, or every word of the lexicon."""
    if commands is not None:
        return [command.words for command in read_command_file(commands)]
    # Names of silence and noise are a dictionary's own ("!SIL"): what they stand for tells them.
    pause = (lang.phone_name(lang.optional_silence),)
    words = [lang.word_name(word) for word in lang.pronunciations if word != lang.oov]
    return [(word,) for word in words if word not in SPECIAL_WORDS
            and any(pron.phones != pause for pron in lang.lexicon.entries[word])]
