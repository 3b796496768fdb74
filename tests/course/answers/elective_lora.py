"""Wrong answers to the elective on fine-tuning and LoRA, and words of the hint that each gets."""

WRONG = {
    "low_rank": [
        ("return (x @ down.T) @ up.T", "the scale is left out"),
        ("return scale * (scale * x @ down.T) @ up.T", "there twice"),
        ("return scale / len(down) ** 0.5 * (x @ down.T) @ up.T", "divided by the rank"),
        ("return scale * torch.relu(x @ down.T) @ up.T", "a function between"),
        ("return (x @ down.T) @ up.T + 1", "with B = 0"),
        ("return scale * (x @ down.T)", "the shape should be"),
        ("return scale * x @ down @ up", "it stops with an error"),
    ],
    "merge": [
        ("weight += scale * up @ down\nreturn weight", "in place"),
        ("return scale * up @ down", "the change alone"),
        ("return weight + up @ down", "the scale is left out"),
        ("return scale * (weight + up @ down)", "not the old matrix"),
        ("return weight - scale * up @ down", "not taken away"),
        ("return weight + scale * up.sum(1, keepdim=True) * down.abs()", "sum over r"),
        ("return weight + scale * down @ up", "it stops with an error"),
    ],
}
