"""Wrong answers to the elective on sounds, and words of the hint that each gets."""

WRONG = {
    "put_back": [
        ("return found", "not those that are wanted"),
        ("return lengths", "complex numbers are asked for"),
        ("return lengths * torch.exp(found.angle())", "needs an i"),
        ("return lengths * found", "divide one out"),
        ("return torch.polar(lengths, -found.angle())", "the angles are mirrored"),
        ("return torch.polar(lengths, found.abs())", "not those of what was found"),
        ("return torch.polar(lengths + found.abs(), found.angle())", "lengths are not those"),
        ("return lengths * found / found.abs()", "divides by 0"),
        ("return lengths * found / (found.abs() + 1e-12)", "the length stays"),
        ("found *= lengths / found.abs()\nreturn found", "make new numbers"),
    ],
}
