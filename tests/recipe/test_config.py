"""Values of recipe.conf replaced on the command line."""

import pytest

from hybridasr.errors import UserError
from hybridasr.options import to_dict
from hybridasr.recipe.config import read_overrides, read_recipe, recipes_dir


def test_overrides_replace_values_of_the_recipe():
    overrides = read_overrides(["tri1.totgauss=7", "tri1.realign-iters=2 3", "lang.sil-prob=0.3"])
    recipe = read_recipe(recipes_dir() / "digits", overrides)
    tri1 = to_dict(recipe.options["tri1"])
    assert (tri1["totgauss"], tri1["realign_iters"], tri1["numleaves"]) == (7, "2 3", 150)
    assert to_dict(recipe.options["lang"])["sil_prob"] == 0.3


def test_a_value_keeps_what_separates_names():
    assert read_overrides(["dnn.network=../a.b=c.conf"]) == {"dnn": {"network": "../a.b=c.conf"}}


@pytest.mark.parametrize("text", ["totgauss=3", "tri1.totgauss", "", "=3"])
def test_other_forms_are_refused(text):
    with pytest.raises(UserError, match="SECTION.OPTION=VALUE"):
        read_overrides([text])
