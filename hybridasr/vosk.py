"""Owns the shape of Vosk's Python API: programs written for it run with only the import changed.

    from hybridasr.vosk import KaldiRecognizer, Model

    recognizer = KaldiRecognizer(Model("lamp.hyb"), 16000)
    while data := stream.read(4000):
        if recognizer.AcceptWaveform(data):
            print(recognizer.Result())
    print(recognizer.FinalResult())

Names, arguments and the JSON text are those of Vosk's documentation
(https://alphacephei.com/vosk); what differs is better told than hidden, see docs/deploy.md.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

from hybridasr.confidence.verify import FILLER, LOW
from hybridasr.corpus.recording import HIGHEST_RATE, LOWEST_RATE
from hybridasr.decode.endpoint import EndpointOptions
from hybridasr.errors import UserError
from hybridasr.model.directory import own_commands
from hybridasr.pack_file import SUFFIX
from hybridasr.recognize.graph_grammar import NoGrammar
from hybridasr.recognize.recognizer import Recognizer, bare_recognizer, load
from hybridasr.recognize.results import shift_times
from hybridasr.recognize.session import Session
from hybridasr.recognize.voice_gate import SPEAKER
from hybridasr.storage import is_file

UNKNOWN = "[unk]"
# Folders in which models are looked up by name or language, as Vosk's.
MODELS, _DEFAULT_MODELS = "VOSK_MODEL_PATH", Path.home() / ".cache" / "vosk"
_SAMPLE_BYTES = 2
# What Vosk prints where nothing is estimated.
_SURE = 1.0


class EndpointerMode(Enum):
    """How long a pause ends an utterance."""

    DEFAULT = 0
    SHORT = 1
    LONG = 2
    VERY_LONG = 3


_MODES = {EndpointerMode.DEFAULT: "default", EndpointerMode.SHORT: "short",
          EndpointerMode.LONG: "long", EndpointerMode.VERY_LONG: "very-long"}


def SetLogLevel(level: int) -> None:  # noqa: N802
    """Choose what is logged: below 0 errors, 0 warnings too, above 0 everything."""
    logging.getLogger("hybridasr").setLevel(
        logging.ERROR if level < 0 else logging.WARNING if level == 0 else logging.DEBUG)


class Model:
    """A loaded model, shared by any number of recognizers and threads.

    Parameters
    ----------
    model_path : path, optional
        A model directory or a packed model.
    model_name, lang : str, optional
        In its place: the name of a model, or what its name begins with, in the folder
        VOSK_MODEL_PATH of the environment or in ~/.cache/vosk. Nothing is downloaded.

    Raises
    ------
    UserError
        if there is no such model, or several; as from `recognize.recognizer.load`.
    """

    def __init__(self, model_path: str | Path | None = None, model_name: str | None = None,
                 lang: str | None = None):
        path = Path(model_path) if model_path is not None else _find_model(model_name, lang)
        # Without commands or a graph of its own, its recognizers need a grammar.
        self._decides = (own_commands(path).commands is not None
                         or is_file(path / "graph" / "graph.npz"))
        self.recognizer: Recognizer = load(path) if self._decides else bare_recognizer(path)

    @classmethod
    def of(cls, recognizer: Recognizer) -> "Model":
        """Return the model of a recognizer, with the commands or the graph that decide there."""
        model = cls.__new__(cls)
        model.recognizer = recognizer
        model._decides = not isinstance(recognizer.grammar, NoGrammar)
        return model

    def warm_up(self) -> None:
        """Compile or load the kernels, so that the first answer is as quick as the later ones."""
        if self._decides:
            self.recognizer.warm_up()

    def vosk_model_find_word(self, word: str) -> int:
        """Return the number of a word; -1 if it is not in the vocabulary."""
        return self.recognizer.model.lang.words.get(word, -1)


class KaldiRecognizer:
    """Recognises a stream of audio; belongs to one thread at a time.

    Parameters
    ----------
    model : Model
    sample_rate : number
        Hertz of the audio, which is resampled to the model's rate.
    grammar : str, optional
        JSON array of phrases, one of which is said; ``[unk]`` among them stands for anything else.

    Raises
    ------
    UserError
        naming a word of the grammar that the model cannot say, or a speaker model, of which there
        are none.
    """

    def __init__(self, model: Model, sample_rate: float, grammar: str | None = None):
        if not isinstance(model, Model):
            raise UserError(f"{model!r} is no model; give Model(path)")
        if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
            raise UserError(f"sample rate {sample_rate:g}; give hertz, {LOWEST_RATE} to "
                            f"{HIGHEST_RATE}")
        self._model, self._rate = model, int(sample_rate)
        self._words = self._partial_words = False
        self._alternatives = 0
        self._endpoint = EndpointOptions()
        self._session: Session | None = None
        self._results: list[dict[str, Any]] = []
        self._bytes = self._begin = 0  # taken altogether, and where the session began
        self._partial = ""
        # Not of Vosk: called with each result of `recognize.results`, which says more.
        self.on_result: Callable[[dict[str, Any]], None] | None = None
        self.SetGrammar("[]" if grammar is None else grammar)

    def SetWords(self, enable_words: bool) -> None:  # noqa: N802
        """Give each word of a result with its times and confidence."""
        self._words = bool(enable_words)

    def SetPartialWords(self, enable_partial_words: bool) -> None:  # noqa: N802
        """Give each word of a partial result with its times."""
        self._partial_words = bool(enable_partial_words)

    def SetMaxAlternatives(self, max_alternatives: int) -> None:  # noqa: N802
        """Give so many alternatives in place of one text; 0: the text."""
        self._refuse_running("SetMaxAlternatives")
        self._alternatives = max(0, int(max_alternatives))

    def SetEndpointerMode(self, mode: EndpointerMode | int) -> None:  # noqa: N802
        """Choose how long a pause ends an utterance."""
        self._refuse_running("SetEndpointerMode")
        try:
            self._endpoint = EndpointOptions.of_mode(_MODES[EndpointerMode(mode)])
        except ValueError:
            known = ", ".join(f"{one.name} ({one.value})" for one in EndpointerMode)
            raise UserError(f"{mode!r} is no endpointer mode; give one of {known}") from None

    def SetEndpointerDelays(self, t_start_max: float, t_end: float, t_max: float  # noqa: N802
                            ) -> None:
        """Choose the seconds: of silence at the start, of silence that ends, of an utterance."""
        self._refuse_running("SetEndpointerDelays")
        base = EndpointOptions()
        later = t_end - base.rule2.min_trailing_silence
        waits = {name: replace(rule, min_trailing_silence=max(
            0.0, rule.min_trailing_silence + later)) for name, rule in (
                ("rule2", base.rule2), ("rule3", base.rule3), ("rule4", base.rule4),
                ("speech", base.speech))}
        self._endpoint = replace(
            base, rule1=replace(base.rule1, min_trailing_silence=t_start_max),
            rule5=replace(base.rule5, min_utterance_length=t_max), **waits)

    def SetGrammar(self, grammar: str) -> None:  # noqa: N802
        """Recognise these phrases from now on; ``[]``: what the model recognises by itself.

        Raises
        ------
        UserError
            if it is no JSON array of texts, names a word that cannot be said, or audio is there.
        """
        self._refuse_running("SetGrammar")
        phrases = _phrases(grammar)
        self._unknown = UNKNOWN in phrases
        self._recognizer = self._model.recognizer
        if phrases:
            self._recognizer = self._recognizer.copy()
            self._recognizer.set_commands([text for text in phrases if text != UNKNOWN])

    def SetNLSML(self, enable_nlsml: bool) -> None:  # noqa: N802
        """Refuse to give XML in place of JSON."""
        if enable_nlsml:
            raise UserError("NLSML is not made here; take the JSON")

    def SetSpkModel(self, spk_model: Any) -> None:  # noqa: N802
        """Refuse: there are no vectors of speakers in results."""
        raise UserError("speaker models are not known here; 'hybridasr enrol' makes a profile of a "
                        "speaker")

    def AcceptWaveform(self, data: bytes) -> int:  # noqa: N802
        """Take the next audio: 16-bit little-endian samples of one channel.

        Returns
        -------
        int
            1 where an utterance has ended: call `Result`; 0 otherwise: `PartialResult`.
        """
        if self._session is None:
            self._begin = self._bytes
            # A lattice, which the confidences of a graph need, is kept where one is asked for.
            nbest = max(self._alternatives - 1, int(self._words), int(self._alternatives > 0))
            self._session = self._recognizer.session(self._rate, nbest=nbest,
                                                     endpoint=self._endpoint)
        events = self._session.accept(data)
        self._bytes += len(data)
        for event in events:
            if "text" in event:
                self._take(event)
                self._partial = ""
            else:
                self._partial = event["partial"]
        return int(bool(self._results))

    def Result(self) -> str:  # noqa: N802
        """Return the utterance that has ended as JSON; one that goes on ends here."""
        return self._told() if self._results else self.FinalResult()

    def FinalResult(self) -> str:  # noqa: N802
        """End the stream and return what is left of it as JSON; another one may begin."""
        if self._session is not None:
            for event in self._session.finish():
                self._take(event)
        self._session, self._partial = None, ""
        return self._told()

    def PartialResult(self) -> str:  # noqa: N802
        """Return the words so far as JSON; they may change."""
        start = self._start()
        words = [{"conf": _SURE, "end": start + end, "start": start + begin, "word": word}
                 for word, begin, end in (self._session.partial_words()
                                          if self._partial_words and self._session else ())]
        if words:
            # The text is that of the same moment.
            return vosk_json({"partial": " ".join(str(word["word"]) for word in words),
                              "partial_result": words})
        return vosk_json({"partial": self._partial})

    def Reset(self) -> None:  # noqa: N802
        """Forget the audio of the utterance, and results that were not asked for."""
        self._session, self._partial, self._results = None, "", []

    def _refuse_running(self, name: str) -> None:
        if self._session is not None:
            raise UserError(f"{name} in the middle of audio; call FinalResult or Reset first")

    def _take(self, result: dict[str, Any]) -> None:
        if self.on_result is not None:
            self.on_result(result)
        self._results.append(self._shifted(result))

    def _start(self) -> float:
        """Return the second of all audio at which the session began."""
        return self._begin / _SAMPLE_BYTES / self._rate

    def _shifted(self, result: dict[str, Any]) -> dict[str, Any]:
        return shift_times(result, self._start())

    def _told(self) -> str:
        """Return the waiting results as one: a long piece may end more than one utterance."""
        results = [self._best_and_others(result) for result in self._results]
        self._results = []
        if not results:
            results = [[{"confidence": _SURE, "result": [], "text": ""}]]
        count = max(1, self._alternatives)
        ranks = [_joined([ways[min(rank, len(ways) - 1)] for ways in results])
                 for rank in range(min(count, max(map(len, results))))]
        if self._alternatives:
            return vosk_json({"alternatives": [
                {"confidence": way["confidence"], **self._word_list(way, ("end", "start", "word")),
                 "text": way["text"]} for way in ranks]})
        return vosk_json({**self._word_list(ranks[0], ("conf", "end", "start", "word")),
                          "text": ranks[0]["text"]})

    def _word_list(self, way: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
        if not self._words or not way["result"]:
            return {}
        return {"result": [{name: word[name] for name in fields} for word in way["result"]]}

    def _best_and_others(self, result: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the readings of an utterance, best first: confidence, result, text."""
        probability = _sure(result["confidence"])
        words = [word | {"conf": _sure(word["conf"])} for word in result["result"]]
        others = [{"confidence": _sure(other["confidence"]), "result": [], "text": other["text"]}
                  for other in result["alternatives"]]
        if result["accepted"]:
            best = {"confidence": probability, "result": words, "text": result["text"]}
        elif self._unknown and result["reason"] in (FILLER, LOW, SPEAKER):
            sure = 1.0 - probability if result["confidence"] is not None else _SURE
            best = {"confidence": sure, "text": UNKNOWN, "result": [
                {"conf": sure, "start": result["start"], "end": result["end"], "word": UNKNOWN}]}
        else:
            best = {"confidence": _SURE, "result": [], "text": ""}
        return [best, *others]


