/* The exact search of workers/core/scan.py in one pass over its planes. What the names mean and why no row that could
 * win is lost is proved in workers/core/bounds.py; this file only has to evaluate those bounds in float32. */

#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define TARGET_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define TARGET_AVX2 __attribute__((target("avx2,fma")))
#endif
#define UNROLLED _Pragma("GCC unroll 8") /* sums in arrays are then kept in registers */
#define INLINE static inline __attribute__((always_inline))

#define LANES 16 /* rows of a group: a plane is [group][steps][LANES][4], four bits a component: a step is eight, the
                  * first four below the second; their number is even */
#define PAIR 2   /* groups that are read at once */
#define TILE 8   /* queries that a batch kernel takes at once */
#define ALONE 4  /* so many queries are faster one by one */
#define QUEUE 16 /* rows that are fetched from memory at once */
#define CHUNKS 4 /* of a block */
#define CHUNK_ROWS 4096 /* that a thread takes at once: the next query finds their upper bits in the L2 cache */
#define FEW 64   /* if the upper four bits leave more rows of a chunk than FEW and one in SHARE, the rest of it is */
#define SHARE 24 /* read whole: a row in integers costs as much as the lower bits of so many; */
#define DENSE 5  /* and so are the next chunks, before they are asked again */

typedef struct { /* as Block.described in workers/core/blocks.py */
    const int16_t *rows;
    const uint8_t *high, *low;      /* p + 128 = 16 high + low */
    const uint16_t *scale;          /* g; these three are the upper halves of float32 */
    const uint16_t *slack, *coarse; /* r, for all 8 bits and for the upper 4: -inf where there is no row */
    const int64_t *norms;
    const int64_t *partitions;
    const int64_t *offsets;
    int64_t first, size;
} Block;

typedef struct {
    float upper;
    int32_t block, at;
} Candidate;

typedef struct {
    int64_t dot, norm, partition, offset, row;
    double cosine; /* times |q| */
} Match;

typedef struct {
    const int16_t *q;
    double norm, unit;  /* |q|^2, and |z| / (|q| A): what q·x / |x| counts for */
    float weight, rest; /* t / A and |f| / A: an estimate errs by at most a row's slack and the rest */
    float least;        /* a row with a smaller upper bound can't be among the k best */
    int32_t sum;        /* of the coefficients: they meet p + 128 */
    int64_t k, held, count, room, valued;
    int64_t dense; /* chunks to come that are read whole */
    float *best;        /* heap of the k largest lower bounds, the smallest on top */
    Candidate *found;
} Query;

/* ---- dot products of groups with coefficients, and which of their rows reach `least` ---- */

typedef uint32_t (*Sieve)(const Block *, int64_t, const int8_t *, int64_t, const Query *);
typedef int (*Pair)(const Block *, int64_t, const int8_t *, int64_t, const Query *, int32_t [PAIR][LANES]);
typedef void (*Unpack)(const Block *, int64_t, int64_t, uint8_t *);
typedef int (*Tile)(const Block *, int64_t, const int8_t *, int64_t, const Query *, const uint8_t *,
                    int32_t [PAIR][TILE][LANES]);
typedef int64_t (*Dot)(const int16_t *, const int16_t *, int64_t);
typedef struct {
    Sieve sieve;   /* the rows of a pair that the upper four bits leave, as bits */
    Pair pair;     /* p·c of a pair; 0 where no row reaches `least` */
    Unpack unpack; /* p + 128 of a pair, [PAIR][d/4][LANES][4], where `tile` wants it */
    Tile tile;     /* p·c of a pair for a tile of queries; 0 where no row reaches the `least` of any */
    Dot dot;
} Kernels;
typedef struct {
    const Block *blocks;
    int64_t n_blocks, d, steps;
    int64_t tile, asked, n; /* queries are padded to whole tiles */
    const int8_t *c;
    Kernels use;
    int64_t next; /* chunk */
} Search;
typedef void (*Nibbles)(const uint8_t *, const int8_t *, int64_t, int64_t, int32_t [LANES]);

