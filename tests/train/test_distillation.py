"""Learning from a teacher: the loss and its gradient, what is refused, and that it helps."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from hybridasr.errors import UserError
from hybridasr.nnet.acoustics import NnetAcoustics
from hybridasr.nnet.network_text import read_network
from hybridasr.train.distillation import (
    Distillation,
    check_teacher,
    softened_divergence,
    teacher_key,
)
from hybridasr.train.minibatch import FrameSet

CLASSES = 4


@pytest.fixture
def frames(tmp_path):
    """Three utterances; some frames have no class."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "frames.npy", rng.normal(size=(60, 3)).astype(np.float32))
    pdfs = rng.integers(-1, CLASSES, 60).astype(np.int32)
    names = ["a", "b", "c"]
    return FrameSet(tmp_path / "frames.npy", pdfs, np.array([0, 25, 33, 60]), names, names, names)


def make_teacher(text="splice offsets=-2:1\naffine dim=8\ntanh\noutput\n"):
    rng = np.random.default_rng(1)
    network = read_network(text, 3, CLASSES, seed=4)
    return NnetAcoustics(network, np.zeros(CLASSES, np.float32), rng.normal(size=3).astype("f4"),
                         np.full(3, 0.8, np.float32))


def objective(frames, weight=0.7, temperature=2.0, **teacher):
    return Distillation(frames, make_teacher(**teacher), weight, temperature,
                        np.array([0.3, -0.1, 0, -0.5], np.float32))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_softened_loss_is_scipys(temperature):
    rng = np.random.default_rng(2)
    ours, theirs = 3 * rng.standard_normal((5, 7)), 3 * rng.standard_normal((5, 7))
    loss, slopes = softened_divergence(ours, theirs, temperature)
    expected = (softmax(theirs / temperature, 1) * (log_softmax(theirs / temperature, 1)
                                                    - log_softmax(ours / temperature, 1))).sum()
    assert loss == pytest.approx(expected * temperature**2, rel=1e-12)
    step = 1e-6
    for place in np.ndindex(ours.shape):
        kept, ours[place] = ours[place], ours[place] + step
        up = softened_divergence(ours, theirs, temperature)[0]
        ours[place] = kept - step
        down = softened_divergence(ours, theirs, temperature)[0]
        ours[place] = kept
        assert slopes[place] == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("width", [0, 8])
def test_loss_and_gradient_of_chunks(frames, width):
    """Against a plain sum over the frames that have a class."""
    one = objective(frames)
    chunks = frames.chunks(width, np.arange(3))
    longest = int(chunks[:, 2].max())
    logits = np.random.default_rng(3).standard_normal((len(chunks), longest, CLASSES))
    seen, slopes = one.loss(logits.copy(), chunks)
    teacher = [one.teacher.network.forward(one.teacher.network.with_context(
        one.teacher.scaled(frames.feats[begin:end]))[None])[0][0] + one.shift
        for begin, end in zip(frames.starts[:-1], frames.starts[1:], strict=True)]

    def total(values):
        loss, count = 0.0, 0
        for row, (utterance, first, length) in enumerate(chunks):
            for t in range(length):
                target = frames.pdfs[first + t]
                if target < 0:
                    continue
                v = teacher[utterance][first + t - frames.starts[utterance]].astype(np.float64)
                z = values[row, t]
                loss += 0.3 * -log_softmax(z)[target]
                loss += 0.7 * 4 * (softmax(v / 2) * (log_softmax(v / 2)
                                                     - log_softmax(z / 2))).sum()
                count += 1
        return loss, count

    loss, count = total(logits)
    assert seen.frames == count
    assert seen.loss == pytest.approx(loss, rel=1e-5)
    rng = np.random.default_rng(4)
    direction = rng.standard_normal(logits.shape)
    step = 1e-5
    numeric = (total(logits + step * direction)[0] - total(logits - step * direction)[0]) / (
        2 * step * count)
    assert float((slopes * direction).sum()) == pytest.approx(numeric, rel=1e-4)
    beyond = np.arange(longest) >= chunks[:, 2:]
    assert not slopes[beyond].any()


def test_who_knows_all_that_the_teacher_knows_learns_nothing_more(frames):
    one = objective(frames, weight=1.0, temperature=3.0)
    chunks = frames.chunks(0, np.arange(1))
    logits = one._teacher_logits(chunks)[None]
    seen, slopes = one.loss(logits.copy(), chunks)
    assert abs(seen.loss) < 1e-4
    np.testing.assert_allclose(slopes, 0, atol=1e-7)


def test_a_teacher_of_another_content_has_another_key():
    assert teacher_key(make_teacher()) == teacher_key(make_teacher())
    other = make_teacher()
    assert teacher_key(replace(other, scale=2 * other.scale)) != teacher_key(other)


NETWORK = type("N", (), {"subsampling": 1})()


class Model:
    """What `check_teacher` looks at."""

    def __init__(self, tuples, features, pipeline, nnet=NETWORK):
        self.transitions = type("T", (), {"tuples": np.array(tuples)})
        self.tree = type("T", (), {"num_pdfs": 2})
        self.features, self.pipeline, self.nnet = features, pipeline, nnet


def test_teachers_that_do_not_fit_are_refused():
    from hybridasr.features.frames import FeatureOptions
    from hybridasr.features.pipeline import PipelineOptions

    fbank, pipeline = FeatureOptions(kind="fbank"), PipelineOptions()
    model = Model([[1, 0, 0]], fbank, pipeline)
    assert check_teacher(Model([[1, 0, 0]], fbank, pipeline), "m", model, 1) is NETWORK
    for teacher, line in (
            (Model([[1, 0, 0]], fbank, pipeline, None), "m: a teacher is a network, this is a sys"),
            (Model([[1, 0, 1]], fbank, pipeline), "the teacher's 2 pdfs are of another tree"),
            (Model([[1, 0, 0]], replace(fbank, num_mel_bins=30), pipeline),
             "hears other features: num_mel_bins 30, here 23; give the features"),
            (Model([[1, 0, 0]], fbank, replace(pipeline, norm_vars=True)),
             "hears other features: norm_vars True, here False")):
        with pytest.raises(UserError, match=line):
            check_teacher(teacher, "m", model, 1)
    with pytest.raises(UserError, match="scores one of 1 frames, the new network one of 3"):
        check_teacher(model, "m", model, 3)
