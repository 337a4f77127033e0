"""Owns the lang directory: symbol tables, phone lists, topology and lexicon of a system.

Files and names are Kaldi's (utils/prepare_lang.sh), so that its users find what they know; the
transducers L and G are made from the `Lang` object by `hybridasr.graph`. `lang.json` records the
options and is written last: a directory without it is unfinished.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from hybridasr.errors import UserError
from hybridasr.hmm.topology import make_topology
from hybridasr.lexicon.dict_dir import check_lexicon
from hybridasr.lexicon.lang_files import (
    REMEDY,
    Root,
    check_each_once,
    group_texts,
    list_texts,
    read_id,
    read_ids,
    read_options,
    read_roots,
    read_symbols,
)
from hybridasr.lexicon.lexicon import (
    UNKNOWN_WORD,
    Lexicon,
    Pronunciation,
    make_lexicon,
    read_lexicon,
    write_lexicon,
)
from hybridasr.lexicon.phones import POSITIONS, PhoneSet, add_positions, base_phone, place_mark
from hybridasr.lexicon.silence_probs import (
    SilenceProbs,
    WordSilence,
    find_silence_probs,
    write_silence_probs,
)
from hybridasr.options import from_dict, option, to_dict
from hybridasr.progress import logger
from hybridasr.storage import PathLike, is_file, read_text, write_json, write_text

FORMAT = 1
"""Version of the directory; a newer one is refused."""

IntPronunciation = tuple[float, tuple[int, ...]]


@dataclass(frozen=True)
class LangOptions:
    """How a lang directory is made; see `prepare_lang`."""

    sil_prob: float = option(0.5, "probability of silence between words; 0 = never")
    position_dependent: bool = option(False, "mark phones by their place in the word (_B _E _I _S)")
    share_tones: bool = option(False, "tone variants of a final share the pdfs of a monophone "
                                      "system and one tree root")
    tone_roots: bool = option(True, "tone variants of a final share one tree root")
    used_phones_only: bool = option(True, "list only phones that the lexicon uses")

    def __post_init__(self):
        # Probability 1 would leave no path without silence: its cost would be infinite.
        if not 0.0 <= self.sil_prob < 1.0:
            raise UserError(f"sil-prob is {self.sil_prob}; give a number from 0 to below 1")


@dataclass(frozen=True)
class Lang:
    """A lang directory in memory.

    Attributes
    ----------
    path : Path
    phones : dict symbol -> id
        phones.txt: <eps> 0, silences, speech phones, disambiguation symbols #0 #1 ...
    words : dict symbol -> id
        words.txt: <eps> 0, words in byte order, #0, <s>, </s>.
    silence_phones, nonsilence_phones, disambig_phones : list of int
        Ascending ids; `disambig_phones` begins with #0, its last stands for silence after a word.
    optional_silence : int
    sil_prob : float
        Probability of silence before, between and after words.
    oov : int
        Word id of <UNK>.
    sets : list of list of int
        Phones that share the pdfs of a monophone system.
    roots : list of Root
    extra_questions : list of list of int
    pronunciations : dict word id -> list of (probability, phone ids)
        Position suffixes applied, no disambiguation symbols.
    position_dependent : bool
    silence_probs : SilenceProbs or None
        Silence beside each word; None = `sil_prob` everywhere.
    """

    path: Path
    phones: dict[str, int]
    words: dict[str, int]
    silence_phones: list[int]
    nonsilence_phones: list[int]
    disambig_phones: list[int]
    optional_silence: int
    sil_prob: float
    oov: int
    sets: list[list[int]]
    roots: list[Root]
    extra_questions: list[list[int]]
    pronunciations: dict[int, list[IntPronunciation]]
    position_dependent: bool = False
    silence_probs: SilenceProbs | None = None

    @cached_property
    def _phone_names(self) -> dict[int, str]:
        return {number: name for name, number in self.phones.items()}

    @cached_property
    def _word_names(self) -> dict[int, str]:
        return {number: name for name, number in self.words.items()}

    def phone_name(self, phone: int) -> str:
        """Return the symbol of a phone id."""
        return self._phone_names[phone]

    def word_name(self, word: int) -> str:
        """Return the symbol of a word id."""
        return self._word_names[word]

    @property
    def silence_disambig(self) -> int:
        """The disambiguation symbol that marks optional silence in L_disambig."""
        return self.disambig_phones[-1]

    @cached_property
    def disambig_pronunciations(self) -> list[tuple[int, float, tuple[int, ...]]]:
        """(word, probability, phones) of every pronunciation, #k added where needed.

        No sequence equals another, and none without #k at its end begins another. ValueError if
        there are too few symbols, as there may be where words were added (`lexicon.commands`).
        """
        flat = [(word, prob, phones) for word, prons in self.pronunciations.items()
                for prob, phones in prons]
        marks = disambiguate([phones for _, _, phones in flat])
        # #0 belongs to the grammar and the last symbol to silence; homophones have those between.
        if max(marks, default=0) > len(self.disambig_phones) - 2:
            raise ValueError(f"{max(marks)} homophones, but {len(self.disambig_phones)} "
                             "disambiguation symbols; the last one marks silence")
        return [
            (word, prob, (*phones, self.disambig_phones[mark]) if mark else phones)
            for (word, prob, phones), mark in zip(flat, marks, strict=True)
        ]

    @cached_property
    def lexicon(self) -> Lexicon:
        """The pronunciations by name, phones without the marks of their places."""
        return make_lexicon({
            self.word_name(word): [
                Pronunciation(probability, tuple(base_phone(self.phone_name(p)) for p in phones))
                for probability, phones in choices]
            for word, choices in self.pronunciations.items()})

    @cached_property
    def silence_beside(self) -> dict[tuple[int, tuple[int, ...]], WordSilence]:
        """(word, phone ids) -> silence beside it; empty if silence is alike everywhere."""
        return {} if self.silence_probs is None else {
            (word, phones): self.silence_probs.beside(
                self.word_name(word), tuple(base_phone(self.phone_name(p)) for p in phones))
            for word, choices in self.pronunciations.items() for _, phones in choices}

    @property
    def topology_text(self) -> str:
        """The text of the file `topo`."""
        return read_text(self.path / "topo")


def disambiguate(pronunciations: Iterable[tuple[int, ...]]) -> list[int]:
    """Number the pronunciations that need a disambiguation symbol, as Kaldi does.

    Returns
    -------
    list of int
        0 = none needed; k = symbol #k: homophones are numbered 1, 2, ... in order, and a
        pronunciation that begins another one gets 1.
    """
    pronunciations = list(pronunciations)
    count = Counter(pronunciations)
    # A word that begins another one cannot be told apart until the other one ends. Then L is not
    # determinizable, because the output would be delayed without bound (Mohri et al., 2002).
    beginnings = {phones[:n] for phones in count for n in range(1, len(phones))}
    used: Counter = Counter()
    marks = []
    for phones in pronunciations:
        if count[phones] > 1 or phones in beginnings:
            used[phones] += 1
        marks.append(used[phones])
    return marks


def prepare_lang(
    lexicon: Lexicon, phone_set: PhoneSet, path: PathLike, options: LangOptions | None = None,
    silence_probs: SilenceProbs | None = None, oov_word: str = UNKNOWN_WORD,
) -> Lang:
    """Make a lang directory.

    Parameters
    ----------
    lexicon : Lexicon
        Must hold `oov_word`, as one from `build_lexicon` does.
    phone_set : PhoneSet
        Every phone of the lexicon must be in it (see `PhoneSet.covering`).
    path : path
        Made if missing; files of an earlier run are replaced.
    options : LangOptions, optional
    silence_probs : SilenceProbs, optional
        Silence by word, in place of one probability everywhere (`options.sil_prob`).
    oov_word : str
        The word that stands for unknown ones.

    Raises
    ------
    UserError
        if the lexicon lacks `oov_word` or uses a phone that the phone set lacks.
    """
    options = options or LangOptions()
    # Where single words do not count (command lists, fillers), the overall share serves.
    if silence_probs is not None:
        options = replace(options, sil_prob=silence_probs.overall)
    path = Path(path)
    if oov_word not in lexicon.entries:
        raise UserError(f"the lexicon has no {oov_word}; add the line '{oov_word} SPN'")
    check_lexicon(lexicon, phone_set)
    # Phones that no word uses would get pdfs for which there are no frames.
    if options.used_phones_only:
        phone_set = phone_set.restrict(lexicon.phones)
    lang = replace(_assemble(lexicon, phone_set, path, options, oov_word),
                   silence_probs=silence_probs)
    # Without lang.json the directory counts as unfinished until all of it is new.
    (path / "lang.json").unlink(missing_ok=True)
    write_text(path / "topo", make_topology(lang.nonsilence_phones,
                                            lang.silence_phones).to_text())
    write_text(path / "oov.txt", f"{lang.word_name(lang.oov)}\n")
    write_text(path / "oov.int", f"{lang.oov}\n")
    write_symbols(lang, path)
    write_silence_probs(path, lexicon, silence_probs)
    write_json(path / "lang.json", {"format": FORMAT, "options": to_dict(options)})
    logger.info("%s: %d words, %d pronunciations, %d phones, %d disambiguation symbols",
                path, len(lexicon.entries), sum(map(len, lexicon.entries.values())),
                len(lang.silence_phones) + len(lang.nonsilence_phones), len(lang.disambig_phones))
    return lang


def write_symbols(lang: Lang, path: PathLike) -> None:
    """Write symbol tables, phone lists and lexicon: what a lang directory shares with graphs."""
    path = Path(path)
    for name, text in _files(lang).items():
        write_text(path / name, text)
    # Kaldi's tools take the mere presence of this file as a sign of position-dependent phones.
    if not lang.position_dependent:
        for name in ("txt", "int"):
            (path / f"phones/word_boundary.{name}").unlink(missing_ok=True)
    write_lexicon(lang.lexicon, path / "lexiconp.txt")


def read_words(path: PathLike, lang: Lang, remedy: str = REMEDY) -> Lang:
    """Return `lang` with the words and pronunciations that `write_symbols` wrote elsewhere.

    Parameters
    ----------
    remedy : str
        How to make the directory anew, for the error line.

    Raises
    ------
    UserError
        naming the file that is missing or damaged, or a word whose phones `lang` lacks.
    """
    path = Path(path)
    words = read_symbols(path / "words.txt", remedy)
    file = path / "lexiconp.txt"
    return replace(lang, words=words, pronunciations=_to_ints(
        read_lexicon(file), words, lang.phones, lang.position_dependent, file, remedy))


def read_lang(path: PathLike) -> Lang:
    """Read a lang directory made by `prepare_lang`.

    Raises
    ------
    UserError
        naming the first file that is missing or does not fit the others.
    """
    path = Path(path)
    needed = ["lang.json", "words.txt", "phones.txt", "topo", "oov.int", "lexiconp.txt"]
    needed += [f"phones/{name}.int" for name in
               ("silence", "nonsilence", "disambig", "optional_silence", "sets", "roots",
                "extra_questions")]
    for name in needed:
        if not is_file(path / name):
            raise UserError(f"{name} is missing; {REMEDY}", path)
    options = from_dict(LangOptions, read_options(path / "lang.json", FORMAT),
                        str(path / "lang.json"))
    phones, words = read_symbols(path / "phones.txt"), read_symbols(path / "words.txt")
    pronunciations = _to_ints(read_lexicon(path / "lexiconp.txt"), words, phones,
                              options.position_dependent, path / "lexiconp.txt")
    # The grammar needs them: #0 for backoff, the other two for the ends of sentences.
    for symbol in ("#0", "<s>", "</s>"):
        if symbol not in words:
            raise UserError(f"'{symbol}' is not in words.txt; {REMEDY}", path)
    lists = path / "phones"
    known = {number for number in phones.values() if number > 0}

    # An empty list of disambiguation symbols or silences would fail much later, in the graph.
    def column(name: str) -> list[int]:
        ids = [number for row in read_ids(lists / f"{name}.int", known) for number in row]
        if not ids:
            raise UserError(f"is empty; {REMEDY}", lists / f"{name}.int")
        return ids

    silence, nonsilence, disambig = map(column, ("silence", "nonsilence", "disambig"))
    sets, roots = read_ids(lists / "sets.int", known), read_roots(lists / "roots.int", known)
    # A phone that is both silence and speech would be counted twice in the statistics.
    check_each_once([silence, nonsilence, disambig], sorted(known), path / "phones.txt")
    check_each_once(sets, silence + nonsilence, lists / "sets.int")
    check_each_once([root.phones for root in roots], silence + nonsilence, lists / "roots.int")
    return Lang(
        path=path,
        phones=phones,
        words=words,
        silence_phones=silence,
        nonsilence_phones=nonsilence,
        disambig_phones=disambig,
        optional_silence=read_id(lists / "optional_silence.int", {*silence}),
        sil_prob=options.sil_prob,
        oov=read_id(path / "oov.int", {*words.values()} - {0}, "word"),
        sets=sets,
        roots=roots,
        extra_questions=read_ids(lists / "extra_questions.int", known),
        pronunciations=pronunciations,
        position_dependent=options.position_dependent,
        silence_probs=find_silence_probs(path),
    )


def _assemble(lexicon: Lexicon, phone_set: PhoneSet, path: Path, options: LangOptions,
              oov_word: str) -> Lang:
    def variants(phone: str) -> list[str]:
        """Every form of a phone; silence also occurs between words, without position."""
        if not options.position_dependent:
            return [phone]
        # Silence as a word (<SIL>) has a position, optional silence between words has none.
        bare = [phone] if phone in phone_set.silence_phones else []
        return bare + [phone + suffix for suffix in POSITIONS]

    silence = [v for phone in phone_set.silence_phones for v in variants(phone)]
    speech = [v for phone in phone_set.nonsilence_phones for v in variants(phone)]
    phones = {name: i for i, name in enumerate(["<eps>", *silence, *speech])}
    real = range(1, len(phones))
    words = {name: i for i, name in enumerate(["<eps>", *lexicon.entries, "#0", "<s>", "</s>"])}
    pronunciations = _to_ints(lexicon, words, phones, options.position_dependent, path)
    # One more than the lexicon needs: the last marks silence after a word.
    marks = disambiguate(pron for prons in pronunciations.values() for _, pron in prons)
    for mark in range(max(marks, default=0) + 2):
        phones[f"#{mark}"] = len(real) + 1 + mark

    def ids(group: Iterable[str]) -> list[int]:
        return sorted(phones[v] for phone in group for v in variants(phone))

    alone = [(p,) for s in phone_set.sets for p in s]
    groups = phone_set.sets if options.share_tones else alone
    roots = phone_set.sets if options.share_tones or options.tone_roots else alone
    questions = [ids(question) for question in phone_set.extra_questions]
    if options.position_dependent:
        # As in Kaldi's prepare_lang.sh: one question for each position, silences apart, because
        # the tree cannot see the names of phones.
        for suffix in ("", *POSITIONS):
            for kind in (silence, speech):
                place = [phones[p] for p in kind if place_mark(p) == suffix]
                questions += [place] if place else []
    return Lang(
        path=path,
        phones=phones,
        words=words,
        silence_phones=[phones[p] for p in silence],
        nonsilence_phones=[phones[p] for p in speech],
        disambig_phones=[number for name, number in phones.items() if name.startswith("#")],
        optional_silence=phones[phone_set.optional_silence],
        sil_prob=options.sil_prob,
        oov=words[oov_word],
        sets=sorted(ids(group) for group in groups),
        roots=[Root(tuple(group)) for group in sorted(map(ids, roots))],
        extra_questions=[list(q) for q in dict.fromkeys(map(tuple, questions))],
        pronunciations=pronunciations,
        position_dependent=options.position_dependent,
    )


def _to_ints(lexicon: Lexicon, words: Mapping[str, int], phones: Mapping[str, int],
             position_dependent: bool, source: Path, remedy: str = REMEDY
             ) -> dict[int, list[IntPronunciation]]:
    result: dict[int, list[IntPronunciation]] = {}
    for word, pronunciations in lexicon.entries.items():
        if word not in words:
            raise UserError(f"word '{word}' is not in words.txt; {remedy}", source)
        for pron in pronunciations:
            names = add_positions(pron.phones) if position_dependent else pron.phones
            unknown = [name for name in names if name not in phones]
            if unknown:
                raise UserError(f"phone '{unknown[0]}' of '{word}' is not in phones.txt; {remedy}",
                                source)
            result.setdefault(words[word], []).append(
                (pron.probability, tuple(phones[name] for name in names)))
    return result


def _files(lang: Lang) -> dict[str, str]:
    """Return name -> text of every file that `write_symbols` writes but lexiconp.txt."""
    files = {
        "words.txt": "".join(f"{name} {i}\n" for name, i in lang.words.items()),
        "phones.txt": "".join(f"{name} {i}\n" for name, i in lang.phones.items()),
    }
    lists = {
        "silence": lang.silence_phones,
        "nonsilence": lang.nonsilence_phones,
        "context_indep": lang.silence_phones,
        "optional_silence": [lang.optional_silence],
        "disambig": lang.disambig_phones,
    }
    groups = {"sets": lang.sets, "extra_questions": lang.extra_questions}
    files |= list_texts(lists, lang.phone_name) | group_texts(groups, lang.phone_name)
    files |= group_texts({"roots": [root.phones for root in lang.roots]}, lang.phone_name,
                         [root.kind for root in lang.roots])
    # The first line is optional silence: a phone that belongs to no word (<eps>).
    align = [((0, 0), (lang.optional_silence,))]
    align += [((word, word), phones) for word, prons in lang.pronunciations.items()
              for _, phones in prons]
    files["phones/align_lexicon.txt"] = "".join(
        " ".join([*map(lang.word_name, pair), *map(lang.phone_name, phones)]) + "\n"
        for pair, phones in align)
    files["phones/align_lexicon.int"] = "".join(
        " ".join(map(str, (*pair, *phones))) + "\n" for pair, phones in align)
    if lang.position_dependent:
        places = [(p, POSITIONS.get(place_mark(lang.phone_name(p)), "nonword"))
                  for p in lang.silence_phones + lang.nonsilence_phones]
        files["phones/word_boundary.txt"] = "".join(
            f"{lang.phone_name(p)} {place}\n" for p, place in places)
        files["phones/word_boundary.int"] = "".join(f"{p} {place}\n" for p, place in places)
    return files
