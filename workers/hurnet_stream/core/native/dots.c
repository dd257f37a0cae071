/* Dot products of planes with the 8-bit coefficients c of queries, and which rows reach a bound: for any CPU, with AVX2
 * and with AVX-512 VNNI. The products are the same integers everywhere, and rows are compared in
 * integers in the end: every CPU finds the same.
 *
 * A plane is read a step at a time, eight components of sixteen rows. One mask gives the lower halves of its bytes (the
 * first four components), a shift and a mask the upper ones:
 *
 *     byte       h h h h l l l l          h: component i + 4, l: component i
 *     & 15               l l l l          times c[i]
 *     >> 4 & 15          h h h h          times c[i + 4]
 *
 * An instruction then multiplies four such bytes by four coefficients and adds the products up, for each row (AVX2 in
 * two steps, by way of 16 bits). */

#include "dots.h"

/* The dot products of one plane of a group with c, whose fours are `stride` bytes apart: [row]. */
typedef void (*Nibbles)(const uint8_t *, const int8_t *, int64_t, int64_t, int32_t [LANES]);

/* The same of the plane that begins at `slot`, over the steps that a query has coefficients for. */
INLINE void nibbles_of(const uint8_t *plane, int64_t slot, const int8_t *c, int64_t steps, int64_t stride,
                       const Query *state, int32_t out[LANES], Nibbles nibbles) {
    const int64_t from = state->from;
    nibbles(plane + slot * steps * 4 + from * 64, c + from * 2 * stride, state->to - from, stride, out);
}

/* From the upper four bits alone, p is taken as the middle of what it may be: 2 p = 32 high - 241. Twice, since it is a
 * half. */
#define COARSE(dot, sum) (32 * (dot)-241 * (sum))

/* The rows of a pair that the upper four bits leave. */
INLINE uint32_t sieve_body(const Block *block, int64_t slot, const int8_t *c, int64_t steps, const Query *state,
                           Nibbles nibbles) {
    uint32_t rows = 0;
    for (int g = 0; g < PAIR; g++, slot += LANES) {
        int32_t dots[LANES];
        nibbles_of(block->high, slot, c, steps, 4, state, dots, nibbles);
        for (int r = 0; r < LANES; r++) dots[r] = COARSE(dots[r], state->sum);
        rows |= reaching(dots, block->scale + slot, block->coarse + slot, state->weight / 2, state->least - state->rest)
                << (g * LANES);
    }
    return rows;
}

/* p·c of a group by all eight bits, p = 16 high + low - 128, into `out`; the rows that reach `least`. */
INLINE uint32_t whole_body(const Block *block, int64_t slot, const int8_t *c, int64_t steps, int64_t stride,
                           const Query *state, int32_t *out, Nibbles nibbles) {
    int32_t low[LANES];
    nibbles_of(block->high, slot, c, steps, stride, state, out, nibbles);
    nibbles_of(block->low, slot, c, steps, stride, state, low, nibbles);
    for (int r = 0; r < LANES; r++) out[r] = 16 * out[r] + low[r] - 128 * state->sum;
    return reaching(out, block->scale + slot, block->slack + slot, state->weight, state->least - state->rest);
}

INLINE uint32_t pair_body(const Block *block, int64_t slot, const int8_t *c, int64_t steps, const Query *state,
                     int32_t out[PAIR][LANES], Nibbles nibbles) {
    uint32_t rows = 0;
    for (int g = 0; g < PAIR; g++)
        rows |= whole_body(block, slot + g * LANES, c, steps, 4, state, out[g], nibbles) << (g * LANES);
    return rows;
}

/* Asks for a line of the next pair between two products. Many at once would wait for each other, and the products for
 * them. */
INLINE void fetch(Ahead ahead, int64_t line) {
    if (line >= ahead.lines) return;
    __builtin_prefetch(ahead.high + line * 64, 0, 2);
    __builtin_prefetch(ahead.low + line * 64, 0, 2);
}

INLINE int tile_body(const Block *block, int64_t slot, const int8_t *c, int64_t steps, const Query *states, Ahead ahead,
                     int32_t out[PAIR][TILE][LANES], uint32_t rows[TILE], Nibbles nibbles) {
    uint32_t any = 0;
    for (int64_t i = 0; i < ahead.lines; i++) fetch(ahead, i);
    for (int q = 0; q < TILE; any |= rows[q++]) {
        rows[q] = 0;
        for (int g = 0; g < PAIR; g++)
            rows[q] |= whole_body(block, slot + g * LANES, c + q * 4, steps, TILE * 4, states + q, out[g][q], nibbles)
                       << (g * LANES);
    }
    return any != 0;
}

