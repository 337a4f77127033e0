"""Owns the question whether a recipe's features have pitch: where words differ in tones."""

from dataclasses import replace
from pathlib import Path

from hybridasr.lexicon.langdir import read_lang
from hybridasr.lexicon.phones import has_tones
from hybridasr.recipe.config import Recipe


def with_pitch(recipe: Recipe, lang_dir: Path) -> Recipe:
    """Decide on the pitch of the sections that leave it to the lexicon, once there is one."""
    if not recipe.pitch_of_tones or not (lang_dir / "lang.json").is_file():
        return recipe
    lang = read_lang(lang_dir)
    pitch = has_tones(map(lang.phone_name, lang.nonsilence_phones))
    return replace(recipe, options=recipe.options | {
        name: replace(recipe.options[name], pitch=pitch) for name in recipe.pitch_of_tones})
