"""Dockerfile and compose file: the verbs, options, files and ports in them are there."""

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hybridasr.cli import VERBS
from hybridasr.cli.verb import Parser
from hybridasr.deploy.serve_options import ServeOptions, parse_address
from hybridasr.options import from_args

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "tools" / "docker"
DOCKERFILE, COMPOSE = ((FOLDER / name).read_text() for name in ("Dockerfile", "compose.yaml"))
INSTRUCTIONS = [line.partition(" ")[::2] for line in DOCKERFILE.splitlines()
                if line and not line.startswith("#")]
SET_UP = configparser.ConfigParser()
SET_UP.read(REPOSITORY / "setup.cfg")


def instruction(name):
    values = [value for key, value in INSTRUCTIONS if key == name]
    assert values, name
    return values


def parse(words):
    """The options of a call of `serve`, checked as the command line does."""
    parser = Parser(prog="serve", allow_abbrev=False)
    VERBS["serve"].arguments(parser)
    args = parser.parse(words)
    return from_args(ServeOptions, args), args


def compose_lists():
    """key -> list, of the lists in square brackets; there are no others."""
    return {key: json.loads(text) for key, text in re.findall(r"^    (\w+): (\[.*\])$", COMPOSE,
                                                              re.M)}


def test_the_image_calls_a_verb_with_options_that_exist():
    program, verb = json.loads(instruction("ENTRYPOINT")[0])
    assert f"{program} = hybridasr.cli:main" in SET_UP["options.entry_points"]["console_scripts"]
    assert verb in VERBS
    options, args = parse(json.loads(instruction("CMD")[0]))
    ports = {options.port, parse_address(options.wyoming)[1]}
    assert {int(port) for port in instruction("EXPOSE")[0].split()} == ports
    # From outside of the container it can be reached.
    assert options.host == parse_address(options.wyoming)[0] == "0.0.0.0"
    assert str(args.model) == "/model.hyb"
    url = re.search(r"urlopen\('(.*?)'\)", instruction("HEALTHCHECK")[0])[1]
    assert urlsplit(url).port == options.port
    assert urlsplit(url).path == "/health"


def test_the_image_has_what_recognising_and_serving_need():
    (line,) = [value for value in instruction("RUN") if "numpy" in value]
    installed = set(line.split()[3:])
    extra = {re.split("[>=]", need)[0] for need in
             SET_UP["options.extras_require"]["serve"].split()}
    assert installed == extra | {"numpy", "numba", "soundfile"}


def test_what_is_copied_is_what_the_package_is_built_of():
    lines = (REPOSITORY / ".dockerignore").read_text().split()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert lines[0] == "*"
    assert all((REPOSITORY / name).exists() for name in kept)
    folders = [line.split("=")[1].strip() for line in
               SET_UP["options"]["package_dir"].strip().splitlines()]
    assert set(folders) | {"setup.cfg", "pyproject.toml", "README.md"} <= kept


def test_the_compose_file_gives_the_server_what_it_is_told():
    lists = compose_lists()
    options, args = parse(lists["command"])
    mounted = {volume.split(":")[1] for volume in json.loads(re.search(
        r"speech:.*?volumes: (\[.*?\])", COMPOSE, re.S)[1])}
    assert {str(args.model), str(args.commands)} <= mounted
    assert instruction("VOLUME")[0] in mounted
    assert dict(pair.split("=") for pair in instruction("ENV"))["NUMBA_CACHE_DIR"] in mounted
    published = {tuple(port.split(":")) for port in lists["ports"]}
    assert published == {("127.0.0.1", str(port), str(port)) for port in (
        options.port, parse_address(options.wyoming)[1])}
    assert (FOLDER / re.search(r"context: (\S+)", COMPOSE)[1]).resolve() == REPOSITORY
    assert (REPOSITORY / re.search(r"dockerfile: (\S+)", COMPOSE)[1]).is_file()


def test_named_volumes_are_declared():
    used = {volume.split(":")[0] for line in re.findall(r"volumes: (\[.*\])", COMPOSE)
            for volume in json.loads(line)}
    declared = set(re.findall(r"^  (\w+):$", COMPOSE.partition("\nvolumes:\n")[2], re.M))
    assert {name for name in used if not name.startswith(".")} == declared


def test_docker_compose_reads_the_file():
    compose = ["docker", "compose"]
    if shutil.which("docker") is None or subprocess.run([*compose, "version"], check=False,
                                                        capture_output=True).returncode:
        pytest.skip("no docker compose")
    done = subprocess.run([*compose, "-f", str(FOLDER / "compose.yaml"), "config", "-q"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
