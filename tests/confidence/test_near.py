"""What sounds near to a command: pairs, real words, made-up strings."""

import itertools

import numpy as np
import pytest

from hybridasr.confidence import fillers as fillers_module
from hybridasr.confidence.confusion import PhoneDistances, table_distances
from hybridasr.confidence.filler_candidates import FillerOptions, FillerSource
from hybridasr.confidence.fillers import suggest, suggest_for_list
from hybridasr.confidence.near import distance, near_pairs
from hybridasr.confidence.spoken import lexicon_of, spelling, split_word, spoken_commands
from hybridasr.confidence.syllables import SyllableInventory, nearest_choices
from hybridasr.confidence.vocabulary import Vocabulary
from hybridasr.corpus.command_list import Command
from hybridasr.errors import UserError
from hybridasr.lexicon import mandarin
from hybridasr.lexicon.langdir import LangOptions, prepare_lang
from hybridasr.lexicon.lexicon import Lexicon, Pronunciation, build_lexicon
from hybridasr.lexicon.phones import default_phone_set

TABLE = table_distances()


def spoken(*texts, ids=None):
    commands = [Command(text, (ids or texts)[number], line=number + 1)
                for number, text in enumerate(texts)]
    lexicon = build_lexicon({word for command in commands for word in command.words})
    return spoken_commands(commands, lexicon)


@pytest.fixture(scope="module")
def source():
    pytest.importorskip("pypinyin")
    return FillerSource(TABLE)


# Pairs of commands.

def test_near_pairs_are_named_and_far_ones_are_not():
    pytest.importorskip("pypinyin")
    pairs = near_pairs(spoken("打开空调", "关闭空调", "打开空挑"), TABLE)
    assert [(p.first.text, p.second.text) for p in pairs] == [("打开空调", "打开空挑")]
    assert pairs[0].warning().startswith(
        "commands '打开空调' (line 1) and '打开空挑' (line 3) sound alike (distance 1.0)")


def test_pairs_agree_with_all_pairs_of_pronunciations():
    commands = spoken("si4", "shi2", "yi1", "qi1", "liu4", "jiu3", "shi", "lu4 yin1", "lu4 ying1")
    limit = 4.0
    expected = {}
    for one, other in itertools.combinations(commands, 2):
        nearest = min(distance(a, b, TABLE) for a in one.pronunciations
                      for b in other.pronunciations)
        if nearest <= limit:
            expected[one.text, other.text] = nearest
    found = {(p.first.text, p.second.text): p.distance for p in near_pairs(commands, TABLE, limit)}
    assert found == pytest.approx(expected, abs=1e-9)
    assert 0 < len(expected) < 36
    assert list(found.values()) == sorted(found.values())
    assert found["shi2", "shi"] == 0
    assert "sound the same" in near_pairs(commands, TABLE)[0].warning()


def test_commands_of_one_id_are_no_pair():
    assert near_pairs(spoken("si4", "shi4", ids=["four", "four"]), TABLE) == []
    assert len(near_pairs(spoken("si4", "shi4"), TABLE)) == 1


def test_both_directions_count():
    """Of costs that differ, the mean decides, whatever the order of the list."""
    index, costs = TABLE.index, TABLE.substitution.copy()
    costs[index["s"], index["sh"]], costs[index["sh"], index["s"]] = 1.0, 2.0
    lopsided = PhoneDistances(TABLE.phones, costs, TABLE.deletion, TABLE.insertion)
    for texts in (["sa1", "sha1"], ["sha1", "sa1"]):
        assert near_pairs(spoken(*texts), lopsided, 2.0)[0].distance == pytest.approx(1.5)


# Made-up strings.

@pytest.mark.parametrize("max_changed", [0, 1, 2, 4])
def test_choices_come_in_the_order_of_all(max_changed):
    generator = np.random.default_rng(max_changed)
    costs = [np.concatenate([[0.0], np.sort(generator.integers(1, 9, size)) / 4])
             for size in (3, 1, 0, 4)]
    found = list(nearest_choices(costs, max_changed))
    every = {choice: sum(of[n] for of, n in zip(costs, choice, strict=True))
             for choice in itertools.product(*(range(len(of)) for of in costs))
             if np.count_nonzero(choice) <= max_changed}
    assert {choice: cost for cost, choice in found} == pytest.approx(every)
    assert len(found) == len(every)
    assert [cost for cost, _ in found] == sorted(cost for cost, _ in found)
    limit = 1.5
    assert list(nearest_choices(costs, max_changed, limit)) == [
        row for row in found if row[0] <= limit]


