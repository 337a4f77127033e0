"""JSGF against plain expansions of the same random grammars: sentences, weights, slots, G."""

import itertools
import math

import numpy as np
import pytest
from random_grammars import (
    WORDS,
    best,
    draw_rules,
    expansions,
    has_loop,
    may_be_empty,
    summed,
    written,
)

from hybridasr.errors import UserError
from hybridasr.grammar.command_file import parse_grammar
from hybridasr.grammar.expansion import draw_sentences, expand_sentences
from hybridasr.grammar.rule_checks import check_finite, check_slots, count_sentences
from hybridasr.grammar.rule_net import rule_net
from hybridasr.lm.grammar import rule_grammar

IDS = {word: number for number, word in enumerate(WORDS, 1)}
HEAD = "#JSGF V1.0;\ngrammar home;\n"


def drawn(count, **options):
    """Random grammars with words in every sentence: (rules, text)."""
    rng = np.random.default_rng(7)
    while count:
        rules = draw_rules(rng, **options)
        if not may_be_empty(rules[0], rules) and expansions(rules[0], rules, 3):
            count -= 1
            yield rules, written(rules, rng)


def table_of(fst):
    """States of an acceptor as word id -> (cost, state), and its final costs."""
    arcs = {state: {arc.ilabel: (float(arc.weight), arc.nextstate) for arc in fst.arcs(state)}
            for state in fst.states()}
    # Deterministic, and without epsilons: the walk below is all that can be.
    assert all(len(table) == fst.num_arcs(state) and 0 not in table
               for state, table in arcs.items())
    return fst.start(), arcs, {state: float(fst.final(state)) for state in fst.states()}


def cost_of(table, ids):
    state, arcs, final = table
    cost = 0.0
    for number in ids:
        if number not in arcs[state]:
            return math.inf
        weight, state = arcs[state][number]
        cost += weight
    return cost + final[state]


def paths_of(table):
    """Every accepted sequence of ids with its cost; of an acceptor without loops."""
    start, arcs, final = table
    queue = [(start, (), 0.0)]
    for state, ids, cost in queue:
        if math.isfinite(final[state]):
            yield ids, cost + final[state]
        queue += [(to, (*ids, number), cost + weight)
                  for number, (weight, to) in arcs[state].items()]


def g_of(text):
    net = rule_net(parse_grammar(text))
    return table_of(rule_grammar(net, IDS))


def test_sentences_and_probabilities_of_random_grammars():
    for rules, text in drawn(200):
        grammar = parse_grammar(text)
        rows = expansions(rules[0], rules)
        expected = {" ".join(words): p for words, p in summed(rows).items()}
        sentences = expand_sentences(grammar)
        assert {s.text: s.probability for s in sentences} == pytest.approx(expected, rel=1e-9)
        assert len(sentences) == len(expected)
        assert sum(expected.values()) == pytest.approx(1.0)
        assert count_sentences(grammar).total == len(rows)


def test_g_accepts_these_sentences_and_no_others():
    for rules, text in drawn(200):
        expected = {tuple(IDS[word] for word in words): -math.log(p)
                    for words, p in summed(expansions(rules[0], rules)).items()}
        # With the costs of the sums over derivations; OpenFst's weights are float32.
        assert dict(paths_of(g_of(text))) == pytest.approx(expected, rel=1e-4, abs=2e-3)


def test_g_of_random_grammars_with_repetitions():
    accepted = refused = 0
    for rules, text in drawn(200, loops=True):
        try:
            table = g_of(text)
        except UserError:  # two repetitions that no finite graph tells apart
            refused += 1
            continue
        rows = expansions(rules[0], rules, 3)
        probability = (best if has_loop(rules[0], rules) else summed)(rows)
        for length in (1, 2, 3):
            for words in itertools.product(WORDS, repeat=length):
                cost = cost_of(table, [IDS[word] for word in words])
                if words in probability:
                    accepted += 1
                    assert cost == pytest.approx(-math.log(probability[words]), rel=1e-4, abs=2e-3)
                else:
                    assert cost == math.inf
    assert accepted > 400
    assert refused < 20


def test_slots_of_random_grammars():
    filled = 0
    for rules, text in drawn(200, slots=True):
        grammar = parse_grammar(text)
        meanings = {}
        for words, slots, _ in expansions(rules[0], rules):
            meanings.setdefault(" ".join(words), set()).add(frozenset(slots))
        try:
            check_slots(grammar)
        except UserError:  # a rule with a slot is called twice
            continue
        for sentence in [*expand_sentences(grammar), *draw_sentences(grammar, 20, 1)]:
            filled += len(sentence.slots)
            assert frozenset(sentence.slots) in meanings[sentence.text]
    assert filled > 1000


