"""A run opened again as it was made: its recipe, its unfitted classifier, and its pictures in its split."""

from dataclasses import replace
from typing import Any

from linnaea.commands import choosing
from linnaea.commands.choosing import Chosen
from linnaea.commands.study import Study, open_study
from linnaea.errors import DataError, RunError, UsageError
from linnaea.runs import provenance
from linnaea.runs.folder import RunFolder
from linnaea.runs.settings import Recipe, make_recipe, recorded_settings
from linnaea.text import option


def reopened_recipe(folder: RunFolder) -> tuple[Chosen, Any]:
    """Return how the run was asked for, and an unfitted classifier.

    Raises RunError where its file does not say, or says what cannot have been asked for.
    """
    file, info = folder.path / folder.file, folder.info
    if not info.recipe or not info.opened.model_fields_set or not (info.opened.data or info.data.source):
        raise RunError(f"{file} does not record how the run was made.", "Train again.")
    kept = recorded_settings(info.recipe)
    try:
        asked = make_recipe({**kept, "weights": provenance.weights_from(kept.get("weights"), info)})
        classifier = choosing.new_classifier(asked)
    except UsageError as error:
        raise RunError(f"{file} is not valid: {error.message}", "Restore it, or train again.") from error
    opened = info.opened.model_dump(exclude_unset=True)
    return Chosen(asked, info.recipe_name, info.reported, opened), classifier


def reopened_study(folder: RunFolder, recipe: Recipe, classifier: Any) -> Study:
    """Return the study of the run, in its own split.

    Raises DataError, naming the pictures, where its data are no longer what they were.
    """
    from linnaea.data import fingerprints, split_file

    data = folder.info.data
    # A run that was stopped before it wrote down its split draws it again.
    known = (folder.path / "split.csv").is_file() and data.split_hash is not None
    where, data_dir = provenance.opened_from(folder.info)
    again = recipe.model_copy(update={"split_from": str(folder.path)}) if known else recipe
    pictures = open_study(
        where,
        again,
        classifier,
        data_dir=data_dir,
        strict=bool(folder.info.opened.strict),
        recorded=data.pixels if known else None,
    )
    if not known:
        return pictures
    split = pictures.split
    pictures = replace(pictures, split=replace(split, protocol=data.protocol or split.protocol))
    rows = split_file.split_rows(pictures.dataset, pictures.split, pictures.scan.hashes)
    if split_file.split_hash(rows) != data.split_hash:
        raise DataError(
            f"{folder.path / 'split.csv'} is not the split that the run began with.", "Restore it."
        )
    if fingerprints.fingerprint(pictures.dataset, pictures.scan.hashes) != data.fingerprint:
        raise DataError(
            f"'{where}' contains {len(pictures.dataset):,} pictures, and contained {data.pictures} "
            "when the run began: none that it uses changed, but the others did.",
            f"Restore them, or train a new run with {option('split_from')}.",
        )
    return pictures
