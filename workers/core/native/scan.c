/* The exact search of workers/core/scan.py in one pass over its 8-bit planes. What the names mean and why no row that
 * could win is lost is proved in workers/core/bounds.py; this file only has to evaluate those bounds in float32. */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define TARGET_VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define TARGET_AVX2 __attribute__((target("avx2,fma")))
#endif

#define LANES 16 /* rows of a group: the plane is [group][d/4][LANES][4] */
#define TILE 8   /* queries that a batch kernel takes at once */
#define PAIR 2   /* groups that it takes at once */

typedef struct { /* as _BLOCK in workers/core/scan.py */
    const int16_t *rows;
    const uint8_t *plane; /* p + 128 */
    const float *scale;   /* s / |x| */
    const float *slack;   /* -inf where there is no row */
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
    float high, low;             /* what the two dot products count for */
    int32_t high_sum, low_sum;   /* 128 times the sum of the coefficients: the plane's offset */
    float reach, rest;           /* |q| + |f| and |f|: the error of an estimate is at most reach * slack + rest */
    float least;                 /* a row with a smaller upper bound can't be among the k best */
    int64_t k, held, count, room;
    float *best;                 /* heap of the k largest lower bounds, the smallest on top */
    Candidate *found;
} Query;

/* ---- dot products of one or two groups of rows with coefficients [d/4][n][4] ---- */

typedef void (*Pair)(const uint8_t *, const int8_t *, int64_t, int32_t [2][LANES]);
typedef void (*Tile)(const uint8_t *, const int8_t *, int64_t, int32_t [PAIR][TILE][LANES]);
typedef unsigned (*Sift)(const Query *, const float *, const float *, const int32_t *, const int32_t *, float *, float *);
typedef int64_t (*Dot)(const int16_t *, const int16_t *, int64_t);
typedef struct {
    Pair pair;
    Tile tile;
    Dot dot;
    Sift sift;
} Kernels;

static inline __attribute__((always_inline)) void dots_any(const uint8_t *plane, const int8_t *c, int64_t quads,
                                                           int64_t n, int32_t *out) {
    memset(out, 0, (size_t)n * LANES * sizeof *out);
    for (int64_t j = 0; j < quads; j++)
        for (int64_t q = 0; q < n; q++) {
            const int8_t *w = c + (j * n + q) * 4;
            for (int64_t r = 0; r < LANES; r++) {
                const uint8_t *p = plane + (j * LANES + r) * 4;
                out[q * LANES + r] += p[0] * w[0] + p[1] * w[1] + p[2] * w[2] + p[3] * w[3];
            }
        }
}

static void pair_any(const uint8_t *plane, const int8_t *c, int64_t quads, int32_t out[2][LANES]) {
    dots_any(plane, c, quads, 2, out[0]);
}

static void tile_any(const uint8_t *plane, const int8_t *c, int64_t quads, int32_t out[PAIR][TILE][LANES]) {
    for (int64_t g = 0; g < PAIR; g++) dots_any(plane + g * quads * LANES * 4, c, quads, TILE, out[g][0]);
}

/* Every partial sum is at most |a| |b| (Cauchy-Schwarz): the caller sees to it that this fits 31 bits. */
static inline __attribute__((always_inline)) int64_t dot_body(const int16_t *a, const int16_t *b, int64_t d) {
    int32_t sum = 0;
    for (int64_t i = 0; i < d; i++) sum += a[i] * b[i];
    return sum;
}

/* The upper bounds of a group's rows and how wide they are; the bits of those that reach `least`. */
static inline __attribute__((always_inline)) unsigned sift_body(const Query *state, const float *scale,
                                                                const float *slack, const int32_t *high,
                                                                const int32_t *low, float *upper, float *width) {
    unsigned rows = 0;
    for (int r = 0; r < LANES; r++) {
        float product = state->high * (float)(high[r] - state->high_sum) + state->low * (float)(low[r] - state->low_sum);
        width[r] = state->reach * slack[r] + state->rest;
        upper[r] = product * scale[r] + width[r];
    }
    for (int r = 0; r < LANES; r++) rows |= (unsigned)(upper[r] >= state->least) << r;
    return rows;
}

static unsigned sift_any(const Query *state, const float *scale, const float *slack, const int32_t *high,
                         const int32_t *low, float *upper, float *width) {
    return sift_body(state, scale, slack, high, low, upper, width);
}

