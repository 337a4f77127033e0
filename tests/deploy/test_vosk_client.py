"""Clients of the server: vosk-server's messages, one answer a piece of audio, and the limits."""

import json
import re
import threading

import numpy as np
import pytest
from command_world import COMMANDS, RATE, speak

from hybridasr.deploy.serve_options import ServeOptions
from hybridasr.deploy.vosk_client import VoskClient
from hybridasr.errors import UserError
from hybridasr.vosk import Model

CONFIG = {"sample_rate": RATE, "phrase_list": [*COMMANDS, "[unk]"], "words": True}
AUDIO = np.concatenate([speak("da1ti1", np.random.default_rng(0)),
                        np.random.default_rng(1).normal(0, 40, RATE).astype(np.int16)]).tobytes()
PIECES = [AUDIO[begin:begin + 6400] for begin in range(0, len(AUDIO), 6400)]


@pytest.fixture(scope="module")
def model(spoken_world):
    return Model(spoken_world.mono)


def config(**values):
    return json.dumps({"config": CONFIG | values})


def take(client, message):
    """(the answer to a message, whether it was the last)."""
    if isinstance(message, str):
        return client.control(message)
    return client.hear(message, last=True), False


def answers(client, messages):
    """The JSON of every answer."""
    taken = [take(client, message) for message in messages]
    assert [ended for _, ended in taken] == [False] * (len(taken) - 1) + [True]
    return [json.loads(answer) for answer, _ in taken if answer is not None]


def test_each_piece_of_audio_has_one_answer(model):
    replies = answers(VoskClient(model, ServeOptions()), [config(), *PIECES, '{"eof":1}'])
    assert len(replies) == len(PIECES) + 1
    results = [reply for reply in replies if reply.get("text")]
    assert [result["text"] for result in results] == ["da1ti1"]
    assert set(results[0]["result"][0]) == {"conf", "end", "start", "word"}
    assert {"partial": "da1ti1"} in replies


def test_words_and_alternatives_can_be_chosen(model):
    client = VoskClient(model, ServeOptions())
    replies = answers(client, [config(words=0, max_alternatives=2), *PIECES, '{"eof" : 1}'])
    ways = [reply["alternatives"] for reply in replies if "alternatives" in reply]
    assert ways[0][0]["text"] == "da1ti1"
    assert "result" not in ways[0][0]


@pytest.mark.parametrize(("message", "line"), [
    ("hello", "a text that is not understood"), ("[1]", "a text that is not understood"),
    ('{"config": 1}', "a text that is not understood"),
    (config(sample_rate="high"), 'config: sample_rate is "high", not of type int'),
    (config(phrase_list="da1ti1"), "config: phrase_list is"),
    ("[" * 100_000, "a text that is not understood"),
])
def test_other_texts_are_refused(model, message, line):
    with pytest.raises(UserError, match=re.escape(line)):
        take(VoskClient(model, ServeOptions()), message)


@pytest.mark.parametrize(("values", "line"), [
    ({"phrase_list": ["zzzz"]}, "'zzzz'"), ({"phrase_list": [1]}, "no array of phrases"),
    ({"sample_rate": 1}, "sample rate 1; give hertz"), ({"sample_rate": 0}, "sample rate 0;"),
    ({"sample_rate": 1e300}, "sample rate 1e+300"), ({"sample_rate": float("nan")}, "rate nan"),
    ({"sample_rate": True}, "sample_rate is true, not of type int"),
])
def test_a_configuration_that_cannot_be_is_named_at_once(model, values, line):
    with pytest.raises(UserError, match=re.escape(line)):
        take(VoskClient(model, ServeOptions()), config(**values))


def test_null_is_not_wanted(model):
    client = VoskClient(model, ServeOptions())
    assert take(client, config(max_alternatives=None, sample_rate=None)) == (None, False)
    assert take(client, PIECES[0])[1] is False


def test_limits(model):
    client = VoskClient(model, ServeOptions(max_seconds=0.5))
    take(client, config())
    take(client, bytes(RATE))
    with pytest.raises(UserError, match=r"more than 0\.5 s of audio; connect again"):
        take(client, bytes(2))
    client = VoskClient(model, ServeOptions())
    take(client, config())
    take(client, PIECES[0])
    with pytest.raises(UserError, match="config in the middle of audio"):
        take(client, config())
    for values in ({"port": -1}, {"max_connections": 0}, {"max_seconds": float("nan")}):
        with pytest.raises(UserError, match="give a number"):
            ServeOptions(**values)


def test_clients_at_once_get_what_they_get_alone(model):
    messages = [config(), *PIECES, '{"eof" : 1}']
    expected = answers(VoskClient(model, ServeOptions()), messages)
    replies = [None] * 4

    def talk(number):
        replies[number] = answers(VoskClient(model, ServeOptions()), messages)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(len(replies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [expected] * len(replies)


def test_pieces_of_a_message_have_one_answer(model):
    whole = answers(VoskClient(model, ServeOptions()), [config(), AUDIO, '{"eof" : 1}'])
    client = VoskClient(model, ServeOptions())
    client.control(config())
    cut = [client.hear(piece, last=piece is PIECES[-1]) for piece in PIECES]
    assert cut[:-1] == [None] * (len(PIECES) - 1)
    assert [json.loads(cut[-1]), json.loads(client.finish())] == whole


def test_too_many_phrases_are_refused(model):
    client = VoskClient(model, ServeOptions(max_phrases=2))
    with pytest.raises(UserError, match="4 phrases; give at most 2"):
        client.control(config())


def test_results_are_told_whole(model):
    heard = []
    answers(VoskClient(model, ServeOptions(), heard.append), [config(), *PIECES, '{"eof" : 1}'])
    assert [(one["text"], one["accepted"]) for one in heard if one["text"]] == [("da1ti1", True)]
