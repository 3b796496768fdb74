"""Strictness lives in the test run: shapes and types of the whole package are checked here."""

import os
import signal

# In the background of a script, or under nohup, these are ignored, and training leaves them so.
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in ("SIGHUP", "SIGQUIT"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Matrix products of MKL round alike whatever the batch is, also on processors with AVX-512.
os.environ.setdefault("MKL_CBWR", "AVX2,STRICT")

from jaxtyping import install_import_hook  # noqa: E402

install_import_hook("demist", "typecheck.checked")

import pytest  # noqa: E402
import torch  # noqa: E402


@pytest.fixture(autouse=True)
def _reproducible():
    torch.manual_seed(0)
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


def pytest_make_parametrize_id(val):
    """Bytes are named by their number: gzip writes the time, all workers must agree on names."""
    return f"{len(val)}-bytes" if isinstance(val, bytes) else None
