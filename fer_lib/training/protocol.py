"""What a training run does, as explicit fields; imports no Keras backend."""

from dataclasses import dataclass, field, fields

from ..data.emotions import FER2013

AS_PUBLISHED = {
    "input_scale": "0..255",
    "loss": "clipped",
    "train_rows": "Training",
    "validation_rows": "PublicTest+PrivateTest",
    "evaluation_rows": "PublicTest+PrivateTest",
    "kept_epoch": "last",
}
"""What the released code of Saravanan et al. did, flaws included: unscaled pixels, the clipped loss of old Keras,
validation (and so early stopping) on the same rows that are scored, the last epoch kept."""

HONEST = {
    "input_scale": "0..1",
    "loss": "logits",
    "train_rows": "Training",
    "validation_rows": "PublicTest",
    "evaluation_rows": "PrivateTest",
    "kept_epoch": "best",
}
"""Train on Training, choose on PublicTest, report PrivateTest."""

PROTOCOLS = {"as_published": AS_PUBLISHED, "honest": HONEST}

WITHOUT_TWINS = "Training without twins"
"""Training without the rows whose image is also in PublicTest or PrivateTest."""

WITHOUT_NEAR = "Training without near-duplicates"
"""Training without these and without the rows that show nearly a test row's image (see ``data.near_duplicates``)."""

CHOICES = {
    "input_scale": ("0..255", "0..1", "standardised", "each standardised"),
    "loss": ("logits", "clipped", "any of", "bootstrapped", "symmetric", "squared hinge"),
    "targets": ("given", "drawn"),
    "kept_epoch": ("last", "best"),
    "optimizer": ("adam", "rmsprop", "sgd", "muon"),
    "schedule": ("constant", "cosine", "linear"),
    "precision": ("float32", "tensorfloat32", "bfloat16"),
    "class_weights": ("none", "balanced"),
    "sampling": ("shuffled", "balanced"),
    "augmentation": (
        "none",
        "flip",
        "flip and affine",
        "flip, affine and erasing",
        "geometry",
        "geometry and erasing",
        "geometry and light",
        "geometry, erasing and light",
        "perturbation",
    ),
    "mixing": ("none", "mixup", "cutmix"),
    "views": ("none", "flip", "five crops", "ten crops", "perturbed"),
    "weights": ("", "pretrained"),
}

LEAST = {
    "batch_size": 1, "epochs": 1, "patience": 0, "rows": 0, "test_rows": 0, "milestone": 0, "frozen_epochs": 0,
    "warmup_epochs": 0, "folds": 0, "learning_rate": 0, "body_rate": 0, "decay": 0, "momentum": 0, "weight_decay": 0,
}  # fmt: skip
"""The lowest allowed value of a field."""


