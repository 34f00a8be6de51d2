"""The road of one run: a study learned from, judged, and reported."""

from typing import Any

from linnaea.commands import judging, learning, learning_curve, study
from linnaea.commands.choosing import Chosen
from linnaea.runs.checkpoint import Checkpoint
from linnaea.runs.folder import RunFolder
from linnaea.runs.provenance import Phases


def walk(
    run: RunFolder,
    chosen: Chosen,
    classifier: Any,
    pictures: study.Study,
    phases: Phases,
    checkpoint: Checkpoint | None = None,
    **facts: Any,
) -> None:
    """Learn from the training part, judge the test part; run.json stays true, and a report is left.

    checkpoint: what the training goes on from.
    facts: further keys of run.json.

    Raises what ended the training early, after what was learned so far has been saved and judged.
    """
    with learning.recorded(run, chosen, phases) as stops:
        run.update_info(**facts)
        study.record_study(run, pictures)
        with phases.measure("train"):
            stopped = learning.fit(
                run, classifier, pictures, chosen.recipe, phases.elapsed, stops, checkpoint
            )
        with phases.measure("evaluate"):
            judging.judge(run, classifier, pictures)
        learning.show_result(run)
        if chosen.recipe.learning_curve and stopped is None:
            with phases.measure("learning curve"):
                learning_curve.measure(run, classifier, pictures, chosen.recipe.seed)
        if stopped is not None:
            raise stopped
