/* Equation 1 between encoded texts. hurnet_stream/core/rule/encoded_words.py has the layout, an example and the same in
 * numpy; hurnet_stream/core/rule/scn.py has the equation. */

#include <stdint.h>

#define FORM ((UINT64_C(1) << 21) - 1) /* the bits of one form of a letter */

typedef struct {
    int64_t words, distinct; /* words, with and without repetition */
    const uint64_t *heads;   /* of each distinct word: its length, and above bit 32 how often it occurs */
    const uint64_t *letters; /* of all distinct words, one after the other */
} text;

static text read_text(const uint64_t *encoded)
{
    int64_t distinct = (int64_t)(*encoded & UINT32_MAX);
    return (text){(int64_t)(*encoded >> 32), distinct, encoded + 1, encoded + 1 + distinct};
}

static int64_t length_of(text t, int64_t word)
{
    return (int64_t)(t.heads[word] & UINT32_MAX);
}

/* Where the next text begins. */
static const uint64_t *end_of(text t)
{
    const uint64_t *end = t.letters;
    for (int64_t i = 0; i < t.distinct; i++)
        end += length_of(t, i);
    return end;
}

/* delta_1 + delta_2 + delta_3, summed over the first `length` letters of two words. */
static int64_t matched(const uint64_t *w, const uint64_t *v, int64_t length)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < length; i++) {
        uint64_t differing = w[i] ^ v[i];
        sum += !(differing & FORM) + !(differing & FORM << 21) + !(differing & FORM << 42);
    }
    return sum;
}

/* The best match of the word w among the words of t: matched / (3 longer), a fraction whose 3 is left out until
 * the end. Fractions are compared by cross products of integers, which is exact. The first comparison asks
 * whether a match of all letters would be better than the best so far: most words are ruled out by their
 * length alone. */
static double best_match(const uint64_t *w, int64_t w_length, text t)
{
    int64_t best_matched = 0, best_longer = 1;
    const uint64_t *v = t.letters;
    for (int64_t i = 0; i < t.distinct; i++) {
        int64_t v_length = length_of(t, i);
        int64_t shorter = w_length < v_length ? w_length : v_length;
        int64_t longer = w_length < v_length ? v_length : w_length;
        if (3 * shorter * best_longer > best_matched * longer) {
            int64_t sum = matched(w, v, shorter);
            if (sum * best_longer > best_matched * longer) {
                best_matched = sum;
                best_longer = longer;
            }
        }
        v += v_length;
    }
    return (double)best_matched / (double)(3 * best_longer);
}

/* The mean, over the words of s, of the best match in t. */
static double one_way(text s, text t)
{
    double sum = 0;
    const uint64_t *w = s.letters;
    for (int64_t i = 0; i < s.distinct; i++) {
        int64_t length = length_of(s, i);
        sum += (double)(s.heads[i] >> 32) * best_match(w, length, t);
        w += length;
    }
    return sum / (double)s.words;
}

static double similarity(text a, text b)
{
    if (!a.words || !b.words)
        return !a.words && !b.words;
    text s = a.words <= b.words ? a : b, t = a.words <= b.words ? b : a;
    return s.words == t.words ? (one_way(s, t) + one_way(t, s)) / 2 : one_way(s, t);
}

/* similarities[i] = P(query, candidate i) of `count` candidates that stand one after the other. */
void hurnet_scn(const uint64_t *query, const uint64_t *candidates, int64_t count, double *similarities)
{
    text q = read_text(query);
    for (int64_t i = 0; i < count; i++) {
        text candidate = read_text(candidates);
        similarities[i] = similarity(q, candidate);
        candidates = end_of(candidate);
    }
}