INLINE float half(uint16_t upper) {
    uint32_t bits = (uint32_t)upper << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Rows of a group, given p·c or, with half the weight, (2p)·c. */
INLINE uint32_t reaching(const int32_t *dots, const uint16_t *scale, const uint16_t *slack, float weight, float bar) {
    uint32_t rows = 0;
    float upper[LANES];
    for (int r = 0; r < LANES; r++) upper[r] = (float)dots[r] * half(scale[r]) * weight + half(slack[r]);
    for (int r = 0; r < LANES; r++) rows |= (uint32_t)(upper[r] >= bar) << r;
    return rows;
}

/* The upper four bits stand for the middle of what they may be: 2 p = 32 high - 241 on average. */
#define COARSE(dot, sum) (32 * (dot)-241 * (sum))

INLINE uint32_t sieve_body(const Block *block, int64_t at, const int8_t *c, int64_t steps, const Query *state,
                           Nibbles nibbles) {
    uint32_t rows = 0;
    for (int g = 0; g < PAIR; g++, at += LANES) {
        int32_t dots[LANES];
        nibbles(block->high + at * steps * 4, c, steps, 4, dots);
        for (int r = 0; r < LANES; r++) dots[r] = COARSE(dots[r], state->sum);
        rows |= reaching(dots, block->scale + at, block->coarse + at, state->weight / 2, state->least - state->rest)
                << (g * LANES);
    }
    return rows;
}

INLINE uint32_t whole_body(const Block *block, int64_t at, const int8_t *c, int64_t steps, int64_t stride,
                           const Query *state, int32_t *out, Nibbles nibbles) {
    int32_t low[LANES];
    nibbles(block->high + at * steps * 4, c, steps, stride, out);
    nibbles(block->low + at * steps * 4, c, steps, stride, low);
    for (int r = 0; r < LANES; r++) out[r] = 16 * out[r] + low[r] - 128 * state->sum;
    return reaching(out, block->scale + at, block->slack + at, state->weight, state->least - state->rest);
}

INLINE int pair_body(const Block *block, int64_t at, const int8_t *c, int64_t steps, const Query *state,
                     int32_t out[PAIR][LANES], Nibbles nibbles) {
    uint32_t rows = 0;
    for (int g = 0; g < PAIR; g++) rows |= whole_body(block, at + g * LANES, c, steps, 4, state, out[g], nibbles);
    return rows != 0;
}

INLINE int tile_body(const Block *block, int64_t at, const int8_t *c, int64_t steps, const Query *states,
                     int32_t out[PAIR][TILE][LANES], Nibbles nibbles) {
    uint32_t rows = 0;
    for (int g = 0; g < PAIR; g++)
        for (int q = 0; q < TILE; q++)
            rows |= whole_body(block, at + g * LANES, c + q * 4, steps, TILE * 4, states + q, out[g][q], nibbles);
    return rows != 0;
}

static void nibbles_any(const uint8_t *plane, const int8_t *c, int64_t steps, int64_t stride, int32_t out[LANES]) {
    memset(out, 0, LANES * sizeof *out);
    for (int64_t j = 0; j < steps; j++, c += 2 * stride)
        for (int r = 0; r < LANES; r++)
            for (int i = 0; i < 4; i++, plane++) out[r] += (*plane & 15) * c[i] + (*plane >> 4) * c[stride + i];
}

#define WITH(nibbles, target, level)                                                                                   \
    target static uint32_t sieve_##level(const Block *block, int64_t at, const int8_t *c, int64_t steps,               \
                                         const Query *state) {                                                         \
        return sieve_body(block, at, c, steps, state, nibbles);                                                        \
    }                                                                                                                  \
    target static int pair_##level(const Block *block, int64_t at, const int8_t *c, int64_t steps, const Query *state, \
                                   int32_t out[PAIR][LANES]) {                                                         \
        return pair_body(block, at, c, steps, state, out, nibbles);                                                    \
    }                                                                                                                  \
    target static int tile_##level(const Block *block, int64_t at, const int8_t *c, int64_t steps,                     \
                                   const Query *states, const uint8_t *bytes, int32_t out[PAIR][TILE][LANES]) {        \
        (void)bytes;                                                                                                   \
        return tile_body(block, at, c, steps, states, out, nibbles);                                                   \
    }
WITH(nibbles_any, , any)

/* Every partial sum is at most |a| |b| (Cauchy-Schwarz): the caller sees to it that this fits 31 bits. */
INLINE int64_t dot_body(const int16_t *a, const int16_t *b, int64_t d) {
    int32_t sum = 0;
    for (int64_t i = 0; i < d; i++) sum += a[i] * b[i];
    return sum;
}