static void nibbles_any(const uint8_t *plane, const int8_t *c, int64_t steps, int64_t stride, int32_t out[LANES]) {
    memset(out, 0, LANES * sizeof *out);
    for (int64_t j = 0; j < steps; j++, c += 2 * stride)
        for (int r = 0; r < LANES; r++)
            for (int i = 0; i < 4; i++, plane++) out[r] += (*plane & 15) * c[i] + (*plane >> 4) * c[stride + i];
}

/* The kernels for one way to multiply nibbles. */
#define WITH(nibbles, target, level)                                                                                     \
    target static uint32_t sieve_##level(const Block *block, int64_t slot, const int8_t *c, int64_t steps,               \
                                         const Query *state) {                                                           \
        return sieve_body(block, slot, c, steps, state, nibbles);                                                        \
    }                                                                                                                    \
    target static uint32_t pair_##level(const Block *block, int64_t slot, const int8_t *c, int64_t steps,                \
                                        const Query *state, int32_t out[PAIR][LANES]) {                                  \
        return pair_body(block, slot, c, steps, state, out, nibbles);                                                    \
    }                                                                                                                    \
    target static int tile_##level(const Block *block, int64_t slot, const int8_t *c, int64_t steps,                     \
                                   const Query *states, const uint8_t *bytes, Ahead ahead,                               \
                                   int32_t out[PAIR][TILE][LANES], uint32_t rows[TILE]) {                                \
        (void)bytes;                                                                                                     \
        return tile_body(block, slot, c, steps, states, ahead, out, rows, nibbles);                                      \
    }
WITH(nibbles_any, , any)

/* Every partial sum is at most |a| |b| (Cauchy-Schwarz): the caller sees to it that this fits 31 bits. */
INLINE int64_t dot_body(const int16_t *a, const int16_t *b, int64_t d) {
    int32_t sum = 0;
    for (int64_t i = 0; i < d; i++) sum += a[i] * b[i];
    return sum;
}

static int64_t dot_any(const int16_t *a, const int16_t *b, int64_t d) { return dot_body(a, b, d); }

#if defined(__x86_64__)
TARGET_AVX2 static void nibbles_avx2(const uint8_t *plane, const int8_t *c, int64_t steps, int64_t stride,
                                     int32_t out[LANES]) {
    const __m256i lower = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int64_t j = 0; j < steps;) {
        __m256i few[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        /* Four steps at most: 16 products of 15 * 127 fit 16 bits. */
        for (int64_t end = j + 4 < steps ? j + 4 : steps; j < end; j++, c += 2 * stride) {
            int32_t first, second;
            memcpy(&first, c, 4);
            memcpy(&second, c + stride, 4);
            for (int i = 0; i < 2; i++, plane += 32) {
                __m256i both = _mm256_loadu_si256((const __m256i *)plane);
                __m256i left = _mm256_and_si256(both, lower);
                __m256i right = _mm256_and_si256(_mm256_srli_epi16(both, 4), lower);
                few[i] = _mm256_add_epi16(few[i], _mm256_maddubs_epi16(left, _mm256_set1_epi32(first)));
                few[i] = _mm256_add_epi16(few[i], _mm256_maddubs_epi16(right, _mm256_set1_epi32(second)));
            }
        }
        for (int i = 0; i < 2; i++) sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(few[i], ones));
    }
    for (int i = 0; i < 2; i++) _mm256_storeu_si256((__m256i *)out + i, sum[i]);
}
WITH(nibbles_avx2, TARGET_AVX2, avx2)

TARGET_AVX2 static int64_t dot_avx2(const int16_t *a, const int16_t *b, int64_t d) { return dot_body(a, b, d); }

TARGET_VNNI INLINE __m512i four(const int8_t *c) {
    int32_t bytes;
    memcpy(&bytes, c, 4);
    return _mm512_set1_epi32(bytes);
}

TARGET_VNNI INLINE __m512 halves(const uint16_t *upper) {
    __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)upper));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}