def test_draws_are_as_likely_as_the_weights_say():
    grammar = parse_grammar(HEAD + "public <x> = /3/ a | /1/ b c | /0/ c; ")
    texts = [s.text for s in draw_sentences(grammar, 4000, 5)]
    assert set(texts) == {"a", "b c"}
    assert texts.count("a") == pytest.approx(3000, abs=100)  # 3.6 standard deviations
    assert texts == [s.text for s in draw_sentences(grammar, 4000, 5)]
    assert texts != [s.text for s in draw_sentences(grammar, 4000, 6)]
    loop = parse_grammar(HEAD + "public <x> = a+ b*;")
    lengths = [len(s.text.split()) for s in draw_sentences(loop, 4000, 1)]
    assert np.mean(lengths) == pytest.approx(3.0, abs=0.15)  # 2 of a, 1 of b


@pytest.mark.parametrize("rules", [
    "public <x> = a <x> | b;",
    "public <x> = a <y> | b; <y> = <x>;",
    "public <x> = <y> (<x>) | b; <y> = a;"])
def test_right_recursion_is_a_loop(rules):
    table = g_of(HEAD + rules)
    a, b = IDS["a"], IDS["b"]
    for times in range(5):
        assert cost_of(table, [a] * times + [b]) == pytest.approx((times + 1) * math.log(2))
    assert cost_of(table, [a]) == cost_of(table, [b, a]) == math.inf
    grammar = parse_grammar(HEAD + rules)
    assert {s.text for s in draw_sentences(grammar, 50)} >= {"b", "a b", "a a b"}
    with pytest.raises(UserError, match="rule <[xy]> calls itself, so that its sentences have no"):
        check_finite(grammar, "a list", "draw")


def test_repetitions_that_no_finite_graph_tells_apart():
    with pytest.raises(UserError, match="two repetitions of the grammar have the same words"):
        g_of(HEAD + "public <x> = (a | b)* c | (a | b | 空调)* 打开;")


def test_several_public_rules_are_intents():
    grammar = parse_grammar(HEAD + "public <on> = 打开 <d> {device};\npublic <off> = 关闭 <d> "
                            "{device};\n<d> = 空调 {kind = ac} | \"电视 机\" {kind='tv 1'};")
    rows = [(s.id, s.text, dict(s.slots), s.line) for s in expand_sentences(grammar)]
    assert rows == [("on", "打开 空调", {"kind": "ac", "device": "空调"}, 3),
                    ("on", "打开 电视 机", {"kind": "tv 1", "device": "电视 机"}, 3),
                    ("off", "关闭 空调", {"kind": "ac", "device": "空调"}, 4),
                    ("off", "关闭 电视 机", {"kind": "tv 1", "device": "电视 机"}, 4)]


