"""New words for a trained model: which pronunciations they get, and what is refused."""

import sys

import pytest

from hybridasr.corpus.command_list import Command, make_commands
from hybridasr.errors import UserError
from hybridasr.lexicon import mandarin
from hybridasr.lexicon.extend import with_commands, with_words
from hybridasr.lexicon.langdir import LangOptions, prepare_lang
from hybridasr.lexicon.lexicon import Lexicon, Pronunciation, build_lexicon, make_lexicon
from hybridasr.lexicon.phones import default_phone_set


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "positions"])
def lang(request, tmp_path_factory):
    # A pronunciation that no table has, to be kept.
    own = make_lexicon({"灯": [Pronunciation(0.5, ("d", "eng4"))]})
    lexicon = build_lexicon(["打开", "空调", "灯", "speech", "一"], user_lexicon=own)
    return prepare_lang(lexicon, default_phone_set(), tmp_path_factory.mktemp("lang"),
                        LangOptions(position_dependent=request.param))


def said(lang, word):
    """Pronunciations of a word as text, without marks of places."""
    return [" ".join(lang.phone_name(phone).split("_")[0] for phone in phones)
            for _, phones in lang.pronunciations[lang.words[word]]]


def test_words_of_each_kind(lang):
    more = with_words(lang, ["空打", "kai1da3", "kai", "灯", "打开", "空speech"])
    assert said(more, "空打") == ["k ong1 d a3"]
    assert said(more, "kai1da3") == ["k ai1 d a3"]
    assert said(more, "kai") == ["k ai1"]  # the only tone that the model has heard
    assert said(more, "空speech") == ["k ong1 S P IY CH"]
    assert more.pronunciations[more.words["灯"]] == lang.pronunciations[lang.words["灯"]]
    assert said(more, "灯") == ["d eng4"]


def test_word_ids_and_names(lang):
    more = with_words(lang, ["kong1", "da3"])
    new = {word: number for word, number in more.words.items() if word not in lang.words}
    assert new == {"da3": len(lang.words), "kong1": len(lang.words) + 1}
    assert {word: more.words[word] for word in lang.words} == lang.words
    assert [more.word_name(number) for number in more.words.values()] == list(more.words)
    assert more.phones == lang.phones
    assert with_words(more, ["da3", "打开"]) is more
    third = with_words(more, ["kai1"])
    assert third.words["kai1"] == len(more.words)
    if lang.position_dependent:
        phones = third.pronunciations[third.words["kai1"]][0][1]
        assert [lang.phone_name(phone) for phone in phones] == ["k_B", "ai1_E"]


def test_unknown_tones_become_known_ones(lang):
    more = with_words(lang, ["da1", "kong4tiao4"])
    assert said(more, "da1") == ["d a3"]
    assert said(more, "kong4tiao4") == ["k ong1 t iao2"]


def test_own_pronunciations_come_first(lang, tmp_path):
    own = make_lexicon({"空打": [Pronunciation(0.5, ("d", "a3"))],
                        "打开": [Pronunciation(1.0, ("d", "a3"))]})
    more = with_commands(lang, make_commands(["空打 打开"]), lexicon=own)
    assert more.pronunciations[more.words["空打"]][0][0] == 0.5
    assert said(more, "空打") == ["d a3"]
    assert said(more, "打开") == ["d a3"]  # also for a word of the model, which keeps its id
    assert more.words["打开"] == lang.words["打开"]
    path = tmp_path / "lexicon.txt"
    path.write_text("tada d a3 d a3\n", encoding="utf-8")
    assert said(with_words(lang, ["tada"], lexicon=path), "tada") == ["d a3 d a3"]


def test_the_list_tells_how_to_read_what_is_both(tmp_path):
    lexicon = Lexicon({**build_lexicon(["fan1", "fan4", "kong1"]).entries,
                       **build_lexicon(["fan", "speech"]).entries})
    lexicon = Lexicon({word: prons for word, prons in lexicon.entries.items() if word != "fan"}
                      | {"fun": (Pronunciation(1.0, ("F", "AE", "N")),)})
    lang = prepare_lang(lexicon, default_phone_set(), tmp_path)
    assert said(with_commands(lang, make_commands(["fan"])), "fan") == ["F AE N"]
    # Known words tell as well.
    beside = with_commands(lang, make_commands(["fan", "kong1"]))
    assert said(beside, "fan") == ["f an1", "f an4"]


def test_guesses_are_made_where_wanted(lang, monkeypatch):
    monkeypatch.setattr("hybridasr.lexicon.english.guess_pronunciation",
                        lambda word: ("S", "P") if word == "spp" else None)
    assert said(with_words(lang, ["spp"], guess=True), "spp") == ["S P"]
    assert said(with_commands(lang, make_commands(["spp"]), guess=True), "spp") == ["S P"]
    with pytest.raises(UserError, match="no pronunciation for 'spp'"):
        with_words(lang, ["spp"])


@pytest.mark.parametrize(("text", "message"), [
    ("打开发", r"command '打开发': '打开发' needs the phones f, which the model has never"),
    ("speech fff", r"command 'speech fff': no pronunciation for 'fff'; add it to a lexicon of "),
    ("打开\U00031fff", "command '打开\U00031fff': no pronunciation for '\U00031fff'; write it in"),
    ("tiao9", r"command 'tiao9': no pronunciation for 'tiao9'; 'tiao9' is a syllable with a tone"),
])
def test_what_cannot_be_said(lang, text, message):
    with pytest.raises(UserError, match="^" + message):
        with_commands(lang, [Command("打开", "打开"), Command(text, text)])
    with pytest.raises(UserError, match="^some.txt:3: " + message) as error:
        with_commands(lang, [Command(text, text, line=3)], "some.txt")
    assert error.value.line == 3


def test_every_fault_has_its_line(lang):
    with pytest.raises(UserError) as error:
        with_commands(lang, make_commands(["fff", "打开", "ggg"]))
    assert [line.split(":")[0] for line in str(error.value).splitlines()] == [
        "command 'fff'", "command 'ggg'"]
    with pytest.raises(UserError, match="^no pronunciation for 'fff'"):
        with_words(lang, ["fff"])


def test_pypinyin_is_asked_for_when_it_is_needed(lang, monkeypatch):
    monkeypatch.setitem(sys.modules, "pypinyin", None)
    for cached in (mandarin._pypinyin, mandarin._phrases):
        cached.cache_clear()
    try:
        with pytest.raises(UserError, match=r"^reading hanzi needs the package pypinyin; run "):
            with_commands(lang, make_commands(["空打"]))
        assert said(with_commands(lang, make_commands(["打开", "kai1 da3"])), "kai1") == ["k ai1"]
    finally:
        mandarin._pypinyin.cache_clear()
        mandarin._phrases.cache_clear()
