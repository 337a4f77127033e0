"""Lexicons of other programs lost variants, and made phones of probabilities and syllables."""

import pytest

from hybridasr.errors import UserError
from hybridasr.lexicon.lexicon import build_lexicon, read_own_lexicon


def write(path, text):
    path.write_text(text)
    return path


def said(lexicon, word):
    return [(" ".join(p.phones), p.probability) for p in lexicon.entries[word]]


def test_probabilities_are_read_under_any_name(tmp_path):
    file = write(tmp_path / "lex.txt", "zero 0.5 Z IH R OW\nzero 1.0 Z IY R OW\none 1 W AH N\n")
    lexicon = read_own_lexicon(file)
    assert said(lexicon, "zero") == [("Z IH R OW", 0.5), ("Z IY R OW", 1.0)]
    assert lexicon.phones == {"Z", "IH", "R", "OW", "IY", "W", "AH", "N"}


@pytest.mark.parametrize(("text", "message"), [
    ("zero 0.5 Z IH R OW\none W AH N\n", "lex.txt:1: word 'zero' has the number '0.5' for its"),
    ("one W AH N\nzero 1.0 Z IH R OW\n", "lex.txt:2: .*give every line a probability, or none"),
    ("zero 0.5 Z IH\none 1.5 W AH N\n", "lex.txt:2: word 'one' has the probability '1.5'"),
    ("打开 da3 kai1\n", "lex.txt:1: word '打开' has the syllables da3 kai1 for phones; write 'd"),
    ("灯 deng1\n空调 kōng tiáo\n", "lex.txt:1: word '灯' has the syllables deng1"),
    ("空调 kōng tiáo\n", "write 'k ong1 t iao2'"),
])
def test_what_is_no_phone_is_refused_by_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_own_lexicon(write(tmp_path / "lex.txt", text))


@pytest.mark.parametrize("text", ["打开 d a3 k ai1\n", "二 er2\n", "打 d a 3\n", "饿 e4\n"])
def test_phones_that_look_like_syllables_or_numbers_stay(tmp_path, text):
    word, *phones = text.split()
    assert read_own_lexicon(write(tmp_path / "lex.txt", text)).entries[word][0].phones \
        == tuple(phones)


def test_numbered_variants_are_pronunciations_of_one_word(tmp_path):
    file = write(tmp_path / "lex.txt", "zero(2) Z IY R OW\nzero Z IH R OW\none W AH N\n")
    lexicon = build_lexicon(["zero", "one"], user_lexicon=file)
    assert said(lexicon, "zero") == [("Z IY R OW", 1.0), ("Z IH R OW", 1.0)]


def test_entries_of_the_other_case_are_named(tmp_path, caplog):
    file = write(tmp_path / "lex.txt", "ZERO Z IH R OW\n")
    assert said(build_lexicon(["zero"], user_lexicon=file), "zero") != []
    assert "'ZERO' is not 'zero'" in caplog.text


def test_phone_sets_do_not_mix(tmp_path):
    file = write(tmp_path / "lex.txt", "one W AH1 N\n")
    places = {"two": ("list.txt", 7)}
    with pytest.raises(UserError, match="^list.txt:7: not in .*lex.txt: two; its phones AH1 are"):
        build_lexicon(["one", "two"], user_lexicon=file, places=places)
    with pytest.raises(UserError, match="or pass --mix-phones"):
        build_lexicon(["one", "two"], user_lexicon=file, offers=("--mix-phones",))
    mixed = build_lexicon(["one", "two"], user_lexicon=file, mix_phones=True)
    assert mixed.phones >= {"AH1", "UW"}
    noise = build_lexicon(["one", "two"], "spn", file)
    assert said(noise, "two") == [("SPN", 1.0)]
    # A lexicon of our own phones is filled up from the tables.
    file = write(tmp_path / "lex.txt", "one W AH N\n")
    assert "UW" in build_lexicon(["one", "two"], user_lexicon=file).phones


def test_remedies_name_options_that_are_there(monkeypatch):
    with pytest.raises(UserError) as error:
        build_lexicon(["qwrtzp"])
    assert "--oov" not in str(error.value)
    with pytest.raises(UserError, match="pass --oov guess"):
        build_lexicon(["qwrtzp"], offers=("--oov",))


def test_a_tone_that_does_not_exist():
    with pytest.raises(UserError, match="'tiao9' is a syllable with a tone that does not exist; "
                                        "write tone 1 to 5"):
        build_lexicon(["kong1", "tiao9"])