@dataclass(frozen=True)
class Protocol:
    """Every choice of a training run, checked on creation: TypeError or ValueError name the parameter."""

    model: str = "simple_cnn"  # the network: "feedforward", "proposed_cnn" and others in fer_lib/models
    model_options: dict = field(default_factory=dict)  # the builder's arguments: what its paper leaves open
    weights: str = ""  # "pretrained": the owners' published weights (`make weights`), except the last layer
    frozen_epochs: int = 0  # this many epochs train only the last layer; then a fresh optimiser trains all layers
    body_rate: float = 1.0  # learning rate of all layers but the last, as a share of learning_rate
    # what is made of the pixels: "0..255" (as they are), "0..1", "standardised" (by mean and deviation in training),
    # "each standardised" (each face by its own)
    input_scale: str = "0..1"
    # "logits": from the numbers before the softmax; "clipped": from probabilities clipped to 1e-7 as in old Keras, with
    # no gradient where the clip is reached; "any of" several labels; "bootstrapped", "symmetric": for labels that are
    # partly wrong; "squared hinge": that of a support vector machine; see losses.py
    loss: str = "logits"
    targets: str = "given"  # "drawn": one emotion of a face's targets, sampled anew each epoch; see Faces.targets
    label_smoothing: float = 0.0  # in training, this share of each label is spread evenly over all emotions
    train_rows: str = "Training"  # splits, joined by "+"; or "Training without twins", or "... near-duplicates"
    at_most: dict = field(default_factory=dict)  # {"happy": 3582}: at most this many rows of an emotion, sampled once
    validation_rows: str = "PublicTest"  # the rows whose loss early stopping watches; "" for none
    evaluation_rows: str = "PrivateTest"  # the rows whose accuracy is the run's headline
    kept_epoch: str = "best"  # the headline's epoch: "last", or "best" on PublicTest (both are stored)
    optimizer: str = "adam"  # "adam" (with weight_decay it is AdamW), "rmsprop", "sgd", "muon"
    learning_rate: float = 1e-3  # how far a step goes, at the start
    # "cosine": falls to 0 at the end of the last epoch, along half a cosine; "linear": evenly
    schedule: str = "constant"
    warmup_epochs: int = 0  # of the epochs, the first ones, over which the learning rate rises from 0
    decay: float = 0.0  # learning rate / (1 + decay x step), as old Keras had it
    epsilon: float = 1e-7  # of adam and rmsprop: keeps them from dividing by 0
    momentum: float = 0.0  # of sgd: the share of the last step that is taken again
    nesterov: bool = False  # of sgd: the momentum looks a step ahead
    weight_decay: float = 0.0  # each step reduces every weight by this times the learning rate (decoupled)
    # predictions are made with a moving average of the weights, to which each step gives 1 - ema of the new ones; 0:
    # with the weights themselves
    ema: float = 0.0
    batch_size: int = 128  # training rows of one step
    epochs: int = 10  # how often each training row is seen, unless training stops early
    patience: int = 0  # stop after this many epochs without a lower validation loss; 0: never
    # "bfloat16": matrix products and activations, weights stay float32; "tensorfloat32": factors of products, on a GPU
    precision: str = "float32"
    rows: int = 0  # use this many training rows, sampled once; 0: all
    test_rows: int = 0  # predict this many of the PublicTest and PrivateTest rows, sampled once; 0: all
    # so many networks, each trained without the people of one fold, who it then predicts: every face counts once; 0:
    # one network for the parts that the data has
    folds: int = 0
    milestone: int = 0  # keep the predictions after this epoch too; 0: of the last and the best epoch only
    class_weights: str = "none"  # "balanced": in total, a rare emotion's loss counts as much as a frequent one's
    sampling: str = "shuffled"  # "balanced": as many rows, sampled with replacement, each emotion equally often
    # "flip", "flip and affine", "flip, affine and erasing", "geometry", "geometry and erasing" and others: random
    # changes of training faces, see augmentation.py
    augmentation: str = "none"
    mixing: str = "none"  # "mixup", "cutmix": each training face is mixed with another, and so are their labels
    mixing_alpha: float = 1.0  # the shares of the two follow Beta(alpha, alpha): below 1 one of them mostly prevails
    # "flip", "five crops", "ten crops", "perturbed" (ten times by chance): the last epoch's network also looks at each
    # test face in these ways, and the mean of its logits is kept as the reading "views"
    views: str = "none"
    keep_network: bool = False  # keep the last epoch's network beside the record, where git ignores it

    def __post_init__(self):
        for item in fields(self):
            value, kind = getattr(self, item.name), item.type
            if kind is float and type(value) is int:
                object.__setattr__(self, item.name, float(value))
            elif type(value) is not kind:
                raise TypeError(
                    f"{item.name}: found {value!r} ({type(value).__name__}), expected {kind.__name__}"
                    + ("; in YAML write 1.0e-3, not 1e-3" if kind is float and isinstance(value, str) else "")
                )
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                expected = ", ".join(choice or "''" for choice in choices)
                raise ValueError(f"{name}: found {getattr(self, name)!r}, expected one of {expected}")
        for name, low in LEAST.items():
            if getattr(self, name) < low:
                raise ValueError(f"{name}: found {getattr(self, name)}, expected {low} or more")
        if self.patience and not self.validation_rows:
            raise ValueError(f"patience: found {self.patience} with no validation_rows, expected 0 or rows to watch")
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum: found {self.momentum} with {self.optimizer}, expected 0, or sgd")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: found True with momentum 0, expected False, or a momentum")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema: found {self.ema}, expected 0 or more and less than 1")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs: found {self.warmup_epochs}, expected at most the {self.epochs} epochs")
        if self.mixing != "none" and (self.class_weights != "none" or self.loss == "any of"):
            found = f"found {self.mixing!r} with class_weights {self.class_weights}, loss {self.loss!r}"
            raise ValueError(f"mixing: {found}, expected none, or class_weights none and another loss")
        if self.mixing_alpha <= 0:
            raise ValueError(f"mixing_alpha: found {self.mixing_alpha}, expected more than 0")
        if self.views != "none" and self.kept_epoch != "last":
            raise ValueError(f"views: found {self.views!r} with kept_epoch {self.kept_epoch}, expected last, or none")
        if self.decay and self.schedule != "constant":
            raise ValueError(f"decay: found {self.decay} with the {self.schedule} schedule, expected 0, or constant")
        if not 0 <= self.label_smoothing < 1 or (self.label_smoothing and self.loss != "logits"):
            expected = "0 or more and less than 1, and 0 with another loss than logits"
            raise ValueError(f"label_smoothing: found {self.label_smoothing} ({self.loss}), expected {expected}")
        whole = self.kept_epoch == "last" and not (self.milestone or self.test_rows or self.keep_network)
        if self.folds and (self.folds < 3 or not whole):
            found = f"found {self.folds} with kept_epoch {self.kept_epoch}, milestone {self.milestone}"
            found += f", test_rows {self.test_rows}, keep_network {self.keep_network}"
            raise ValueError(f"folds: {found}, expected 0; or 3 or more, last, 0, 0, False")
        if self.keep_network and self.kept_epoch != "last":
            raise ValueError(f"keep_network: found true with kept_epoch {self.kept_epoch}, expected last, or false")
        if self.weight_decay and self.body_rate != 1:  # Keras' optimisers decay every weight by the whole rate
            found = f"found {self.weight_decay} with body_rate {self.body_rate}"
            raise ValueError(f"weight_decay: {found}, expected 0, or 1")
        for emotion, count in self.at_most.items():
            if emotion not in FER2013 or type(count) is not int or count < 1:
                expected = f"some of {', '.join(FER2013)}, each with 1 row or more"
                raise ValueError(f"at_most: found {emotion}: {count!r}, expected {expected}")