static int64_t dot_any(const int16_t *a, const int16_t *b, int64_t d) { return dot_body(a, b, d); }

static inline __attribute__((always_inline)) int64_t dot_wide(const int16_t *a, const int16_t *b, int64_t d) {
    int64_t sum = 0;
    for (int64_t i = 0; i < d; i++) sum += a[i] * b[i];
    return sum;
}

static int64_t dot_large(const int16_t *a, const int16_t *b, int64_t d) { return dot_wide(a, b, d); }

#if defined(__x86_64__)
TARGET_AVX2 static inline __m256i avx2_quad(__m256i sum, const uint8_t *plane, __m256i w) {
    __m256i rows = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)plane));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(rows, w)); /* maddubs would saturate */
}

TARGET_AVX2 static void avx2_group(const uint8_t *plane, const int8_t *c, int64_t quads, int64_t n, int64_t q,
                                   int32_t *out) {
    __m256i sum[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int64_t j = 0; j < quads; j++) {
        int32_t four;
        memcpy(&four, c + (j * n + q) * 4, 4);
        __m256i w = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)));
        for (int r = 0; r < 4; r++) sum[r] = avx2_quad(sum[r], plane + j * 64 + r * 16, w);
    }
    for (int r = 0; r < 4; r += 2) { /* adjacent lanes belong to one row */
        __m256i rows = _mm256_permute4x64_epi64(_mm256_hadd_epi32(sum[r], sum[r + 1]), 0xD8);
        _mm256_storeu_si256((__m256i *)(out + r * 4), rows);
    }
}

TARGET_AVX2 static void pair_avx2(const uint8_t *plane, const int8_t *c, int64_t quads, int32_t out[2][LANES]) {
    for (int64_t q = 0; q < 2; q++) avx2_group(plane, c, quads, 2, q, out[q]);
}

TARGET_AVX2 static void tile_avx2(const uint8_t *plane, const int8_t *c, int64_t quads,
                                  int32_t out[PAIR][TILE][LANES]) {
    for (int64_t g = 0; g < PAIR; g++)
        for (int64_t q = 0; q < TILE; q++) avx2_group(plane + g * quads * 64, c, quads, TILE, q, out[g][q]);
}

TARGET_AVX2 static unsigned sift_avx2(const Query *state, const float *scale, const float *slack, const int32_t *high,
                                      const int32_t *low, float *upper, float *width) {
    return sift_body(state, scale, slack, high, low, upper, width);
}

TARGET_AVX2 static int64_t dot_avx2(const int16_t *a, const int16_t *b, int64_t d) { return dot_body(a, b, d); }

TARGET_VNNI static inline __m512i four(const int8_t *c) {
    int32_t bytes;
    memcpy(&bytes, c, 4);
    return _mm512_set1_epi32(bytes);
}

TARGET_VNNI static void pair_vnni(const uint8_t *plane, const int8_t *c, int64_t quads, int32_t out[2][LANES]) {
    __m512i sum[2][4]; /* four chains hide the latency of a multiplication */
    for (int i = 0; i < 4; i++) sum[0][i] = sum[1][i] = _mm512_setzero_si512();
    int64_t j = 0;
    for (; j + 4 <= quads; j += 4)
        for (int i = 0; i < 4; i++) {
            __m512i rows = _mm512_loadu_si512(plane + (j + i) * 64);
            sum[0][i] = _mm512_dpbusd_epi32(sum[0][i], rows, four(c + (j + i) * 8));
            sum[1][i] = _mm512_dpbusd_epi32(sum[1][i], rows, four(c + (j + i) * 8 + 4));
        }
    for (; j < quads; j++) {
        __m512i rows = _mm512_loadu_si512(plane + j * 64);
        sum[0][0] = _mm512_dpbusd_epi32(sum[0][0], rows, four(c + j * 8));
        sum[1][0] = _mm512_dpbusd_epi32(sum[1][0], rows, four(c + j * 8 + 4));
    }
    for (int q = 0; q < 2; q++) {
        __m512i ab = _mm512_add_epi32(sum[q][0], sum[q][1]), cd = _mm512_add_epi32(sum[q][2], sum[q][3]);
        _mm512_storeu_si512(out[q], _mm512_add_epi32(ab, cd));
    }
}

