"""The studio: a local page on which diffusion is watched, rewound and branched.

`app` answers the browser behind `guard`; `store` keeps jobs on the disk; `supervisor` holds the one
worker process, which owns the device, at the other end of `frames`; `worker` is that process, and
`jobs` has one file per kind of work. The server's half imports no torch.
"""

__all__ = [
    "answers",
    "app",
    "asked",
    "events",
    "frames",
    "guard",
    "kinds",
    "learned_score",
    "limits",
    "making",
    "marks",
    "models",
    "one_run",
    "queue",
    "recipes",
    "scripts",
    "serve",
    "shown",
    "store",
    "supervisor",
    "telling",
    "uploaded",
    "uploads",
    "worker",
]
