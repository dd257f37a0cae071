/* Texts as sums of the rows of their tokens, scaled to unit length. hurnet_stream/core/token_sums.py has an example and
 * the same in numpy, which does the same operations on float64 in the same order. */

#include "types.h"

#define BITS 21 /* of a component, when its square is taken: a sum of squares is then exact in float64 */
#define GRID_SCALE 16384.0

#if defined(__x86_64__)
#define TARGET_AVX2_ONLY __attribute__((target("avx2"))) /* no FMA, which would round a product and a sum as one */
#else
#define TARGET_AVX2_ONLY
#endif

/* Ties go to even, as numpy's rint. The product is not added to anything, so no compiler can fuse it. */
INLINE int16_t nearest(double x) { return (int16_t)(int32_t)rint(x); }

INLINE void sum_rows(const int16_t *rows, int64_t d, const int64_t *tokens, int64_t count, int32_t *sum) {
    memset(sum, 0, (size_t)d * sizeof *sum);
    for (int64_t t = 0; t < count; t++) {
        const int16_t *row = rows + tokens[t] * d;
        for (int64_t i = 0; i < d; i++) sum[i] += row[i];
    }
}

/* By how many bits a sum is too large. */
INLINE int shift_of(const int32_t *sum, int64_t d) {
    int32_t largest = 0;
    for (int64_t i = 0; i < d; i++) {
        int32_t size = sum[i] < 0 ? -sum[i] : sum[i];
        largest = size > largest ? size : largest;
    }
    int shift = 0;
    while (largest >> shift >= 1 << BITS) shift++;
    return shift;
}

INLINE void to_unit(int32_t *sum, int64_t d, int16_t *unit) {
    int shift = shift_of(sum, d);
    int64_t squares = 0;
    for (int64_t i = 0; i < d; i++) {
        sum[i] >>= shift;
        squares += (int64_t)sum[i] * sum[i];
    }
    double scale = GRID_SCALE / (squares ? sqrt((double)squares) : 1.0);
    for (int64_t i = 0; i < d; i++) unit[i] = nearest(sum[i] * scale);
}

INLINE void unit_sums(const int16_t *rows, int64_t d, const int64_t *tokens, const int64_t *lengths, int64_t texts,
                      int32_t *room, int16_t *units) {
    for (int64_t text = 0; text < texts; text++) {
        sum_rows(rows, d, tokens, lengths[text], room);
        to_unit(room, d, units + text * d);
        tokens += lengths[text];
    }
}

/* `rows` are [token][d], `units` [text][d], `room` is for d numbers. */
void hurnet_unit_sums(const int16_t *rows, int64_t d, const int64_t *tokens, const int64_t *lengths, int64_t texts,
                      int32_t *room, int16_t *units) {
    unit_sums(rows, d, tokens, lengths, texts, room, units);
}

TARGET_AVX2_ONLY void hurnet_unit_sums_avx2(const int16_t *rows, int64_t d, const int64_t *tokens, const int64_t *lengths,
                                            int64_t texts, int32_t *room, int16_t *units) {
    unit_sums(rows, d, tokens, lengths, texts, room, units);
}
