/* From vectors to planes of 4 bits: rotation, rounding, and the coefficients of a query.
 *
 * A row with one large component would waste most of its bits: 127 steps up to the large one, and all others are 0 or
 * 1. So rows and queries are first rotated, which keeps every cosine and spreads each component over all:
 *
 *     x = (90, 0, 0, 0)   signs   (90, 0, 0, 0)   Hadamard   y = (90, 90, 90, 90)   |y| = 2 |x|
 *
 * y / step is then rounded to p in [-127, 127]. What rounding loses, as a share of |y|, is the row's slack. p + 128 is
 * kept as 16 high + low: the upper four bits in one plane, the lower four in the other. */

#include "planes.h"

/* The size of Hadamard's matrix for dimension d: the largest power of two, up to MOST_MIXED, that pads d by a sixteenth at
 * most. For 512 it is 512, for 768 it is 256 (three times), for 100 it is 8 (thirteen times, 104 components). Components
 * that are not mixed stay apart: a query that is zero in one half of a vector stays so, and that half is then not read. */
#define MOST_MIXED 512

static int64_t mixed(int64_t d) {
    int64_t best = 1;
    for (int64_t b = 2; b < 2 * d && b <= MOST_MIXED; b *= 2)
        if (((d + b - 1) / b * b - d) * 16 <= d) best = b;
    return best;
}

int64_t hurnet_plane_bytes(int64_t d) {
    int64_t b = mixed(d);
    return ((d + b - 1) / b * b + 15) / 16 * 8;
}

/* ±1 for component i: always the same, and unlike any pattern that a vector may have. */
INLINE int32_t sign(uint32_t i) {
    i *= 0x9E3779B1u;
    i = (i ^ i >> 15) * 0x85EBCA77u;
    return (int32_t)(i >> 31) * 2 - 1;
}

/* y = H S x of `width` components: signs, then Hadamard's matrix (of ±1) on every `b` of them, its rows in some order.
 * Exact. Returns b. The first three stages have the same shape (Pease: each turns the bits of all places by one), the
 * others go in place in steps of at least eight, so that a compiler makes vectors of all; `spare` is as large as y. */
INLINE int64_t rotate(const int16_t *x, int64_t d, int64_t width, int32_t *restrict y, int32_t *restrict spare) {
    const int64_t b = mixed(d);
    for (int64_t i = 0; i < d; i++) y[i] = x[i] * sign((uint32_t)i);
    for (int64_t i = d; i < width; i++) y[i] = 0;
    for (int64_t start = 0; start < d; start += b) {
        int32_t *restrict z = y + start;
        for (int64_t h = 1; h < b && h < 8; h *= 2) {
            for (int64_t i = 0; i < b / 2; i++) {
                int32_t left = z[i], right = z[b / 2 + i];
                spare[2 * i] = left + right;
                spare[2 * i + 1] = left - right;
            }
            memcpy(z, spare, (size_t)b * sizeof *z);
        }
        for (int64_t h = 8; h < b; h *= 2)
            for (int64_t first = 0; first < b; first += 2 * h)
                for (int64_t i = first; i < first + h; i++) {
                    int32_t left = z[i], right = z[i + h];
                    z[i] = left + right;
                    z[i + h] = left - right;
                }
    }
    return b;
}

/* The upper half of a float32 that is not below a positive value, the lower half being zero. Bounds are rounded up. */
INLINE uint16_t raised(double value) {
    float near = (float)(value * (1 + 0x1p-20));
    uint32_t bits;
    memcpy(&bits, &near, sizeof bits);
    return (uint16_t)((bits + 0xFFFF) >> 16);
}

/* r of bounds.py, given the squared error of a row and its length. */
INLINE uint16_t slack_of(double error, double length) {
    double rho = sqrt(error) / length;
    return raised(rho + 0x1p-18 * (1 + rho));
}

typedef int32_t Ints __attribute__((vector_size(16))); /* GCC and clang make the best of them for any CPU */
typedef float Floats __attribute__((vector_size(16)));
typedef double Doubles __attribute__((vector_size(32)));

/* Writes p + 128 into `bytes` and over y, and into `errors` |y - s p|^2 and |y - s p'|^2, p' being the middle of all
 * that has the upper four bits of p: 16 high - 120.5 (120.5 = 128 - 7.5). */
INLINE void round_row(int32_t *restrict y, int64_t width, double step, uint8_t *restrict bytes, double errors[2]) {
    Doubles fine[2] = {{0}}, rough[2] = {{0}};
    for (int64_t i = 0; i < width; i += 8)
        for (int half = 0; half < 2; half++) {
            Ints v;
            memcpy(&v, y + i + 4 * half, sizeof v);
            Ints p = __builtin_convertvector(__builtin_convertvector(v, Floats) * (float)(1 / step) + 128.5f, Ints);
            Doubles value = __builtin_convertvector(v, Doubles);
            Doubles e = value - step * __builtin_convertvector(p - 128, Doubles);
            Doubles f = value - step * (__builtin_convertvector(p & 240, Doubles) - 120.5);
            fine[half] += e * e;
            rough[half] += f * f;
            memcpy(y + i + 4 * half, &p, sizeof p);
        }
    for (int64_t i = 0; i < width; i++) bytes[i] = (uint8_t)y[i];
    errors[0] = errors[1] = 0;
    for (int j = 0; j < 4; j++) errors[0] += fine[0][j] + fine[1][j], errors[1] += rough[0][j] + rough[1][j];
}

