"""Owns the step from a command list to what the search needs, at run time and without training."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hybridasr.corpus.command_list import Command, Item, make_commands
from hybridasr.graph.arrays import DecodingGraph
from hybridasr.graph.command_graph import Phrase, command_graph, same_sound
from hybridasr.graph.self_loops import GraphOptions
from hybridasr.hmm.transitions import TransitionModel
from hybridasr.lexicon.extend import with_commands
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.lexicon import Lexicon
from hybridasr.progress import logger
from hybridasr.storage import PathLike
from hybridasr.tree.tree import ContextTree


@dataclass(frozen=True)
class CommandSet:
    """A command list ready for the search.

    Attributes
    ----------
    commands : dict word ids -> Command
        In the order of the list; the ids are the graph's output labels.
    lang : Lang
        The model's, with the commands' words.
    graph : DecodingGraph
        One command an utterance; all cost the log of their number.
    alike : list of (Command, Command)
        See `commands_alike`.
    """

    commands: dict[Phrase, Command]
    lang: Lang
    graph: DecodingGraph
    alike: list[tuple[Command, Command]]


def build_commands(items: Iterable[Item], lang: Lang, transitions: TransitionModel,
                   tree: ContextTree, options: GraphOptions | None = None,
                   path: PathLike | None = None, lexicon: Lexicon | PathLike | None = None,
                   guess: bool = False) -> CommandSet:
    """Prepare a command list for a model.

    Parameters
    ----------
    items : iterable of texts, commands, ...
        As for `corpus.command_list.make_commands`; `read_commands` reads them from a file.
    lang, transitions, tree
        The model's. `lang` may also be that of an earlier `CommandSet`.
    path : path, optional
        The command list, for the error lines.
    lexicon, guess
        See `lexicon.extend.with_commands`.

    Raises
    ------
    UserError
        naming every command that is wrong, comes twice or cannot be said.
    """
    commands = make_commands(items, path)
    lang = with_commands(lang, commands, path, lexicon, guess)
    # In the order of the list.
    phrases = {phrase_of(command, lang): command for command in commands}
    graph = command_graph(phrases, lang, transitions, tree, options)
    return CommandSet(phrases, lang, graph, commands_alike(phrases, lang))


def phrase_of(command: Command, lang: Lang) -> Phrase:
    """Return the word ids of a command, all of whose words are in `lang`."""
    return tuple(lang.words[word] for word in command.words)


def commands_alike(commands: Mapping[Phrase, Command], lang: Lang
                   ) -> list[tuple[Command, Command]]:
    """Find commands of different meaning that sound the same; warn of each pair."""
    # Two texts of one id and slots may sound the same: they mean the same.
    pairs = [(commands[one], commands[other]) for one, other in same_sound(commands, lang)
             if commands[one].meaning != commands[other].meaning]
    for one, other in pairs:
        logger.warning("commands '%s' and '%s' sound the same, and either may be recognised for "
                       "the other; reword one, or give both the same id", one.text, other.text)
    return pairs
