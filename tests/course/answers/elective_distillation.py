"""Wrong answers to the elective on distillation, and words of the hint that each gets."""

R = "(alpha, sigma), (alpha_s, sigma_s) = at_t, at_s\nratio = sigma_s / sigma\n"

WRONG = {
    "jump_target": [
        ("return after", "it still has noise in it"),
        ("return after / at_s[0]", "has to go out first"),
        ("return (after - x) / (at_s[0] - at_t[0])", "before you subtract x"),
        (R + "return after - ratio * x", "divide"),
        (R + "return (ratio * x - after) / (alpha_s - ratio * alpha)", "the sign is turned"),
        (R + "return (after - ratio * x) / (alpha_s + ratio * alpha)", "collect what stands"),
    ],
    "slope": [
        (
            "return (teacher - critic) / (made - teacher).abs().mean(1, keepdim=True)",
            "leads to the data",
        ),
        ("return critic - teacher", "divide it by how far"),
        ("return (critic - teacher) / (made - teacher).abs().clamp(min=1e-9)", "one number"),
        ("return (critic - teacher) / (made - teacher).abs().mean()", "not over the batch"),
        (
            "return (critic - teacher) / (made - critic).abs().mean(1, keepdim=True)",
            "not from the critic's",
        ),
        (
            "return (critic - teacher) / (made - teacher).abs().sum(1, keepdim=True)",
            "not their sum",
        ),
        (
            "return (critic - teacher) / (made - teacher).mean(1, keepdim=True).abs()",
            "must not cancel",
        ),
    ],
}
