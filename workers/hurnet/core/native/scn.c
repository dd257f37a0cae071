/* Equation 1 between encoded texts; hurnet/core/rule/encoded_words.py has the layout and the same in numpy. */

#include <stdint.h>

#define FORM ((UINT64_C(1) << 21) - 1)

typedef struct {
    int64_t total, distinct; /* words, with and without repetition */
    const uint64_t *heads;   /* of each distinct word: its length, and above bit 32 how often it occurs */
    const uint64_t *letters;
} text;

static text read_text(const uint64_t *at)
{
    int64_t distinct = (int64_t)(*at & UINT32_MAX);
    return (text){(int64_t)(*at >> 32), distinct, at + 1, at + 1 + distinct};
}

static const uint64_t *end_of(text t)
{
    const uint64_t *at = t.letters;
    for (int64_t i = 0; i < t.distinct; i++)
        at += t.heads[i] & UINT32_MAX;
    return at;
}

/* delta_1 + delta_2 + delta_3 over the first `length` letters. */
static int64_t matched(const uint64_t *w, const uint64_t *v, int64_t length)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < length; i++) {
        uint64_t differ = w[i] ^ v[i];
        sum += !(differ & FORM) + !(differ & FORM << 21) + !(differ & FORM << 42);
    }
    return sum;
}

/* The best word for w in t, as matched / (3 longer). Fractions are compared by cross products: exact, and a
 * word whose length alone rules it out is not looked at. */
static double best(const uint64_t *w, int64_t w_length, text t)
{
    int64_t most = 0, of = 1;
    const uint64_t *v = t.letters;
    for (int64_t i = 0; i < t.distinct; i++) {
        int64_t v_length = (int64_t)(t.heads[i] & UINT32_MAX);
        int64_t shorter = w_length < v_length ? w_length : v_length;
        int64_t longer = w_length < v_length ? v_length : w_length;
        if (3 * shorter * of > most * longer) {
            int64_t sum = matched(w, v, shorter);
            if (sum * of > most * longer) {
                most = sum;
                of = longer;
            }
        }
        v += v_length;
    }
    return (double)most / (double)(3 * of);
}

static double one_way(text s, text t)
{
    double sum = 0;
    const uint64_t *w = s.letters;
    for (int64_t i = 0; i < s.distinct; i++) {
        int64_t length = (int64_t)(s.heads[i] & UINT32_MAX);
        sum += (double)(s.heads[i] >> 32) * best(w, length, t);
        w += length;
    }
    return sum / (double)s.total;
}

static double similarity(text a, text b)
{
    if (!a.total || !b.total)
        return !a.total && !b.total;
    text s = a.total <= b.total ? a : b, t = a.total <= b.total ? b : a;
    return s.total == t.total ? (one_way(s, t) + one_way(t, s)) / 2 : one_way(s, t);
}

/* similarities[i] = P(query, candidate i) of `count` candidates that lie one after the other. */
void hurnet_scn(const uint64_t *query, const uint64_t *candidates, int64_t count, double *similarities)
{
    text q = read_text(query);
    for (int64_t i = 0; i < count; i++) {
        text t = read_text(candidates);
        similarities[i] = similarity(q, t);
        candidates = end_of(t);
    }
}
