"""linnaea train: from labelled pictures to a network and its report."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from linnaea.runs.folder import RunFolder
from linnaea.runs.settings import CommonSettings, parse_assignments


def train(
    data: str,
    /,
    *,
    settings: Annotated[CommonSettings | None, Parameter(name="*", group="Settings")] = None,
    recipe: str | None = None,
    set_: Annotated[tuple[str, ...], Parameter(name="--set")] = (),
    data_dir: Path | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    strict: bool = False,
    **others: Annotated[str, Parameter(show=False)],
) -> RunFolder:
    """Train a network on labelled pictures and evaluate it on pictures that it has not seen.

    Writes a run folder: weights, history, predictions, metrics and report.html. With --repeats 5 the same
    over five seeds, with --folds 5 until each picture was in a test set once; each run has its own folder.

    Parameters
    ----------
    data
        Data set: digits, mnist, flowers102, a folder with one folder of pictures for each class, or a CSV
        with the columns path,label[,split].
    settings
        The common settings; from Python a dict of any settings: {"hidden": [100], "epochs": 5}.
    recipe
        Recipe to take settings from: a name (see `linnaea recipes`) or a TOML file. Options given beside it
        take precedence.
    set_
        Any other setting, as key=value, such as dropout=0.5; may be repeated. --dropout 0.5 means the same.
        Often wanted: --repeats 5, --folds 5, --split-from RUN, --group-column NAME, --learning-curve true,
        --patience 5, --train-from head, --mixup 0.5. `linnaea settings` lists all.
    data_dir
        Folder of a named data set. Default: the cache, into which it is downloaded once.
    out
        Run folder. Default: runs/ and the name of the data, with a number.
    overwrite
        Whether a run that is already in the folder is replaced.
    strict
        Whether a picture that cannot be read ends the command, instead of being left out.
    others
        Any setting of Recipe that is not listed here, by its name: --dropout 0.5 is --set dropout=0.5.
    """
    from linnaea.data import sources
    from linnaea.runs.provenance import Phases

    phases = Phases()
    # cyclopts hands the words of unlisted options on as they stand on the command line.
    unlisted = {name.replace("-", "_"): value for name, value in others.items()}
    asked = {**parse_assignments(set_), **unlisted, **_asked(settings)}
    # What is heavy is loaded last, torch alone takes seconds: a mistake is reported before.
    sources.check_source(data)
    from linnaea.commands import choosing, terminal

    where = None if data_dir is None else str(data_dir)
    opened = {"data": str(data), "data_dir": where, "strict": strict, "folder": str(Path.cwd())}
    chosen = replace(choosing.resolve_recipe(recipe, asked, data), opened=opened)
    choosing.refuse_beside_folds(chosen.recipe)
    if data not in sources.NAMES:
        # Listed once more when it is read, which takes longer by far.
        sources.open_dataset(data, layout=chosen.recipe.layout, label_column=chosen.recipe.label_column)
    choosing.refuse_beside_budget(chosen.recipe)
    with terminal.waiting("Starting"):
        classifier = choosing.new_classifier(chosen.recipe)
        from linnaea.commands import learning_curve, pipeline, repeating, study
        from linnaea.runs.guard import claimed, claimed_free, refuse_claimed

    if out is not None:
        refuse_claimed(out)
        RunFolder.refuse_taken(out, overwrite=overwrite)
    with claimed_free(data) if out is None else claimed(out) as folder:
        with phases.measure("data"):
            if classifier.takes_photographs:
                # A moment, where the pictures may take minutes.
                classifier.check_network()
            pictures = study.open_study(data, chosen.recipe, classifier, data_dir=data_dir, strict=strict)
        if hint := choosing.hint(chosen, pictures.photographs):
            terminal.print_line("Hint", hint)
        learning_curve.check_asked(chosen.recipe, pictures)
        if chosen.recipe.repeats or chosen.recipe.folds:
            return repeating.train_many(folder, chosen, pictures, phases, overwrite=overwrite)
        run = RunFolder.create(folder, overwrite=overwrite)
        pipeline.run(run, chosen, classifier, pictures, phases)
    terminal.print_line("Report", terminal.shown_path(run.path / "report.html"))
    pipeline.print_next(run)
    return run


def _asked(settings: Any) -> dict[str, Any]:
    """Return only the settings that somebody named, whether they came from a shell or from Python."""
    if settings is None:
        return {}
    named = settings if isinstance(settings, dict) else vars(settings)
    return {name: value for name, value in named.items() if value is not None}
