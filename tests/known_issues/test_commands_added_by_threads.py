"""Commands that eight threads added at once were lost; a result could mix two lists."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from command_world import COMMANDS, OUTSIDE, RATE, SYLLABLES, speak

from hybridasr.confidence.command_grammar import RejectOptions
from hybridasr.decode.search import SearchOptions
from hybridasr.recognize.recognizer import load

THREADS = 8


@pytest.fixture
def recognizer(spoken_world):
    return load(spoken_world.mono, SearchOptions(acoustic_scale=0.03), commands=COMMANDS,
                reject=RejectOptions(near_fillers=1))


def test_no_addition_and_no_removal_is_lost(recognizer):
    words = [first + second for first in SYLLABLES[:6] for second in SYLLABLES[6:10]]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(recognizer.add_command, words))
        assert sorted(c.text for c in recognizer.commands) == sorted([*COMMANDS, *words])
        list(pool.map(recognizer.remove_command, words[::2]))
    assert sorted(c.text for c in recognizer.commands) == sorted([*COMMANDS, *words[1::2]])


def test_answers_of_threads_are_those_of_one(recognizer):
    texts = [*COMMANDS, *OUTSIDE] * 2
    audio = [speak(text, np.random.default_rng(number)) for number, text in enumerate(texts)]
    expected = [recognizer.recognize(samples, RATE) for samples in audio]
    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(lambda samples: recognizer.recognize(samples, RATE), audio)) == (
            expected)


def test_a_result_is_of_one_list(recognizer):
    """The list changes all the time; ids and alternatives are of the list before or after."""
    lists = {name: [(f"{name} {text}", text) for text in COMMANDS] for name in ("one", "two")}
    recognizer.set_commands(lists["one"])
    samples = speak(COMMANDS[0], np.random.default_rng(1))

    def change(number):
        recognizer.set_commands(lists[("one", "two")[number % 2]])

    with ThreadPoolExecutor(THREADS) as pool:
        changes = [pool.submit(change, number) for number in range(12)]
        results = list(pool.map(lambda _: recognizer.recognize(samples, RATE), range(24)))
        for item in changes:
            item.result()
    for result in results:
        assert result["text"] == COMMANDS[0]
        names = {result["id"].split()[0], *(a["id"].split()[0] for a in result["alternatives"])}
        assert len(names) == 1
