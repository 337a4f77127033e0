"""Sentence templates: what they say, their slots, against hassil's own recogniser; faults."""

import logging

import numpy as np
import pytest

from hybridasr.corpus.command_list import Command, read_commands
from hybridasr.errors import UserError
from hybridasr.grammar.command_file import (
    parse_grammar,
    read_command_file,
    read_command_words,
)
from hybridasr.grammar.expansion import draw_sentences, expand_sentences
from hybridasr.grammar.rule_checks import check_slots
from hybridasr.grammar.rule_net import rule_net

HOME = """\
# The living room, and more.
{device} = 空调|冷气 => ac, (大|小)灯 => light, 电视   # entries
{room} = 客厅, (主|次)卧 => bedroom
       , 书房
<polite> = [请|麻烦][你]
on\t<polite>(打开|开){device}
set\t把{room}[的]{device:name}调到{temperature}度\t0.8
{temperature} = 18-26/2, 最低 => 16
volume\t音量{volume: 0-100/50}
stop
"""
# The same for hassil.
HASSIL = {
    "language": "zh",
    "intents": {
        "on": {"data": [{"sentences": ["<polite>(打开|开){device}"]}]},
        "set": {"data": [{"sentences": ["把{room}[的]{device:name}调到{temperature}度"]}]},
        "volume": {"data": [{"sentences": ["音量{volume}"]}]},
        "stop": {"data": [{"sentences": ["stop"]}]}},
    "lists": {
        "device": {"values": [{"in": "(空调|冷气)", "out": "ac"},
                              {"in": "(大|小)灯", "out": "light"}, "电视"]},
        "room": {"values": ["客厅", {"in": "(主|次)卧", "out": "bedroom"}, "书房"]},
        "temperature": {"values": [{"in": said, "out": value} for said, value in (
            ("十八", 18), ("二十", 20), ("二十二", 22), ("二十四", 24), ("二十六", 26),
            ("最低", 16))]},
        "volume": {"range": {"from": 0, "to": 100, "step": 50}}},
    "expansion_rules": {"polite": "[请|麻烦][你]"}}


def rows_of(text):
    return [(s.id, s.text, dict(s.slots)) for s in expand_sentences(parse_grammar(text))]


def test_every_sentence_with_its_slots():
    """The whole of it by plain loops."""
    devices = [("空调", "ac"), ("冷气", "ac"), ("大灯", "light"), ("小灯", "light"),
               ("电视", "电视")]
    rooms = [("客厅", "客厅"), ("主卧", "bedroom"), ("次卧", "bedroom"), ("书房", "书房")]
    numbers = [("十八", 18), ("二十", 20), ("二十二", 22), ("二十四", 24), ("二十六", 26),
               ("最低", 16)]
    expected = [("on", a + b + c + device, {"device": value}) for a in ("", "请", "麻烦")
                for b in ("", "你") for c in ("打开", "开") for device, value in devices]
    expected += [("set", f"把{room}{of}{device}调到{number}度",
                  {"room": where, "name": what, "temperature": value})
                 for room, where in rooms for of in ("", "的") for device, what in devices
                 for number, value in numbers]
    expected += [("volume", f"音量{said}", {"volume": value}) for said, value in (
        ("零", 0), ("五十", 50), ("一百", 100), ("一零零", 100), ("幺零零", 100))]
    expected += [("stop", "stop", {})]
    rows = rows_of(HOME)
    assert sorted(rows, key=str) == sorted(expected, key=str)
    by_id = {s.id: s for s in expand_sentences(parse_grammar(HOME))}
    assert (by_id["set"].threshold, by_id["set"].line) == (0.8, 7)
    assert (by_id["on"].threshold, by_id["stop"].line) == (None, 10)


def test_slots_are_those_of_hassil():
    """Home Assistant's recogniser reads our sentences as we do."""
    hassil = pytest.importorskip("hassil")
    intents = hassil.Intents.from_dict(HASSIL)
    sentences = expand_sentences(parse_grammar(HOME))
    rng = np.random.default_rng(0)
    for number in rng.permutation(len(sentences))[:150].tolist():
        sentence = sentences[number]
        text = sentence.text
        if sentence.id == "volume":
            text = f"音量{dict(sentence.slots)['volume']}"  # hassil reads digits surely
        result = hassil.recognize(text, intents)
        assert result is not None, text
        assert result.intent.name == sentence.id
        assert {name: entity.value for name, entity in result.entities.items()} == dict(
            sentence.slots), text
    assert hassil.recognize("打开窗户", intents) is None


