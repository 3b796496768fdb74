"""Checks of the elective on sounds."""

import torch

from demist.course import close, expect


def put_back(answer):
    lengths = torch.tensor([[2.0, 1.0, 3.0], [0.5, 4.0, 2.0]])
    angles = torch.tensor([[0.3, -2.0, 1.0], [3.0, 0.0, -0.7]])
    sizes = torch.tensor([[5.0, 0.2, 1.0], [2.0, 1.0, 9.0]])
    given = torch.polar(sizes, angles)
    kept = given.clone()
    found = answer(lengths, given)
    expect(torch.equal(given, kept), "what was found is changed: make new numbers")
    expect(
        torch.is_tensor(found) and found.is_complex(),
        "complex numbers are asked for: a length and an angle each; "
        "`torch.polar` makes them, and exp(angle) needs an i",
    )

    def same(x):
        return close(torch.view_as_real(found), torch.view_as_real(x))

    expect(not same(given), "this is what was found; its lengths are not those that are wanted")
    expect(not same(lengths * given), "your lengths are those of both, multiplied; divide one out")
    expect(
        not same(torch.polar(lengths, -angles)),
        "the angles are mirrored; is a sign turned, or .conj there?",
    )
    expect(close(found.abs(), lengths), "the lengths are not those that were given")
    expect(close(found.angle(), angles), "the angles are not those of what was found")
    still = answer(torch.tensor([2.0]), torch.zeros(1, dtype=torch.complex64))
    expect(
        bool(torch.view_as_real(still).isfinite().all()),
        "where 0 was found yours divides by 0, and one such number spoils the whole sound",
    )
    expect(
        close(torch.view_as_real(still), torch.tensor([[2.0, 0.0]])),
        "where 0 was found the angle is 0: the length stays, as a positive number",
    )
