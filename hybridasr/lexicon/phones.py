"""Owns the phone set: which phones there are, which are variants, which questions to ask.

From `lexicon/phones.txt` and `lexicon/questions.txt`, or from the files of a Kaldi dictionary
directory (silence_phones.txt, nonsilence_phones.txt, optional_silence.txt, extra_questions.txt).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hybridasr.errors import UserError
from hybridasr.lexicon.table_files import builtin_table, read_fields, tables_dir
from hybridasr.storage import PathLike

TONES = "12345"

POSITIONS = {"_B": "begin", "_E": "end", "_I": "internal", "_S": "singleton"}
"""Suffix of a position-dependent phone -> its name in word_boundary.txt."""


def has_tones(phones: Iterable[str]) -> bool:
    """Tell whether there are finals of Mandarin among phones: in small letters, with a tone.

    >>> has_tones(["sh_B", "ang4_E"]), has_tones(["AH0_S", "K_B"])
    (True, False)
    """
    names = map(base_phone, phones)
    return any(name.islower() and name[-1] in TONES for name in names)


@dataclass(frozen=True)
class PhoneSet:
    """The phones of a system.

    Attributes
    ----------
    silence_phones, nonsilence_phones : tuple of str
        In the order of phones.txt.
    optional_silence : str
        The silence that may stand between words.
    sets : tuple of tuple of str
        Groups of variants of one phone (the tones of a final); every phone is in exactly one.
    extra_questions : tuple of tuple of str
        Groups of phones that the decision tree may ask about.
    """

    silence_phones: tuple[str, ...]
    nonsilence_phones: tuple[str, ...]
    optional_silence: str
    sets: tuple[tuple[str, ...], ...]
    extra_questions: tuple[tuple[str, ...], ...]

    def restrict(self, used: Iterable[str]) -> "PhoneSet":
        """Keep the phones in `used` (and the optional silence), order unchanged."""
        keep = {*used, self.optional_silence}

        def cut(groups: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
            kept = (tuple(p for p in group if p in keep) for group in groups)
            # Cutting can make two groups equal or one empty; the tree must not see either.
            return tuple(dict.fromkeys(group for group in kept if group))

        return PhoneSet(
            tuple(p for p in self.silence_phones if p in keep),
            tuple(p for p in self.nonsilence_phones if p in keep),
            self.optional_silence,
            cut(self.sets),
            cut(self.extra_questions),
        )

    def covering(self, phones: Iterable[str]) -> "PhoneSet":
        """Add the phones it does not know yet, as speech phones without variants."""
        known = {*self.silence_phones, *self.nonsilence_phones}
        new = sorted({*phones} - known, key=str.encode)
        # A new phone has no variants: from its name alone we cannot know which phones are alike.
        speech = tuple(sorted({*self.nonsilence_phones, *new}, key=str.encode))
        return PhoneSet(self.silence_phones, speech, self.optional_silence,
                        (*self.sets, *((phone,) for phone in new)), self.extra_questions)


def default_phone_set() -> PhoneSet:
    """Return the phones of `lexicon/phones.txt`: Mandarin, English and silences.

    Speech phones are in byte order; variants are the tones of a final.
    """
    kinds: dict[str, list[str]] = {}
    for _, (kind, *phones) in builtin_table("phones.txt"):
        kinds.setdefault(kind, []).extend(phones)
    finals = {final: tuple(final + tone for tone in TONES) for final in kinds["final"]}
    plain = kinds["initial"] + kinds["english"]
    speech = sorted([*plain, *(p for toned in finals.values() for p in toned)], key=str.encode)
    silences = tuple(kinds["silence"])
    sets = [(p,) for p in silences] + [(p,) for p in plain] + list(finals.values())
    questions = [silences, tuple(kinds["initial"]), tuple(kinds["english"]),
                 tuple(p for toned in finals.values() for p in toned)]
    # One question for each tone, over all finals: tone is context that the tree should see.
    questions += [tuple(toned[i] for toned in finals.values()) for i in range(len(TONES))]
    for number, (_, *phones) in builtin_table("questions.txt"):
        members: list[str] = []
        for phone in phones:
            if phone not in finals and phone not in plain and phone not in silences:
                raise UserError(f"phone '{phone}' is not in phones.txt; correct the name",
                                tables_dir() / "questions.txt", number)
            members.extend(finals.get(phone, (phone,)))
        questions.append(tuple(members))
    # The tones of one final are a question too, so that the tree can ask for the final alone.
    questions += list(finals.values())
    return PhoneSet(silences, tuple(speech), kinds["optional_silence"][0], tuple(sets),
                    tuple(dict.fromkeys(questions)))


def read_phone_set(path: PathLike) -> PhoneSet:
    """Read the phones of a Kaldi dictionary directory.

    Phones on one line of silence_phones.txt or nonsilence_phones.txt are variants of each other.

    Raises
    ------
    UserError
        if a file is missing, a phone is named twice, or another file names an unknown phone.
    """
    path = Path(path)
    sets: list[tuple[str, ...]] = []
    seen: set[str] = set()
    listed: dict[str, list[str]] = {}
    for name in ("silence_phones.txt", "nonsilence_phones.txt"):
        listed[name] = []
        for number, phones in read_fields(path / name):
            for phone in phones:
                if phone in seen:
                    raise UserError(f"phone '{phone}' is named twice; remove one", path / name,
                                    number)
                seen.add(phone)
            listed[name].extend(phones)
            sets.append(tuple(phones))
    optional = [(n, p) for n, phones in read_fields(path / "optional_silence.txt") for p in phones]
    if len(optional) != 1 or optional[0][1] not in listed["silence_phones.txt"]:
        raise UserError(f"holds {[p for _, p in optional]}; it must hold exactly one phone of "
                        "silence_phones.txt", path / "optional_silence.txt")
    questions: list[tuple[str, ...]] = []
    if (path / "extra_questions.txt").is_file():
        for number, phones in read_fields(path / "extra_questions.txt"):
            for phone in phones:
                if phone not in seen:
                    raise UserError(f"phone '{phone}' is in neither silence_phones.txt nor "
                                    "nonsilence_phones.txt; add it there, or remove it",
                                    path / "extra_questions.txt", number)
            questions.append(tuple(phones))
    return PhoneSet(tuple(listed["silence_phones.txt"]), tuple(listed["nonsilence_phones.txt"]),
                    optional[0][1], tuple(sets), tuple(dict.fromkeys(questions)))


def add_positions(phones: tuple[str, ...]) -> tuple[str, ...]:
    """Add _B, _I, _E or, to a lone phone, _S."""
    if len(phones) == 1:
        return (phones[0] + "_S",)
    return (phones[0] + "_B", *(phone + "_I" for phone in phones[1:-1]), phones[-1] + "_E")


def base_phone(phone: str) -> str:
    """Return the name of a phone without the mark of its place in the word."""
    return phone.removesuffix(place_mark(phone))


def phone_language(phone: str) -> str:
    """Return the language of a phone: those of English are written in capitals.

    >>> phone_language("AH_B"), phone_language("iong4_E"), phone_language("zh")
    ('en', 'zh', 'zh')
    """
    return "en" if base_phone(phone).isupper() else "zh"


def place_mark(phone: str) -> str:
    """Return the mark of a phone's place in the word, or nothing."""
    return phone[-2:] if phone[-2:] in POSITIONS else ""