def test_sentences_are_those_of_hassil():
    """Its sampler lists the same texts, for templates without numbers."""
    hassil = pytest.importorskip("hassil")
    named = {name: intent for name, intent in HASSIL["intents"].items() if name != "volume"}
    intents = hassil.Intents.from_dict(HASSIL | {"intents": named})
    theirs = {(name, text) for name, text in hassil.sample_intents(intents)}
    ours = {(s.id, s.text) for s in expand_sentences(parse_grammar(HOME)) if s.id != "volume"}
    assert ours == theirs


def random_template(rng, depth=3):
    """A template and all it says, by its definition: (text, {(sentence, slots)})."""
    kind = rng.choice(["word", "group", "option", "slot", "series"] if depth else ["word", "slot"])
    if kind == "word":
        word = str(rng.choice(["打开", "把", "的", "空调"]))
        return word, {(word, ())}
    if kind == "slot":
        name = f"s{rng.integers(1_000_000)}"
        values = [("客厅", "客厅"), ("主卧", "bed"), ("次卧", "bed")]
        return f"{{room:{name}}}", {(said, ((name, value),)) for said, value in values}
    parts = [random_template(rng, depth - 1) for _ in range(rng.integers(2, 4))]
    if kind == "option":
        return f"[{parts[0][0]}]", parts[0][1] | {("", ())}
    if kind == "group":
        return ("(" + str(rng.choice(["|", " | "])).join(text for text, _ in parts) + ")",
                set().union(*(said for _, said in parts)))
    rows = {("", ())}
    for _, said in parts:
        rows = {(a + b, x + y) for a, x in rows for b, y in said}
    return "".join(text for text, _ in parts), rows


def test_random_templates_and_their_slots():
    rng = np.random.default_rng(3)
    count = filled = 0
    while count < 150:
        template, rows = random_template(rng)
        rows = {("好" + text, slots) for text, slots in rows}
        if len(rows) > 2000:
            continue
        count += 1
        grammar = parse_grammar("{room} = 客厅, (主|次)卧 => bed\nx\t好" + template)
        check_slots(grammar)
        meanings = {}
        for text, slots in rows:
            meanings.setdefault(text, set()).add(frozenset(slots))
        sentences = expand_sentences(grammar)
        assert sorted(s.text for s in sentences) == sorted(meanings)
        for sentence in [*sentences, *draw_sentences(grammar, 10, 2)]:
            assert frozenset(sentence.slots) in meanings[sentence.text]
            filled += len(sentence.slots)
    assert filled > 500


@pytest.mark.parametrize(("template", "texts"), [
    ("turn (on|off) the [living room ]light[s]",
     ["turn off the light", "turn off the lights", "turn off the living room light",
      "turn off the living room lights", "turn on the light", "turn on the lights",
      "turn on the living room light", "turn on the living room lights"]),
    ("( 打开 | 关闭 )( 空调 | tv )", ["关闭tv", "关闭空调", "打开tv", "打开空调"]),
    ("请 (打开|关闭) 空调", ["请 关闭 空调", "请 打开 空调"]),
    ("（打开｜关闭）空调［吧］", ["关闭空调", "关闭空调吧", "打开空调", "打开空调吧"]),
    ("da3 kai1 (kong1 tiao2|deng1)", ["da3 kai1 deng1", "da3 kai1 kong1 tiao2"]),
    ("{n: 2-2}点", ["两点"]), ("第{n: 2-2}个", ["第二个"]), ("{n: 2-2}(点[钟]|楼)",
     ["两楼", "两点", "两点钟", "二楼", "二点", "二点钟"]), ("{n:11-12}月", ["十一月", "十二月"]),
])
def test_spaces_and_numbers(template, texts):
    assert sorted(s.text for s in expand_sentences(parse_grammar(template))) == texts