TARGET_VNNI static void tile_vnni(const uint8_t *plane, const int8_t *c, int64_t quads,
                                  int32_t out[PAIR][TILE][LANES]) {
    __m512i a[TILE], b[TILE];
    for (int q = 0; q < TILE; q++) a[q] = b[q] = _mm512_setzero_si512();
    const uint8_t *next = plane + quads * 64;
    for (int64_t j = 0; j < quads; j++) {
        __m512i here = _mm512_loadu_si512(plane + j * 64), there = _mm512_loadu_si512(next + j * 64);
        for (int q = 0; q < TILE; q++) {
            __m512i w = four(c + (j * TILE + q) * 4);
            a[q] = _mm512_dpbusd_epi32(a[q], here, w);
            b[q] = _mm512_dpbusd_epi32(b[q], there, w);
        }
    }
    for (int q = 0; q < TILE; q++) {
        _mm512_storeu_si512(out[0][q], a[q]);
        _mm512_storeu_si512(out[1][q], b[q]);
    }
}

TARGET_VNNI static inline __m512 vnni_part(float weight, const int32_t *dots, int32_t sum) {
    __m512i shifted = _mm512_sub_epi32(_mm512_loadu_si512(dots), _mm512_set1_epi32(sum));
    return _mm512_mul_ps(_mm512_set1_ps(weight), _mm512_cvtepi32_ps(shifted));
}

TARGET_VNNI static unsigned sift_vnni(const Query *state, const float *scale, const float *slack, const int32_t *high,
                                      const int32_t *low, float *upper, float *width) {
    __m512 product = vnni_part(state->high, high, state->high_sum);
    if (state->low != 0) product = _mm512_add_ps(product, vnni_part(state->low, low, state->low_sum));
    __m512 reach = _mm512_mul_ps(_mm512_set1_ps(state->reach), _mm512_loadu_ps(slack));
    reach = _mm512_add_ps(reach, _mm512_set1_ps(state->rest));
    __m512 bound = _mm512_add_ps(_mm512_mul_ps(product, _mm512_loadu_ps(scale)), reach);
    unsigned rows = _mm512_cmp_ps_mask(bound, _mm512_set1_ps(state->least), _CMP_GE_OQ);
    if (rows) {
        _mm512_storeu_ps(upper, bound);
        _mm512_storeu_ps(width, reach);
    }
    return rows;
}

TARGET_VNNI static int64_t dot_vnni(const int16_t *a, const int16_t *b, int64_t d) { return dot_body(a, b, d); }
#endif

static Kernels kernels(int level) { /* 0: any CPU, 1: AVX2, 2: AVX-512 VNNI */
#if defined(__x86_64__)
    if (level == 2) return (Kernels){pair_vnni, tile_vnni, dot_vnni, sift_vnni};
    if (level == 1) return (Kernels){pair_avx2, tile_avx2, dot_avx2, sift_avx2};
#endif
    (void)level;
    return (Kernels){pair_any, tile_any, dot_any, sift_any};
}

/* ---- the plane of a row, and the coefficients of a query ---- */

/* Writes row `at` of a block's plane. Returns |x|^2. */
static inline __attribute__((always_inline)) int64_t pack_row(const int16_t *x, int64_t d, int64_t at, uint8_t *plane,
                                                              float *scale, float *slack) {
    int peak = 0;
    for (int64_t i = 0; i < d; i++) peak = abs(x[i]) > peak ? abs(x[i]) : peak;
    const float step = (float)peak / 127.0f, inverse = 127.0f / (float)peak;
    uint8_t *column = plane + (at / LANES) * ((d + 3) / 4) * LANES * 4 + (at % LANES) * 4;
    double error[8] = {0}; /* so many sums that a compiler may keep in one register */
    for (int64_t i = 0; i < d; i += 8) {
        uint8_t bytes[8];
        for (int64_t j = 0; j < 8; j++) {
            int v = i + j < d ? x[i + j] : 0;
            int p = (int)((float)v * inverse + (v < 0 ? -0.5f : 0.5f));
            double e = (double)v - (double)step * p;
            error[j] += e * e;
            bytes[j] = (uint8_t)(p + 128);
        }
        memcpy(column + (i / 4) * LANES * 4, bytes, 4);
        if (i + 4 < d) memcpy(column + (i / 4 + 1) * LANES * 4, bytes + 4, 4);
    }
    for (int j = 1; j < 8; j++) error[0] += error[j];
    int64_t norm = dot_wide(x, x, d);
    double length = sqrt((double)norm), rho = sqrt(error[0]) / length;
    scale[at] = (float)(step / length);
    slack[at] = (float)((rho + 0x1p-18 * (1 + rho)) * (1 + 0x1p-20));
    return norm;
}

