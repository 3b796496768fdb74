"""The run-time type checker of the test run: an int is a float, as PEP 484 has it.

A function is checked in its first calls of each test. A sampler asks the same of the same values
hundreds of times: checking them all took half of the time of all tests. What is never called needs
no checks at all.
"""

import dataclasses
import functools

import jaxtyping
from beartype import BeartypeConf, beartype

CHECKED = 16
"""Calls of each function that are checked in each test."""

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
thorough = jaxtyping.jaxtyped
_tests = [0]


def next_test():
    """From now on every function is checked anew."""
    _tests[0] += 1


def be_sparing():
    """From now on what the import hook decorates is checked as is said above."""
    jaxtyping.jaxtyped = _jaxtyped


def _jaxtyped(*, typechecker):
    """In place of jaxtyping's decorator, which checks every call."""
    always = thorough(typechecker=typechecker)

    def decorate(f):
        if not isinstance(f, type):
            return _first_calls(f, always)
        if dataclasses.is_dataclass(f) and not hasattr(f.__init__, "__wrapped__"):
            f.__init__ = _first_calls(f.__init__, always)
        return f

    return decorate


def _first_calls(f, always):
    with_checks, test, calls = None, 0, 0

    @functools.wraps(f)
    def either(*args, **kwargs):
        nonlocal with_checks, test, calls
        __tracebackhide__ = True
        if test != _tests[0]:
            test, calls = _tests[0], 0
        calls += 1
        if calls > CHECKED:
            return f(*args, **kwargs)
        with_checks = with_checks or always(f)
        return with_checks(*args, **kwargs)

    return either
