"""Lexicons: files, building from words, homophones, fitting to a model."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridasr.errors import UserError
from hybridasr.lexicon.lexicon import (
    Lexicon,
    Pronunciation,
    build_lexicon,
    homophones,
    limit_phones,
    make_lexicon,
    read_lexicon,
    write_lexicon,
)
from hybridasr.lexicon.phones import default_phone_set


def said(lexicon: Lexicon, word: str) -> list[str]:
    return [" ".join(pron.phones) for pron in lexicon.entries[word]]


def build(*words: str, **options) -> Lexicon:
    return build_lexicon(words, **options)


symbols = st.text(st.characters(whitelist_categories=("L", "N"), max_codepoint=0x9FFF), min_size=1,
                  max_size=5)
lexicons = st.dictionaries(
    symbols,
    st.lists(st.builds(Pronunciation, st.sampled_from([1.0, 0.5, 0.125]),
                       st.lists(symbols, min_size=1, max_size=4).map(tuple)),
             min_size=1, max_size=3),
    min_size=1, max_size=6).map(make_lexicon)


@given(lexicons)
def test_lexiconp_round_trip(tmp_path_factory, lexicon):
    path = tmp_path_factory.mktemp("lex") / "lexiconp.txt"
    write_lexicon(lexicon, path)
    assert read_lexicon(path) == lexicon
    assert list(lexicon.entries) == sorted(lexicon.entries, key=str.encode)


def test_lexicon_txt_drops_probabilities(tmp_path):
    lexicon = make_lexicon({"a": [Pronunciation(1.0, ("X",)), Pronunciation(0.5, ("Y", "Z"))]})
    write_lexicon(lexicon, tmp_path / "lexicon.txt")
    assert (tmp_path / "lexicon.txt").read_text() == "a X\na Y Z\n"
    back = read_lexicon(tmp_path / "lexicon.txt").entries["a"]
    assert [pron.probability for pron in back] == [1.0, 1.0]


@pytest.mark.parametrize(("name", "text", "message"), [
    ("lexicon.txt", "a X\n\nb\n", r"lexicon.txt:3: word 'b' has no phones; add them"),
    ("lexicon.txt", "# nothing\n", r"lexicon.txt: holds no word; write"),
    ("lexicon.txt", "a X\n<s> X\n", r"lexicon.txt:2: '<s>' is a reserved symbol; remove"),
    ("lexiconp.txt", "a 0.5 X\nb X\n", r"lexiconp.txt:2: word 'b' has the probability 'X'; write"),
    ("lexiconp.txt", "a 1.5 X\n", r"lexiconp.txt:1: word 'a' has the probability '1.5'"),
    ("lexiconp.txt", "a 0 X\n", r"probability '0'"),
    ("lexiconp.txt", "a nan X\n", r"probability 'nan'"),
    ("lexiconp.txt", "a 0.5\n", r"lexiconp.txt:1: word 'a' has no phones"),
])
def test_faults_in_files(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_lexicon(tmp_path / name)


def test_special_words_are_always_in():
    lexicon = build()
    assert said(lexicon, "<SIL>") == ["SIL"]
    assert said(lexicon, "<UNK>") == ["SPN"]


def test_reserved_symbols_are_no_words():
    assert set(build("<eps>", "<s>", "</s>", "#0").entries) == {"<SIL>", "<UNK>"}


def test_words_of_dsp20():
    lexicon = build(*["数字", "语音", "识别", "中国", "总工", "复旦", "饭店", "Speech", "Project"])
    assert said(lexicon, "语音") == ["vv v3 ii in1"]
    assert said(lexicon, "总工") == ["z ong3 g ong1"]
    assert said(lexicon, "Speech") == ["S P IY CH"]
    assert said(lexicon, "Project") == ["P R AA JH EH K T", "P R AH JH EH K T"]


def test_mixed_words():
    lexicon = build("打开wifi", "A面", "调到26度", "TV打开")
    assert said(lexicon, "打开wifi") == ["d a3 k ai1 W AY F AY"]
    assert said(lexicon, "A面") == ["EY m ian4"]
    assert said(lexicon, "调到26度") == ["t iao2 d ao4 ee er4 sh ix2 l iu4 d u4"]
    assert said(lexicon, "TV打开") == ["T IY V IY d a3 k ai1"]


def test_an_ambiguous_word_is_read_as_its_list():
    """"fan" and "long" are English words and syllables."""
    assert said(build("fan"), "fan") == ["F AE N"]
    assert said(build("fan", "speech"), "fan") == ["F AE N"]
    assert said(build("fan", "kai"), "fan") == ["f an1", "f an2", "f an3", "f an4"]
    assert said(build("fan", "kai", "speech"), "fan") == ["f an1", "f an2", "f an3", "f an4",
                                                          "F AE N"]
    assert said(build("fan4", "speech"), "fan4") == ["f an4"]


def test_pinyin_commands():
    lexicon = build(*["da3", "kai1", "kong1", "tiao2"])
    assert [said(lexicon, w) for w in ("da3", "kai1", "kong1", "tiao2")] == [
        ["d a3"], ["k ai1"], ["k ong1"], ["t iao2"]]
    # Without tones: the right reading is among the alternatives of each syllable.
    lexicon = build(*["da", "kai", "kong", "tiao"])
    for word, phones in (("da", "d a3"), ("kai", "k ai1"), ("kong", "k ong1"), ("tiao", "t iao2")):
        assert phones in said(lexicon, word)
        assert len(said(lexicon, word)) <= 5


def test_sandhi_is_an_option():
    assert said(build("你好"), "你好") == ["n i3 h ao3", "n i2 h ao3"]
    assert said(build("你好", sandhi=False), "你好") == ["n i3 h ao3"]


def test_the_users_lexicon_wins(tmp_path):
    (tmp_path / "lexicon.txt").write_text("YES K EH N\n打开 foo1 bar\n<UNK> GBG\n")
    lexicon = build("YES", "打开", "NO", user_lexicon=tmp_path / "lexicon.txt",
                    mix_phones=True)
    assert said(lexicon, "YES") == ["K EH N"]
    assert said(lexicon, "打开") == ["foo1 bar"]
    assert said(lexicon, "NO") == ["N OW"]
    assert said(lexicon, "<UNK>") == ["GBG"]
    assert "关闭" not in lexicon.entries


def test_only_asked_words_come_from_the_users_lexicon():
    user = make_lexicon({"a": [Pronunciation(1.0, ("X",))], "b": [Pronunciation(1.0, ("Y",))]})
    assert set(build("a", user_lexicon=user).entries) == {"<SIL>", "<UNK>", "a"}


RARE = "\U00030000\U00030001"


def test_a_hanzi_without_reading_is_named_with_its_place():
    with pytest.raises(UserError, match=re.escape(
            f"commands.txt:5: no pronunciation for '{RARE}' (known so far: 打开); write it in "
            "pinyin, e.g. 'da3 kai1'")):
        build("打开", RARE, places={RARE: ("commands.txt", 5), "打开": ("commands.txt", 1)})


def test_the_first_of_several_unknown_words_is_named():
    with pytest.raises(UserError, match="list:2: no pronunciation for 'blorfing' and 1 more words"):
        build("blorfing", "ablorfing", places={"blorfing": ("list", 2), "ablorfing": ("list", 7)})


def test_an_unknown_number_is_to_be_written_out():
    with pytest.raises(UserError, match="no pronunciation for '26'; write the number in words"):
        build("26")


def test_unknown_words_by_option():
    assert said(build("blorfing", oov="spn"), "blorfing") == ["SPN"]
    assert said(build("blorfing", oov="guess"), "blorfing") == ["B L AO R F IH NG"]
    assert said(build("打开blorf", oov="guess"), "打开blorf") == ["d a3 k ai1 B L AO R F"]
    with pytest.raises(UserError, match="no pronunciation for '!!'"):
        build("!!", oov="guess")
    with pytest.raises(UserError, match="oov 'skip' is unknown; use error, guess or spn"):
        build(oov="skip")


def test_homophones_have_equal_tones():
    lexicon = build(*["公式", "工事", "公事", "攻势", "宫室", "北京", "背景", "two", "too"])
    groups = homophones(lexicon)
    assert groups["公式"] == {"公式", "工事", "公事", "攻势", "宫室"}
    assert groups["北京"] == {"北京"}
    assert groups["背景"] == {"背景"}
    assert groups["two"] == {"two", "too"}


@given(lexicons)
def test_homophones_are_symmetric_and_reflexive(lexicon):
    groups = homophones(lexicon)
    for word, others in groups.items():
        assert word in others
        assert all(word in groups[other] for other in others)


def test_limit_phones():
    phone_set = default_phone_set()
    lexicon = build("打", "da", "speech")
    phones = {"SIL", "SPN", "d", "a1", "a4", "S", "P", "IY", "CH"}
    fitted = limit_phones(lexicon, phones, phone_set)
    assert said(fitted, "da") == ["d a1", "d a4"]
    assert said(fitted, "打")[0] in ("d a1", "d a4")
    assert said(fitted, "speech") == ["S P IY CH"]
    with pytest.raises(UserError, match="word 'speech' needs the phones CH S, which the model"):
        limit_phones(lexicon, phones - {"S", "CH"}, phone_set)


@pytest.mark.realdata
@pytest.mark.parametrize(("system", "changed"), [
    ("kaldi_tri1_dsp20", set()), ("kaldi_tri1_words_zh", {"照片"})])
def test_pronunciations_of_the_reference_systems(reference_lexicon, system, changed):
    """Every pronunciation in L of the Kaldi systems is among ours, but those mended on purpose."""
    reference = reference_lexicon(system)
    lexicon = build_lexicon(reference)
    missing = {word for word, pronunciations in reference.items()
               if not pronunciations <= {pron.phones for pron in lexicon.entries[word]}}
    assert missing == changed
    assert len(reference) >= 20
