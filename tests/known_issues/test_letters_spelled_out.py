"""The letter A in unknown capitals was said as the article: AQZ as AH K Y UW Z IY."""

from hybridasr.lexicon.english import pronunciations


def test_a_is_said_as_the_letter():
    assert pronunciations("AQZ") == [tuple(["EY", "K", "Y", "UW", "Z", "IY"])]
