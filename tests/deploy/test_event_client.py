"""Clients that get whole results: lists that change between utterances, faults that end nothing."""

import json

import numpy as np
import pytest
from command_world import COMMANDS, RATE, speak

from hybridasr.deploy.event_client import EventClient
from hybridasr.deploy.serve_options import ServeOptions
from hybridasr.errors import UserError
from hybridasr.recognize.recognizer import bare_recognizer, load

NOISE = np.random.default_rng(1).normal(0, 40, RATE).astype(np.int16)


def said(text):
    return np.concatenate([speak(text, np.random.default_rng(0)), NOISE]).tobytes()


@pytest.fixture(scope="module")
def recognizer(spoken_world):
    return load(spoken_world.mono, commands=COMMANDS)


def ask(client, **config):
    answer, ended = client.control(json.dumps({"config": config}))
    assert not ended
    return json.loads(answer)


def hear(client, text):
    """The texts of results, and the last partial one."""
    events = json.loads(client.hear(said(text), last=True))["events"]
    partials = [event["partial"] for event in events if "text" not in event]
    return [event["text"] for event in events if event.get("accepted")], partials


def test_results_are_whole_and_partial_words_come_before(recognizer):
    heard = []
    client = EventClient(recognizer, ServeOptions(), heard.append)
    assert hear(client, "bu1la1") == (["bu1la1"], ["bu1la1"])
    assert set(recognizer.recognize(speak("bu1la1", np.random.default_rng(0)), RATE)) <= set(
        heard[0])
    assert heard[0]["end_reason"] != "finish"
    assert client.control('{"eof": 1}') == ('{"events": []}', True)


def test_a_list_is_changed_at_once_and_taken_back(recognizer):
    client = EventClient(recognizer, ServeOptions())
    assert hear(client, "ba1lu1")[0] == []
    answer = ask(client, commands="new\tba1lu1\nda1ti1", nbest=1)
    assert answer["ready"]["commands"] == 2
    assert answer["ready"]["sample_rate"] == RATE
    assert answer["ready"]["threshold"] is None  # of a model that is not calibrated
    assert hear(client, "ba1lu1")[0] == ["ba1lu1"]
    assert hear(client, "bu1la1")[0] == []
    assert ask(client, commands="")["ready"]["commands"] == 3
    assert hear(client, "bu1la1")[0] == ["bu1la1"]
    # The server's own are as they were.
    assert [command.text for command in recognizer.commands] == COMMANDS


def test_templates_have_slots(recognizer):
    heard = []
    client = EventClient(recognizer, ServeOptions(), heard.append)
    answer = ask(client, commands="{what} = la1 => light, ti1\non\tbu1{what}")
    assert answer["ready"]["commands"] == 2
    hear(client, "bu1la1")
    assert (heard[0]["id"], heard[0]["slots"]) == ("on", {"what": "light"})


@pytest.mark.parametrize(("config", "line"), [
    ({"commands": "da1ti1\nzzzz"}, "command 'zzzz': no"),
    ({"commands": "da1ti1\nda1ti1"}, "commands:2: "),
    ({"commands": "(da1ti1"}, "commands:1: column"),
    ({"commands": 7}, "config: commands is 7"), ({"sample_rate": 3}, "a stream of 3 Hz"),
    ({"commands": "da1ti1\nbu1la1\ndi1la1\ntu1bi1"}, "4 phrases; give at most 3"),
    ({"commands": "(a|b|c|d)" * 12}, "at most 10,000"), ({"nbest": -1}, "nbest is -1"),
])
def test_a_list_that_cannot_be_changes_nothing(recognizer, config, line):
    client = EventClient(recognizer, ServeOptions(max_phrases=3))
    assert line in ask(client, **config)["error"]
    assert hear(client, "bu1la1")[0] == ["bu1la1"]


def test_the_audio_before_a_list_is_ended_by_it(recognizer):
    client = EventClient(recognizer, ServeOptions())
    client.hear(speak("bu1la1", np.random.default_rng(0)).tobytes(), last=True)
    assert client.under_way
    (event,) = ask(client, commands="da1ti1")["events"]
    assert (event["text"], event["end_reason"]) == ("bu1la1", "finish")
    assert not client.under_way


def test_without_any_commands_some_have_to_be_sent(spoken_world):
    client = EventClient(bare_recognizer(spoken_world.mono), ServeOptions())
    assert "no commands of its own" in ask(client, sample_rate=RATE)["error"]
    with pytest.raises(UserError, match="no graph and no commands"):
        client.hear(said("bu1la1"), last=True)
    assert ask(client, commands="bu1la1")["ready"]["commands"] == 1
    assert hear(client, "bu1la1")[0] == ["bu1la1"]


def test_limits(recognizer):
    client = EventClient(recognizer, ServeOptions(max_seconds=1.0))
    client.hear(bytes(2 * RATE), last=True)
    with pytest.raises(UserError, match="more than 1 s of audio; connect again"):
        client.hear(bytes(2), last=True)
