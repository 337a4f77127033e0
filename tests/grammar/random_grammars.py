"""Random JSGF grammars as plain trees, written out as text and expanded by the definition alone.

A tree is ("word", w), ("series", [...]), ("choice", [...], weights or None), ("option", t),
("star", t), ("plus", t), ("rule", n), ("slot", name, value or None, t), ("null",) or ("void",).
"""

import itertools
from collections import defaultdict

WORDS = ["a", "b", "c", "打开", "空调", "26度"]
MOST = 4000  # derivations of a grammar that is still listed by hand


def draw_rules(rng, loops=False, slots=False):
    """Trees of rules 0, 1, ...; a rule calls later ones only, rule 0 is the public one."""
    count = int(rng.integers(1, 5))
    while True:
        names = iter(f"s{number}" for number in range(99))
        rules = [_draw(rng, number, count, 3, loops, names if slots else None)
                 for number in range(count)]
        if loops or 0 < _derivations(rules[0], rules) <= MOST:
            return rules


def _draw(rng, rule, count, depth, loops, names):
    def inner():
        return _draw(rng, rule, count, depth - 1, loops, names)

    kinds = ["word"] * 4 + ["rule"] * (2 if rule + 1 < count else 0)
    if depth:
        kinds += ["series"] * 4 + ["choice"] * 4 + ["option"] * 2 + ["slot"] * (2 if names else 0)
        kinds += ["star", "plus"] if loops else []
    kind = str(rng.choice(kinds))
    if kind == "word":
        return "word", str(rng.choice(WORDS))
    if kind == "rule":
        return "rule", int(rng.integers(rule + 1, count))
    if kind == "series":
        return "series", [inner() for _ in range(rng.integers(2, 4))]
    if kind == "choice":
        items = [inner() for _ in range(rng.integers(2, 4))]
        items += [("null",)] * int(rng.random() < 0.15) + [("void",)] * int(rng.random() < 0.15)
        weights = [float(rng.choice([0, 0.5, 1, 3])) for _ in items] if rng.random() < 0.5 else None
        if weights and weights[0] == 0:
            weights[0] = 2.0
        return "choice", items, weights
    if kind == "slot":
        value = str(rng.choice(["on", "客厅", "x1"])) if rng.random() < 0.5 else None
        return "slot", next(names), value, inner()
    return kind, inner()


def _derivations(tree, rules):
    kind = tree[0]
    if kind in ("word", "null"):
        return 1
    if kind == "void":
        return 0
    if kind == "rule":
        return _derivations(rules[tree[1]], rules)
    if kind == "option":
        return 1 + _derivations(tree[1], rules)
    if kind == "slot":
        return _derivations(tree[3], rules)
    counts = [_derivations(item, rules) for item in tree[1]]
    if kind == "choice":
        return sum(counts)
    product = 1
    for number in counts:
        product *= number
    return product


def expansions(tree, rules, longest=None):
    """All (words, slots, probability) of a tree, up to `longest` words where it has loops."""
    kind = tree[0]
    if kind == "word":
        return [((tree[1],), (), 1.0)]
    if kind == "null":
        return [((), (), 1.0)]
    if kind == "void":
        return []
    if kind == "rule":
        return expansions(rules[tree[1]], rules, longest)
    if kind == "option":
        inside = expansions(tree[1], rules, longest)
        # Where the inside cannot be said, it is always left out.
        return [((), (), 0.5 if _has_end(tree[1], rules) else 1.0),
                *((words, slots, p / 2) for words, slots, p in inside)]
    if kind == "slot":
        return [(words, (*slots, (tree[1], tree[2] if tree[2] is not None else " ".join(words))), p)
                for words, slots, p in expansions(tree[3], rules, longest)]
    if kind == "choice":
        weights = tree[2] or [1.0] * len(tree[1])
        parts = [(weight, expansions(item, rules, longest))
                 for weight, item in zip(weights, tree[1], strict=True)]
        # What cannot be said has no share.
        parts = [(weight, part) for (weight, part), item in zip(parts, tree[1], strict=True)
                 if weight and _has_end(item, rules)]
        total = sum(weight for weight, _ in parts)
        return [(words, slots, p * weight / total)
                for weight, part in parts for words, slots, p in part]
    if kind == "series":
        results = []
        for combined in itertools.product(*(expansions(item, rules, longest) for item in tree[1])):
            words = tuple(itertools.chain.from_iterable(part[0] for part in combined))
            slots = tuple(itertools.chain.from_iterable(part[1] for part in combined))
            p = 1.0
            for part in combined:
                p *= part[2]
            if longest is None or len(words) <= longest:
                results.append((words, slots, p))
        return results
    inside = best(expansions(tree[1], rules, longest))
    results = [((), (), 0.5 if _has_end(tree[1], rules) else 1.0)] if kind == "star" else []
    rows = inside
    # Each turn goes on with probability 0.5.
    factor = 0.5 if kind == "star" else 1.0
    while rows and factor > 1e-9:
        results += [(words, (), p * factor * 0.5) for words, p in rows.items()]
        rows = best([(words + more, (), p * q) for words, p in rows.items()
                     for more, q in inside.items() if len(words + more) <= longest])
        rows.pop((), None)
        factor *= 0.5
    return results


