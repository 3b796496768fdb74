"""Guidance rules by name, for the command line and saved files.

A rule may hold another one, which then guides first: `threshold:model=(apg:parallel=0.2)`.
"""

from dataclasses import dataclass, fields
from typing import Any

from demist.core import Model
from demist.errors import UsageError
from demist.guidance.compose import Compose
from demist.guidance.rule import Encode, Null, Rule, Scale
from demist.parts import Family, Part

RULES = Family("guidance rule", Rule, "guidance")  # type: ignore[type-abstract]
"""Those with a `name` can be asked for; the others need a function that only a program has."""


@dataclass(frozen=True)
class RuleMaker:
    """A rule that waits for its model.

    Attributes:
        part: The rule and its options, other rules perhaps among them.
    """

    part: Part[Rule]

    def __call__(
        self,
        model: Model,
        scale: Scale,
        null: Null,
        *,
        weak: Model | None = None,
        encode: Encode | None = None,
    ) -> Rule:
        """The rule around `model`.

        Args:
            model: What is guided; by the innermost, if rules hold rules.
            scale: Guidance scale of every rule that has one and does not give it itself.
            null: What guidance leads away from.
            weak: A weaker model, for rules that lead away from one.
            encode: Encodes conditions by name, for rules that compose several.

        Raises:
            UsageError: The rule needs what is not given.
        """
        for rule in self.rules:
            if rule.cls is Compose and not rule.options.get("terms"):
                raise UsageError(
                    f"guidance rule {rule.spec!r} has nothing to compose; write conditions with "
                    f"their weights, such as compose:terms=((label=3,2),(label=5,-1))"
                )
        given = {"model": model, "scale": scale, "null": null, "weak": weak, "encode": encode}
        return self.part.make(**{key: v for key, v in given.items() if v is not None})

    @property
    def rules(self) -> tuple[Part[Rule], ...]:
        """The rule and those in it, outermost first."""
        inner = self.part.options.get("model")
        return (self.part, *(RuleMaker(inner).rules if inner is not None else ()))

    def takes(self, name: str) -> bool:
        """Whether it, or a rule in it, has a field of this name."""
        return any(name in {f.name for f in fields(rule.cls)} for rule in self.rules)

    @property
    def from_null(self) -> bool:
        """Whether all it does starts from the null, so that without conditions it does nothing."""
        return all(
            "null" in {f.name for f in fields(rule.cls)} and not rule.options.get("terms")
            for rule in self.rules
        )

    def is_idle(self, scale: float) -> bool:
        """Whether it does nothing at this guidance scale."""
        return all(
            _value(rule, name, scale) == neutral
            for rule in self.rules
            for name, neutral in rule.cls.neutral.items()
        )


def make_rule(spec: str) -> RuleMaker:
    """A maker of rules from `name` or `name:option=value,option=value`.

    Raises:
        UsageError: There is no such rule or option, or a value is of the wrong kind.
    """
    return RuleMaker(RULES.read(spec))


def _value(rule: Part[Rule], name: str, scale: float) -> Any:
    """The value that an option of the rule will have."""
    if name in rule.options:
        return rule.options[name]
    return scale if name == "scale" else next(f.default for f in fields(rule.cls) if f.name == name)
