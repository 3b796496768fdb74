"""Checks of the elective on text and cross-attention."""

import torch

from demist.course import close, expect

WORDS = ["nothing", "red", "blue", "ring", "cross"]


def tokens(answer):
    expect(
        close(answer("", WORDS, 3), [0, 0, 0]), "an empty prompt is nothing, three times: [0, 0, 0]"
    )
    found = answer("blue ring", WORDS, 2)
    expect(not close(found, [1, 2]), "a word's number is its place in the vocabulary, from 0 on")
    expect(not close(found, [3, 4]), "places are counted from 0 on: the first word is number 0")
    expect(close(found, [2, 3]), '"blue ring" are the places 2 and 3 of this vocabulary')
    expect(
        not close(answer("ring blue", WORDS, 2), [2, 3]),
        "the numbers stand in the order of the prompt, not of the vocabulary",
    )
    found = answer("ring", WORDS, 4)
    expect(
        not close(found, [0, 0, 0, 3]), "the zeros stand behind the prompt; yours stand before it"
    )
    expect(close(found, [3, 0, 0, 0]), "where the prompt has ended there are zeros")
    expect(close(answer("red cross red", WORDS, 3), [1, 4, 1]), "a word may come twice")


def attend(answer):
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 5, 4), torch.randn(2, 3, 4), torch.randn(2, 3, 6)
    pair = answer(q, k, v)
    expect(
        isinstance(pair, tuple) and len(pair) == 2,
        "two things are asked for: what is taken, and the weights",
    )
    taken, weights = pair
    expect(
        weights.shape != (2, 3, 5),
        "the weights have a row for each pixel and a column for each word",
    )
    logits = q @ k.transpose(1, 2)
    expect(
        not close(weights, logits / 2),
        "the products are not weights yet: softmax makes them positive, with the sum 1",
    )
    expect(
        not close(weights, logits.softmax(-1)),
        "the products are divided by the root of d before softmax",
    )
    expect(not close(weights, (logits / 4).softmax(-1)), "divide by the *root* of d")
    expect(
        not close(weights, (logits / 2).softmax(1)),
        "the weights of each pixel sum to 1 over the words; yours sum to 1 over the pixels",
    )
    expect(
        not close(weights, (logits / 3**0.5).softmax(-1)),
        "d is how many numbers a query has, not how many words there are",
    )
    right = (logits / 2).softmax(-1)
    expect(close(weights, right), "the weights are softmax(q k^T / sqrt(d)), over the words")
    expect(close(taken, right @ v), "what is taken is the mean of the values, with these weights")
