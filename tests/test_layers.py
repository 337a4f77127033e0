"""The architecture as a test: imports go one way, files and functions stay small."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = "hybridasr"
# From the ground up. A room imports rooms of its own level and below.
LEVELS = (
    ("kernels",), ("errors",), ("options",), ("progress",), ("pack_file",), ("storage",),
    ("parallel", "checkpoint"),
    ("corpus",),
    ("features",),
    # hmm with the language: a language directory holds the topology of its phones.
    ("lexicon", "grammar", "lm", "hmm"),
    ("tree", "gmm", "nnet"),
    ("chain",),
    ("nnlm", "ctc"),
    ("graph", "lattice", "sequence"),
    # The search knows no acoustic model, and no acoustic model the search.
    ("decode", "model"),
    ("kaldi",),
    ("score", "output"),
    ("confidence",),
    ("voice",),
    ("recognize",),
    ("wake",),
    ("vosk",),
    ("live", "deploy"),
    ("batch",),
    ("train",),
    ("plots",),
    ("evaluation",),
    ("recipe",),
    ("report",),
    ("cli", "__init__", "__main__"),
)
# Faces may import late, so that the command line and "import hybridasr" start at once.
LATE_IMPORTERS = ("cli", "__init__", "__main__")
LEVEL = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}
MAX_FILE, MAX_FUNCTION, MAX_DEPTH = 450, 80, 2


def package_sources() -> dict[str, str]:
    """Read every module of the package: dotted name without the package -> source."""
    sources = {}
    for path in sorted((REPOSITORY / PACKAGE).rglob("*.py")):
        parts = path.relative_to(REPOSITORY / PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)
        sources[name] = path.read_text(encoding="utf-8")
    return sources


def test_every_folder_is_a_package():
    """A folder without __init__.py works from a checkout and is missing once installed."""
    folders = {path.parent for path in (REPOSITORY / PACKAGE).rglob("*.py")}
    assert [str(f) for f in sorted(folders) if not (f / "__init__.py").is_file()] == []


def imports(name: str, source: str, modules) -> Iterator[tuple[str, bool]]:
    """Yield (module imported, whether inside a function) for imports within the package."""
    def visit(node, inside):
        for child in ast.iter_child_nodes(node):
            targets = []
            if isinstance(child, ast.Import):
                targets = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    raise AssertionError(f"{name}: relative import; write the full name")
                targets = [f"{base}.{alias.name}" for alias in child.names]
            for target in targets:
                if target == PACKAGE or target.startswith(PACKAGE + "."):
                    yield resolve(target.removeprefix(PACKAGE).removeprefix(".")), inside
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from visit(child, inside or is_function)

    def resolve(target):
        # `from hybridasr.storage import digest`: the longest part that is a module.
        while target and target not in modules:
            target = target.rpartition(".")[0]
        return target or "__init__"

    yield from visit(ast.parse(source), False)


def room(module: str) -> str:
    return module.split(".")[0]


def import_faults(sources: dict[str, str]) -> list[str]:
    """Name unknown rooms, upward imports and imports hidden in functions."""
    faults = []
    for name, source in sources.items():
        if room(name) not in LEVEL:
            faults.append(f"{name}: room '{room(name)}' has no level; give it one in LEVELS")
            continue
        for target, inside in imports(name, source, sources):
            # __version__ and the like: no import goes out from there by the same rule.
            if target == "__init__":
                continue
            if LEVEL.get(room(target), -1) > LEVEL[room(name)]:
                faults.append(f"{name}: imports {target}, which is above it")
            if inside and room(name) not in LATE_IMPORTERS:
                faults.append(f"{name}: imports {target} inside a function")
    return faults


def find_cycle(edges: dict[str, set[str]]) -> list[str]:
    """Return the names along one cycle, or an empty list."""
    finished: set[str] = set()

    def walk(node, trail):
        if node in trail:
            return [*trail[trail.index(node):], node]
        if node in finished:
            return []
        for target in sorted(edges.get(node, ())):
            cycle = walk(target, [*trail, node])
            if cycle:
                return cycle
        finished.add(node)
        return []

    return next((cycle for node in sorted(edges) if (cycle := walk(node, []))), [])


def cycles(sources: dict[str, str]) -> list[list[str]]:
    """Return a cycle of modules and one of rooms, where there are."""
    modules = {name: {target for target, _ in imports(name, source, sources)} - {name, "__init__"}
               for name, source in sources.items()}
    rooms: dict[str, set[str]] = {}
    for name, targets in modules.items():
        rooms.setdefault(room(name), set()).update(room(t) for t in targets)
    rooms = {name: targets - {name} for name, targets in rooms.items()}
    return [cycle for cycle in (find_cycle(modules), find_cycle(rooms)) if cycle]


def size_faults(sources: dict[str, str]) -> list[str]:
    """Name files and functions that are too long."""
    faults = []
    for name, source in sources.items():
        lines = source.count("\n")
        if lines > MAX_FILE:
            faults.append(f"{name}: {lines} lines, at most {MAX_FILE}")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = node.end_lineno - node.lineno + 1
                if length > MAX_FUNCTION:
                    faults.append(f"{name}: {node.name} has {length} lines, "
                                  f"at most {MAX_FUNCTION}")
    return faults


def depth_faults(sources: dict[str, str]) -> list[str]:
    """Name classes with too many ancestors in the package."""
    bases = {}
    for source in sources.values():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ClassDef):
                names = [base.value if isinstance(base, ast.Subscript) else base
                         for base in node.bases]
                bases[node.name] = [getattr(base, "id", getattr(base, "attr", ""))
                                    for base in names]

    def depth(name, seen=()):
        if name not in bases or name in seen:
            return 0
        return 1 + max((depth(base, (*seen, name)) for base in bases[name]), default=0)

    return [f"class {name} is {depth(name)} deep, at most {MAX_DEPTH}"
            for name in bases if depth(name) > MAX_DEPTH]


def test_imports_go_down():
    assert import_faults(package_sources()) == []


def test_no_import_cycle():
    assert cycles(package_sources()) == []


def test_package_files_and_functions_are_small():
    assert size_faults(package_sources()) == []


def test_test_and_tool_files_are_small():
    paths = [path for folder in ("tests", "tools") for path in (REPOSITORY / folder).rglob("*.py")]
    sources = {str(path.relative_to(REPOSITORY)): path.read_text(encoding="utf-8")
               for path in paths}
    assert size_faults(sources) == []


def test_classes_are_shallow():
    assert depth_faults(package_sources()) == []


def test_every_file_says_what_it_owns():
    assert [name for name, source in package_sources().items()
            if not ast.get_docstring(ast.parse(source))] == []


# The checks themselves, on a made-up package.

@pytest.mark.parametrize(("sources", "fault"), [
    ({"errors": "", "options": "from hybridasr.errors import UserError"}, None),
    ({"errors": "from hybridasr import storage", "storage": ""}, "imports storage, which is above"),
    ({"lm.arpa": "import hybridasr.graph.compose", "graph.compose": ""},
     "imports graph.compose, which is above"),
    ({"gmm.diag": "def f():\n    from hybridasr import errors", "errors": ""},
     "imports errors inside a function"),
    ({"cli": "def f():\n    from hybridasr import errors", "errors": ""}, None),
    ({"cli.train": "def f():\n    from hybridasr import errors", "errors": ""}, None),
    ({"attic.old": ""}, "room 'attic' has no level"),
    ({"__init__": "", "storage": "from hybridasr import __version__"}, None),
])
def test_import_check_sees_faults(sources, fault):
    faults = import_faults(sources)
    assert (faults == []) if fault is None else (len(faults) == 1 and fault in faults[0])


def test_cycle_check_sees_modules_and_rooms():
    modules = {"hmm.a": "import hybridasr.hmm.b", "hmm.b": "import hybridasr.hmm.a"}
    assert cycles(modules) == [["hmm.a", "hmm.b", "hmm.a"]]
    rooms = {"hmm.a": "import hybridasr.tree.a", "tree.a": "", "tree.b": "import hybridasr.hmm.b",
             "hmm.b": ""}
    assert cycles(rooms) == [["hmm", "tree", "hmm"]]


def test_size_check_counts_lines():
    function = "def f():\n" + "    pass\n" * MAX_FUNCTION
    assert size_faults({"a": function}) == ["a: f has 81 lines, at most 80"]
    assert size_faults({"a": "\n" * (MAX_FILE + 1)}) == ["a: 451 lines, at most 450"]


def test_depth_check_counts_ancestors_of_the_package():
    two = "class A(dict): pass\nclass B(A): pass\n"
    assert depth_faults({"a": two}) == []
    assert depth_faults({"a": two, "b": "class C(a.B): pass"}) == ["class C is 3 deep, at most 2"]
