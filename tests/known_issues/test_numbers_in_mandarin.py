"""2点 was er4 dian3, 2026年 had one reading, 50% and 3.5 were refused."""

import pytest

from hybridasr.corpus.command_list import make_commands
from hybridasr.errors import UserError
from hybridasr.lexicon.lexicon import build_lexicon
from hybridasr.lexicon.numbers import number_spellings


@pytest.mark.parametrize(("text", "spellings"), [
    ("2点", ["两点"]), ("2个", ["两个"]), ("12点", ["十二点"]), ("第2个", ["第二个"]),
    ("2月", ["二月"]), ("2个月", ["两个月"]), ("2分钟", ["两分钟"]), ("2度", ["两度", "二度"]),
    ("26度", ["二十六度"]), ("2026年", ["二零二六年", "两千零二十六年", "二千零二十六年"]),
    ("98年", ["九十八年", "九八年"]), ("2年", ["两年"]), ("50%", ["百分之五十"]),
    ("3.5", ["三点五"]), ("2.5米", ["二点五米"]), ("100%", ["百分之百", "百分之一百"]),
    ("110", ["一百一十", "一一零", "幺幺零"]), ("110个", ["一百一十个"]),
    ("2万", ["两万"]), ("13800138000", ["一三八零零一三八零零零", "幺三八零零幺三八零零零"]),
    ("打开空调", ["打开空调"]),
])
def test_readings_of_numbers(text, spellings):
    assert number_spellings(text) == spellings


@pytest.mark.parametrize(("command", "written"), [
    ("空调2点打开", "空调两点打开"), ("音量50%", "音量百分之五十"), ("3.5度", "三点五度"),
    ("2026年", "二零二六年"),
])
def test_commands_keep_their_text_and_are_said_in_words(command, written):
    assert make_commands([command])[0].text == command
    lexicon = build_lexicon([command, written])
    assert lexicon.entries[command][0] == lexicon.entries[written][0]


def test_a_number_alone_is_mandarin_among_hanzi():
    lexicon = build_lexicon(["音量", "50%"])
    assert " ".join(lexicon.entries["50%"][0].phones) == "b ai3 f en1 zh ix1 uu u3 sh ix2"
    with pytest.raises(UserError, match="write the number in words"):
        build_lexicon(["volume", "50%"])


@pytest.mark.parametrize("text", ["50%%", "hello.", "3.", "打开，灯", "50 %"])
def test_other_punctuation_is_still_refused(text):
    with pytest.raises(UserError, match="words only"):
        make_commands([text])
