"""Traditional hanzi were read character by character: 空調 as kong1 diao4, 音樂 as yin1 le4."""

import sys

import pytest

from hybridasr.corpus.command_list import make_commands
from hybridasr.errors import UserError
from hybridasr.lexicon import mandarin, simplified
from hybridasr.lexicon.lexicon import build_lexicon

TRADITIONAL = ["打開空調", "關閉空調", "調高溫度", "調低溫度", "播放音樂", "乾燥", "銀行"]
SIMPLIFIED = ["打开空调", "关闭空调", "调高温度", "调低温度", "播放音乐", "干燥", "银行"]


@pytest.fixture
def no_opencc(monkeypatch):
    monkeypatch.setitem(sys.modules, "opencc", None)
    simplified._converter.cache_clear()
    yield
    simplified._converter.cache_clear()


@pytest.mark.parametrize(("traditional", "plain"), [*zip(TRADITIONAL, SIMPLIFIED, strict=True)])
def test_traditional_is_read_as_simplified(traditional, plain):
    pytest.importorskip("opencc")
    assert mandarin.hanzi_readings(traditional) == mandarin.hanzi_readings(plain)
    lexicon = build_lexicon([traditional, plain])
    assert lexicon.entries[traditional] == lexicon.entries[plain]
    assert make_commands([traditional])[0].text == traditional


def test_known_phrases_stay_as_they_are_written():
    """乾 is simplified to 干, but not in 朝乾夕惕."""
    assert mandarin.hanzi_readings("朝乾夕惕")[0][1] == "qian2"
    assert mandarin.hanzi_readings("著名") == [("zhu4", "ming2")]
    assert mandarin.hanzi_readings("哪吒")[0] == ("ne2", "zha1")


@pytest.mark.parametrize("word", TRADITIONAL)
@pytest.mark.usefixtures("no_opencc")
def test_without_a_converter_they_are_refused_by_name(word):
    with pytest.raises(UserError, match=f"no pronunciation for '{word}'.* may be traditional "
                                        "hanzi, which need the package OpenCC"):
        build_lexicon([word])


@pytest.mark.usefixtures("no_opencc")
def test_simplified_hanzi_need_no_converter():
    assert len(build_lexicon([*SIMPLIFIED, "朝乾夕惕", "以后"]).entries) == 2 + 7 + 2