TARGET_VNNI INLINE __mmask16 reaching_vnni(__m512i dots, __m512 scale, __m512 slack, float weight, float bar) {
    __m512 product = _mm512_mul_ps(_mm512_cvtepi32_ps(dots), scale);
    __m512 upper = _mm512_fmadd_ps(product, _mm512_set1_ps(weight), slack);
    return _mm512_cmp_ps_mask(upper, _mm512_set1_ps(bar), _CMP_GE_OQ);
}

/* One group after the other: two groups read in turns take twice as long from memory. Four sums, so that no product
 * waits for the one before it. */
TARGET_VNNI INLINE __m512i nibbles_vnni(const uint8_t *plane, const int8_t *c, int64_t steps) {
    const __m512i lower = _mm512_set1_epi8(15), zero = _mm512_setzero_si512();
    __m512i sum[4] = {zero, zero, zero, zero};
    for (int64_t j = 0; j < steps; j += 2)
        for (int64_t i = 0; i < 2; i++, plane += 64, c += 8) {
            __m512i both = _mm512_loadu_si512(plane);
            sum[i] = _mm512_dpbusd_epi32(sum[i], _mm512_and_si512(both, lower), four(c));
            both = _mm512_and_si512(_mm512_srli_epi16(both, 4), lower);
            sum[2 + i] = _mm512_dpbusd_epi32(sum[2 + i], both, four(c + 4));
        }
    return _mm512_add_epi32(_mm512_add_epi32(sum[0], sum[1]), _mm512_add_epi32(sum[2], sum[3]));
}

/* p + 128 of a step of both planes: of the first four components, and of the second. */
TARGET_VNNI INLINE __m512i first_four(__m512i high, __m512i low) { /* 0xCA: each bit chooses between the others */
    return _mm512_ternarylogic_epi32(_mm512_set1_epi8(15), low, _mm512_slli_epi16(high, 4), 0xCA);
}

TARGET_VNNI INLINE __m512i second_four(__m512i high, __m512i low) {
    return _mm512_ternarylogic_epi32(_mm512_set1_epi8(15), _mm512_srli_epi16(low, 4), high, 0xCA);
}

TARGET_VNNI INLINE __m512i bytes_vnni(const uint8_t *high, const uint8_t *low, const int8_t *c, int64_t steps) {
    const __m512i zero = _mm512_setzero_si512();
    __m512i sum[4] = {zero, zero, zero, zero};
    for (int64_t j = 0; j < steps; j += 2)
        for (int64_t i = 0; i < 2; i++, high += 64, low += 64, c += 8) {
            __m512i h = _mm512_loadu_si512(high), l = _mm512_loadu_si512(low);
            sum[i] = _mm512_dpbusd_epi32(sum[i], first_four(h, l), four(c));
            sum[2 + i] = _mm512_dpbusd_epi32(sum[2 + i], second_four(h, l), four(c + 4));
        }
    return _mm512_add_epi32(_mm512_add_epi32(sum[0], sum[1]), _mm512_add_epi32(sum[2], sum[3]));
}

TARGET_VNNI static uint32_t sieve_vnni(const Block *block, int64_t slot, const int8_t *c, int64_t steps,
                                       const Query *state) {
    const float weight = state->weight / 2, bar = state->least - state->rest;
    const __m512i middle = _mm512_set1_epi32(COARSE(0, state->sum));
    const int64_t from = state->from, count = state->to - from;
    uint32_t rows = 0;
    for (int g = 0; g < PAIR; g++, slot += LANES) {
        const uint8_t *plane = block->high + slot * steps * 4 + from * 64;
        __m512i dots = _mm512_slli_epi32(nibbles_vnni(plane, c + from * 8, count), 5);
        dots = _mm512_add_epi32(dots, middle);
        __mmask16 mask = reaching_vnni(dots, halves(block->scale + slot), halves(block->coarse + slot), weight, bar);
        rows |= (uint32_t)mask << (g * LANES);
    }
    return rows;
}

