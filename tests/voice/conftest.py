"""A check that is trained on made-up voices."""

import pytest
from voice_world import write_voices

from hybridasr.parallel import SerialExecutor
from hybridasr.voice.check_trainer import train_speaker_check


@pytest.fixture(scope="session")
def voices(tmp_path_factory):
    return write_voices(tmp_path_factory.mktemp("voices"), range(10))


@pytest.fixture(scope="session")
def trained(voices):
    return train_speaker_check([voices], SerialExecutor())
