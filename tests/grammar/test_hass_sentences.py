"""Home Assistant's files of sentences: the sentences and slots of hassil, faults by line."""

import logging

import pytest

from hybridasr.deploy.pack import PackOptions, pack_model
from hybridasr.errors import UserError
from hybridasr.grammar.command_file import parse_grammar, read_command_file
from hybridasr.grammar.expansion import expand_sentences
from hybridasr.grammar.hass_sentences import hass_templates
from hybridasr.recognize.recognizer import load

yaml = pytest.importorskip("yaml")
HOME = """\
language: "en"
intents:
  TurnOn:
    data:
      - sentences:
          - "<please> (turn|switch) on [the] {name}"
          - "(bring;[the] {name};up)"
        slots:
          domain: light
      - sentences: ["[please ]start {area} lights", "lights in {area:room} on"]
        response: ok
  SetLevel:
    data:
      - sentences:
          - "set [the] level to {level}"
lists:
  name:
    values:
      - lamp
      # the one above the table
      - in: "(big|small) light"
        out: light.big
  area: {values: [kitchen, {in: living room, out: living}]}
  level:
    range:
      from: 0
      to: 100
      step: 25
expansion_rules:
  please: "[please|would you]"
"""


def sentences(text, name="home.yaml"):
    return [(one.id, one.text, dict(one.slots)) for one in expand_sentences(
        parse_grammar(text, name))]


def test_sentences_and_slots_are_those_of_hassil():
    hassil = pytest.importorskip("hassil")
    intents = hassil.Intents.from_dict(yaml.safe_load(HOME))
    ours = sentences(HOME)
    assert len(ours) == 3 * 2 * 2 * 3 + 6 * 2 * 3 + 2 * 2 + 2 + 2 * 5
    for intent, text, slots in ours:
        result = hassil.recognize(text, intents)
        assert result is not None, text
        assert (result.intent.name, {name: entity.value for name, entity in
                                     result.entities.items()}) == (intent, slots)
    named = {name: intent for name, intent in yaml.safe_load(HOME)["intents"].items()
             if name != "SetLevel"}
    theirs = set(hassil.sample_intents(hassil.Intents.from_dict(
        yaml.safe_load(HOME) | {"intents": named})))
    assert {(name, " ".join(text.split())) for name, text in theirs} == {
        (name, text) for name, text, _ in ours if name != "SetLevel"}


def test_numbers_are_said_in_the_language_of_the_words():
    zh = HOME.replace("set [the] level to {level}", "调到{level}")
    assert ("SetLevel", "调到二十五", {"level": 25}) in sentences(zh)
    assert ("SetLevel", "set level to twenty five", {"level": 25}) in sentences(HOME)
    for text, said in (("café {n: 25-25}", "café twenty five"),
                       ("da3 kai1 {n: 25-25}", "da3 kai1 二十五")):
        assert [one.text for one in expand_sentences(parse_grammar(text))] == [said]


def test_each_template_stands_in_the_line_of_the_file_that_has_it():
    lines, templates = HOME.splitlines(), hass_templates(HOME).splitlines()
    for number, line in enumerate(templates):
        for word in ("turn", "bring", "lamp", "light =>", "kitchen", "please|would"):
            if word in line:
                assert word.split(" =>")[0] in lines[number]


@pytest.mark.parametrize(("text", "line", "fault"), [
    ("intents: [", 1, "is no YAML"),
    ("", None, "is empty"),
    ("a\n", 1, "the file must have names with values"),
    ("lists: {}\n", 1, "no intents"),
    ("intents:\n  On:\n    data: open\n", 3, "data must be a list"),
    ("intents:\n  On:\n    data:\n      - slots: {a: b}\n", 4, "no sentences"),
    ("intents:\n  On:\n    data:\n      - sentences:\n          - open {door}\n", 5,
     "list {door} is unknown"),
    ("intents:\n  On:\n    data:\n      - sentences:\n          - 'open (door'\n", 5,
     "is not closed"),
    ("intents:\n  On: {data: [{sentences: ['a {b}']}]}\nlists:\n  b:\n    wildcard: true\n", 5,
     "neither values nor a range"),
    ("intents:\n  On: {data: [{sentences: ['a {b}']}]}\nlists:\n  b:\n    range: {from: 1}\n", 5,
     "a range needs from: and to:"),
    ("intents: {On: {data: [{sentences: [a]}]}, Off: {data: [{sentences: [b]}]}}\n", 1,
     "two things in one line"),
    ("intents:\n  On:\n    data:\n      - sentences: [a]\n        lists: {b: {values: [c]}}\n", 5,
     "lists of a block are not read"),
    ("intents:\n  On:\n    data:\n      - sentences: [a]\n        slots: {b: 'c,d'}\n", 5,
     "'c,d' as the value of a slot"),
    ("intents:\n  On:\n    data:\n      - sentences: ['a # b']\n", 4, "with #"),
])
def test_faults_name_the_line(text, line, fault):
    with pytest.raises(UserError) as caught:
        parse_grammar(text, "home.yaml")
    assert fault in str(caught.value)
    assert str(caught.value).startswith("home.yaml:" + (f"{line}: " if line else " "))


def test_words_that_home_assistant_skips_are_told(caplog):
    with caplog.at_level(logging.WARNING, "hybridasr"):
        hass_templates(HOME + "skip_words: [please]\n", "home.yaml")
    assert "skip_words are not left out" in caplog.text


def test_a_model_is_packed_with_them(spoken_world, tmp_path):
    """The pack holds templates: whoever recognises need not read YAML."""
    path = tmp_path / "home.yml"
    path.write_text("intents:\n  On:\n    data:\n      - sentences: ['da1ti1 {what}']\n"
                    "lists:\n  what: {values: [{in: bu1la1, out: x}]}\n")
    assert [command.id for command in read_command_file(path)] == ["On"]
    pack_model(spoken_world.mono, tmp_path / "home.hyb", PackOptions(commands=path))
    command, = load(tmp_path / "home.hyb").commands
    assert (command.text, command.id, command.slots) == ("da1ti1 bu1la1", "On", (("what", "x"),))
