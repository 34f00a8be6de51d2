"""Mistakes: pictures of what the network got wrong, kept in the run for its report."""

import io
from typing import Any

import numpy as np

from linnaea.data.dataset import Dataset
from linnaea.runs.folder import RunFolder


def keep_mistakes(
    run: RunFolder, dataset: Dataset, rows: np.ndarray, predictions: Any, most: int = 48
) -> None:
    """Keep a thumbnail of the most confident mistakes, so that the report needs nothing but the run."""
    from PIL import Image

    from linnaea.data.pictures import read_picture

    wrong = np.flatnonzero(predictions.predicted != predictions.true)
    for row in wrong[np.argsort(-predictions.confidence[wrong], kind="stable")][:most]:
        if dataset.pixels is not None:
            picture = Image.fromarray(dataset.pixels[rows[row]])
        else:
            picture = Image.fromarray(read_picture(dataset.files([rows[row]])[0]))
            picture.thumbnail((160, 160))
        content = io.BytesIO()
        picture.save(content, format="PNG")
        run.write_bytes(f"mistakes/{row:06}.png", content.getvalue())