def test_a_list_with_two_meanings_of_one_text(tmp_path, caplog):
    path = tmp_path / "home.txt"
    path.write_text("a\t打开(灯|空调)\nb\t[请]打开灯\nb\t[请|请]打开灯\n{x} = 灯, (灯|火) => 2\n"
                    "c\t关{x}\n")
    with caplog.at_level(logging.WARNING, "hybridasr"):
        commands = read_command_file(path)
    assert [(c.id, c.text, c.slots) for c in commands] == [
        ("a", "打开灯", ()), ("a", "打开空调", ()), ("b", "请打开灯", ()),
        ("c", "关灯", (("x", "灯"),)), ("c", "关火", (("x", 2),))]
    assert caplog.messages == [
        f"{path}:1: '打开灯' means 'a', and in line 2 'b'; the first counts",
        f"{path}:1: '打开灯' means 'a', and in line 3 'b'; the first counts",
        f"{path}:5: '关灯' means 'c' with x=灯, and in line 5 'c' with x=2; the first counts"]


def test_plain_lists_are_read_as_before(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("on\t打开空调\t0.7  # (all) of them\n关闭空调\n")
    assert read_command_file(path) == read_commands(path) == [
        Command("打开空调", "on", 0.7, 1), Command("关闭空调", "关闭空调", None, 2)]
    # The same lines as templates, beside one that is.
    path.write_text(path.read_text() + "[请]停\n")
    assert read_command_file(path)[:2] == [
        Command("打开空调", "on", 0.7, 1), Command("关闭空调", "关闭空调", None, 2)]
    path.write_text("打开空调\n打开空调\n")
    with pytest.raises(UserError, match="is there already"):
        read_command_file(path)


def test_words_of_every_kind_of_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("打开空调\n\n(打开|关闭)灯\n")
    assert read_command_words(path) == {"打开空调": 1, "打开灯": 3, "关闭灯": 3}
    path = tmp_path / "x.jsgf"
    path.write_text("#JSGF V1.0;\ngrammar x;\npublic <a> = (打开 | 关闭)+\n 空调;")
    assert read_command_words(path) == {"打开": 3, "关闭": 3, "空调": 4}
    with pytest.raises(UserError, match="x.jsgf:3: column 23: '\\+' repeats without end, and a "
                                        "command list is finite; .* mkgraph --grammar rules"):
        read_command_file(path)


def test_weights_in_a_command_list_are_warned_of(tmp_path, caplog):
    path = tmp_path / "x.jsgf"
    path.write_text("#JSGF V1.0;\ngrammar x;\npublic <a> = /2/ 打开 | /1/ 关闭 | /0/ 停;")
    with caplog.at_level(logging.WARNING, "hybridasr"):
        assert [c.text for c in read_command_file(path)] == ["打开", "关闭"]
    assert "weights have no effect in a command list" in caplog.text


def test_words_of_the_net_of_templates():
    """Hanzi are parted where brackets are, letters are not."""
    net = rule_net(parse_grammar("[请]打开the [living ]light[s] {r}\n{r} = wi(fi|re), 客厅A"))
    assert set(net.places) == {"请", "打开the", "light", "lights", "living", "wifi", "wire",
                               "客厅A"}


@pytest.mark.parametrize(("text", "faults"), [
    ("(打开|关闭", [(1, 1, "'(' is not closed; add ')'")]),
    ("打开[空调", [(1, 3, "'[' is not closed; add ']'")]),
    ("打开)空调", [(1, 3, "')' has no place here; delete it, or open the group")]),
    ("打开]空调|", [(1, 3, "']' has no place here")]),
    ("(打开|)空调", [(1, 5, "an empty alternative in the group; write [...]")]),
    ("打开()", [(1, 4, "an empty alternative")]),
    ("打开|", [(1, 4, "an empty alternative in the template")]),
    ("打开{devise}\n{device} = 灯", [(1, 3, "list {devise} is unknown; did you mean '{device}'?")]),
    ("<polit>打开\n<polite> = 请", [(1, 1, "rule <polit> is unknown; did you mean '<polite>'?")]),
    ("[请]\n", [(1, 1, "the template may be empty")]),
    ("[请] [你]", [(1, 1, "the template may be empty")]),
    ("on\t[请]<a>\n<a>=[你]", [(1, 4, "'on' may be empty")]),
    ("x\t打开(", [(1, 6, "an empty alternative")]),
    ("<a> = 请<a>\n<a>打开", [(1, 8, "rule <a> calls itself; templates are finite")]),
    ("<a> = [请]<b>\n<b> = <a>\n<a>打开", [(1, 10, "left recursion: <a> begins with itself by")]),
    ("<a> = 请\n<a> = 你\n<a>打开", [(2, 1, "rule <a> is there already, in line 1")]),
    ("{a} = 请\n{a} = 你\n{a}打开", [(2, 1, "list {a} is there already, in line 1")]),
    ("{a} = 灯 => \n打开{a}", [(1, 11, "no value behind =>")]),
    ("{a} = 灯,,火\n打开{a}", [(1, 9, "an empty alternative")]),
    ("{a} = 打开{b}\n{b} = 灯\n{a}", [(1, 9, "a slot within a list")]),
    ("{n} = 1-3 => x\n{n}", [(1, 13, "a range of numbers with a value")]),
    ("{n: 5-1}度", [(1, 5, "the range 5-1 holds no number; write the smaller one first")]),
    ("{n: 1-5/0}度", [(1, 5, "a step above 0")]),
    ("{n: -3-5}度", [(1, 5, "numbers below 0")]),
    ("{n: 0-99999999}度", [(1, 5, "more than 10,000 numbers")]),
    ("{n: }度", [(1, 5, "the name of a slot is expected")]),
    ("{n度", [(1, 4, "end the slot with }")]),
    ("{}度", [(1, 2, "the name of a list is expected")]),
    ("打开，(空调)", [(1, 3, "only lists have commas")]),
    ("打开！(空调)", [(1, 3, "has !; write words only")]),
    ("打开;[空调]", [(1, 3, "parts in any order stand in a group")]),
    ("(a;b;c;d;e)", [(1, 3, "5 parts in any order; give at most 4")]),
    ("开灯{room=}", [(1, 9, "no value behind =")]),
    ("打开=[空调]", [(1, 3, "only a line that begins with {list} or <rule>")]),
    ("a\t[b]c\t2", [(1, 8, "threshold 2 is outside 0..1")]),
    ("a\t[b]c\t0.5\t1", [(1, 1, "4 columns; write the template alone")]),
    ("{a} = 灯", [(None, None, "no sentence in the file")]),
    ("(打开\n打开)\n{x} = [\n[开]灯", [(1, 1, "is not closed"), (2, 3, "has no place"),
                                    (3, 8, "an empty alternative")]),
])
def test_faults_have_line_column_and_mend(tmp_path, text, faults):
    path = tmp_path / "home.txt"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_command_file(path)
    lines = str(error.value).splitlines()
    assert len(lines) == len(faults)
    for line, (number, column, message) in zip(lines, faults, strict=True):
        place = f"{path}:{number}: column {column}: " if number else f"{path}: "
        assert line.startswith(place)
        assert message in line


@pytest.mark.parametrize(("text", "message"), [
    ("{a} = 灯, 火\n开{a}关{a}", "column 6: slot 'a' may be filled twice in one sentence"),
    ("{a} = 灯, 火\n<r> = 关{a}\n开{a}<r>", "column 5: slot 'a' may be filled twice"),
    ("x\t{n: 0-99}(号|楼){m: 0-99}号\ny\t[请]停", "column 3: 20,[0-9]+ sentences, 20,[0-9]+ of "
     "them of 'x', and a command list has at most 10,000; shorten its alternatives, or make "
     "a graph"),
    ("<n> = {n: 0-99}\n{m} = 0-99, 满\nx\t<n>到{m}{m:k}", "shorten what makes most of them, <n>"),
])
def test_slots_filled_twice_and_too_many_sentences(tmp_path, text, message):
    (tmp_path / "home.txt").write_text(text)
    with pytest.raises(UserError, match=f"home.txt:[0-9]: .*{message}"):
        read_command_file(tmp_path / "home.txt")
