"""Fitting networks: mini-batches, schedules, averaging, resuming, whole utterances."""

from dataclasses import replace

import numpy as np
import pytest

from hybridasr.errors import UserError
from hybridasr.features.frames import FeatureOptions
from hybridasr.options import build_options
from hybridasr.parallel import SerialExecutor, executor
from hybridasr.train import nnet_trainer as fitting
from hybridasr.train.chunk_plan import ChunkPlan, limit_silence, mini_batches
from hybridasr.train.dnn import network_acoustics
from hybridasr.train.minibatch import FrameSet, stretched
from hybridasr.train.nnet_options import DnnOptions
from hybridasr.train.nnet_round import Replicas
from hybridasr.train.objective import CrossEntropy

SMALL = "splice offsets=-2:2\naffine dim=24\nbatchnorm\nrelu\ndropout rate=0.1\noutput\n"


@pytest.fixture
def frames(tmp_path):
    """Ten utterances of two speakers, without meaning."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "frames.npy", rng.normal(size=(300, 4)).astype(np.float32))
    names = [f"u{i}" for i in range(10)]
    return FrameSet(tmp_path / "frames.npy", rng.integers(0, 3, 300).astype(np.int32),
                    np.arange(0, 301, 30), names, names, ["s"] * 5 + ["t"] * 5)


def make_task(frames, text=SMALL, **options):
    values = {"num_epochs": 4, "average_rounds": 2, "held_out": 0.3, "minibatch_size": 32} | options
    features = FeatureOptions(kind="fbank", num_mel_bins=4)
    task = fitting.Task.of(frames, text, "net", 3, CrossEntropy(frames), features,
                           build_options(DnnOptions, **values))
    trained = np.flatnonzero(~frames.held_out(task.options.held_out))
    return task, ChunkPlan.of(frames, trained, np.array([0]), task.options)


def run_fit(frames, path, text=SMALL, pool=None, **options):
    task, plan = make_task(frames, text, **options)
    network, figures = fitting.fit(task, plan, pool or SerialExecutor(), path)
    return network_acoustics(network, task, plan, np.array([0])), figures


def test_every_third_frame_has_its_class(frames):
    chunks = np.array([[0, 0, 8], [1, 31, 4]])
    found = frames.targets(chunks, 3, 3)
    assert found.tolist() == [frames.pdfs[[0, 3, 6]].tolist(), [*frames.pdfs[[31, 34]], -1]]
    counts, slopes = CrossEntropy(frames, 3).loss(np.zeros((2, 3, 3), np.float32), chunks)
    assert (counts.frames, counts.loss) == (5, pytest.approx(5 * np.log(3)))
    assert (slopes[1, 2] == 0).all()


@pytest.mark.parametrize("width", [1, 2, 8])
def test_epochs_begin_with_another_frame(frames, width):
    """A network that scores every third frame has learned from all frames after three epochs."""
    options = build_options(DnnOptions, chunk_width=width, minibatch_size=8)
    plan = ChunkPlan.of(frames, np.arange(10), np.array([], int), options, 3)
    seen = np.zeros(300, int)
    for epoch in range(plan.phases):
        for chunk in np.concatenate([part for parts in plan.parts(epoch) for part in parts]):
            seen[chunk[1]:chunk[1] + chunk[2]:3] += 1
    # The last chunk of an utterance is moved back, so that some frames come twice.
    assert seen.min() == 1
    assert seen.max() <= 2
    whole = build_options(DnnOptions, chunk_width=0, minibatch_size=8)
    assert ChunkPlan.of(frames, np.arange(10), np.array([], int), whole, 3).phases == 1


def test_a_network_of_a_third_of_the_rate_learns(tmp_path):
    """The class is told by the frame itself: a network that took its neighbour's would not."""
    rng = np.random.default_rng(1)
    classes = rng.integers(0, 3, 3000).astype(np.int32)
    np.save(tmp_path / "f.npy", (np.eye(3)[classes] + 0.1 * rng.normal(size=(3000, 3))).astype(
        np.float32))
    names = [f"u{i}" for i in range(100)]
    frames = FrameSet(tmp_path / "f.npy", classes, np.arange(0, 3001, 30), names, names,
                      [f"s{i % 10}" for i in range(100)])
    for width in (1, 7):
        options = build_options(DnnOptions, num_epochs=25, held_out=0.2, minibatch_size=60,
                                chunk_width=width, initial_learning_rate=0.01)
        text = "splice offsets=-2:2 stride=3\naffine dim=12\nrelu\nsplice offsets=-1:1\noutput\n"
        task = fitting.Task.of(frames, text, "net", 3, CrossEntropy(frames, 3), FeatureOptions(),
                               options)
        plan = ChunkPlan.of(frames, np.flatnonzero(~frames.held_out(0.2)), np.array([0]), options,
                            3)
        _, figures = fitting.fit(task, plan, SerialExecutor(), tmp_path / f"{width}.npz")
        assert figures["held_out_accuracy"] > 95