#define PACK(name, target)                                                                                         \
    target void name(const int16_t *x, int64_t n, int64_t d, int64_t at, uint8_t *plane, float *scale, float *slack, \
                     int64_t *norms) {                                                                               \
        for (int64_t i = 0; i < n; i++) norms[at + i] = pack_row(x + i * d, d, at + i, plane, scale, slack);         \
    }
PACK(hurnet_pack, )
#if defined(__x86_64__)
PACK(hurnet_pack_avx2, TARGET_AVX2)
#endif

static double length_of(const int16_t *q, int64_t d) { return sqrt((double)dot_wide(q, q, d)) * (1 + 0x1p-40); }

/* q = 256 high + low, exactly: for single queries, where memory is the limit and products cost nothing. */
static void split(Query *state, const int16_t *q, int64_t d, int8_t *c) {
    memset(c, 0, (size_t)((d + 3) / 4) * 8);
    for (int64_t i = 0; i < d; i++) {
        int high = (q[i] + 128) >> 8, low = q[i] - 256 * high;
        c[(i / 4) * 8 + i % 4] = (int8_t)high;
        c[(i / 4) * 8 + 4 + i % 4] = (int8_t)low;
        state->high_sum += 128 * high;
        state->low_sum += 128 * low;
    }
    state->high = 256;
    state->low = 1;
    state->reach = (float)(length_of(q, d) * (1 + 0x1p-20));
}

