"""Wrong answers to chapter 3, and words of the hint that each gets."""

WRONG = {
    "how_many": [
        ("return -torch.xlogy(weights, weights).sum(1)", "that is the entropy"),
        ("w = weights\nreturn -(w * torch.log2(w)).sum(1)", "the entropy in bits"),
        ("return torch.exp(torch.xlogy(weights, weights).sum(1))", "a sign is wrong"),
        ("return torch.exp(-(weights * torch.log2(weights)).sum(1))", "both with e"),
        ("return torch.exp(-torch.xlogy(weights, weights).mean(1))", "took the mean"),
        ("return torch.exp(-(weights * weights.log()).sum(1))", "must count as 0"),
        ("return (weights > 0).double().sum(1)", "with any weight"),
        ("return 1 / (weights**2).sum(1)", "not e to the entropy"),
        ("return torch.exp(-torch.xlogy(weights, weights).sum())", "the shape should be (1,)"),
    ],
}