VARIANTS = [{}, {"replicas": 2}, {"schedule": "new-bob", "optimizer": "sgd"}, {"num_jobs": 2},
            {"schedule": "cosine", "text": "affine dim=6\ntdnnf dim=6 bottleneck=3 dropout=0.1\n"
                                           "output learning_rate_factor=0.5\n"},
            {"freq_masks": 1, "max_freq": 2, "time_masks": 1, "silence_share": 0.5}]


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("after", [1, 3])
def test_interrupted_training_ends_in_the_same_network(frames, tmp_path, monkeypatch, after,
                                                       options):
    real, saved = fitting.save_state, []

    def stop(*args):
        real(*args)
        saved.append(1)
        if len(saved) == after:
            raise KeyboardInterrupt

    whole, figures = run_fit(frames, tmp_path / "none.npz", **options)
    monkeypatch.setattr(fitting, "save_state", stop)
    with pytest.raises(KeyboardInterrupt):
        run_fit(frames, tmp_path / "checkpoint.npz", **options)
    monkeypatch.setattr(fitting, "save_state", real)
    again, resumed = run_fit(frames, tmp_path / "checkpoint.npz", **options)
    for name, array in whole.to_arrays().items():
        np.testing.assert_array_equal(array, again.to_arrays()[name], err_msg=name)
    assert {**figures, "frames_a_second": 0} == {**resumed, "frames_a_second": 0}


def test_jobs_side_by_side_give_what_they_give_one_after_the_other(frames, tmp_path):
    one, _ = run_fit(frames, tmp_path / "one.npz", num_jobs=3)
    with executor(2) as pool:
        two, _ = run_fit(frames, tmp_path / "two.npz", pool=pool, num_jobs=3)
    for name, array in one.to_arrays().items():
        np.testing.assert_array_equal(array, two.to_arrays()[name], err_msg=name)


def test_replicas_give_the_same_on_any_number_of_threads(frames, tmp_path):
    task, plan = make_task(frames, replicas=3, chunk_width=8, freq_masks=1, max_freq=2)
    state, results = fitting.state_of(*task.restore(None)), []
    for threads in (1, 2, 3, 8):
        results.append(fitting.train_part(replace(task, threads=threads), state,
                                          plan.parts(0)[0][0], fitting.Rate(0.01, 0.01, 1), [7]))
    for after, seen in results[1:]:
        assert seen == results[0][1]
        for name, array in results[0][0].items():
            np.testing.assert_array_equal(array, after[name], err_msg=name)