SMALL = [*"bpdtgkzn", "zh", "a1", "ai1", "an1", "ang1", "u1", "i1"]


@pytest.mark.parametrize(("syllables", "symmetric"), [(1, True), (2, True), (1, False), (2, False)])
def test_nearest_strings_agree_with_brute_force(syllables, symmetric):
    """All strings of legal syllables over a few phones, by the true edit distance."""
    distances = table_distances(SMALL)
    if not symmetric:
        # As counted confusions may be: other costs in each direction.
        factors = np.random.default_rng(5).uniform(0.8, 1.2, (3, *distances.substitution.shape))
        distances = PhoneDistances(distances.phones, distances.substitution * factors[0],
                                   distances.deletion * factors[1][0],
                                   distances.insertion * factors[2][0])
    commands = spoken("da1 ba1", "ta1 ba1")
    options = FillerOptions(per_command=30, made_up=30, min_distance=1.5, max_distance=7.0,
                            min_phone=0.0, syllables=syllables, dictionaries=False)
    source = FillerSource(distances, dictionaries=False)
    found = suggest(commands[0], commands, source, options)
    legal = [(initial, final + "1") for initial, final, tones in mandarin.syllable_table().values()
             if "1" in tones and initial in SMALL and final + "1" in SMALL]
    target, costs = [("d", "a1"), ("b", "a1")], {}
    for string in itertools.product(sorted({*legal}), repeat=2):
        phones = tuple(itertools.chain(*string))
        changed = sum(old != new for old, new in zip(target, string, strict=True))
        nearest = [min(distance(phones, pron, source.distances) for pron in command.pronunciations)
                   for command in commands]
        if changed <= syllables and min(nearest) >= 1.5 and nearest[0] <= 7.0:
            costs[phones] = nearest[0]
    assert len(costs) > (30 if syllables == 2 else 10)
    expected = sorted(costs.values())[:30]
    assert [filler.distance for filler in found] == pytest.approx(expected, abs=1e-9)
    assert all(filler.distance == pytest.approx(costs[filler.phones]) for filler in found)
    assert len({filler.phones for filler in found}) == len(found)
    assert {filler.kind for filler in found} == {"made-up"}


def test_inventory_has_every_legal_syllable_once():
    inventory = SyllableInventory(TABLE, set(TABLE.phones))
    assert len(set(inventory.phones)) == len(inventory.phones) > 1200
    assert ("x", "ve2") in inventory.phones
    assert ("b", "ong1") not in inventory.phones  # bong4 is in use, bong1 is not
    assert ("b", "ve2") not in inventory.phones
    order, costs = inventory.nearest(("j", "i4"))
    assert order[0] == ("j", "i4")
    assert np.all(np.diff(costs) >= 0)
    assert costs[order.index(("q", "i4"))] == distance(["j"], ["q"], TABLE)
    known = {*TABLE.phones} - {"q", "i3"}
    assert all(known.issuperset(pair) for pair in SyllableInventory(TABLE, known).phones)


# Suggestions as a whole.

def test_deep_technology_gets_deep_science(source):
    commands = spoken("深度科技")
    found = {filler.text: filler for filler in suggest(commands[0], commands, source)}
    assert found["深度科学"].kind == "part"
    assert found["深度科学"].phones == ("sh", "en1", "d", "u4", "k", "e1", "x", "ve2")
    assert found["深度科学"].distance == pytest.approx(
        distance(found["深度科学"].phones, commands[0].pronunciations[0], TABLE))
    # Some unknown last syllable, in hanzi that are read so.
    assert any(filler.kind == "made-up" and text.startswith("深度科")
               for text, filler in found.items())


def test_beijing_gets_background(source):
    commands = spoken("北京")
    found = {filler.text: filler for filler in suggest(commands[0], commands, source)}
    assert (found["背景"].kind, found["背景"].pinyin) == ("word", "bei4jing3")
    assert found["背景"].distance == pytest.approx(distance(["ei3"], ["ei4"], TABLE)
                                                 + distance(["ing1"], ["ing3"], TABLE))
    both = spoken("北京", "背景")
    assert "背景" not in {filler.text for filler in suggest(both[0], both, source)}


