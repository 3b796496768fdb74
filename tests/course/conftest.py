"""What chapters change of the process they run in is undone after each test."""

import matplotlib
import pytest


@pytest.fixture(autouse=True)
def settings_of_matplotlib():
    """The course has a style of its own, which stays for the rest of a program."""
    with matplotlib.rc_context():
        yield
