"""Owns the kind of a set's features: the options they were made with, held against a model's."""

from pathlib import Path

from hybridasr.errors import UserError, shell_command
from hybridasr.features.archives import read_scp
from hybridasr.features.frames import FeatureOptions
from hybridasr.options import from_dict, to_dict
from hybridasr.storage import PathLike, read_json

# Options that change the features by noise only.
_HARMLESS = ("seed", "dither")


def check_features(data_dir: PathLike, expected: FeatureOptions) -> None:
    """Check that the features of a set are of the kind a model was trained with.

    Dither and its seed may differ. Features made elsewhere (no ``feature.json``) are checked for
    their number of columns.

    Raises
    ------
    UserError
        naming every option that differs, expected and found.
    """
    path = Path(data_dir)
    mend = f"run {shell_command('hybridasr', 'make-feats', path)} with the model's options"
    if not (path / "feature.json").exists():
        table = read_scp(path / "feats.scp")
        columns = next(iter(table.values())).shape[1] if len(table) else expected.dim
        if columns != expected.dim:
            raise UserError(f"{columns} columns found, {expected.dim} expected "
                            f"({expected.kind}); {mend}", path / "feats.scp")
        return
    wrong = feature_differences(expected, read_feature_options(path))
    if wrong:
        raise UserError(f"features of another kind: {'; '.join(wrong)}; {mend}",
                        path / "feature.json")


def feature_differences(expected: FeatureOptions, actual: FeatureOptions) -> list[str]:
    """Say of every option that matters how features differ from those expected.

    >>> from hybridasr.features.frames import FeatureOptions
    >>> feature_differences(FeatureOptions(), FeatureOptions(num_ceps=12, seed=3))
    ['num_ceps expected 13, found 12']
    >>> feature_differences(FeatureOptions(), FeatureOptions())
    []
    """
    ours, theirs = _comparable(expected), _comparable(actual)
    # What the other kind has no use for is a difference too.
    return [f"{name} expected {ours.get(name, 'none')}, found {theirs.get(name, 'none')}"
            for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]


def read_feature_options(data_dir: PathLike) -> FeatureOptions:
    """Return the options with which `make_feats` made the features of a set."""
    path = Path(data_dir) / "feature.json"
    if not path.exists():
        command = shell_command("hybridasr", "make-feats", data_dir)
        raise UserError(f"no such file; run {command} first", path)
    return from_dict(FeatureOptions, read_json(path), str(path))


def _comparable(options: FeatureOptions) -> dict[str, object]:
    values = {**to_dict(options), "use_energy": options.has_energy, "high_freq": options.top_freq}
    unused: tuple[str, ...] = ("use_log_fbank",)
    if options.kind == "fbank":
        unused = ("num_ceps", "cepstral_lifter")
    unused = unused if options.pitch else (*unused, "pitch_look_ahead")
    return {name: value for name, value in values.items() if name not in (*_HARMLESS, *unused)}
