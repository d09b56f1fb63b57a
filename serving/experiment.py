"""Which variant of the experiment ranks a request, and what that leaves on its answer and its impression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from liverank.config.experiment import CHAMPION, CONTROL, ExperimentConfig
from liverank.events import ExperimentArm
from liverank.experiments.assignment import Assignment
from serving.api import RankedItem


@dataclass(frozen=True, slots=True)
class Arm:
    """A request's part of the experiment; without one, the champion's."""

    experiment: str = ""
    variant: str = ""
    """The user's; empty for a list that both variants share."""
    models: tuple[str, ...] = (CHAMPION,)
    """References of the models that rank it: one, or two whose rankings are interleaved."""
    teams: tuple[str, ...] = ()
    """The variants by their place in `models`, where two are."""
    lacking: tuple[str, ...] = ()

    def recorded(self, lines: Sequence[RankedItem], interleaved: bool) -> ExperimentArm | None:
        """What the impression says; None without an experiment."""
        if not self.experiment:
            return None
        teams = [line.variant or "" for line in lines] if interleaved else []
        return ExperimentArm(name=self.experiment, variant=self.variant, teams=teams)


_NONE = Arm()


class Arms:
    """Gives each user's request its arm.

    A user whose variant has no model that can serve gets the control's and stays of that variant, in the answer and in
    the record: who is compared must not depend on what could be loaded.
    """

    def __init__(self, config: ExperimentConfig | None, serves: Callable[[str], bool]) -> None:
        """Takes the experiment, if there is one.

        Args:
            config: the experiment.
            serves: whether the model of a reference is loaded.
        """
        self._config = config
        self._serves = serves
        if config is not None:
            self.salt = config.salt or config.name
            self._assignment = Assignment(self.salt, config.shares())
            self._pair = (CONTROL, *config.others)

    @property
    def lists(self) -> int:
        """Rankings that a request may take."""
        return 2 if self._config is not None and self._config.mode == "interleave" else 1

    def of(self, user_id: str) -> Arm:
        """The arm of a user's requests."""
        config = self._config
        if config is None:
            return _NONE
        if config.mode == "interleave":
            return self._both(config)
        variant = self._assignment.variant(user_id)
        model = config.variants[variant].model
        if self._serves(model):
            return Arm(config.name, variant, (model,))
        return Arm(config.name, variant, lacking=(f"experiment: {variant} cannot be served, {CONTROL} ranked",))

    def _both(self, config: ExperimentConfig) -> Arm:
        models = tuple(config.variants[name].model for name in self._pair)
        if self._serves(models[1]):
            return Arm(config.name, "", models, self._pair)
        return Arm(config.name, lacking=(f"experiment: {self._pair[1]} cannot be served, not interleaved",))
