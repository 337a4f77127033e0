"""The page about networks lists every layer with its keys."""

import dataclasses
import re
from pathlib import Path

from hybridasr.nnet.network_text import LAYERS, read_network

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PAGE = (REPOSITORY / "docs" / "networks.md").read_text(encoding="utf-8")


def test_every_layer_and_key_is_listed():
    listed = {}
    for row in re.findall(r"^\| `.*$", PAGE, re.M):
        _, kinds, _, keys, _ = row.split("|")
        groups = keys.split(";")
        for place, name in enumerate(re.findall(r"`(\w+)`", kinds)):
            listed[name] = set(re.findall(r"`(\w+)`", groups[min(place, len(groups) - 1)]))
    assert listed == {kind: {field.name for field in dataclasses.fields(layer.options_class)}
                      for kind, layer in LAYERS.items()}


def test_the_networks_of_the_recipes_can_be_built():
    for path in sorted((REPOSITORY / "egs").glob("*/*.conf")):
        if path.name != "recipe.conf":
            text = path.read_text(encoding="utf-8")
            assert read_network(text, 40, 300, source=path.name).output_dim == 300


def test_the_small_network_is_small():
    text = (REPOSITORY / "egs" / "networks" / "small.conf").read_text(encoding="utf-8")
    network = read_network(text, 43, 314)
    assert network.num_parameters + 4 * 314 < 320_000