COMMANDS = ("打开空调", "关闭空调", "深度科技", "北京", "下一首", "da kai deng", "打开wifi",
            "da3kai1 TV", "open the door")


@pytest.mark.parametrize("options", [
    FillerOptions(), FillerOptions(spread=False, per_command=25),
    FillerOptions(syllables=2, made_up=12, per_command=12, hanzi=False, max_distance=5.0),
    FillerOptions(min_distance=4.0, dictionaries=False)], ids=["default", "spread", "two", "far"])
def test_every_filler_keeps_the_rules(source, options):
    if not options.dictionaries:
        source = FillerSource(TABLE, dictionaries=False)
    commands = spoken(*COMMANDS)
    own = [pron for command in commands for pron in command.pronunciations]
    for command in commands:
        fillers = suggest(command, commands, source, options)
        is_english = command.text.startswith("open")
        assert len(fillers) == options.per_command or (is_english and not options.dictionaries)
        assert len({filler.phones for filler in fillers}) == len(fillers)
        ranks = [(f.kind == "made-up", f.distance) for f in fillers]
        assert ranks == sorted(ranks)
        for filler in fillers:
            costs = [distance(filler.phones, pron, TABLE) for pron in own]
            assert min(costs) >= options.min_distance - 1e-9
            nearest = min(distance(filler.phones, pron, TABLE) for pron in command.pronunciations)
            assert filler.distance == pytest.approx(nearest, abs=1e-9)
            assert nearest <= options.max_distance + 1e-9
            assert not (command.text.isascii() and not filler.text.isascii())
            # Whoever puts the text into a grammar gets these phones.
            words = filler.text.split()
            lexicon = build_lexicon({*words})
            read = itertools.product(*(lexicon.entries[word] for word in words))
            assert filler.phones in [sum((pron.phones for pron in prons), ()) for prons in read]


def test_tones_and_accents_alone_are_no_fillers(source):
    """Who says zh as z and ing as in means the command."""
    commands = spoken("shu4zi4")
    fillers = suggest(commands[0], commands, source, FillerOptions(per_command=40, made_up=40,
                                                                   min_distance=0.5))
    assert {"si4", "shi4"}.isdisjoint(f.pinyin for f in fillers)
    for filler in fillers:
        changes = [distance([a], [b], TABLE)
                   for a, b in zip(filler.phones, commands[0].pronunciations[0], strict=True)]
        assert max(changes) >= 2.0


def test_only_phones_that_the_model_knows(source):
    commands = spoken("打开空调", "open door")
    known = {phone for command in commands for pron in command.pronunciations for phone in pron}
    known |= {"g", "ong1", "t", "B", "L"}
    fillers = [filler for command in commands
               for filler in suggest(command, commands, FillerSource(TABLE, known))]
    assert {filler.kind for filler in fillers} == {"part", "made-up"}
    assert known.issuperset(phone for filler in fillers for phone in filler.phones)


def test_lists_that_change_get_the_fillers_of_new_ones(source, monkeypatch):
    """Texts near to each other: many a filler of one is in the way of another."""
    texts = ["打开空调", "打开空气", "打开孔雀", "关闭空调", "深度科技", "深度科学", "深度可惜",
             "open door", "打开空跳", "关闭通道"]
    commands = spoken(*texts)
    options = FillerOptions(per_command=4, made_up=2, min_distance=3.0)
    rng, searches, previous = np.random.default_rng(3), [], None
    search = fillers_module._search
    monkeypatch.setattr(fillers_module, "_search",
                        lambda *args: searches.append(args[0]) or search(*args))
    changes = 0
    for _ in range(25):
        some = [commands[n] for n in rng.permutation(len(texts))[:rng.integers(2, len(texts) + 1)]]
        found = suggest_for_list(some, source, options, previous)
        once = len(searches)
        previous = suggest_for_list(some, source, options, found)
        assert len(searches) == once
        expected = tuple(filler for command in some for filler in search(command, some, source,
                                                                         options)[0])
        assert found.fillers == previous.fillers == expected
        changes += len(some)
    assert 0 < len(searches) < changes


