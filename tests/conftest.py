"""Strictness lives in the test run: shapes and types of the whole package are checked here."""

import os
import signal

# In the background of a script, or under nohup, these are ignored, and training leaves them so.
signal.signal(signal.SIGINT, signal.default_int_handler)
for name in ("SIGHUP", "SIGQUIT"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# The same kernels on every processor of ten years, which round alike whatever the batch is.
os.environ.setdefault("MKL_CBWR", "AVX2,STRICT")
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")

import pytest  # noqa: E402
import torch  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

import typecheck  # noqa: E402

typecheck.be_sparing()
install_import_hook("demist", "typecheck.checked")


@pytest.fixture(autouse=True)
def _reproducible():
    typecheck.next_test()
    torch.manual_seed(0)
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


def pytest_make_parametrize_id(val):
    """Bytes are named by their number: gzip writes the time, all workers must agree on names."""
    return f"{len(val)}-bytes" if isinstance(val, bytes) else None
