/* What rows teach: the chains of rows that share an answer (core/index/links.py has an example), and what the weights
 * predict for rows. */

#include "types.h"

/* All pairs of one of n answers, by its place among them, and a row of its chain, from the last row to the first. `last`
 * is by answer, `previous` by row; -1 ends a chain. Returns how many pairs there are, or -1 if they exceed `room`. */
int64_t hurnet_chains(const int32_t *last, const int32_t *previous, const int64_t *answers, int64_t n, int64_t room,
                      int64_t *owners, int64_t *rows) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        for (int32_t row = last[answers[i]]; row >= 0; row = previous[row], count++) {
            if (count == room) return -1;
            owners[count] = i;
            rows[count] = row;
        }
    return count;
}

enum { SUMS = 16 };

/* p·x of each of m rows. Sixteen sums for each, so that the order is the same with every width of vectors. */
INLINE void weigh(const int16_t *const *rows, int64_t m, int64_t d, const double *p, double *out) {
    for (int64_t row = 0; row < m; row++) {
        const int16_t *x = rows[row];
        double sums[SUMS] = {0};
        int64_t i = 0;
        for (; i + SUMS <= d; i += SUMS)
            for (int j = 0; j < SUMS; j++) sums[j] += p[i + j] * x[i + j];
        for (int j = 0; i + j < d; j++) sums[j] += p[i + j] * x[i + j];
        out[row] = 0;
        for (int j = 0; j < SUMS; j++) out[row] += sums[j];
    }
}

/* What line i of P, from the diagonal on, adds to y = P x. */
INLINE void line_of(const double *line, int64_t i, int64_t d, const double *x, double *y) {
    const double own = x[i];
    double sums[SUMS] = {0}, sum = line[i] * own;
    int64_t j = i + 1;
    for (; j + SUMS <= d; j += SUMS)
        for (int k = 0; k < SUMS; k++) {
            sums[k] += line[j + k] * x[j + k];
            y[j + k] += line[j + k] * own;
        }
    for (; j < d; j++) {
        sum += line[j] * x[j];
        y[j] += line[j] * own;
    }
    for (int k = 0; k < SUMS; k++) sum += sums[k];
    y[i] += sum;
}

/* y = P x of n rows x for a symmetric P (d, d), of which only the part from the diagonal on is read: memory is what takes
 * time. A line is read once for all rows. What comes out for a row is the same bits, whichever rows stand beside it. */
INLINE void symmetric(const double *matrix, int64_t d, const double *x, int64_t n, double *y) {
    memset(y, 0, (size_t)(n * d) * sizeof *y);
    for (int64_t i = 0; i < d; i++)
        for (int64_t row = 0; row < n; row++) line_of(matrix + i * d, i, d, x + row * d, y + row * d);
}

#define WEIGH(name, target)                                                                                   \
    target void name(const int16_t *const *rows, int64_t m, int64_t d, const double *p, double *out) {        \
        weigh(rows, m, d, p, out);                                                                            \
    }                                                                                                         \
    target void name##_symmetric(const double *matrix, int64_t d, const double *x, int64_t n, double *y) {    \
        symmetric(matrix, d, x, n, y);                                                                        \
    }
WEIGH(hurnet_weigh_any, )
#if defined(__x86_64__)
WEIGH(hurnet_weigh_avx2, TARGET_AVX2)
WEIGH(hurnet_weigh_avx512, TARGET_VNNI)
#endif
