"""Clients of the server: vosk-server's messages, one answer a piece of audio, and the limits."""

import json
import re
import threading

import numpy as np
import pytest
from command_world import COMMANDS, RATE, speak

from hybridasr.deploy.client import Client, ServeOptions
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


def answers(client, messages):
    """The JSON of every answer."""
    taken = [client.take(message) for message in messages]
    assert [ended for _, ended in taken] == [False] * (len(taken) - 1) + [True]
    return [json.loads(answer) for answer, _ in taken if answer is not None]


def test_each_piece_of_audio_has_one_answer(model):
    replies = answers(Client(model, ServeOptions()), [config(), *PIECES, '{"eof":1}'])
    assert len(replies) == len(PIECES) + 1
    results = [reply for reply in replies if reply.get("text")]
    assert [result["text"] for result in results] == ["da1ti1"]
    assert set(results[0]["result"][0]) == {"conf", "end", "start", "word"}
    assert {"partial": "da1ti1"} in replies


def test_words_and_alternatives_can_be_chosen(model):
    client = Client(model, ServeOptions())
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
        Client(model, ServeOptions()).take(message)


@pytest.mark.parametrize(("values", "line"), [
    ({"phrase_list": ["zzzz"]}, "'zzzz'"), ({"phrase_list": [1]}, "no array of phrases"),
    ({"sample_rate": 1}, "sample rate 1; give hertz"), ({"sample_rate": 0}, "sample rate 0;"),
    ({"sample_rate": 1e300}, "sample rate 1e+300"), ({"sample_rate": float("nan")}, "rate nan"),
    ({"sample_rate": True}, "sample_rate is true, not of type int"),
])
def test_a_configuration_that_cannot_be_is_named_at_once(model, values, line):
    with pytest.raises(UserError, match=re.escape(line)):
        Client(model, ServeOptions()).take(config(**values))


def test_null_is_not_wanted(model):
    client = Client(model, ServeOptions())
    assert client.take(config(max_alternatives=None, sample_rate=None)) == (None, False)
    assert client.take(PIECES[0])[1] is False


def test_limits(model):
    client = Client(model, ServeOptions(max_seconds=0.5))
    client.take(config())
    client.take(bytes(RATE))
    with pytest.raises(UserError, match=r"more than 0\.5 s of audio; connect again"):
        client.take(bytes(2))
    client = Client(model, ServeOptions())
    client.take(config())
    client.take(PIECES[0])
    with pytest.raises(UserError, match="config in the middle of audio"):
        client.take(config())
    for values in ({"port": -1}, {"max_connections": 0}, {"max_seconds": float("nan")}):
        with pytest.raises(UserError, match="give a number"):
            ServeOptions(**values)


def test_clients_at_once_get_what_they_get_alone(model):
    messages = [config(), *PIECES, '{"eof" : 1}']
    expected = answers(Client(model, ServeOptions()), messages)
    replies = [None] * 4

    def talk(number):
        replies[number] = answers(Client(model, ServeOptions()), messages)

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(len(replies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == [expected] * len(replies)