@pytest.mark.parametrize(("text", "line", "column", "message"), [
    ("grammar x;", 1, 1, "does not begin with '#JSGF V1.0;'"),
    ("#JSGF V1.0 GB2312;\ngrammar x;", 1, 1, "save the file as UTF-8"),
    ("#JSGF V1.0;\npublic <a> = b;", 2, 1, "'p' where 'grammar' is expected"),
    (HEAD, 3, 1, "no public rule"),
    (HEAD + "<a> = b;", 3, 9, "no public rule"),
    (HEAD + "import <x.y>;", 3, 1, "imports are not read; copy the rules"),
    (HEAD + "private <a> = b;", 3, 1, "'private' where a rule begins"),
    (HEAD + "public <a> = b", 3, 15, "the end of the line where ';' is expected"),
    (HEAD + "public <a> b;", 3, 12, "'b' where '=' is expected"),
    (HEAD + "public <a = b;", 3, 11, "end the name of the rule with >"),
    (HEAD + "public <1> = b;", 3, 9, "a name begins with a letter"),
    (HEAD + "public <NULL> = b;", 3, 1, "has a meaning already"),
    (HEAD + "public <a> = b;\n<a> = c;", 4, 1, "rule <a> is there already, in line 3"),
    (HEAD + "public <a> = (b | c;", 3, 14, "'(' is not closed; add ')'"),
    (HEAD + "public <a> =\n  b [c;", 4, 5, "'[' is not closed; add ']'"),
    (HEAD + "public <a> = b) c;", 3, 15, "')' where ';' is expected"),
    (HEAD + "public <a> = b | ;", 3, 18, "an empty alternative in the rule"),
    (HEAD + "public <a> = b ();", 3, 17, "an empty alternative in the group"),
    (HEAD + "public <a> = /-1/ b | /1/ c;", 3, 14, "weight '-1' is below 0"),
    (HEAD + "public <a> = /x/ b;", 3, 14, "weight 'x' is no number"),
    (HEAD + "public <a> = /nan/ b;", 3, 14, "weight 'nan' is no number"),
    (HEAD + "public <a> = /3 b;", 3, 14, "a weight that does not end"),
    (HEAD + "public <a> = /3/ b | c;", 3, 22, "a weight is missing"),
    (HEAD + "public <a> = b /3/ c;", 3, 16, "a weight stands at the beginning"),
    (HEAD + "public <a> = * b;", 3, 14, "it stands behind what is repeated"),
    (HEAD + "public <a> = {x} b;", 3, 14, "a tag stands behind"),
    (HEAD + "public <a> = b {x", 3, 16, "a tag that does not end"),
    (HEAD + "public <a> = b {out = 1 + f();} | c { $x };", 3, 37, "is no slot; write {name}"),
    (HEAD + "public <a> = \"b;", 3, 14, "a quoted token that does not end"),
    (HEAD + "public <a> = b，c;", 3, 14, "has ,; write words only"),
    (HEAD + "public <a> = b <c>;", 3, 16, "rule <c> is unknown; did you mean '<a>'?"),
    (HEAD + "public <a> = <a> b | c;", 3, 14, "left recursion: <a> begins with itself"),
    (HEAD + "public <a> = [b] <c>;\n<c> = <d> x;\n<d> = <a> | e;", 3, 18,
     "left recursion: <a> begins with itself by way of <c>"),
    (HEAD + "public <a> = b <a> c | d;", 3, 16, "<a> calls itself in the middle"),
    (HEAD + "public <a> = b <a>;", 3, 8, "no sentence of 'a' ever ends"),
    (HEAD + "public <a> = b <VOID>;", 3, 8, "<VOID> is in all of them"),
    (HEAD + "public <a> = [b] c*;", 3, 8, "'a' may be empty"),
    (HEAD + "public <a> = " + "(" * 200 + "b" + ")" * 200 + ";", 3, 114,
     "more than 100 brackets"),
])
def test_faults_have_line_column_and_mend(text, line, column, message):
    with pytest.raises(UserError) as error:
        parse_grammar(text, "home.jsgf")
    assert str(error.value).startswith(f"home.jsgf:{line}: column {column}: ")
    assert message in str(error.value)
    assert error.value.line == line


@pytest.mark.parametrize(("rule", "column", "message"), [
    ("(b {x} c {x})", 23, "slot 'x' may be filled twice"),
    ("b {x} [<c>]; <c> = d {x}", 21, "slot 'x' may be filled twice"),
    ("(b {x})+", 21, "keep it out of a repetition"),
    ("(b {x} c) {x}", 24, "slot 'x' may be filled twice"),
])
def test_slots_filled_twice(rule, column, message):
    grammar = parse_grammar(HEAD + f"public <a> = {rule};", "home.jsgf")
    with pytest.raises(UserError, match=f"home.jsgf:3: column {column}: .*{message}"):
        check_slots(grammar)


@pytest.mark.parametrize(("rule", "message"), [
    ("b c*", r"column 17: '\*' repeats without end, and a list is finite; .* draw$"),
    ("b+", r"column 15: '\+' repeats without end"),
    ("<w> <w> <w> <w> x; <w> = " + "|".join("abcdefghijk"),
     r"column 8: 14,641 sentences, 14,641 of them of 'a', .* at most 10,000; shorten what makes "
     r"most of them, <a> \(14,641\) and <w> \(11\), or draw"),
])
def test_lists_without_end_or_too_long(rule, message):
    grammar = parse_grammar(HEAD + f"public <a> = {rule};", "home.jsgf")
    with pytest.raises(UserError, match=message):
        check_finite(grammar, "a list", "draw")


def test_a_net_is_no_list():
    """A million sentences are a graph of few states."""
    ways = " | ".join("abc")
    rules = HEAD + "public <x> = " + "<w> " * 13 + f"; <w> = {ways};"
    fst = rule_grammar(rule_net(parse_grammar(rules)), IDS)
    assert fst.num_states() == 14
    with pytest.raises(UserError, match="the graph has more than 500,000 arcs"):
        rule_net(parse_grammar(HEAD + "public <r0> = <r1> <r1>; " + " ".join(
            f"<r{n}> = <r{n + 1}> <r{n + 1}>;" for n in range(1, 25)) + "<r25> = a;"))