/* q = t c + f with 8-bit c, the column `at` of a tile: half the work, a wider bound. */
static void squeeze(Query *state, const int16_t *q, int64_t d, int64_t at, int8_t *c) {
    int peak = 1;
    for (int64_t i = 0; i < d; i++) peak = abs(q[i]) > peak ? abs(q[i]) : peak;
    float step = (float)peak / 127.0f;
    double error = 0;
    for (int64_t i = 0; i < d; i++) {
        int w = (int)lrintf((float)q[i] / step);
        double f = (double)q[i] - (double)step * w;
        error += f * f;
        c[((i / 4) * TILE + at) * 4 + i % 4] = (int8_t)w;
        state->high_sum += 128 * w;
    }
    state->high = step;
    state->rest = (float)(sqrt(error) * (1 + 0x1p-20));
    state->reach = (float)((length_of(q, d) + state->rest) * (1 + 0x1p-20));
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

/* Offers the rows of a group whose upper bound is not too small, given the dot products with the coefficients (`low`
 * may be the same as `high`). */
static inline int offer(Query *state, const Block *block, int32_t number, int64_t at, const int32_t *high,
                        const int32_t *low, Sift sift) {
    float upper[LANES], width[LANES];
    unsigned rows = sift(state, block->scale + at, block->slack + at, high, low, upper, width);
    if (!rows) return 0;
    for (int64_t r = 0; r < LANES && at + r < block->size; r++)
        if (rows >> r & 1 && upper[r] >= state->least &&
            keep(state, (Candidate){upper[r], number, (int32_t)(at + r)}, upper[r] - 2 * width[r]))
            return -1;
    return 0;
}

static int scan_alone(const Block *blocks, int64_t n_blocks, int64_t d, Query *state, const int8_t *c, Kernels use) {
    int64_t quads = (d + 3) / 4;
    int32_t out[2][LANES];
    for (int64_t b = 0; b < n_blocks; b++)
        for (int64_t at = 0; at < blocks[b].size; at += LANES) {
            use.pair(blocks[b].plane + at * quads * 4, c, quads, out);
            if (offer(state, blocks + b, (int32_t)b, at, out[0], out[1], use.sift)) return -1;
        }
    return 0;
}

static int scan_together(const Block *blocks, int64_t n_blocks, int64_t d, Query *states, int64_t n, const int8_t *c,
                         Kernels use) {
    int64_t quads = (d + 3) / 4;
    int32_t out[PAIR][TILE][LANES];
    for (int64_t b = 0; b < n_blocks; b++)
        for (int64_t at = 0; at < blocks[b].size; at += PAIR * LANES)
            for (int64_t q = 0; q < n; q += TILE) {
                use.tile(blocks[b].plane + at * quads * 4, c + q * quads * 4, quads, out);
                for (int64_t g = 0; g < PAIR && at + g * LANES < blocks[b].size; g++)
                    for (int64_t i = 0; i < TILE && q + i < n; i++)
                        if (offer(states + q + i, blocks + b, (int32_t)b, at + g * LANES, out[g][i], out[g][i],
                                  use.sift))
                            return -1;
            }
    return 0;
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

static int64_t decide(Query *state, const Block *blocks, const int16_t *q, int64_t d, const int64_t *except, Dot fast,
                      int64_t *rows, int64_t *dots, int64_t *norms) {
    drop_beaten(state);
    Match *matches = malloc((size_t)(state->count + 1) * sizeof *matches);
    if (!matches) return -1;
    int64_t own = dot_wide(q, q, d), n = 0;
    for (int64_t i = 0; i < state->count; i++) {
        const Block *b = blocks + state->found[i].block;
        int64_t at = state->found[i].at, norm = b->norms[at];
        if (except && b->partitions[at] == except[0] && b->offsets[at] == except[1]) continue;
        int64_t dot = ((double)own * (double)norm < 0x1p61 ? fast : dot_large)(q, b->rows + at * d, d);
        matches[n++] = (Match){dot, norm, b->partitions[at], b->offsets[at], b->first + at, dot / sqrt((double)norm)};
    }
    qsort(matches, (size_t)n, sizeof *matches, better);
    int64_t wanted = state->k - (except != NULL);
    if (n > wanted) n = wanted;
    for (int64_t i = 0; i < n; i++) rows[i] = matches[i].row, dots[i] = matches[i].dot, norms[i] = matches[i].norm;
    free(matches);
    return n;
}

/* The k best rows of the blocks for each of n queries (none of zeros), best first, into rows, dots and norms (n, k);
 * `found` (n) says how many. `except` (n, 3) is a flag, partition and offset: the entry that must not answer. `looked`
 * is how many rows were looked at exactly. Returns 0, or -1 without memory. */
int hurnet_search(const Block *blocks, int64_t n_blocks, int64_t d, const int16_t *queries, int64_t n, int64_t k,
                  const int64_t *except, int level, int64_t *rows, int64_t *dots, int64_t *norms, int64_t *found,
                  int64_t *looked) {
    Kernels use = kernels(level);
    int64_t quads = (d + 3) / 4, padded = (n + TILE - 1) / TILE * TILE;
    int together = n > 2, failed = -1;
    Query *states = calloc((size_t)n, sizeof *states);
    int8_t *c = calloc((size_t)(together ? padded : 2 * n), (size_t)quads * 4);
    if (!states || !c) goto end;
    for (int64_t i = 0; i < n; i++) {
        Query *state = states + i;
        state->k = k + except[3 * i];
        state->room = 4 * state->k + 1024;
        state->least = -0x1p100f;
        state->best = malloc((size_t)state->k * sizeof *state->best);
        state->found = malloc((size_t)state->room * sizeof *state->found);
        if (!state->best || !state->found) goto end;
        if (together)
            squeeze(state, queries + i * d, d, i % TILE, c + (i - i % TILE) * quads * 4);
        else
            split(state, queries + i * d, d, c + i * quads * 8);
    }
    failed = 0;
    if (together) failed = scan_together(blocks, n_blocks, d, states, n, c, use);
    for (int64_t i = 0; i < n && !failed; i++) {
        if (!together) failed = scan_alone(blocks, n_blocks, d, states + i, c + i * quads * 8, use);
        const int64_t *own = except[3 * i] ? except + 3 * i + 1 : NULL;
        if (!failed)
            found[i] = decide(states + i, blocks, queries + i * d, d, own, use.dot, rows + i * k, dots + i * k,
                              norms + i * k);
        *looked += states[i].count;
        failed |= found[i] < 0;
    }
end:
    for (int64_t i = 0; states && i < n; i++) free(states[i].best), free(states[i].found);
    free(states);
    free(c);
    return failed;
}
