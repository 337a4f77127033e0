"""Owns the way back from a lang directory to the dictionary that it could have been made of.

So words that were looked up in the built-in tables get probabilities as a user's own do.
"""

from collections.abc import Iterable

from hybridasr.lexicon.dict_dir import Dictionary
from hybridasr.lexicon.langdir import Lang
from hybridasr.lexicon.phones import PhoneSet, base_phone


def dictionary_of(lang: Lang) -> Dictionary:
    """Return lexicon, phones and silence of a lang directory, without marks of places in words.

    Variants of a phone are those that share a tree root.
    """
    def names(ids: Iterable[int]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(base_phone(lang.phone_name(phone)) for phone in ids))

    # By the first phone of each root: prepare-lang then numbers the phones as they are here.
    roots = sorted(lang.roots, key=lambda root: min(root.phones))
    return Dictionary(lang.lexicon, PhoneSet(
        names(lang.silence_phones), names(lang.nonsilence_phones),
        base_phone(lang.phone_name(lang.optional_silence)),
        tuple(names(root.phones) for root in roots),
        tuple(dict.fromkeys(names(question) for question in lang.extra_questions))),
        lang.silence_probs)