def _has_end(tree, rules):
    """Whether a tree can be said at all."""
    kind = tree[0]
    if kind in ("word", "null", "option", "star"):
        return True
    if kind == "rule":
        return _has_end(rules[tree[1]], rules)
    if kind == "choice":
        weights = tree[2] or [1.0] * len(tree[1])
        return any(weight and _has_end(item, rules)
                   for weight, item in zip(weights, tree[1], strict=True))
    if kind == "series":
        return all(_has_end(item, rules) for item in tree[1])
    return kind != "void" and _has_end(tree[-1], rules)


def has_loop(tree, rules):
    """Whether sentences of a tree may repeat something."""
    kind = tree[0]
    if kind in ("star", "plus"):
        return _has_end(tree[1], rules)
    if kind == "rule":
        return has_loop(rules[tree[1]], rules)
    if kind == "choice":
        weights = tree[2] or [1.0] * len(tree[1])
        return any(weight and _has_end(item, rules) and has_loop(item, rules)
                   for weight, item in zip(weights, tree[1], strict=True))
    if kind == "series":
        return any(has_loop(item, rules) for item in tree[1])
    return kind in ("option", "slot") and has_loop(tree[-1], rules)


def best(rows):
    """The likeliest derivation of each sequence of words."""
    table = {}
    for words, _, p in rows:
        table[words] = max(p, table.get(words, 0.0))
    return table


def summed(rows):
    """The probability of each sequence of words, over all derivations."""
    table = defaultdict(float)
    for words, _, p in rows:
        table[words] += p
    return dict(table)


def may_be_empty(tree, rules):
    """Whether a tree can say nothing."""
    kind = tree[0]
    if kind in ("option", "star", "null"):
        return True
    if kind in ("word", "void"):
        return False
    if kind == "rule":
        return may_be_empty(rules[tree[1]], rules)
    if kind == "slot":
        return may_be_empty(tree[3], rules)
    if kind == "plus":
        return may_be_empty(tree[1], rules)
    results = [may_be_empty(item, rules) for item in tree[1]]
    if kind == "choice":
        weights = tree[2] or [1.0] * len(results)
        return any(result and weight for result, weight in zip(results, weights, strict=True))
    return all(results)


def written(rules, rng):
    """The grammar as JSGF, with comments, line breaks, quotes and brackets here and there."""
    def space():
        return str(rng.choice([" ", " ", "  ", "\n  ", " /* | x; */ ", " // ; y\n "]))

    def show(tree):
        kind = tree[0]
        if kind == "word":
            return f'"{tree[1]}"' if rng.random() < 0.1 else tree[1]
        if kind == "rule":
            return f"<{'test.' if rng.random() < 0.2 else ''}r{tree[1]}>"
        if kind in ("null", "void"):
            return f"<{kind.upper()}>"
        if kind == "option":
            return f"[{show(tree[1])}]"
        if kind == "slot":
            inside = f"({show(tree[3])})" + space()
            return inside + (f"{{{tree[1]}}}" if tree[2] is None else f"{{{tree[1]}={tree[2]}}}")
        if kind in ("star", "plus"):
            return f"({show(tree[1])}){'*' if kind == 'star' else '+'}"
        if kind == "series":
            return "(" + space().join(map(show, tree[1])) + ")"
        weights = tree[2] or [None] * len(tree[1])
        return "(" + (space() + "|" + space()).join(
            ("" if weight is None else f"/{weight}/{space()}") + show(item)
            for weight, item in zip(weights, tree[1], strict=True)) + ")"

    lines = [f"{'public ' if number == 0 else ''}<r{number}> ={space()}{show(tree)};"
             for number, tree in enumerate(rules)]
    return "#JSGF V1.0 UTF-8 zh;\ngrammar test;\n" + "\n".join(rng.permutation(lines)) + "\n"