TARGET_VNNI static uint32_t pair_vnni(const Block *block, int64_t slot, const int8_t *c, int64_t steps,
                                      const Query *state, int32_t out[PAIR][LANES]) {
    const float weight = state->weight, bar = state->least - state->rest;
    const int64_t from = state->from, count = state->to - from;
    unsigned rows = 0;
    for (int g = 0; g < PAIR; g++, slot += LANES) {
        const int64_t place = slot * steps * 4 + from * 64;
        __m512i dots = bytes_vnni(block->high + place, block->low + place, c + from * 8, count);
        dots = _mm512_sub_epi32(dots, _mm512_set1_epi32(128 * state->sum));
        _mm512_storeu_si512(out[g], dots);
        __mmask16 mask = reaching_vnni(dots, halves(block->scale + slot), halves(block->slack + slot), weight, bar);
        rows |= (uint32_t)mask << (g * LANES);
    }
    return rows;
}

TARGET_VNNI static void unpack_vnni(const Block *block, int64_t slot, int64_t steps, uint8_t *bytes) {
    const uint8_t *high = block->high + slot * steps * 4, *low = block->low + slot * steps * 4;
    for (int64_t j = 0; j < PAIR * steps; j++) {
        __m512i h = _mm512_loadu_si512(high + j * 64), l = _mm512_loadu_si512(low + j * 64);
        _mm512_storeu_si512(bytes + j * 128, first_four(h, l));
        _mm512_storeu_si512(bytes + j * 128 + 64, second_four(h, l));
    }
}

TARGET_VNNI static int tile_vnni(const Block *block, int64_t slot, const int8_t *c, int64_t steps, const Query *states,
                                 const uint8_t *bytes, Ahead ahead, int32_t out[PAIR][TILE][LANES],
                                 uint32_t rows[TILE]) {
    int64_t from = steps, to = 0; /* the steps that any of the queries has coefficients for */
    __m512i a[TILE], b[TILE];
    for (int q = 0; q < TILE; q++) {
        if (states[q].to && states[q].from < from) from = states[q].from;
        if (states[q].to > to) to = states[q].to;
    }
    if (from > to) from = to; /* all of them are zeros */
    UNROLLED for (int q = 0; q < TILE; q++) a[q] = b[q] = _mm512_set1_epi32(-128 * states[q].sum);
    const uint8_t *next = bytes + 2 * steps * 64;
    for (int64_t j = 2 * (to - from); j < ahead.lines; j++) fetch(ahead, j); /* for which the loop is too short */
    for (int64_t j = 2 * from; j < 2 * to; j++) {
        fetch(ahead, j - 2 * from);
        __m512i here = _mm512_loadu_si512(bytes + j * 64), there = _mm512_loadu_si512(next + j * 64);
        UNROLLED for (int q = 0; q < TILE; q++) {
            __m512i w = four(c + (j * TILE + q) * 4);
            a[q] = _mm512_dpbusd_epi32(a[q], here, w);
            b[q] = _mm512_dpbusd_epi32(b[q], there, w);
        }
    }
    __m512 scale[PAIR] = {halves(block->scale + slot), halves(block->scale + slot + LANES)};
    __m512 slack[PAIR] = {halves(block->slack + slot), halves(block->slack + slot + LANES)};
    uint32_t any = 0;
    UNROLLED for (int q = 0; q < TILE; q++) {
        float weight = states[q].weight, bar = states[q].least - states[q].rest;
        rows[q] = reaching_vnni(a[q], scale[0], slack[0], weight, bar);
        rows[q] |= (uint32_t)reaching_vnni(b[q], scale[1], slack[1], weight, bar) << LANES;
        any |= rows[q];
    }
    if (!any) return 0;
    UNROLLED for (int q = 0; q < TILE; q++) {
        _mm512_storeu_si512(out[0][q], a[q]);
        _mm512_storeu_si512(out[1][q], b[q]);
    }
    return 1;
}

TARGET_VNNI static int64_t dot_vnni(const int16_t *a, const int16_t *b, int64_t d) { return dot_body(a, b, d); }
#endif

Kernels hurnet_kernels(int level) { /* 0: any CPU, 1: AVX2, 2: AVX-512 VNNI */
#if defined(__x86_64__)
    if (level == 2) return (Kernels){sieve_vnni, pair_vnni, unpack_vnni, tile_vnni, dot_vnni};
    if (level == 1) return (Kernels){sieve_avx2, pair_avx2, NULL, tile_avx2, dot_avx2};
#endif
    (void)level;
    return (Kernels){sieve_any, pair_any, NULL, tile_any, dot_any};
}
