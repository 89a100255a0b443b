"""The measures that a figure can draw against the gradient step: one entry each, listed nowhere else."""

from dataclasses import dataclass

NATS = "nats per token"


@dataclass(frozen=True)
class Measure:
    """One number that an evaluation gives for a snapshot.

    label, unit: of the axis. split, column, temperature: what it reads from the rows of an evaluation;
    temperature None is the paper's test sampling. limits: of the axis; None: from the data. caption: a
    sentence, with names from `evaluation` and `algorithm.test_sampling` of the configuration in braces.
    error: one minus the column, on a logarithmic axis, which spreads what is close to 1.
    """

    label: str
    unit: str
    split: str
    column: str
    temperature: float | None
    limits: tuple[float, float | None]
    caption: str
    error: bool = False

    @property
    def sampling(self) -> tuple[str, float | None]:
        """The sampling of a snapshot that it reads: split and temperature."""
        return self.split, self.temperature

    @property
    def collapses(self) -> bool:
        """Whether it shows the test accuracy, by which a collapse is defined."""
        return self.sampling == ("test", None) and self.column == "accuracy"

    @property
    def axis_label(self) -> str:
        return f"{self.label} ({self.unit})" if self.unit else self.label


MEASURES = {
    "train_accuracy": Measure(
        label="training accuracy",
        unit="",
        split="train",
        column="accuracy",
        temperature=1.0,
        limits=(0, 1),
        caption="Training accuracy: {train_problems} fixed training problems x {samples} samples at "
        "temperature 1; dotted steps: share of correct answers among the rollouts.",
    ),
    "test_accuracy": Measure(
        label="test accuracy",
        unit="",
        split="test",
        column="accuracy",
        temperature=None,
        limits=(0, 1),
        caption="Test accuracy: {test_problems} problems at temperature {temperature:g}, top-p {top_p:g}.",
    ),
    "test_error": Measure(
        label="1 \N{MINUS SIGN} test accuracy",
        unit="",
        split="test",
        column="accuracy",
        temperature=None,
        limits=(0, 1),
        caption="Test accuracy: {test_problems} problems at temperature {temperature:g}, top-p {top_p:g}; "
        "the axis is logarithmic, and low is good.",
        error=True,
    ),
    "test_accuracy_temperature_1": Measure(
        label="test accuracy, temperature 1",
        unit="",
        split="test",
        column="accuracy",
        temperature=1.0,
        limits=(0, 1),
        caption="Test accuracy at temperature 1: {test_problems} problems x {samples} samples.",
    ),
    "entropy": Measure(
        label="entropy",
        unit=NATS,
        split="train",
        column="entropy",
        temperature=1.0,
        limits=(0, None),
        caption="Entropy in nats per token: mean over the tokens sampled at temperature 1 for "
        "{train_problems} fixed training problems.",
    ),
}

# Sampled for every snapshot: curves, steps of collapse and claims read it.
OF_EVERY_RUN = tuple(dict.fromkeys(MEASURES[name].sampling for name in ("test_accuracy", "train_accuracy")))
# Sampled by an evaluation of diversity.
OF_DIVERSITY = (MEASURES["test_accuracy_temperature_1"].sampling,)
# Sampled by an evaluation of the first cycle.
OF_FIRST_CYCLE = (MEASURES["train_accuracy"].sampling,)