def vosk_json(value: Any) -> str:
    """Return JSON in the form in which Vosk prints it: numbers with six places.

    >>> print(vosk_json({"result": [{"conf": 0.5, "word": "on"}], "text": "on"}))
    {
      "result" : [{
          "conf" : 0.500000,
          "word" : "on"
        }],
      "text" : "on"
    }
    """
    return "".join(_written(value, 1))


def _written(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield "{\n"
        for number, (name, entry) in enumerate(value.items()):
            yield (",\n" if number else "") + "  " * depth + f"{json.dumps(name)} : "
            yield from _written(entry, depth + 1)
        yield "\n" + "  " * (depth - 1) + "}"
    elif isinstance(value, list):
        yield "["
        for number, entry in enumerate(value):
            yield ", " if number else ""
            yield from _written(entry, depth + 1)
        yield "]"
    else:
        yield f"{value:.6f}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"confidence": min(part["confidence"] for part in parts),
            "result": [word for part in parts for word in part["result"]],
            "text": " ".join(part["text"] for part in parts if part["text"])}


def _sure(confidence: float | None) -> float:
    # A model that is not calibrated knows no better.
    return _SURE if confidence is None else float(confidence)


def _phrases(grammar: str) -> list[str]:
    """Return the different phrases of a grammar."""
    if not isinstance(grammar, str):
        raise UserError(f"{type(grammar).__name__} is no grammar; give JSON such as "
                        "'[\"打开空调\", \"[unk]\"]' (speaker models are not known here)")
    try:
        phrases = json.loads(grammar)
    except ValueError as error:
        raise UserError(f"the grammar is no JSON ({error}); give an array of phrases") from None
    if not isinstance(phrases, list) or not all(isinstance(text, str) for text in phrases):
        raise UserError("the grammar is no array of phrases; give JSON such as "
                        "'[\"打开空调\", \"[unk]\"]'")
    return list(dict.fromkeys(" ".join(text.split()) for text in phrases))


def _find_model(name: str | None, lang: str | None) -> Path:
    """Return the model of a name, or of a language, in the folder of models."""
    folder = Path(os.environ.get(MODELS) or _DEFAULT_MODELS)
    wanted = name or lang
    if wanted is None:
        raise UserError("no model; give the path of a model directory or of a packed model")
    models = sorted(path for path in (folder.iterdir() if folder.is_dir() else ())
                    if path.suffix == SUFFIX or (path / "model.json").is_file())
    exact = [path for path in models if wanted in (path.name, path.stem)]
    near = exact or [path for path in models if not name and path.name.startswith(wanted)]
    if len(near) != 1:
        names = ", ".join(path.name for path in near or models) or "none"
        raise UserError(f"{'several models' if near else 'no model'} '{wanted}' there ({names}); "
                        f"give its path, or set {MODELS} to the folder of models", folder)
    return near[0]
