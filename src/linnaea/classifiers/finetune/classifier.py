"""FineTuneClassifier: a pretrained network on photographs, under scikit-learn's conventions."""

import time
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from linnaea.classifiers.common import samples
from linnaea.classifiers.contract import OnEpoch, OnStep
from linnaea.classifiers.finetune import construction, loop, state
from linnaea.classifiers.finetune.pictures import EvaluationBatches, ResidentPictures, count_pictures
from linnaea.classifiers.finetune.training import FineTuning, Held
from linnaea.errors import DataError
from linnaea.random_streams import seed_from


# scikit-learn reads the settings from the signature of __init__, whoever writes it.
@dataclass(eq=False, repr=False)
class FineTuneClassifier(FineTuning):
    """A pretrained network, fine-tuned: first a linear probe on its features, then the network itself.

    X, everywhere: DecodedPictures, list of paths or of Pillow pictures, or uint8 (n, height, width, 3).
    Pictures that are on the disk stay there: paths are decoded once, into the cache of linnaea.data.cache.
    y: labels, class names as a rule.

    Parameters
    ----------
    backbone : str, default="efficientnet_lite0"
        A short name (mobilenetv2, resnet50 …) or any of timm's.
    weights : "hub", "none" or path, default="hub"
        Where the pretrained weights come from.
    size : int, default=None
        Side of the square that the network sees, in pixels; None: the weights' own.
    head_hidden : int, default=None
        Units of a dense ReLU layer in the head; the probe is then only the baseline.
    dropout : float, default=0.2
        Before the last layer.
    train_from : str, default=None
        "all", "head", or a stage such as "blocks.4": it and everything after it. None: what suits the
        backbone, as are epochs and learning_rate: of efficientnet_lite0 blocks.4 for 25 epochs, of all
        others everything for 12.
    head_first_epochs : int, default=0
        Epochs in which only the head learns. Where it learns alone, it does from features of `views` views of
        each picture that are computed once; settings that change pictures any further do not apply.
    probe : bool, default=True
        Whether the linear probe comes first.
    views : float, default=4
        Of each training picture, for the probe; of 2.25, the third is of a quarter of the pictures. A head
        that learns alone sees the whole ones.
    epochs : int, default=None
        None: what suits the backbone.
    batch_size : int, default=16
    solver : "adamw" or "nesterov", default="adamw"
    learning_rate : float, default=None
        Of the head; None: what suits the backbone.
    layer_decay : float, default=0.85
        Each layer below the head learns at this share of the rate of the one above.
    weight_decay : float, default=0.05
        Not on norms and biases.
    momentum : float, default=0.9
        Of nesterov.
    schedule : "cosine" or "constant", default="cosine"
    warmup_epochs : float, default=1.0
    label_smoothing : float, default=0.1
    batch_norm : "freeze", "update" or "reestimate", default="freeze"
        What happens to the running statistics; see `batchnorm`.
    crop_scale : float, default=0.25
        Random crops cover this share of the picture's area at least; 1: no crops.
    flip : bool, default=True
    colour_jitter : float, default=0.0
    policy : "none", "randaugment" or "trivialaugment", default="none"
    random_erasing, mixup : float, default=0.0
    cutmix : float, default=0.25
        Shares of pictures, batches and batches; see `augment.Augmentation`.
    first_size : int, default=None
        Side of the pictures in the first epoch, growing to full size; None: full size from the start.
    class_weight : dict or "balanced", default=None
    sampling : "shuffle" or "balanced", default="shuffle"
        "balanced" draws every class equally often.
    ema : float, default=0.98
        Decay of the average of the weights that is evaluated; None: no average.
    clip_norm : float, default=None
        Longest gradient.
    accumulate : int, default=1
        Batches a step.
    patience : int, default=0
        Epochs without a better one after which training stops; 0: never.
    keep : "best" or "last", default="best"
        Which epoch is kept: that of the best validation accuracy, or the last. Where nothing is validated
        on, it is the last.
    tta : "none" or "flip", default="none"
        What fitted classifiers judge a picture by beside itself: "flip" averages its logits with those of its
        mirror, in twice the time. history_ is always without it.
    preprocessing : "weights" or "report", default="weights"
        "report": 0 to 1 only, down to 150 x 150, up again.
    precision : "auto", "float32" or "bfloat16", default="auto"
        "auto": the faster on this machine, measured once.
    device : "auto", "cpu", "cuda", "cuda:1" … or "mps", default="auto"
        Where the network computes; "auto": on the graphics card where there is one.
    budget : float, default=None
        Seconds that fit, and then the judgement of pictures_after pictures, may take: the machine is
        measured, and train_from, epochs, views, first_size and ema are chosen; see `budget.Plan`.
    pictures_after : int, default=0
    pictures_after_tuning : int, default=None
        The same where there was fine-tuning, which has more to judge; None: pictures_after.
    progress : bool, default=False
    random_state : int, RandomState or None, default=None

    Attributes
    ----------
    classes_ : ndarray (classes,)
    history_ : list of EpochRecord
        Epoch 0 is the network before fine-tuning, its head from the probe. Training figures are those of the
        pictures as augmented, validation figures those of the averaged weights.
    chosen_epoch_ : int
        The epoch that is kept; see keep.
    kept_ : "probe" or "fine-tuned"
        "probe" where no epoch of fine-tuning was better on the validation part.
    probe_ : Probe or None
    plan_ : Plan or None
        What was done with the budget.
    precision_ : "float32" or "bfloat16"
    network_ : Module
    preprocessing_ : Preprocessing
    """

    backbone: str = "efficientnet_lite0"
    _: KW_ONLY
    weights: str | Path = "hub"
    size: int | None = None
    head_hidden: int | None = None
    dropout: float = 0.2
    train_from: str | None = None
    head_first_epochs: int = 0
    probe: bool = True
    views: float = 4
    epochs: int | None = None
    batch_size: int = 16
    solver: str = "adamw"
    learning_rate: float | None = None
    layer_decay: float = 0.85
    weight_decay: float = 0.05
    momentum: float = 0.9
    schedule: str = "cosine"
    warmup_epochs: float = 1.0
    label_smoothing: float = 0.1
    batch_norm: str = "freeze"
    crop_scale: float = 0.25
    flip: bool = True
    colour_jitter: float = 0.0
    policy: str = "none"
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.25
    first_size: int | None = None
    class_weight: Any = None
    sampling: str = "shuffle"
    ema: float | None = 0.98
    clip_norm: float | None = None
    accumulate: int = 1
    patience: int = 0
    keep: str = "best"
    tta: str = "none"
    preprocessing: str = "weights"
    precision: str = "auto"
    device: str = "auto"
    budget: float | None = None
    pictures_after: int = 0
    pictures_after_tuning: int | None = None
    progress: bool = False
    random_state: Any = None

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        validation_data: tuple[Any, Any] | None = None,
        sample_weight: Any = None,
        on_epoch: OnEpoch | None = None,
        on_step: OnStep | None = None,
    ) -> Self:
        """Decode the pictures, fit the probe, fine-tune, and keep the best epoch.

        on_step(stage, done, total, seconds) hears how far the probe ("probe") and each epoch ("") are, in
        pictures.

        Raises SettingError, DataError, LinnaeaError (weights), and DivergenceError where the loss stops being
        a number; after that, and after Ctrl-C, the classifier is the best epoch so far.
        """
        started = time.perf_counter()
        self._on_step = on_step
        part, held, on_resume = self._prepare(X, y, validation_data, sample_weight)
        settings = self.get_params(deep=False) | self.suited()
        settings |= self._planned(settings, X, part, held, started, on_resume)
        features = self._begin(part, held, settings) if on_resume is None else None
        settings |= self._planned_on() if on_resume is None else {}
        self._session = construction.new_session(
            self.network_, settings, part, precision=self.precision_, seed=self.seed_
        )
        if on_resume is None:
            self.history_ = self._session.progress.history
        if on_resume is None and self.probe_ is not None:
            # What learns may start from another head; what is judged before the first epoch is the probe.
            self.probe_.load_into(construction.logits_layer(self.network_))
        if on_resume is not None:
            features = self._resume(part, held, settings["views"], on_resume)
        if features is not None:
            # No crops where none are asked for.
            kept = features if self.crop_scale < 1 else features.uncropped(flip=self.flip)
            self._session.features = kept.to(part.pictures.device)
        self._session.on_step = on_step
        try:
            if not self.history_:
                self._close_first(part, held, on_epoch)
            elif self._session.progress.awaits_record:
                # Stopped after the last step of an epoch and before it was judged.
                self._close_epoch(part, held, on_epoch)
            loop.train(self._session, part, lambda: self._close_epoch(part, held, on_epoch))
        finally:
            # A fitted classifier can be pickled, and a listener perhaps not.
            self._on_step = self._session.on_step = None
            self._keep_best()
        return self

    def _prepare(
        self, X: Any, y: Any, validation_data: tuple[Any, Any] | None, sample_weight: Any
    ) -> tuple[loop.TrainingPart, Held | None, Any]:
        """Check everything that can be checked, then build the network and decode the pictures."""
        self.check_settings()
        self.temperature_ = 1.0
        y = samples.labels(y, count_pictures(X))
        classes = samples.classes_of(y)
        # Only the length of what is passed as X is looked at.
        weights = samples.weights_of_rows(
            sample_weight, self.class_weight, np.empty((len(y), 1), np.float32), y, classes
        )
        if validation_data is not None:
            if not (number := count_pictures(validation_data[0])):
                raise DataError("validation_data holds no picture.", "Leave it out, or give pictures.")
            y_val = samples.labels(validation_data[1], number, "validation y")
            val_targets = samples.class_numbers(y_val, classes, "validation y")
        on_resume = self.__dict__.pop("_loaded_state", None)
        self.seed_ = seed_from(self.random_state) if on_resume is None else on_resume[1]["seed"]
        opened = self.first_network(len(classes))
        if on_resume is None:
            self.precision_ = construction.precision_for(
                self.precision, opened, self.backbone, self.batch_size, self.batch_norm
            )
        else:
            self.precision_ = on_resume[1]["precision"]
        self.learning_rate_ = self.suited()["learning_rate"]
        where = next(opened.network.parameters()).device
        pictures = ResidentPictures.read(X, opened.preprocessing, where)
        held = None
        if validation_data is not None:
            held = EvaluationBatches(validation_data[0], opened.preprocessing, where), val_targets
        self.classes_, self.network_, self.preprocessing_ = classes, opened.network, opened.preprocessing
        self.input_config_ = opened.preprocessing.as_dict()
        self.weights_, self._model_args = opened.weights, opened.model_args
        targets = samples.class_numbers(y, classes)
        return construction.training_part(pictures, targets, weights, len(classes)), held, on_resume

    def training_state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return what exact resume needs: named arrays, and plain JSON values."""
        check_is_fitted(self, "_session")
        arrays, values = state.session_as_state(self._session, self.probe_)
        return arrays, values if self.plan_ is None else values | {"plan": self.plan_.as_dict()}

    def load_training_state(self, arrays: dict[str, np.ndarray], values: dict[str, Any]) -> None:
        """Take back what training_state returned; the next fit goes on from there."""
        self._loaded_state = arrays, values
