"""Owns the tables of a data directory that lead to its features and their statistics."""

from collections.abc import Sequence

from hybridasr.corpus.datadir import DataDir
from hybridasr.errors import UserError, shell_command
from hybridasr.features.archives import ScpTable, read_scp

FEATURE_TABLES = ("feats.scp", "cmvn.scp", "speech.scp", "utt2num_frames", "utt2dur")


def scp_table(data: DataDir, name: str) -> ScpTable:
    """Return a table of matrices of a set; `UserError` if the set has none of that name."""
    if name in data.tables:
        return ScpTable(data.tables[name], data.path / name)
    if not (data.path / name).exists():
        command = shell_command("hybridasr", "make-feats", data.path)
        raise UserError(f"no such file; run {command} first", data.path / name)
    return read_scp(data.path / name)


def table_part(table: ScpTable, keys: Sequence[str]) -> ScpTable:
    """Return only these entries, so that little is sent to a worker."""
    kept = {key: table.entries[key] for key in keys if key in table}
    return ScpTable(kept, table.scp, table.allow_pipes)