/* Writes slot `slot` of a block's planes. y has room for twice a rotated row. Returns |x|^2. */
INLINE int64_t quantise_row(const int16_t *x, int64_t d, int64_t slot, uint8_t *high, uint8_t *low, uint16_t *scale,
                        uint16_t *slack, uint16_t *coarse, int32_t *y) {
    const int64_t row = hurnet_plane_bytes(d), width = row * 2, norm = dot_wide(x, x, d);
    const double length = sqrt((double)norm * (double)rotate(x, d, width, y, y + width));
    int32_t peak = 0;
    for (int64_t i = 0; i < width; i++) peak = abs(y[i]) > peak ? abs(y[i]) : peak;
    scale[slot] = raised(peak / 127.0 / length);
    uint8_t *bytes = (uint8_t *)(y + width);
    double errors[2];
    round_row(y, width, half(scale[slot]) * length, bytes, errors);
    slack[slot] = slack_of(errors[0], length);
    coarse[slot] = slack_of(errors[1], length);
    const int64_t place = slot / LANES * row * LANES + slot % LANES * 4; /* [group][step][LANES][4] */
    for (int64_t i = 0; i < row / 4; i++) {
        uint32_t first, second;
        memcpy(&first, bytes + i * 8, 4);
        memcpy(&second, bytes + i * 8 + 4, 4);
        uint32_t upper = (first >> 4 & 0x0F0F0F0F) | (second & 0xF0F0F0F0);
        uint32_t lower = (first & 0x0F0F0F0F) | (second & 0x0F0F0F0F) << 4;
        memcpy(high + place + i * LANES * 4, &upper, 4);
        memcpy(low + place + i * LANES * 4, &lower, 4);
    }
    return norm;
}

/* Rows x (n, d) into the planes of a block, from slot `slot` on. Returns -1 if there is no memory to rotate in. */
#define QUANTISE(name, target)                                                                              \
    target int name(const int16_t *x, int64_t n, int64_t d, int64_t slot, uint8_t *high, uint8_t *low,        \
                    uint16_t *scale, uint16_t *slack, uint16_t *coarse, int64_t *norms) {                   \
        int32_t *y = malloc((size_t)hurnet_plane_bytes(d) * 4 * sizeof *y);                                 \
        if (!y) return -1;                                                                                  \
        for (int64_t i = 0; i < n; i++)                                                                     \
            norms[slot + i] = quantise_row(x + i * d, d, slot + i, high, low, scale, slack, coarse, y);         \
        free(y);                                                                                            \
        return 0;                                                                                           \
    }
QUANTISE(hurnet_quantise, )
#if defined(__x86_64__)
QUANTISE(hurnet_quantise_avx2, TARGET_AVX2)
#endif

/* The upper plane of n rows of a block, which stand in these slots, as that of a block that has them alone. */
void hurnet_excerpt(const uint8_t *high, const uint16_t *slots, int64_t n, int64_t d, uint8_t *into) {
    const int64_t row = hurnet_plane_bytes(d);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *from = high + slots[i] / LANES * row * LANES + slots[i] % LANES * 4;
        uint8_t *to = into + i / LANES * row * LANES + i % LANES * 4;
        for (int64_t j = 0; j < row / 4; j++) memcpy(to + j * LANES * 4, from + j * LANES * 4, 4);
    }
}

void hurnet_quantise_query(Query *state, const int16_t *q, int64_t d, int64_t column, int64_t stride, int8_t *c,
                           int32_t *z) {
    const int64_t width = hurnet_plane_bytes(d) * 2;
    state->q = q;
    state->norm = (double)dot_wide(q, q, d);
    if (state->norm == 0) return;
    state->least = -0x1p100f; /* below every bound, but for the -inf of a removed row */
    const double length = sqrt(state->norm * (double)rotate(q, d, width, z, z + width));
    int32_t peak = 0;
    for (int64_t i = 0; i < width; i++) peak = abs(z[i]) > peak ? abs(z[i]) : peak;
    const double step = peak / 127.0;
    double error = 0;
    state->from = (int32_t)(width / 8); /* a step is eight components, and steps are read by twos */
    for (int64_t i = 0; i < width; i++) {
        int w = (int)lrint(z[i] / step);
        double f = z[i] - step * w;
        error += f * f;
        c[i / 4 * stride + column * 4 + i % 4] = (int8_t)w;
        state->sum += w;
        if (w && i / 16 * 2 < state->from) state->from = (int32_t)(i / 16 * 2);
        if (w) state->to = (int32_t)(i / 16 * 2 + 2);
    }
    const double rest = sqrt(error), reach = length + rest;
    state->unit = length / (sqrt(state->norm) * reach);
    state->weight = (float)(step / reach);
    state->rest = (float)(rest / reach * (1 + 0x1p-20));
}