static int64_t dot_any(const int16_t *a, const int16_t *b, int64_t d) { return dot_body(a, b, d); }

INLINE int64_t dot_wide(const int16_t *a, const int16_t *b, int64_t d) {
    int64_t sum = 0;
    for (int64_t i = 0; i < d; i++) sum += a[i] * b[i];
    return sum;
}

static int64_t dot_large(const int16_t *a, const int16_t *b, int64_t d) { return dot_wide(a, b, d); }

#if defined(__x86_64__)
TARGET_AVX2 static void nibbles_avx2(const uint8_t *plane, const int8_t *c, int64_t steps, int64_t stride,
                                     int32_t out[LANES]) {
    const __m256i lower = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int64_t j = 0; j < steps;) {
        __m256i few[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
        for (int64_t end = j + 4 < steps ? j + 4 : steps; j < end; j++, c += 2 * stride) { /* 16 * 15 * 127 fits */
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

/* One group after the other: read in turns, two take twice as long from memory. */
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

TARGET_VNNI static uint32_t sieve_vnni(const Block *block, int64_t at, const int8_t *c, int64_t steps,
                                       const Query *state) {
    const float weight = state->weight / 2, bar = state->least - state->rest;
    const __m512i middle = _mm512_set1_epi32(COARSE(0, state->sum));
    uint32_t rows = 0;
    for (int g = 0; g < PAIR; g++, at += LANES) {
        __m512i dots = _mm512_slli_epi32(nibbles_vnni(block->high + at * steps * 4, c, steps), 5);
        dots = _mm512_add_epi32(dots, middle);
        __mmask16 mask = reaching_vnni(dots, halves(block->scale + at), halves(block->coarse + at), weight, bar);
        rows |= (uint32_t)mask << (g * LANES);
    }
    return rows;
}

TARGET_VNNI static int pair_vnni(const Block *block, int64_t at, const int8_t *c, int64_t steps, const Query *state,
                                 int32_t out[PAIR][LANES]) {
    const float weight = state->weight, bar = state->least - state->rest;
    unsigned rows = 0;
    for (int g = 0; g < PAIR; g++, at += LANES) {
        __m512i high = nibbles_vnni(block->high + at * steps * 4, c, steps);
        __m512i low = nibbles_vnni(block->low + at * steps * 4, c, steps);
        __m512i dots = _mm512_add_epi32(_mm512_slli_epi32(high, 4), low);
        dots = _mm512_sub_epi32(dots, _mm512_set1_epi32(128 * state->sum));
        _mm512_storeu_si512(out[g], dots);
        rows |= reaching_vnni(dots, halves(block->scale + at), halves(block->slack + at), weight, bar);
    }
    return rows != 0;
}

TARGET_VNNI static void unpack_vnni(const Block *block, int64_t at, int64_t steps, uint8_t *bytes) {
    const uint8_t *high = block->high + at * steps * 4, *low = block->low + at * steps * 4;
    const __m512i lower = _mm512_set1_epi8(15);
    for (int64_t j = 0; j < PAIR * steps; j++) { /* 0xCA: the bits of the first choose between the others */
        __m512i h = _mm512_loadu_si512(high + j * 64), l = _mm512_loadu_si512(low + j * 64);
        __m512i first = _mm512_ternarylogic_epi32(lower, l, _mm512_slli_epi16(h, 4), 0xCA);
        __m512i second = _mm512_ternarylogic_epi32(lower, _mm512_srli_epi16(l, 4), h, 0xCA);
        _mm512_storeu_si512(bytes + j * 128, first);
        _mm512_storeu_si512(bytes + j * 128 + 64, second);
    }
}

TARGET_VNNI static int tile_vnni(const Block *block, int64_t at, const int8_t *c, int64_t steps, const Query *states,
                                 const uint8_t *bytes, int32_t out[PAIR][TILE][LANES]) {
    const int64_t quads = 2 * steps;
    __m512i a[TILE], b[TILE];
    UNROLLED for (int q = 0; q < TILE; q++) a[q] = b[q] = _mm512_set1_epi32(-128 * states[q].sum);
    const uint8_t *next = bytes + quads * 64;
    for (int64_t j = 0; j < quads; j++) {
        __m512i here = _mm512_loadu_si512(bytes + j * 64), there = _mm512_loadu_si512(next + j * 64);
        UNROLLED for (int q = 0; q < TILE; q++) {
            __m512i w = four(c + (j * TILE + q) * 4);
            a[q] = _mm512_dpbusd_epi32(a[q], here, w);
            b[q] = _mm512_dpbusd_epi32(b[q], there, w);
        }
    }
    __m512 scale[PAIR] = {halves(block->scale + at), halves(block->scale + at + LANES)};
    __m512 slack[PAIR] = {halves(block->slack + at), halves(block->slack + at + LANES)};
    unsigned rows = 0;
    UNROLLED for (int q = 0; q < TILE; q++) {
        float weight = states[q].weight, bar = states[q].least - states[q].rest;
        rows |= reaching_vnni(a[q], scale[0], slack[0], weight, bar);
        rows |= reaching_vnni(b[q], scale[1], slack[1], weight, bar);
    }
    if (!rows) return 0;
    UNROLLED for (int q = 0; q < TILE; q++) {
        _mm512_storeu_si512(out[0][q], a[q]);
        _mm512_storeu_si512(out[1][q], b[q]);
    }
    return 1;
}

TARGET_VNNI static int64_t dot_vnni(const int16_t *a, const int16_t *b, int64_t d) { return dot_body(a, b, d); }
#endif

static Kernels kernels(int level) { /* 0: any CPU, 1: AVX2, 2: AVX-512 VNNI */
#if defined(__x86_64__)
    if (level == 2) return (Kernels){sieve_vnni, pair_vnni, unpack_vnni, tile_vnni, dot_vnni};
    if (level == 1) return (Kernels){sieve_avx2, pair_avx2, NULL, tile_avx2, dot_avx2};
#endif
    (void)level;
    return (Kernels){sieve_any, pair_any, NULL, tile_any, dot_any};
}

/* ---- rotation, the planes of a row, and the coefficients of a query ---- */

/* The largest power of two that pads d by a sixteenth at most. */
static int64_t mixed(int64_t d) {
    int64_t best = 1;
    for (int64_t b = 2; b < 2 * d; b *= 2)
        if (((d + b - 1) / b * b - d) * 16 <= d) best = b;
    return best;
}

/* Bytes of a row in either plane: its components, sixteen of which take eight. */
int64_t hurnet_plane_bytes(int64_t d) {
    int64_t b = mixed(d);
    return ((d + b - 1) / b * b + 15) / 16 * 8;
}

INLINE int32_t sign(uint32_t i) { /* fixed, and like no pattern that a vector may have */
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
    for (int64_t at = 0; at < d; at += b) {
        int32_t *restrict z = y + at;
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

/* The upper half of the least such float that is not below a positive value. */
INLINE uint16_t raised(double value) {
    float near = (float)(value * (1 + 0x1p-20));
    uint32_t bits;
    memcpy(&bits, &near, sizeof bits);
    return (uint16_t)((bits + 0xFFFF) >> 16);
}

INLINE uint16_t slack_of(double error, double length) {
    double rho = sqrt(error) / length;
    return raised(rho + 0x1p-18 * (1 + rho));
}

typedef int32_t Ints __attribute__((vector_size(16))); /* GCC and clang make the best of them for any CPU */
typedef float Floats __attribute__((vector_size(16)));
typedef double Doubles __attribute__((vector_size(32)));

/* p + 128, in `bytes` and in place of y; in `errors` |y - s p|^2 and |y - s p'|^2, p' the middle of what has the upper
 * four bits of p. */
INLINE void quantise(int32_t *restrict y, int64_t width, double step, uint8_t *restrict bytes, double errors[2]) {
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

/* Writes row `at` of a block's planes, with room for twice a rotated row in y. Returns |x|^2. */
INLINE int64_t pack_row(const int16_t *x, int64_t d, int64_t at, uint8_t *high, uint8_t *low, uint16_t *scale,
                        uint16_t *slack, uint16_t *coarse, int32_t *y) {
    const int64_t row = hurnet_plane_bytes(d), width = row * 2, norm = dot_wide(x, x, d);
    const double length = sqrt((double)norm * (double)rotate(x, d, width, y, y + width));
    int32_t peak = 0;
    for (int64_t i = 0; i < width; i++) peak = abs(y[i]) > peak ? abs(y[i]) : peak;
    scale[at] = raised(peak / 127.0 / length);
    uint8_t *bytes = (uint8_t *)(y + width);
    double errors[2];
    quantise(y, width, half(scale[at]) * length, bytes, errors);
    slack[at] = slack_of(errors[0], length);
    coarse[at] = slack_of(errors[1], length);
    const int64_t column = at / LANES * row * LANES + at % LANES * 4;
    for (int64_t i = 0; i < row / 4; i++) {
        uint32_t first, second;
        memcpy(&first, bytes + i * 8, 4);
        memcpy(&second, bytes + i * 8 + 4, 4);
        uint32_t upper = (first >> 4 & 0x0F0F0F0F) | (second & 0xF0F0F0F0);
        uint32_t lower = (first & 0x0F0F0F0F) | (second & 0x0F0F0F0F) << 4;
        memcpy(high + column + i * LANES * 4, &upper, 4);
        memcpy(low + column + i * LANES * 4, &lower, 4);
    }
    return norm;
}

#define PACK(name, target)                                                                                          \
    target int name(const int16_t *x, int64_t n, int64_t d, int64_t at, uint8_t *high, uint8_t *low, uint16_t *scale, \
                    uint16_t *slack, uint16_t *coarse, int64_t *norms) {                                              \
        int32_t *y = malloc((size_t)hurnet_plane_bytes(d) * 4 * sizeof *y);                                           \
        if (!y) return -1;                                                                                            \
        for (int64_t i = 0; i < n; i++)                                                                               \
            norms[at + i] = pack_row(x + i * d, d, at + i, high, low, scale, slack, coarse, y);                       \
        free(y);                                                                                                      \
        return 0;                                                                                                     \
    }
PACK(hurnet_pack, )
#if defined(__x86_64__)
PACK(hurnet_pack_avx2, TARGET_AVX2)
#endif

/* z = t c + f for the rotated query z, with 8-bit c: the column `at` of a tile of `stride` bytes. */
static void squeeze(Query *state, const int16_t *q, int64_t d, int64_t at, int64_t stride, int8_t *c, int32_t *z) {
    const int64_t width = hurnet_plane_bytes(d) * 2;
    state->q = q;
    state->norm = (double)dot_wide(q, q, d);
    if (state->norm == 0) return;
    state->least = -0x1p100f;
    const double length = sqrt(state->norm * (double)rotate(q, d, width, z, z + width));
    int32_t peak = 0;
    for (int64_t i = 0; i < width; i++) peak = abs(z[i]) > peak ? abs(z[i]) : peak;
    const double step = peak / 127.0;
    double error = 0;
    for (int64_t i = 0; i < width; i++) {
        int w = (int)lrint(z[i] / step);
        double f = z[i] - step * w;
        error += f * f;
        c[i / 4 * stride + at * 4 + i % 4] = (int8_t)w;
        state->sum += w;
    }
    const double rest = sqrt(error), reach = length + rest;
    state->unit = length / (sqrt(state->norm) * reach);
    state->weight = (float)(step / reach);
    state->rest = (float)(rest / reach * (1 + 0x1p-20));
}

/* ---- which rows may be among the k best ---- */

static void sink(float *heap, int64_t n, float value) { /* replaces the smallest */
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (value <= heap[child]) break;
        heap[i] = heap[child];
    }
    heap[i] = value;
}

static void lift(float *heap, int64_t i, float value) { /* adds one at i, the end */
    for (; i && value < heap[(i - 1) / 2]; i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = value;
}

static void drop_beaten(Query *state) {
    int64_t kept = 0;
    for (int64_t i = 0; i < state->count; i++)
        if (state->found[i].upper >= state->least) state->found[kept++] = state->found[i];
    state->count = kept;
}

static int keep(Query *state, Candidate candidate, float lower) {
    if (state->count == state->room) {
        drop_beaten(state);
        if (2 * state->count > state->room) {
            Candidate *larger = realloc(state->found, (size_t)state->room * 2 * sizeof *larger);
            if (!larger) return -1;
            state->found = larger;
            state->room *= 2;
        }
    }
    state->found[state->count++] = candidate;
    if (state->held < state->k) {
        lift(state->best, state->held++, lower);
        if (state->held == state->k) state->least = state->best[0];
    } else if (lower > state->best[0]) {
        sink(state->best, state->k, lower);
        state->least = state->best[0];
    }
    return 0;
}

/* Offers those of a group's rows whose upper bound is not too small, given p·c. */
static int offer(Query *state, const Block *block, int32_t number, int64_t at, const int32_t *dots) {
    uint32_t rows = reaching(dots, block->scale + at, block->slack + at, state->weight, state->least - state->rest);
    for (int64_t r = 0; rows && r < LANES && at + r < block->size; r++) {
        float width = half(block->slack[at + r]) + state->rest;
        float upper = (float)dots[r] * half(block->scale[at + r]) * state->weight + width;
        if (upper >= state->least &&
            keep(state, (Candidate){upper, number, (int32_t)(at + r)}, upper - 2 * width))
            return -1;
    }
    return 0;
}

typedef struct {
    const Block *block;
    int32_t number, at;
} Row;

static void fetch(const Row *row, int64_t d) {
    const char *x = (const char *)(row->block->rows + row->at * d);
    for (int64_t i = 0; i < d * 2; i += 64) __builtin_prefetch(x + i);
    __builtin_prefetch(row->block->norms + row->at);
}

/* Offers rows by their exact value. */
static int offer_exactly(Query *state, const Row *rows, int64_t n, int64_t d, Dot dot) {
    state->valued += n;
    for (int64_t i = 0; i < n; i++) {
        const Block *block = rows[i].block;
        const double norm = (double)block->norms[rows[i].at];
        const Dot fits = state->norm * norm < 0x1p61 ? dot : dot_large;
        double value = (double)fits(state->q, block->rows + rows[i].at * d, d) * state->unit / sqrt(norm);
        float upper = (float)(value + 0x1p-20), lower = (float)(value - 0x1p-20);
        if (upper >= state->least && keep(state, (Candidate){upper, rows[i].number, rows[i].at}, lower)) return -1;
    }
    return 0;
}

/* Rows `at` to `end` of a block by all eight bits. */
static int scan_whole(const Search *search, int64_t b, int64_t at, int64_t end, const int8_t *c, Query *state) {
    const Block *block = search->blocks + b;
    int32_t dots[PAIR][LANES];
    for (; at < end; at += PAIR * LANES) {
        if (!search->use.pair(block, at, c, search->steps, state, dots)) continue;
        for (int64_t g = 0; g < PAIR; g++)
            if (offer(state, block, (int32_t)b, at + g * LANES, dots[g])) return -1;
    }
    return 0;
}

/* One query, by the upper four bits as long as they leave few enough rows. */
static int scan_alone(const Search *search, int64_t b, int64_t from, int64_t end, const int8_t *c, Query *state) {
    const Block *block = search->blocks + b;
    Row queue[QUEUE + PAIR * LANES] = {{0}};
    int64_t waiting = 0, left = 0, at = from;
    if (state->dense && state->dense--) return scan_whole(search, b, from, end, c, state);
    for (; at < end && left <= FEW + (at - from) / SHARE; at += PAIR * LANES) {
        uint32_t rows = search->use.sieve(block, at, c, search->steps, state);
        for (; rows; rows &= rows - 1, left++) {
            int64_t row = at + __builtin_ctz(rows);
            if (row >= block->size) break;
            queue[waiting] = (Row){block, (int32_t)b, (int32_t)row};
            fetch(queue + waiting++, search->d);
        }
        if (waiting < QUEUE) continue;
        if (offer_exactly(state, queue, waiting, search->d, search->use.dot)) return -1;
        waiting = 0;
    }
    if (offer_exactly(state, queue, waiting, search->d, search->use.dot)) return -1;
    /* A block's first chunk does not count: there may have been no bound yet. */
    if (at < end && from && (at - from) * 4 < CHUNK_ROWS) state->dense = DENSE;
    return scan_whole(search, b, at, end, c, state);
}

/* Part `part` of `parts` of both planes of a pair. */
static void fetch_pair(const Block *block, int64_t at, int64_t steps, int64_t part, int64_t parts) {
    const int64_t bytes = PAIR * LANES * steps * 4;
    for (int64_t i = bytes * part / parts; i < bytes * (part + 1) / parts; i += 64) {
        __builtin_prefetch(block->high + at * steps * 4 + i, 0, 2);
        __builtin_prefetch(block->low + at * steps * 4 + i, 0, 2);
    }
}

static int scan_together(const Search *search, int64_t b, int64_t at, int64_t end, uint8_t *bytes, Query *states) {
    const Block *block = search->blocks + b;
    const int64_t steps = search->steps, n = search->n;
    int32_t out[PAIR][TILE][LANES];
    for (; at < end; at += PAIR * LANES) {
        if (search->use.unpack) search->use.unpack(block, at, steps, bytes);
        for (int64_t q = 0; q < n; q += TILE) {
            fetch_pair(block, at + PAIR * LANES, steps, q / TILE, n / TILE);
            if (!search->use.tile(block, at, search->c + q * steps * 8, steps, states + q, bytes, out)) continue;
            for (int64_t g = 0; g < PAIR; g++)
                for (int64_t i = 0; i < TILE; i++)
                    if (offer(states + q + i, block, (int32_t)b, at + g * LANES, out[g][i])) return -1;
        }
    }
    return 0;
}

/* ---- threads: each takes the next chunk that nobody has, with a state of its own for every query ---- */

typedef struct {
    Search *search;
    Query *states;
    uint8_t *bytes;
    int failed;
    pthread_t thread;
} Worker;

static int scan_chunk(const Search *search, int64_t chunk, Query *states, uint8_t *bytes) {
    const int64_t b = chunk / CHUNKS, part = chunk % CHUNKS, size = search->blocks[b].size;
    const int64_t at = part * CHUNK_ROWS, end = part == CHUNKS - 1 || at + CHUNK_ROWS > size ? size : at + CHUNK_ROWS;
    if (search->tile > 1) return scan_together(search, b, at, end, bytes, states);
    for (int64_t i = 0; i < search->n; i++)
        if (scan_alone(search, b, at, end, search->c + i * search->steps * 8, states + i)) return -1;
    return 0;
}

static void *work(void *own) {
    Worker *worker = own;
    Search *search = worker->search;
    while (!worker->failed) {
        int64_t chunk = __atomic_fetch_add(&search->next, 1, __ATOMIC_RELAXED);
        if (chunk >= search->n_blocks * CHUNKS) break;
        worker->failed = scan_chunk(search, chunk, worker->states, worker->bytes);
    }
    return NULL;
}

static int prepare(Query *state, const Query *from, int64_t k) {
    *state = *from;
    state->k = k;
    state->room = 4 * k + 1024;
    state->best = malloc((size_t)k * sizeof *state->best);
    state->found = malloc((size_t)state->room * sizeof *state->found);
    return state->best && state->found ? 0 : -1;
}

static int hire(Worker *worker, Search *search, const Query *queries, const int64_t *except, int64_t k) {
    *worker = (Worker){.search = search};
    worker->states = calloc((size_t)search->n, sizeof *worker->states);
    worker->bytes = malloc((size_t)search->steps * 128 * PAIR);
    if (!worker->states || !worker->bytes) return -1;
    for (int64_t i = 0; i < search->n; i++)
        if (prepare(worker->states + i, queries + i, k + (except && i < search->asked && except[3 * i]))) return -1;
    return 0;
}

static void dismiss(Worker *worker, int64_t n) {
    for (int64_t i = 0; worker->states && i < n; i++) free(worker->states[i].best), free(worker->states[i].found);
    free(worker->states);
    free(worker->bytes);
}

/* What one worker has found, to another's: `least` is then that of both. */
static int merge(Query *into, const Query *from) {
    const float least = fmaxf(into->least, from->least);
    for (int64_t i = 0; i < from->count; i++)
        if (from->found[i].upper >= least && keep(into, from->found[i], -INFINITY)) return -1;
    into->least = least;
    into->valued += from->valued;
    return 0;
}

/* The first worker is this thread, and ends with everything. */
static int scan_all(Worker *workers, int64_t threads, int64_t n) {
    int64_t started = 1;
    while (started < threads && !pthread_create(&workers[started].thread, NULL, work, workers + started)) started++;
    work(workers);
    int failed = workers->failed;
    for (int64_t t = 1; t < started; t++) {
        pthread_join(workers[t].thread, NULL);
        failed |= workers[t].failed;
        for (int64_t i = 0; i < n && !failed; i++) failed = merge(workers->states + i, workers[t].states + i);
    }
    return failed;
}

/* ---- the survivors, in integers ---- */

/* Like cosines, exactly: dots are below 2^43 and norms below 2^42, so the products stay below 2^127. */
static int exactly(const Match *a, const Match *b) {
    __int128 left = (__int128)a->dot * llabs(a->dot) * b->norm, right = (__int128)b->dot * llabs(b->dot) * a->norm;
    return (left < right) - (left > right);
}

static int better(const void *one, const void *other) {
    const Match *a = one, *b = other;
    double far = 1e-12 * fmax(fabs(a->cosine), fabs(b->cosine)); /* float64 errs by less than 1e-15 */
    if (fabs(a->cosine - b->cosine) > far) return a->cosine > b->cosine ? -1 : 1;
    int order = exactly(a, b);
    if (order) return order;
    if (a->partition != b->partition) return a->partition < b->partition ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

static int64_t decide(Query *state, const Block *blocks, int64_t d, const int64_t *except, Dot fast, int64_t *rows,
                      double *cosines) {
    drop_beaten(state);
    Match *matches = malloc((size_t)(state->count + 1) * sizeof *matches);
    if (!matches) return -1;
    int64_t n = 0;
    for (int64_t i = 0; i < state->count; i++) {
        const Block *b = blocks + state->found[i].block;
        int64_t at = state->found[i].at, norm = b->norms[at];
        if (except && b->partitions[at] == except[0] && b->offsets[at] == except[1]) continue;
        int64_t dot = (state->norm * (double)norm < 0x1p61 ? fast : dot_large)(state->q, b->rows + at * d, d);
        matches[n++] = (Match){dot, norm, b->partitions[at], b->offsets[at], b->first + at, dot / sqrt((double)norm)};
    }
    qsort(matches, (size_t)n, sizeof *matches, better);
    int64_t wanted = state->k - (except != NULL);
    if (n > wanted) n = wanted;
    for (int64_t i = 0; i < n; i++) {
        rows[i] = matches[i].row;
        cosines[i] = (double)matches[i].dot / (sqrt((double)matches[i].norm) * sqrt(state->norm));
    }
    free(matches);
    return n;
}

INLINE int leaves_grid(const int16_t *x, int64_t n) {
    int outside = 0;
    for (int64_t i = 0; i < n; i++) outside |= (x[i] > 16384) | (x[i] < -16384);
    return outside;
}

/* The k best rows of the blocks for each of n queries. `except`, where it is not NULL, is (n, 3): a flag, partition and
 * offset of the entry that must not answer. `out` is, for each query, how many were found, their rows, best first, and
 * their cosines (1 + k + k), none for a query of zeros; then how many rows the upper four bits left, where they were
 * asked, and how many were left in the end. Returns 0, -1 without memory, or 1 for a query that is not on the grid. */
int hurnet_search(const Block *blocks, int64_t n_blocks, int64_t d, const int16_t *queries, int64_t n, int64_t k,
                  const int64_t *except, int level, int64_t threads, int64_t *out) {
    if (leaves_grid(queries, n * d)) return 1;
    const int64_t steps = hurnet_plane_bytes(d) / 4, tile = n > ALONE ? TILE : 1, padded = (n + tile - 1) / tile * tile;
    Query *states = calloc((size_t)padded, sizeof *states);
    int8_t *c = calloc((size_t)padded, (size_t)steps * 8);
    int32_t *z = malloc((size_t)steps * 16 * sizeof *z);
    Worker *workers = calloc((size_t)threads, sizeof *workers);
    Search search = {blocks, n_blocks, d, steps, tile, n, padded, c, kernels(level), 0};
    int failed = states && c && z && workers ? 0 : -1;
    for (int64_t i = 0; i < padded && !failed; i++) {
        states[i].least = INFINITY; /* which nothing reaches */
        if (i < n) squeeze(states + i, queries + i * d, d, i % tile, tile * 4, c + (i - i % tile) * steps * 8, z);
    }
    for (int64_t t = 0; t < threads && !failed; t++) failed = hire(workers + t, &search, states, except, k);
    if (!failed) failed = scan_all(workers, threads, n);
    int64_t *looked = out + n * (1 + 2 * k);
    looked[0] = looked[1] = 0;
    for (int64_t i = 0; i < n && !failed; i++, out += 1 + 2 * k) {
        const int64_t *own = except && except[3 * i] ? except + 3 * i + 1 : NULL;
        *out = decide(workers->states + i, blocks, d, own, search.use.dot, out + 1, (double *)(out + 1 + k));
        looked[0] += workers->states[i].valued;
        looked[1] += workers->states[i].count;
        failed = *out < 0 ? -1 : 0;
    }
    for (int64_t t = 0; workers && t < threads; t++) dismiss(workers + t, padded);
    free(workers);
    free(z);
    free(c);
    free(states);
    return failed;
}
