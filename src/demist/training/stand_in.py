"""Conditions that stand for others while these are learned."""

from typing import Any, ClassVar

from demist.conditions import Column, Condition, Encoded, ReadImage


class StandIn(Condition):
    """Tells a network what another condition does, from values that are made in another way.

    Subclasses are frozen dataclasses, as those of `Condition`. None of them is saved.

    Attributes:
        told: The condition that it stands for.
    """

    told: Condition

    name: ClassVar[str] = ""
    usual: ClassVar[bool] = False

    @classmethod
    def of(cls, column: Column, shape: tuple[int, ...], drop: float) -> "StandIn":
        """Never: it stands for another condition, while that is learned."""
        raise NotImplementedError

    def spec(self) -> dict[str, Any]:
        return self.told.spec()

    def parse(self, text: str, read_image: ReadImage) -> Any:
        return self.told.parse(text, read_image)

    def null(self) -> Encoded | None:
        return self.told.null()
