"""Music made by code: loops of drums, bass and melody, which captions describe; and single strokes.

`loop` says what a loop is and how words say it, `score` which note is where, `instruments` how each
sounds, `mix` puts them together, `one_shots` takes the drums from a folder, `write` makes files.
"""

__all__ = [
    "instruments",
    "loop",
    "mix",
    "one_shots",
    "score",
    "write",
]
