"""Equation 1 as it reads: how alike two texts are, word by word and letter by letter, in [0, 1].

    P(S, T) = mean over the words w of the shorter text S of  max over the words v of T of  match(w, v)
    match(w, v) = (number of equal letters at equal places, each by δ1, δ2 and δ3) / (3 · the longer length)

where δ1 ignores case and accents, δ2 accents alone and δ3 case alone. "light" against "lights": 5 letters
agree in all three ways, so 15 / (3 · 6) = 5/6.

What differs from the equation as printed, and why:

- A word's matched letters are divided by the longer word's length. Printed, the value grows with word length.
- Texts with the same number of words are compared in both directions, and the two values averaged. Printed,
  the value depends on which text comes first.
- Two texts without words score 1, and one against another 0. Printed, they divide by zero.

So P(x, x) = 1, P(x, y) = P(y, x) and 0 <= P <= 1. The length penalty of the paper is here alone: with it the
rule answered less well on four of five sets.

This is the slow reference. The rule uses hurnet_stream.core.rule.encoded_words, which computes the same fast:
tests and benchmarks compare it with this."""

from hurnet_stream.core.words import Letters, letter_forms, words


def similarity(a: str, b: str, penalise_length: bool = False) -> float:
    """P(a, b). `penalise_length` takes off (1 - |S| / |T|) / 2, never below 0."""
    words_a, words_b = words(a), words(b)
    if not words_a or not words_b:
        return float(not words_a and not words_b)
    s, t = sorted((words_a, words_b), key=len)
    alike = _one_way(s, t) if len(s) < len(t) else (_one_way(s, t) + _one_way(t, s)) / 2
    return max(0.0, alike - (1 - len(s) / len(t)) / 2) if penalise_length else alike


def _one_way(s: list[Letters], t: list[Letters]) -> float:
    """The mean, over the words of s, of the best match in t."""
    return sum(max(_match(w, v) for v in t) for w in s) / len(s)


def _match(w: Letters, v: Letters) -> float:
    matched = sum(
        sum(x == y for x, y in zip(letter_forms(w_i), letter_forms(v_i), strict=True))
        for w_i, v_i in zip(w, v, strict=False)
    )
    return matched / (3 * max(len(w), len(v)))
