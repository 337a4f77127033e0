"""Owns the kinds of inputs: what whole ones look like, which files are changed, what is tried."""

import gzip
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests"))

import command_world  # noqa: E402

from hybridasr import cli  # noqa: E402
from hybridasr.corpus.datadir import read_datadir, write_datadir  # noqa: E402
from hybridasr.corpus.subsets import subset  # noqa: E402
from hybridasr.errors import UserError  # noqa: E402
from hybridasr.features.archives import read_ark, read_scp, write_matrices  # noqa: E402
from hybridasr.grammar.command_file import read_grammar  # noqa: E402
from hybridasr.grammar.rule_net import rule_net  # noqa: E402
from hybridasr.graph.openfst import read_fst  # noqa: E402
from hybridasr.kaldi.lang_text import read_kaldi_lang  # noqa: E402
from hybridasr.kaldi.model_text import read_model  # noqa: E402
from hybridasr.kaldi.tree_text import read_tree  # noqa: E402
from hybridasr.lexicon.langdir import read_symbols  # noqa: E402
from hybridasr.lm.arpa import read_arpa, write_arpa  # noqa: E402
from hybridasr.lm.estimate import estimate_ngram  # noqa: E402
from hybridasr.lm.grammar import ngram_grammar  # noqa: E402
from hybridasr.nnet.network_text import read_network  # noqa: E402
from hybridasr.output.ctm import read_ctm  # noqa: E402
from hybridasr.output.textgrid import read_textgrid  # noqa: E402
from hybridasr.recipe.config import read_recipe  # noqa: E402
from hybridasr.storage import read_text  # noqa: E402

Action = Callable[[Path], int]


@dataclass(frozen=True)
class Kind:
    """One kind of inputs: `base` is a whole one, a folder; `files` are the patterns of what is
    changed in a copy of it; `actions` take the copy and return an exit code.
    """

    name: str
    base: Path
    files: tuple[str, ...]
    actions: tuple[Action, ...]


def verb(*words: object) -> Action:
    """Return what runs the command line; ``{}`` in a word stands for the folder."""
    return lambda folder: cli.main([str(word).replace("{}", str(folder)) for word in words])


def reading(read: Callable[[Path], object]) -> Action:
    """Return what calls a reader; the line of a `UserError` is printed as the program does."""
    def action(folder: Path) -> int:
        try:
            read(folder)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        return 0
    return action


def make_kinds(root: Path) -> list[Kind]:
    """Make whole inputs of every kind below `root`, and what is tried with them."""
    world = command_world.make_world(root / "world")
    network = command_world.make_network(world, root / "nnet")
    adaptive = command_world.make_adaptive(world, root / "sat")
    syllables = command_world.SYLLABLES
    pairs = list(zip(syllables, syllables[1:], strict=False))
    write_arpa(root / "lm.arpa", estimate_ngram(pairs * 3, 2))
    for model in (world.mono, network, adaptive):
        _do("mkgraph", model, model / "graph", "--grammar", "ngram", "--arpa", root / "lm.arpa")
    wav = next(iter(world.test.utterances.values())).wav
    commands = root / "commands.txt"
    commands.write_text("".join(f"{text}\n" for text in command_world.COMMANDS), encoding="utf-8")
    models = [_model_kind(name, model, wav, commands, root) for name, model in
              (("model gmm", world.mono), ("model nnet", network), ("model sat", adaptive))]
    graph = Kind("graph", models[0].base, ("graph/graph.npz", "graph/*.txt"),
                 (verb("recognize", "{}", wav),))
    model = models[0].base
    return [*models, graph, _archives(root / "ark", world.test, model),
            _audio(root / "audio", wav, models[1].base),
            _transducers(root / "openfst", model), _kaldi(root / "kaldi", model),
            *_texts(root / "texts", model, wav, commands), _data(root / "data", world.test),
            *kinds_without_model(root / "plain")]