def test_own_words_are_words_too():
    phones = {"关上空调": "g uan1 sh ang5 k ong1 t iao2", "空谈": "k ong1 t an2",
              "dour": "D UH R", "<x>": "D AY R"}
    lexicon = Lexicon({word: (Pronunciation(1.0, tuple(text.split())),)
                       for word, text in phones.items()})
    source = FillerSource(TABLE, lexicon=lexicon, dictionaries=False)
    commands = spoken("guan1shang4kong1diao4", "door")
    chinese, foreign = (suggest(command, commands, source, FillerOptions(made_up=0, per_command=3))
                        for command in commands)
    assert ("word", "guan1shang5kong1tiao2") in [(f.kind, f.pinyin) for f in chinese]
    # Made-up strings fill the list, though none was asked for.
    assert [f.kind for f in chinese].count("made-up") == 1
    assert [f.text for f in foreign] == ["dour", "<x>"]


def test_options_are_checked():
    for wrong in ({"per_command": 0}, {"min_distance": 0.0}, {"max_distance": 1.0},
                  {"min_phone": -1.0}, {"syllables": -1}, {"made_up": -1},
                  {"warn_distance": float("nan")}):
        with pytest.raises(UserError, match="give"):
            FillerOptions(**wrong)


# Commands and words in parts.

@pytest.mark.parametrize(("word", "phones", "texts"), [
    ("打开", "d a3 k ai1", ["打", "开"]), ("da3kai1", "d a3 k ai1", ["da3", "kai1"]),
    ("打开wifi", "d a3 k ai1 W AY F AY", ["打", "开", "wifi"]),
    ("TV机", "T IY V IY j i1", ["TV", "机"]), ("2度", "ee er4 d u4", ["二", "度"]),
    ("open", "OW P AH N", ["open"]), ("打开", "OW P AH N", ["打开"]),
    ("那儿", "n ar4", ["那儿"]), ("打开", "d a3 k ai1 l e5", ["打开"])])
def test_words_are_split_where_writing_and_phones_agree(word, phones, texts):
    units = split_word(word, tuple(phones.split()))
    assert [unit.text for unit in units] == texts
    assert sum((unit.phones for unit in units), ()) == tuple(phones.split())
    assert [unit.begins_word for unit in units] == [True] + [False] * (len(units) - 1)


def test_spelling_is_pinyin_where_hanzi_would_be_read_otherwise():
    pytest.importorskip("pypinyin")
    for word, phones, text in (("打开", "d a3 k ai1", "打开"), ("打开", "d a2 k ai1", "da2kai1"),
                               ("打开wifi", "d a3 k ai1 W AY F AY", "打开 wifi")):
        assert spelling(split_word(word, tuple(phones.split()))) == text


def test_a_missing_pronunciation_is_named():
    with pytest.raises(UserError, match="no pronunciation for '关' of the command '打开 关'"):
        spoken_commands([Command("打开 关", "x")], Lexicon({"打开": (Pronunciation(1.0, ("d",)),)}))


def test_words_of_a_lang_directory(tmp_path):
    lexicon = build_lexicon(["da3", "open"])
    phone_set = default_phone_set().covering(lexicon.phones)
    lang = prepare_lang(lexicon, phone_set, tmp_path, LangOptions(position_dependent=True))
    found = lexicon_of(lang)
    assert found.entries == {word: lexicon.entries[word] for word in ("da3", "open")}


@pytest.mark.parametrize(("text", "places"), [
    ("打开空调", [0, 2, 4]), ("空调打", [0, 2, 3]), ("甲乙", [0, 2]), ("甲乙丙", [0, 1, 2, 3]),
    ("甲打开乙丙丁", [0, 1, 3, 4, 5, 6]), ("打", [0, 1])])
def test_hanzi_are_cut_at_known_words(text, places):
    words = {"打开": "d a3 k ai1", "空调": "k ong1 t iao2"}
    lexicon = Lexicon({word: (Pronunciation(1.0, tuple(phones.split())),)
                       for word, phones in words.items()})
    assert Vocabulary(TABLE, TABLE.index, lexicon, dictionaries=False).cut(text) == places
