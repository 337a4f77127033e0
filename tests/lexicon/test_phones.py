"""Phone sets: the tables, restriction, extension, Kaldi's dictionary directory."""

import pytest

from hybridasr.errors import UserError
from hybridasr.lexicon.phones import PhoneSet, default_phone_set, read_phone_set

SMALL = PhoneSet(("SIL", "SPN"), ("A", "B", "a1", "a2"), "SIL",
                 (("SIL",), ("SPN",), ("A",), ("B",), ("a1", "a2")),
                 (("A", "a1"), ("a2",), ("A", "B"), ("A",)))


def test_default_phones():
    phones = default_phone_set()
    assert phones.silence_phones == ("SIL", "SPN", "GBG")
    english = [p for p in phones.nonsilence_phones if p.isupper()]
    assert len(english) == 39
    initials = [p for p in phones.nonsilence_phones if p.islower() and p.isalpha()]
    assert len(initials) == 21 + 6
    assert list(phones.nonsilence_phones) == sorted(phones.nonsilence_phones, key=str.encode)


def test_every_phone_is_in_exactly_one_set():
    phones = default_phone_set()
    members = [p for group in phones.sets for p in group]
    assert sorted(members) == sorted(phones.silence_phones + phones.nonsilence_phones)
    assert ("ang1", "ang2", "ang3", "ang4", "ang5") in phones.sets
    assert ("zh",) in phones.sets


def test_questions():
    questions = default_phone_set().extra_questions
    assert len(set(questions)) == len(questions)
    tone3 = next(q for q in questions if "a3" in q and "van3" in q and "a1" not in q)
    assert all(p.endswith("3") for p in tone3)
    assert any({"b", "p", "m", "f"} == {*q} for q in questions)
    assert ("ei1", "ei2", "ei3", "ei4", "ei5") in questions


def test_restrict_keeps_the_optional_silence_and_drops_empty_questions():
    cut = SMALL.restrict({"a1", "A"})
    assert cut == PhoneSet(("SIL",), ("A", "a1"), "SIL", (("SIL",), ("A",), ("a1",)),
                           (("A", "a1"), ("A",)))


def test_covering_adds_what_is_new():
    more = SMALL.covering(["A", "AB"])
    assert more.nonsilence_phones == ("A", "AB", "B", "a1", "a2")
    assert more.sets == (*SMALL.sets, ("AB",))


def write_dictionary(path, **changes):
    files = {"silence_phones": "SIL\nSPN\n", "nonsilence_phones": "A\nB\na1 a2\n",
             "optional_silence": "SIL\n", "extra_questions": "A a1\na2\nA B\nA\n", **changes}
    for name, text in files.items():
        (path / f"{name}.txt").write_text(text)


def test_kaldi_dictionary_directory(tmp_path):
    write_dictionary(tmp_path)
    assert read_phone_set(tmp_path) == SMALL


@pytest.mark.parametrize(("change", "message"), [
    ({"nonsilence_phones": "A\nSIL\n"}, "nonsilence_phones.txt:2: phone 'SIL' is named twice"),
    ({"optional_silence": "A\n"}, "must hold exactly one phone of silence_phones.txt"),
    ({"optional_silence": "SIL SPN\n"}, "must hold exactly one phone"),
    ({"extra_questions": "A\nQ\n"}, "extra_questions.txt:2: phone 'Q' is in neither"),
])
def test_faults_in_a_dictionary_directory(tmp_path, change, message):
    write_dictionary(tmp_path, **change)
    with pytest.raises(UserError, match=message):
        read_phone_set(tmp_path)


def test_missing_dictionary_directory(tmp_path):
    with pytest.raises(UserError, match="silence_phones.txt: no such file"):
        read_phone_set(tmp_path)
