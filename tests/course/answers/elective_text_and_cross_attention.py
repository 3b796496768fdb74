"""Wrong answers to the elective on text and attention, and words of the hint that each gets."""

WEIGHTS = "weights = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1)\n"
TAKE = "\nreturn weights @ v, weights"

WRONG = {
    "tokens": [
        (
            "numbers = [i for i, _ in enumerate(prompt.split(), 1)]\n"
            "return numbers + [0] * (length - len(numbers))",
            "place in the vocabulary",
        ),
        (
            "numbers = [1 + vocabulary.index(word) for word in prompt.split()]\n"
            "return numbers + [0] * (length - len(numbers))",
            "the first word is number 0",
        ),
        (
            "numbers = sorted(vocabulary.index(word) for word in prompt.split())\n"
            "return numbers + [0] * (length - len(numbers))",
            "order of the prompt",
        ),
        (
            "numbers = [vocabulary.index(word) for word in prompt.split()]\n"
            "return [0] * (length - len(numbers)) + numbers",
            "yours stand before",
        ),
        ("return [vocabulary.index(word) for word in prompt.split()]", "the shape should be (3,)"),
        (
            "words = prompt.split()\nseen = dict.fromkeys(words)\n"
            "numbers = [vocabulary.index(word) for word in seen]\n"
            "return numbers + [0] * (length - len(numbers))",
            "may come twice",
        ),
    ],
    "attend": [
        (WEIGHTS + "return weights @ v", "two things"),
        (
            "weights = (k @ q.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1)\n"
            "return weights.transpose(1, 2) @ v, weights",
            "a row for each pixel",
        ),
        (
            "weights = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5\nreturn weights @ v, weights",
            "not weights yet",
        ),
        (
            "weights = (q @ k.transpose(1, 2)).softmax(-1)" + TAKE,
            "before softmax",
        ),
        (
            "weights = (q @ k.transpose(1, 2) / q.shape[-1]).softmax(-1)" + TAKE,
            "*root*",
        ),
        (
            "weights = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(1)\n"
            "return weights @ v, weights",
            "over the pixels",
        ),
        (
            "weights = (q @ k.transpose(1, 2) / k.shape[1] ** 0.5).softmax(-1)\n"
            "return weights @ v, weights",
            "how many words",
        ),
        (WEIGHTS + "return weights.round() @ v, weights", "mean of the values"),
        (WEIGHTS + "return weights @ k, weights", "the shape should be"),
    ],
}