def kinds_without_model(root: Path) -> list[Kind]:
    """Make the kinds that need no trained model: they are ready at once."""
    for name in ("recipe", "network", "results", "grammar"):
        (root / name).mkdir(parents=True)
    (root / "recipe/recipe.conf").write_text(
        (REPOSITORY / "egs/dsp20/recipe.conf").read_text(encoding="utf-8"), encoding="utf-8")
    (root / "network/nnet.conf").write_text(NETWORK, encoding="utf-8")
    (root / "results/a.TextGrid").write_text(TEXTGRID, encoding="utf-8")
    (root / "results/a.ctm").write_text("u1 1 0.10 0.25 da1 0.93\nu1 1 0.35 0.2 ti1\n",
                                        encoding="utf-8")
    (root / "grammar/home.txt").write_text(TEMPLATES, encoding="utf-8")
    (root / "grammar/home.jsgf").write_text(JSGF, encoding="utf-8")
    return [
        _lattices(root / "lattice"),
        Kind("grammar", root / "grammar", ("*",), (
            verb("expand-grammar", "{}/home.txt"),
            verb("expand-grammar", "--json", "--number", 20, "{}/home.jsgf"),
            reading(lambda folder: rule_net(read_grammar(folder / "home.jsgf"))),
            reading(lambda folder: rule_net(read_grammar(folder / "home.txt"))))),
        Kind("configuration", root / "recipe", ("*",), (reading(read_recipe),)),
        Kind("network text", root / "network", ("*",), (
            reading(lambda folder: read_network(read_text(folder / "nnet.conf"), 13, 30)),)),
        Kind("results", root / "results", ("*",), (
            reading(lambda folder: read_textgrid(folder / "a.TextGrid")),
            reading(lambda folder: read_ctm(folder / "a.ctm")))),
    ]


def _do(*words: object) -> None:
    if cli.main([str(word) for word in words]) != 0:
        raise RuntimeError(f"hybridasr {' '.join(map(str, words))} failed on a whole input")


def _model_kind(name: str, model: Path, wav: str, commands: Path, root: Path) -> Kind:
    base = root / "models" / name.split()[-1]
    base.mkdir(parents=True)
    for file in ("model.json", "gmm.npz", "nnet.npz", "adapt.npz"):
        if (model / file).is_file():
            shutil.copy(model / file, base)
    for folder in ("lang", "graph"):
        shutil.copytree(model / folder, base / folder)
    return Kind(name, base, ("*.npz", "*.npz", "*.json", "lang/*", "lang/phones/*.int"),
                (verb("recognize", "{}", wav), verb("model-info", "{}"),
                 verb("recognize", "{}", wav, "--commands", commands)))


def _archives(base: Path, data, model: Path) -> Kind:
    small = subset(data, utterances=sorted(data.utterances)[:3])
    write_datadir(base, small.utterances.values())
    table = read_scp(data.path / "feats.scp")
    items = [(key, table[key][:40]) for key in small.utterances]
    write_matrices(base / "feats.ark", base / "feats.scp", items)
    speakers = read_scp(data.path / "cmvn.scp")
    write_matrices(base / "cmvn.ark", base / "cmvn.scp",
                   [(key, speakers[key]) for key in {u.speaker for u in small.utterances.values()}])
    write_matrices(base / "packed.ark", None, items, compress=True)
    write_matrices(base / "text.ark", None, items[:1], text=True)
    write_matrices(base / "ids.ark", None, [("a", np.arange(50, dtype=np.int32))])
    (base / "feats.ark.gz").write_bytes(gzip.compress((base / "feats.ark").read_bytes()))
    shutil.copy(data.path / "feature.json", base)
    for scp in ("feats.scp", "cmvn.scp"):
        # Relative to the scp's folder, so that a copy has its own.
        lines = (base / scp).read_text(encoding="utf-8").replace(f"{base}/", "")
        (base / scp).write_text(lines, encoding="utf-8")

    def read_all(folder: Path) -> None:
        for path in sorted(folder.glob("*.ark*")):
            try:
                for _ in read_ark(path):
                    pass
            except UserError as error:
                print(error)
    return Kind("ark", base, ("*.ark*", "*.scp", "feature.json"),
                (reading(read_all),
                verb("decode", model / "graph", "{}", "{}/decode", "--model", model)))