def test_the_gradient_of_replicas_is_that_of_the_whole_mini_batch(frames):
    """Without batch statistics and draws, parts of any sizes are one mini-batch."""
    text = "splice offsets=-2:2\naffine dim=24\nrelu\ntdnn dim=8 offsets=-1,0,2\noutput\n"
    batch = np.array([[0, 0, 8], [1, 30, 8], [2, 60, 3], [3, 90, 8], [4, 120, 8]])
    found = []
    for replicas in (1, 2, 5, 7):
        task, _ = make_task(frames, text, replicas=replicas)
        network, rng = task.restore(None)[0], np.random.default_rng(0)
        for array in network.parameters.values():
            array[...] = rng.normal(size=array.shape)
        with Replicas(task, network, rng) as nets:
            seen, grads = nets.gradient(batch)
        found.append((seen, {name: array.copy() for name, array in grads.items()}))
    for seen, grads in found[1:]:
        assert (seen.frames, seen.correct) == (found[0][0].frames, found[0][0].correct) == (
            35, seen.correct)
        assert seen.loss == pytest.approx(found[0][0].loss, rel=1e-6)
        for name, array in found[0][1].items():
            np.testing.assert_allclose(grads[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


def test_replicas_share_parameters_and_average_their_statistics(frames):
    task, _ = make_task(frames, replicas=2)
    network, optimizer = task.restore(None)
    before = {name: array.copy() for name, array in network.statistics.items()}
    with Replicas(task, network, np.random.default_rng(0)) as nets:
        twin = nets.networks[1]
        _, grads = nets.gradient(np.array([[0, 0, 8], [1, 30, 8]]))
        optimizer.step(network.parameters, grads, 0.1)
        own = [{name: array.copy() for name, array in one.statistics.items()}
               for one in nets.networks]
        nets.join_statistics()
    for name, array in network.parameters.items():
        assert twin.parameters[name] is array
    for name, array in network.statistics.items():
        assert not np.array_equal(own[0][name], own[1][name])
        assert not np.array_equal(own[0][name], before[name])
        np.testing.assert_allclose(array, (own[0][name] + own[1][name]) / 2, rtol=1e-6)


def test_the_average_of_jobs_is_that_of_their_networks(frames, tmp_path):
    """One round of two jobs against both parts trained by hand."""
    options = {"num_epochs": 1, "num_jobs": 2, "held_out": 0.0, "chunk_width": 8,
               "silence_share": 1.0}
    found, _ = run_fit(frames, tmp_path / "checkpoint.npz", **options)
    task, plan = make_task(frames, **options)
    assert plan.rounds == 1
    state = fitting.state_of(*task.restore(None))
    rate = fitting.Rate(task.options.initial_learning_rate, task.options.final_learning_rate,
                        plan.steps)
    states = [fitting.train_part(task, state, part, rate, [0, 0, 0, job])[0]
              for job, part in enumerate(plan.parts(0)[0])]
    for name, array in found.network.parameters.items():
        if name == "5.bias":
            continue  # moved to the priors of all frames
        both = [s[f"network.{name}"].astype(np.float64) for s in states]
        np.testing.assert_allclose(array, np.mean(both, axis=0), rtol=1e-5, atol=1e-7)
    drawn = np.concatenate(plan.parts(0)[0])
    assert sorted(map(tuple, drawn)) == sorted(map(tuple, frames.chunks(8, np.arange(10))))


def test_silence_is_drawn_less_and_the_posteriors_are_of_all_frames(frames, tmp_path):
    pdfs = frames.pdfs.copy()
    pdfs[:150] = 0  # the first five utterances are silence
    frames = replace(frames, pdfs=pdfs)
    chunks = frames.chunks(8, np.arange(10))
    silent = frames.chunks_within(chunks, np.array([0]))
    assert silent[chunks[:, 0] < 5].all()
    assert not silent[chunks[:, 0] >= 5].all()
    plan = ChunkPlan(chunks, silent, DnnOptions(chunk_width=8, silence_share=0.25))
    drawn = [np.concatenate([part for parts in plan.parts(epoch) for part in parts])
             for epoch in range(200)]
    speech = (~silent).sum()
    assert all((frames.chunks_within(d, np.array([0])) == 0).sum() == speech for d in drawn)
    share = np.mean([len(d) - speech for d in drawn]) / silent.sum()
    assert abs(share - 0.25) < 0.05
    options = {"silence_share": 0.25, "held_out": 0.0, "chunk_width": 8, "num_epochs": 100,
               "initial_learning_rate": 0.01}
    found, _ = run_fit(frames, tmp_path / "checkpoint.npz", "output\n", **options)
    counts = frames.class_counts(chunks, 3) + 1.0
    expected = limit_silence(np.log(counts / counts.sum()), np.array([0]))
    np.testing.assert_allclose(found.log_priors, expected, rtol=1e-5)
    # Noise tells nothing of the classes: posteriors come near to the shares of all frames.
    posteriors = np.exp(found.log_posteriors(np.asarray(frames.feats))).mean(0)
    assert abs(posteriors[0] - counts[0] / counts.sum()) < 0.1


def test_schedules_and_early_stop(frames, tmp_path):
    """On noise nothing is to be gained, so both stop before the end."""
    _, figures = run_fit(frames, tmp_path / "a.npz", num_epochs=50, schedule="new-bob")
    assert figures["epochs"] < 50
    _, figures = run_fit(frames, tmp_path / "b.npz", num_epochs=50, patience=2)
    assert 3 <= figures["epochs"] < 50
    with pytest.raises(UserError, match="none was drawn; give a larger --held-out"):
        run_fit(frames, tmp_path / "c.npz", patience=1, held_out=1e-9)
    for wrong in ({"patience": 1, "held_out": 0.0}, {"schedule": "new-bob", "held_out": 0.0},
                  {"held_out": 1.0}, {"silence_share": 2.0}, {"num_jobs": 0}, {"replicas": 0}):
        with pytest.raises(UserError):
            build_options(DnnOptions, **wrong)


def test_held_out_are_whole_speakers_or_utterances_copies_with_their_originals(frames):
    copies = replace(frames, utterances=[f"sp-{name}" for name in frames.utterances])
    both = FrameSet(frames.path, np.concatenate([frames.pdfs] * 2), np.arange(0, 601, 30),
                    frames.utterances + copies.utterances, frames.originals * 2,
                    frames.speakers * 2)
    for share, speakers in ((0.5, 1), (0.3, 0)):
        held = both.held_out(share)
        assert np.array_equal(held[:10], held[10:])
        assert 0 < held.sum() < 20
        whole = {s for s in ("s", "t") if held[[x == s for x in both.speakers]].all()}
        assert len(whole) == speakers


def test_a_recording_is_held_out_with_the_string_that_it_is_part_of(frames):
    joined = replace(frames, strings={"u0": "u8", "u1": "u8", "u2": "u9", "u3": "u9"})
    seen = set()
    for share in (0.1, 0.3, 0.45):
        held, alone = (dict(zip(frames.utterances, some.held_out(share).tolist(), strict=True))
                       for some in (joined, frames))
        assert all(held[part] == held[string] for part, string in joined.strings.items())
        assert all(held[name] == alone[name] for name in ("u4", "u5", "u6", "u7", "u8", "u9"))
        seen |= {held["u8"], held["u9"]}
    assert seen == {False, True}


def test_other_speech_is_never_held_out_and_frames_without_class_are_not_drawn(frames):
    pdfs = frames.pdfs.copy()
    pdfs[240:] = 2
    pdfs[270:300] = -1
    noisy = replace(frames, pdfs=pdfs, noise=frozenset(["u8", "u9"]),
                    speakers=["s"] * 4 + ["t"] * 4 + ["n"] * 2)
    for share in (0.5, 0.3, 0.9):
        assert not noisy.held_out(share)[8:].any()
    chunks = noisy.chunks(8, np.arange(10))
    assert {*chunks[:, 0].tolist()} == set(range(9))
    assert noisy.class_counts(chunks, 3).sum() >= 270


def test_copies_take_the_alignment_of_their_original():
    found = stretched(np.arange(10) // 2, 20)
    assert found.tolist() == [n // 4 for n in range(20)]
    assert stretched(np.arange(10), 5).tolist() == [1, 3, 5, 7, 9]
    assert stretched(np.arange(10), 10).tolist() == list(range(10))


def test_every_frame_is_drawn_once_an_epoch_with_its_context(tmp_path):
    feats = np.arange(23, dtype=np.float32)[:, None]
    np.save(tmp_path / "frames.npy", feats)
    frames = FrameSet(tmp_path / "frames.npy", np.arange(23, dtype=np.int32),
                      np.array([0, 10, 12, 23]), ["a", "b", "c"], ["a", "b", "c"], ["s"] * 3)
    seen = []
    order = np.random.default_rng(0).permutation(frames.chunks(1, np.arange(3)))
    for start in range(0, len(order), 5):
        batch = order[start:start + 5]
        x, pdfs = frames.batch(batch, 2, 1), frames.targets(batch, 1)
        assert x.shape[1:] == (4, 1)
        for window, pdf in zip(x[..., 0], pdfs[:, 0], strict=True):
            begin, end = next((b, e) for b, e in ((0, 10), (10, 12), (12, 23)) if b <= pdf < e)
            assert window.tolist() == [float(min(max(pdf + k, begin), end - 1))
                                       for k in (-2, -1, 0, 1)]
            seen.append(int(pdf))
    assert sorted(seen) == list(range(23))
    chunks = frames.chunks(4, np.arange(3))
    pdfs = frames.targets(chunks, 4)
    assert frames.batch(chunks, 0, 0)[..., 0][pdfs >= 0].tolist() == pdfs[pdfs >= 0].tolist()
    assert set(pdfs[pdfs >= 0].tolist()) == set(range(23))
    assert pdfs[3].tolist() == [10, 11, -1, -1]  # shorter than a chunk
    assert pdfs[2].tolist() == [6, 7, 8, 9]  # moved back to end with its utterance


def test_whole_utterances_are_batched_by_length_and_their_ends_have_no_gradient(tmp_path):
    """The loss of a padded batch is that of its utterances one by one."""
    rng = np.random.default_rng(1)
    starts = np.concatenate([[0], np.cumsum([7, 30, 12, 28, 9])])
    np.save(tmp_path / "frames.npy", rng.normal(size=(starts[-1], 4)).astype(np.float32))
    names = list("abcde")
    frames = FrameSet(tmp_path / "frames.npy", rng.integers(0, 3, starts[-1]).astype(np.int32),
                      starts, names, names, names)
    options = DnnOptions(chunk_width=0, minibatch_size=60)
    chunks = frames.chunks(0, np.arange(5))
    batches = mini_batches(chunks, options, np.random.default_rng(0))
    assert sorted(sorted(batch[:, 0].tolist()) for batch in batches) == [[0, 2, 4], [1, 3]]
    objective = CrossEntropy(frames)
    for batch in batches:
        logits = rng.normal(size=(len(batch), batch[:, 2].max(), 3)).astype(np.float32)
        seen, gradient = objective.loss(logits, batch)
        alone = [objective.loss(logits[row:row + 1, :chunk[2]], chunk[None])
                 for row, chunk in enumerate(batch)]
        assert seen.frames == batch[:, 2].sum() == sum(counts.frames for counts, _ in alone)
        np.testing.assert_allclose(seen.loss, sum(counts.loss for counts, _ in alone), rtol=1e-5)
        for row, (counts, own) in enumerate(alone):
            end = batch[row, 2]
            assert not gradient[row, end:].any()
            np.testing.assert_allclose(gradient[row, :end] * seen.frames, own[0] * counts.frames,
                                       rtol=1e-4, atol=1e-6)


def test_a_training_on_whole_utterances_learns_and_goes_on_from_a_network(frames, tmp_path):
    learnable = replace(frames, pdfs=(np.asarray(frames.feats)[:, 0] > 0).astype(np.int32))
    options = {"chunk_width": 0, "initial_learning_rate": 0.01, "final_learning_rate": 0.01,
               "num_epochs": 8}
    task, plan = make_task(learnable, **options)
    network, figures = fitting.fit(task, plan, SerialExecutor(), tmp_path / "one.npz")
    assert figures["accuracy"] > 75
    again, further = fitting.fit(task, plan, SerialExecutor(), tmp_path / "two.npz", network)
    assert further["loss"] < figures["loss"]


def test_cosine_falls_from_step_to_step(frames):
    task, plan = make_task(frames, schedule="cosine", initial_learning_rate=0.01,
                           final_learning_rate=0.001)
    rate = fitting._rate(task.options, plan, fitting.NewBob(0.01))
    steps = np.arange(4 * plan.steps + 1)
    expected = 0.001 + 0.009 * (1 + np.cos(np.pi * steps / (4 * plan.steps))) / 2
    np.testing.assert_allclose([rate.at(step) for step in steps], expected, rtol=1e-12)


def test_training_keeps_factored_matrices_semi_orthogonal(frames, tmp_path):
    """Without the constraint the same training leaves them as uneven as they were drawn."""
    uneven = []
    for line in ("linear dim=3", "linear dim=3 orthonormal=false"):
        found, _ = run_fit(frames, tmp_path / "c.npz", f"{line}\ntanh\noutput\n", num_epochs=60,
                           initial_learning_rate=1e-4)
        values = np.linalg.svd(found.network.parameters["0.weights"], compute_uv=False)
        uneven.append(values.max() / values.min() - 1)
    assert uneven[0] < 0.05
    assert uneven[1] > 0.3


def test_a_frozen_layer_stays_as_it_was(frames, tmp_path):
    text = "affine dim=5 learning_rate_factor=0\nrelu\noutput\n"
    found, _ = run_fit(frames, tmp_path / "f.npz", text, l2=0.1)
    first, _ = make_task(frames, text)[0].restore(None)
    for name in ("0.weights", "0.bias"):
        np.testing.assert_array_equal(found.network.parameters[name], first.parameters[name])
    assert not np.array_equal(found.network.parameters["2.weights"], first.parameters["2.weights"])


@pytest.mark.parametrize("text", ["bidirectional cell=4\noutput\n",
                                  "attention heads=2 key=2 value=4 before=1 after=1\n"
                                  "rnn cell=6 warmup=3\noutput\n"])
@pytest.mark.parametrize("width", [0, 10])
def test_new_layers_fit_whole_utterances_and_chunks(frames, tmp_path, text, width):
    """A class that the frame's first column tells is learned."""
    pdfs = (frames.feats[:, 0] > 0).astype(np.int32)
    _, figures = run_fit(replace(frames, pdfs=pdfs), tmp_path / "n.npz", text, num_epochs=30,
                         chunk_width=width, minibatch_size=60, initial_learning_rate=0.02,
                         silence_share=1.0, held_out=0.0)
    assert figures["accuracy"] > 90
