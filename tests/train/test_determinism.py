"""Neither jobs nor threads of BLAS change a model: by the verbs, in processes of their own.

tools/drill/drill_determinism.py does the same with real speech and every system.
"""

import os
import subprocess
import sys

import numpy as np

NETWORK = "splice offsets=-8:8\naffine dim=600\nbatchnorm\nrelu\ndropout rate=0.1\noutput\n"


def train(world, root, nj, threads):
    """Train monophones and a network whose products are cut into blocks; return all arrays."""
    train_set, _, lang = world
    root.mkdir()
    (root / "net.conf").write_text(NETWORK)
    run("train-mono", "--nj", nj, "--num-iters", 6, "--totgauss", 40, "--cmvn", "none",
        "--delta-order", 0, train_set.path, lang.path, root / "mono", threads=threads)
    run("train-dnn", "--nj", nj, "--network", root / "net.conf", "--num-epochs", 2,
        "--minibatch-size", 512, train_set.path, lang.path, root / "mono", root / "dnn",
        threads=threads)
    return {f"{file.stem}.{name}": array.tobytes()
            for file in (root / "mono" / "gmm.npz", root / "dnn" / "nnet.npz")
            for name, array in np.load(file).items()}


def run(*words, threads):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-m", "hybridasr.cli", *map(str, words)], check=False,
                          env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_jobs_and_threads_of_blas_do_not_change_a_model(world, tmp_path):
    one = train(world, tmp_path / "one", nj=1, threads=1)
    other = train(world, tmp_path / "other", nj=2, threads=4)
    assert len(one) > 10
    assert [name for name in one if one[name] != other.get(name)] == []
