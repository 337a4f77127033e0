"""Owns files of commands in every form: plain lists, templates, JSGF, Home Assistant's YAML."""

from collections.abc import Mapping
from pathlib import Path

from hybridasr.corpus.command_list import Command, make_commands, parse_commands
from hybridasr.grammar.expansion import expand_sentences
from hybridasr.grammar.expressions import RuleGrammar, Sentence
from hybridasr.grammar.hass_sentences import hass_templates, is_hass_file
from hybridasr.grammar.jsgf import is_jsgf, parse_jsgf
from hybridasr.grammar.rule_checks import check_finite, check_rules, check_slots
from hybridasr.grammar.rule_net import rule_net
from hybridasr.grammar.template import has_templates, parse_templates
from hybridasr.progress import logger
from hybridasr.storage import PathLike, read_text

JSGF_NAMES = (".jsgf", ".gram")
GRAPH_MEND = "make a graph of the grammar: hybridasr mkgraph --grammar rules"


def read_command_file(path: PathLike) -> list[Command]:
    """Read the commands of a file: of a plain list, or the sentences of templates or of JSGF.

    Raises
    ------
    UserError
        as `corpus.command_list.read_commands`; of a grammar with line and column: what cannot be
        read, what `rule_checks` refuses, and sentences without end or more than 10,000.
    """
    return parse_command_text(read_text(path), path)


def parse_command_text(text: str, path: PathLike | None = None) -> list[Command]:
    r"""Read commands from the text of a file of any form; raises as `read_command_file`.

    >>> [command.text for command in parse_command_text("(打开|关闭)空调\n播放音乐")]
    ['打开空调', '关闭空调', '播放音乐']
    """
    if not (_is_jsgf(path, text) or is_hass_file(path) or has_templates(text)):
        return parse_commands(text, path)
    grammar = parse_grammar(text, path)
    check_slots(grammar)
    check_finite(grammar, "a command list", GRAPH_MEND)
    if grammar.weighted:
        logger.warning("%s: weights have no effect in a command list, where all commands count "
                       "alike; they have in 'hybridasr mkgraph --grammar rules'",
                       "commands" if path is None else path)
    return make_commands([Command(sentence.text, sentence.id, sentence.threshold, sentence.line,
                                  sentence.slots) for sentence in expand_sentences(grammar)], path)


def read_command_words(path: PathLike) -> dict[str, int]:
    """Return the words of a file of commands, each with the line that has it.

    The words of a JSGF grammar are its tokens: its sentences may be without end.

    Raises
    ------
    UserError
        as `read_command_file`.
    """
    if _is_jsgf(path, read_text(path)):
        net = rule_net(read_grammar(path))
        return {word: place.line for word, place in net.places.items()}
    return {word: command.line for command in read_command_file(path) for word in command.words}


def read_grammar(path: PathLike) -> RuleGrammar:
    """Read a grammar of any form; a plain list is templates without operators.

    Raises
    ------
    UserError
        as `parse_grammar`.
    """
    return parse_grammar(read_text(path), path)


def parse_grammar(text: str, path: PathLike | None = None) -> RuleGrammar:
    r"""Read a grammar from text, and check its rules.

    Parameters
    ----------
    path : path, optional
        Where the text comes from, for the error lines; its name may say that it is JSGF, or
        Home Assistant's YAML.

    Raises
    ------
    UserError
        with line and column: what cannot be read, or is refused by `rule_checks.check_rules`.

    Examples
    --------
    >>> from hybridasr.grammar.expansion import expand_sentences
    >>> grammar = parse_grammar("{room} = 客厅, 卧室\non\t打开{room}[的]灯")
    >>> [(sentence.text, sentence.slots) for sentence in expand_sentences(grammar)][:2]
    [('打开客厅灯', (('room', '客厅'),)), ('打开客厅的灯', (('room', '客厅'),))]
    """
    if is_hass_file(path):
        text = hass_templates(text, path)
    elif _is_jsgf(path, text):
        return check_rules(parse_jsgf(text, path))
    return check_rules(parse_templates(text, path), recursion=False)


def _is_jsgf(path: PathLike | None, text: str) -> bool:
    return is_jsgf(text) or path is not None and Path(path).suffix.lower() in JSGF_NAMES


def sentence_record(sentence: Sentence) -> Mapping[str, object]:
    """Return a sentence as it is written in JSON.

    >>> sentence_record(Sentence("打开客厅灯", "on", (("room", "客厅"),), 0.25, 2))
    {'text': '打开客厅灯', 'id': 'on', 'slots': {'room': '客厅'}, 'probability': 0.25}
    """
    return {"text": sentence.text, "id": sentence.id, "slots": dict(sentence.slots),
            "probability": sentence.probability}