def _audio(base: Path, wav: str, network: Path) -> Kind:
    base.mkdir()
    samples, rate = soundfile.read(wav, dtype="int16")
    for name, options in (("a.wav", {}), ("b.flac", {}), ("c.ogg", {}), ("float.wav", {
            "subtype": "FLOAT"}), ("d.aiff", {}), ("law.wav", {"subtype": "ULAW"}), ("e.au", {})):
        soundfile.write(base / name, samples[:rate // 2], rate, **options)
    soundfile.write(base / "two.wav", np.stack([samples, samples], 1)[:rate // 2], 44100)
    names = [f"{{}}/{path.name}" for path in sorted(base.iterdir())]
    return Kind("audio", base, ("*",), (
        verb("recognize", network, *names), verb("vad", network, *names)))


LATTICE = """u1
0 1 3 12.5,-40.25,1_2_3
0 2 4 10,-38,1_2
1 3 5 1.5,-20,4_5
2 3 5 2.5,-21,4_5_6
3 0,0,7

u2
0 1 3 2,3,1
1 1,2,

"""


def _lattices(base: Path) -> Kind:
    base.mkdir()
    (base / "lat.txt").write_text(LATTICE, encoding="utf-8")
    (base / "lat.gz").write_bytes(gzip.compress(LATTICE.encode()))
    words = ["<eps>", "<UNK>", "a", "b", "c", "d", "#0", "<s>", "</s>"]
    (base / "words.txt").write_text("".join(f"{w} {i}\n" for i, w in enumerate(words)),
                                    encoding="utf-8")
    (base / "text").write_text("u1 b d\nu2 b\n", encoding="utf-8")
    actions = [verb(name, f"{{}}/{file}", "{}/words.txt", *more) for file in ("lat.txt", "lat.gz")
               for name, *more in (("lattice-to-nbest",), ("lattice-mbr-decode",),
                                   ("lattice-oracle", "{}/text"))]
    return Kind("lattice", base, ("lat*", "lat*", "words.txt", "text"), tuple(actions))


def _transducers(base: Path, model: Path) -> Kind:
    base.mkdir()
    for name in ("HCLG.fst", "G.fst"):
        shutil.copy(model / "graph" / name, base)

    def read_all(folder: Path) -> None:
        for path in sorted(folder.glob("*.fst")):
            read_fst(path)
    return Kind("openfst", base, ("*.fst",), (reading(read_all),))


MODEL = """<TransitionModel>
<Topology>
<TopologyEntry>
<ForPhones>
1 2
</ForPhones>
<State> 0 <PdfClass> 0 <Transition> 0 0.75 <Transition> 1 0.25 </State>
<State> 1 <PdfClass> 1 <Transition> 1 0.5 <Transition> 2 0.5 </State>
<State> 2 </State>
</TopologyEntry>
</Topology>
<Triples> 4
1 0 1
1 1 0
2 0 1
2 1 0
</Triples>
<LogProbs>
 [ 0 -0.1 -2.3 -0.5 -0.9 -0.7 -0.6 -0.5 -0.5 ]
</LogProbs>
</TransitionModel>
<DIMENSION> 2 <NUMPDFS> 2 <DiagGMM>
<GCONSTS>  [ -3.1 ]
<WEIGHTS>  [ 1 ]
<MEANS_INVVARS>  [
  2 -1 ]
<INV_VARS>  [
  4 0.5 ]
</DiagGMM>
<DiagGMM>
<GCONSTS>  [ -3.1 -2 ]
<WEIGHTS>  [ 0.25 0.75 ]
<MEANS_INVVARS>  [
  0 1
  3 -2 ]
<INV_VARS>  [
  1 2
  0.5 1 ]
</DiagGMM>
"""
TREE = """ContextDependency 3 1 ToPdf TE -1 2 ( SE 1 [ 1 2 ]
{ CE 0
CE 1
}
CE 1
)
EndContextDependency
"""


def _kaldi(base: Path, model: Path) -> Kind:
    base.mkdir()
    (base / "final.mdl").write_text(MODEL, encoding="utf-8")
    (base / "tree").write_text(TREE, encoding="utf-8")
    shutil.copytree(model / "lang", base / "lang")
    readers = (lambda folder: read_model(folder / "final.mdl"),
               lambda folder: read_tree(folder / "tree"),
               lambda folder: read_kaldi_lang(folder / "lang"))

    def read_all(folder: Path) -> None:
        for read in readers:
            read(folder)
    return Kind("kaldi text", base, ("final.mdl", "tree", "lang/*", "lang/phones/*"),
                (reading(read_all),))


TEMPLATES = """\
{device} = 空调|冷气 => ac, (大|小)灯, 电视 => tv
{temperature} = 16-30, 最高 => 30
<polite> = [请|麻烦][你]
on	<polite>(打开|开){device}
set	把{device:what}调到{temperature}度	0.8
volume	音量{volume: 0-100/10}
"""
JSGF = """\
#JSGF V1.0 UTF-8 zh;  // a comment
grammar home;
public <switch> = [请 | 麻烦] (打开 {action=on} | 关闭 {action=off}) <device> {device};
public <count> = (一 | 二 | "三 个")+ <end>;
<device> = /3/ 空调 | /1.5/ 电视 {kind="t v"} | /1/ <VOID>;  /* more */
<end> = 到 <end> | 完;
"""
NETWORK = """splice offsets=-3:3   # frames
affine dim=24
relu
conv channels=4 kernel=3,3
tdnn dim=16 offsets=-1,0,2
batchnorm
lstm cell=8
dropout rate=0.2
output
"""
TEXTGRID = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.5
tiers? <exists>
size = 1
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1.5
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = ""
        intervals [2]:
            xmin = 0.5
            xmax = 1.5
            text = "da1ti1"
'''


def _texts(root: Path, model: Path, wav: str, commands: Path) -> list[Kind]:
    """Return the kinds whose inputs are single texts."""
    for name in ("arpa", "lexicon", "commands"):
        (root / name).mkdir(parents=True)
    shutil.copy(root.parent / "lm.arpa", root / "arpa")
    (root / "lexicon/lexicon.txt").write_text(
        "da1 d a1\nda1 d a1 i1\nti1 t i1\nhello HH AH0 L OW1\n<UNK> SPN\n", encoding="utf-8")
    (root / "lexicon/words.txt").write_text("da1\nti1\n打开空调\nhello world\n", encoding="utf-8")
    (root / "commands/commands.txt").write_text(
        "# what a lamp does\nda1ti1\nopen\tbu1la1\t0.7\nli1du1 ta1\n", encoding="utf-8")
    words = read_symbols(model / "lang/words.txt")
    return [
        Kind("arpa", root / "arpa", ("*",), (
            reading(lambda folder: ngram_grammar(read_arpa(folder / "lm.arpa"), words)),)),
        Kind("lexicon", root / "lexicon", ("*",), (
            verb("prepare-lang", "--mix-phones", "{}/words.txt", "{}/lang", "--lexicon",
                 "{}/lexicon.txt"),)),
        Kind("commands", root / "commands", ("*",), (
            verb("recognize", model, wav, "--commands", "{}/commands.txt"),
            verb("suggest-fillers", "{}/commands.txt"))),
    ]


def _data(base: Path, data) -> Kind:
    keys = sorted(data.utterances)[::8][:4]
    utterances = [data.utterances[key] for key in keys]
    write_datadir(base, utterances)
    names = [utterance.utterance for utterance in utterances]
    (base / "segments").write_text("".join(f"{key} {key} 0.0 0.3\n" for key in names),
                                   encoding="utf-8")
    read_datadir(base)
    return Kind("data directory", base, ("*",), (
        verb("validate-data", "{}"), verb("fix-data", "{}"),
        verb("make-feats", "{}"), verb("split-data", "{}", 2)))
