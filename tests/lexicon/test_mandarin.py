"""Mandarin pronunciations against pypinyin's whole dictionary and against known readings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypinyin import pinyin_dict
from pypinyin.contrib.tone_convert import to_tone3
from pypinyin.phrases_dict import phrases_dict

from hybridasr.errors import UserError
from hybridasr.lexicon import mandarin
from hybridasr.lexicon.numbers import number_spellings
from hybridasr.lexicon.phones import default_phone_set


def all_syllables() -> set[str]:
    readings = {r for entry in pinyin_dict.pinyin_dict.values() for r in entry.split(",")}
    readings |= {s for phrase in phrases_dict.values() for choice in phrase for s in choice}
    return {to_tone3(r, neutral_tone_with_five=True, v_to_u=False) for r in readings}


def said(text: str, sandhi: bool = False) -> list[str]:
    return [" ".join(phones) for phones in mandarin.hanzi_pronunciations(text, sandhi)]


def test_every_syllable_of_pypinyin_has_an_initial_and_a_final():
    known = {*default_phone_set().nonsilence_phones}
    syllables = all_syllables()
    assert len(syllables) > 1500
    for syllable in syllables:
        initial, final = mandarin.syllable_phones(syllable)
        assert initial in known, syllable
        assert final in known, syllable
        assert final[-1] == syllable[-1]
        assert syllable[-1] in mandarin.syllable_table()[syllable[:-1]][2], syllable


def test_standard_syllables_do_not_share_phones():
    """Only spellings of one sound (jv, ju) and interjections may map to the same phones."""
    other = {"n", "m", "ng", "hm", "hng", "ê", "r", "lue", "nue"}
    plain = [s for s in mandarin.syllable_table() if s not in other and s[:2] not in
             ("jv", "qv", "xv", "yv")]
    pairs = [mandarin.syllable_table()[s][:2] for s in plain]
    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize(("pinyin", "phones"), [
    ("yu3", "vv v3"), ("yi1", "ii i1"), ("wen2", "uu un2"), ("zhi4", "zh ix4"),
    ("zi4", "z iy4"), ("shi1", "sh ix1"), ("ri4", "r ix4"), ("ju2", "j v2"), ("xuan3", "x van3"),
    ("lv4", "l v4"), ("lve4", "l ve4"), ("lue4", "l ve4"), ("yong3", "ii iong3"),
    ("qiong2", "q iong2"), ("you3", "ii iu3"), ("wei4", "uu ui4"), ("weng1", "uu ueng1"),
    ("er2", "ee er2"), ("ai4", "aa ai4"), ("o2", "oo o2"), ("yo1", "ii io1"), ("yue4", "vv ve4"),
    ("n2", "ee en2"), ("hng5", "h eng5"), ("ê1", "ee ei1"), ("fiao4", "f iao4"), ("cei4", "c ei4"),
])
def test_phones_of_syllables(pinyin, phones):
    assert " ".join(mandarin.syllable_phones(pinyin)) == phones


@pytest.mark.parametrize("bad", ["foo1", "ma", "ma6", "ma0", "1"])
def test_wrong_syllables_are_refused(bad):
    with pytest.raises(UserError, match="is no pinyin syllable with tone"):
        mandarin.syllable_phones(bad)


@pytest.mark.parametrize(("word", "reading"), [
    ("银行", "ii in2 h ang2"), ("行走", "x ing2 z ou3"), ("商行", "sh ang1 h ang2"),
    ("重庆", "ch ong2 q ing4"), ("重要", "zh ong4 ii iao4"),
    ("音乐", "ii in1 vv ve4"), ("快乐", "k uai4 l e4"),
    ("调高", "t iao2 g ao1"), ("调低", "t iao2 d i1"), ("空调", "k ong1 t iao2"),
    ("长度", "ch ang2 d u4"), ("关了", "g uan1 l e5"), ("卧室", "uu uo4 sh ix4"),
    ("照片", "zh ao4 p ian4"), ("一下儿", "ii i1 x ia4 ee er2"),
    # In a longer command the words are found first: 空调 and 高度, not 调高.
    ("空调高度", "k ong1 t iao2 g ao1 d u4"), ("把温度调高", "b a3 uu un1 d u4 t iao2 g ao1"),
])
def test_polyphones(word, reading):
    assert said(word)[0] == reading


def test_neutral_tones_are_alternatives():
    assert said("亲戚") == ["q in1 q i1", "q in1 q i5"]
    assert said("妈妈") == ["m a1 m a1", "m a1 m a5"]


@pytest.mark.parametrize(("word", "variants"), [
    ("你好", ["n i3 h ao3", "n i2 h ao3"]),
    ("展览馆", ["zh an3 l an3 g uan3", "zh an2 l an2 g uan3", "zh an3 l an2 g uan3"]),
    ("一下", ["ii i1 x ia4", "ii i2 x ia4"]),
    ("不涮", ["b u4 sh uan4", "b u2 sh uan4"]),
    ("不好", ["b u4 h ao3"]),
    ("高兴", ["g ao1 x ing4"]),
])
def test_sandhi(word, variants):
    assert sorted(said(word, sandhi=True)) == sorted(variants)


def test_sandhi_of_yi_before_other_tones():
    assert mandarin.apply_sandhi("一天", ("yi1", "tian1")) == [("yi4", "tian1")]
    assert mandarin.apply_sandhi("一", ("yi1",)) == []
    assert mandarin.apply_sandhi("衣下", ("yi1", "xia4")) == []


@given(st.lists(st.sampled_from(["ni3", "hao3", "ma1", "bu4", "yi1", "de5"]), min_size=1,
                max_size=7))
def test_sandhi_leaves_no_pair_of_thirds_in_its_full_form(syllables):
    variants = mandarin.apply_sandhi("", tuple(syllables))
    pairs = [a[-1] + b[-1] for a, b in zip(syllables, syllables[1:], strict=False)]
    assert bool(variants) == ("33" in pairs)
    for variant in variants[:1]:
        assert [v[:-1] for v in variant] == [s[:-1] for s in syllables]
        assert "33" not in "".join(v[-1] for v in variant)


@pytest.mark.parametrize(("written", "pronunciations"), [
    ("kong1", ["k ong1"]), ("kōng", ["k ong1"]), ("lǜ", ["l v4"]), ("lü4", ["l v4"]),
    ("lu:4", ["l v4"]), ("da3kai1", ["d a3 k ai1"]), ("xi1'an1", ["x i1 aa an1"]),
    ("KAI1", ["k ai1"]), ("de", ["d e1", "d e2", "d e5"]), ("fo", ["f o2"]),
])
def test_pinyin_words(written, pronunciations):
    assert [" ".join(p) for p in mandarin.pinyin_pronunciations(written)] == pronunciations


@pytest.mark.parametrize("word", ["hello", "kong6", "da3kai", "打开", "", "1", "kongtiao", "ma12"])
def test_what_is_not_pinyin(word):
    assert mandarin.pinyin_pronunciations(word) is None


def test_the_bare_vowel_with_its_tone_mark():
    assert mandarin.split_pinyin("ê̄") == ("ê1",)


@pytest.mark.parametrize(("text", "read"), [
    ("26度", "二十六度"), ("10", "十"), ("12", "十二"), ("110", "一百一十"), ("101", "一百零一"),
    ("1010", "一千零一十"), ("10500", "一万零五百"), ("2000", "两千"), ("1001", "一千零一"),
    ("007", "零零七"), ("0", "零"), ("3.5", "三点五"), ("50%", "百分之五十"), ("没有数", "没有数"),
    ("3.5%", "百分之三点五"), ("0.05%", "百分之零点零五"), ("100%", "百分之百"),
    ("123456789", "一二三四五六七八九"), ("20000", "两万"), ("100000", "十万"),
])
def test_numbers(text, read):
    assert number_spellings(text)[0] == read


@given(st.integers(0, 99_999_999))
def test_numbers_read_back(number):
    """A reader of Chinese numbers, written apart, gets the number back."""
    total = section = digit = 0
    for character in number_spellings(str(number))[0]:
        if character in "零一二三四五六七八九两":
            digit = "零一二三四五六七八九".find(character) if character != "两" else 2
        elif character == "万":
            total, section, digit = (section + digit) * 10000, 0, 0
        else:
            # 十 without a digit before it is ten.
            section += (digit or 1) * {"十": 10, "百": 100, "千": 1000}[character]
            digit = 0
    assert total + section + digit == number


def test_character_without_a_reading():
    assert mandarin.hanzi_pronunciations("打\U00030000") is None


def test_readings_are_limited():
    assert len(said("朋友窗户东西衣服", sandhi=True)) == mandarin.MAX_READINGS


def test_tables_of_words_are_sound():
    """Every override is a phrase of as many hanzi as syllables; no duplicate lines."""
    for word, readings in mandarin._overrides().items():
        assert all(mandarin.is_hanzi(c) for c in word), word
        assert len(set(readings)) == len(readings), word
        assert all(len(reading) == len(word) for reading in readings), word
    assert all(mandarin.hanzi_readings(word) for word in mandarin._neutral_words())
