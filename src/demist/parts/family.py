"""A family of parts: what it holds, by name, and how one of them is made."""

import dataclasses
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, Literal, TypeVar

from demist.errors import UsageError
from demist.parts.notation import (
    PLAIN,
    TYPES,
    Reader,
    bare,
    first,
    listed,
    one_of,
    parse,
    unknown,
)
from demist.parts.own import FAMILIES, OWN, name_of
from demist.parts.saved import from_json, kind_of, to_json

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a part.

    Attributes:
        name: As it is written.
        hint: Its type.
        default: Its value if not given; `inspect.Parameter.empty` if it must be given.
        read: Turns text into the value; None if only a program can give it.
    """

    name: str
    hint: Any
    default: Any
    read: Reader | None


@dataclasses.dataclass(frozen=True)
class Row:
    """What a list says of one part.

    Attributes:
        name: As it is asked for.
        line: What it is, in one line.
        options: `name=default (type)` for each option that can be written.
    """

    name: str
    line: str
    options: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Part(Generic[T]):
    """A part that was named but not made yet.

    Attributes:
        what: What its family is called, for messages.
        cls: Its class, or a function that makes it.
        options: Values given for it; parts among them are not made either.
        spec: What was written.
    """

    what: str
    cls: Any
    options: Mapping[str, Any]
    spec: str

    def make(self, **measured: Any) -> T:
        """The part.

        Args:
            measured: Values for options that are left open, of this part and those in it; a part
                that has no such option does without.

        Raises:
            UsageError: An option is missing, or a value is out of range.
        """
        known = inspect.signature(self.cls).parameters
        values = {key: value for key, value in measured.items() if key in known}
        values |= {key: _made(value, measured) for key, value in self.options.items()}
        for key, parameter in known.items():
            if parameter.default is parameter.empty and key not in values:
                name = self.spec.partition(":")[0]
                needs = _metadata(self.cls, "needs").get(key) or f"{key}: write {name}:{key}=..."
                raise UsageError(f"{self.what} {self.spec!r} needs {needs}")
        try:
            return typing.cast(T, self.cls(**values))
        except ValueError as error:
            raise UsageError(f"{self.what} {self.spec!r}: {error}") from None


class Family(Generic[T]):
    """Every concrete class below `base` in the modules of a package.

    Args:
        what: What one of them is called, in messages.
        base: Their base class. A class with a `name` can be asked for by it; one that is saved
            under another kind than the name of its class says so in `saved_as`. The metadata of a
            field may say how its text is read (`read`), that it is another part of this family
            though its type is wider (`part`), where its value comes from (`needs`), or what a list
            says instead of its default (`note`). Options that nobody can write, because a program
            finds their values, are named in `given`.
        package: Where they are, below `demist`, such as `"samplers.solvers"`.
        uses: Families of the parts that may be options, besides this one.
    """

    def __init__(
        self, what: str, base: type[T], package: str, uses: "Sequence[Family[Any]]" = ()
    ) -> None:
        self.what = what
        self.base = base
        self.package = package
        self.uses = tuple(uses)
        FAMILIES.append(self)

    @cached_property
    def classes(self) -> tuple[type[T], ...]:
        """All of them, bases before what is derived from them."""
        path = importlib.import_module(f"demist.{self.package}").__path__
        for module in pkgutil.iter_modules(path):
            importlib.import_module(f"demist.{self.package}.{module.name}")
        home = f"demist.{self.package}."
        found = [cls for cls in _below(self.base) if cls.__module__.startswith(home)]
        of_package = [cls for cls in found if not inspect.isabstract(cls)]
        return (*of_package, *OWN.get((self.package, self.base.__name__), {}).values())

    def register(self, cls: type[T]) -> type[T]:
        """Let a class of your own be named, saved and loaded: a decorator.

        Raises:
            UsageError: It cannot be one of this family, or its name is taken.
        """
        if not issubclass(cls, self.base) or inspect.isabstract(cls):
            raise UsageError(
                f"{cls.__name__} is no {self.what}: that is a class below {self.base.__name__} "
                f"with all its methods"
            )
        if cls.__module__.startswith(f"demist.{self.package}."):
            return cls
        own = OWN.setdefault((self.package, self.base.__name__), {})
        name, known = name_of(cls), [one for one in self.classes if one not in own.values()]
        taken = [one for one in known if name == getattr(one, "name", "")]
        taken += [one for one in known if kind_of(one) == kind_of(cls)]
        if taken:
            raise UsageError(
                f"there is a {self.what} {name!r} ({kind_of(taken[0])}) already; give "
                f"{cls.__name__} a name of its own"
            )
        own[name], cls.name = cls, name  # type: ignore[attr-defined]
        for kept in ("classes", "_named", "kinds"):
            self.__dict__.pop(kept, None)
        return cls

    def spec_of(self, part: T | type[T]) -> str:
        """How a part is written that a program gives; see `demist.parts.spec_of`."""
        if isinstance(part, type):
            return str(self.register(part).name)  # type: ignore[attr-defined]
        self.register(type(part))
        text = self.write(part)
        if vars(self.make(text)) != vars(part):
            raise UsageError(
                f"{part!r} cannot be written as {text!r}, so nobody could make it again; its "
                f"options have to be numbers, words, lists or parts"
            )
        return text

    def names(self) -> list[str]:
        """Names of those that can be asked for, sorted."""
        return sorted(self._named)

    @cached_property
    def _named(self) -> dict[str, type[T]]:
        return {name: cls for cls in self.classes if (name := getattr(cls, "name", ""))}

    @cached_property
    def kinds(self) -> dict[str, type[T]]:
        """Kind in JSON -> class."""
        kinds: dict[str, type[T]] = {}
        for cls in self.classes:
            kinds.setdefault(kind_of(cls), cls)
        return kinds

    def options(self, cls: type[T]) -> dict[str, Option]:
        """The options of one of them, by name."""
        hints = typing.get_type_hints(cls.__init__)
        read, parts = _metadata(cls, "read"), _metadata(cls, "part")
        given = getattr(cls, "given", ())
        return {
            key: Option(
                key,
                hints.get(key, Any),
                parameter.default,
                None if key in given
                else self.read if key in parts
                else read.get(key) or self._reader(hints.get(key, Any)),
            )
            for key, parameter in inspect.signature(cls).parameters.items()
        }  # fmt: skip

    def read(self, spec: str) -> Part[T]:
        """The part that `spec` names.

        Raises:
            UsageError: There is no such part or option, or a value is of the wrong kind.
        """
        name, given = parse(spec)
        if name not in self._named:
            raise UsageError(unknown(self.what, name, self.names()))
        cls = self._named[name]
        known = {key: o.read for key, o in self.options(cls).items() if o.read is not None}
        values = {}
        for key, text in given.items():
            if key not in known:
                raise UsageError(unknown(f"option of {self.what} {name}", key, known))
            try:
                values[key] = known[key](text)
            except ValueError as error:
                raise UsageError(f"{self.what} {name}: {key}={text!r} is not {error}") from None
        return Part(self.what, cls, values, bare(spec))

    def make(self, spec: str, **measured: Any) -> T:
        """`read(spec).make(**measured)`."""
        return self.read(spec).make(**measured)

    def write(self, part: T) -> str:
        """The text that `make` reads: the name, and the options that are not the default."""
        options = self.options(type(part)).items()
        written = {key: getattr(part, key) for key, option in options if option.read}
        changed = {k: v for k, v in written.items() if v != self.options(type(part))[k].default}
        name = str(part.name)  # type: ignore[attr-defined]
        text = ",".join(f"{key}={self._written(value)}" for key, value in changed.items())
        return f"{name}:{text}" if text else name

    def rows(self) -> list[Row]:
        """A row for each part that can be asked for, by name."""
        return [self._row(name) for name in self.names()]

    def to_json(self, value: T) -> Any:
        """JSON of a part; see `demist.parts.to_json`."""
        return to_json(value, self._all_kinds)

    def from_json(self, value: Any, where: str) -> T:
        """A part from its JSON; see `demist.parts.from_json`."""
        return typing.cast(T, from_json(value, where, self._all_kinds))

    @property
    def _all_kinds(self) -> dict[str, type]:
        return {kind: cls for one in (*self.uses, self) for kind, cls in one.kinds.items()}

    def _row(self, name: str) -> Row:
        cls = self._named[name]
        options = [option for option in self.options(cls).values() if option.read]
        notes = _metadata(cls, "note")
        return Row(
            name,
            (inspect.getdoc(cls) or "").partition("\n")[0],
            tuple(self._option(option, notes.get(option.name)) for option in options),
        )

    def _option(self, option: Option, note: str | None) -> str:
        kind = self._type(option.hint)
        if note is not None:
            return f"{option.name}=... ({kind}, {note})"
        return f"{option.name}={self._written(option.default)} ({kind})"

    def _written(self, value: Any) -> str:
        for family in (self, *self.uses):
            if type(value) in family.classes:
                text = family.write(value)
                return f"({text})" if "," in text else text
        if isinstance(value, tuple):
            return f"({','.join(map(self._written, value))})"
        if value is inspect.Parameter.empty:
            return "..."
        return str(value).lower() if isinstance(value, bool | None) else str(value)

    def _type(self, hint: Any) -> str:
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if origin is Literal:
            return " or ".join(map(str, inner))
        if origin in (tuple, Sequence):
            return "list"
        if inner:
            return " or ".join(dict.fromkeys(self._type(one) for one in inner if self._reader(one)))
        known = {family.base: family.what for family in (self, *self.uses)}
        return known.get(hint) or TYPES.get(hint, self.what)

    def _reader(self, hint: Any) -> Reader | None:
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if hint in PLAIN:
            return PLAIN[hint]
        if origin is Literal:
            return lambda text: one_of(text, inner)
        if origin in (typing.Union, types.UnionType):
            readers = [reader for one in inner if (reader := self._reader(one))]
            return (lambda text: first(text, readers)) if readers else None
        if origin in (tuple, Sequence):
            each = [self._reader(one) for one in inner if one is not Ellipsis]
            whole = [reader for reader in each if reader]
            return (lambda text: listed(text, whole)) if len(whole) == len(each) > 0 else None
        for family in (self, *self.uses):
            if hint is family.base:
                return family.read
        return None


def _metadata(cls: Any, word: str) -> dict[str, Any]:
    """What the fields of a class note under a word, by the name of the field."""
    own = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    return {f.name: f.metadata[word] for f in own if word in f.metadata}


def _below(cls: type[T]) -> Iterable[type[T]]:
    for sub in cls.__subclasses__():
        yield sub
        yield from _below(sub)


def _made(value: Any, measured: Mapping[str, Any]) -> Any:
    """The value with the parts in it made."""
    if isinstance(value, tuple):
        return tuple(_made(item, measured) for item in value)
    return value.make(**measured) if isinstance(value, Part) else value
