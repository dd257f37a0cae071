/* What the parts of the exact search share. What the names mean and why no row that could win is lost is proved in
 * hurnet/core/search/bounds.py; the C only has to evaluate those bounds in float32. */

#pragma once

#include <math.h>
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

#define HIDDEN __attribute__((visibility("hidden")))

#define LANES 16 /* rows of a group: a plane is [group][steps][LANES][4], four bits a component: a step is eight, the
                  * first four below the second; their number is even */
#define PAIR 2   /* groups that are read at once */
#define TILE 8   /* queries that a batch kernel takes at once */

typedef struct { /* as Block.described in hurnet/core/search/blocks.py */
    const int16_t *rows;
    const uint8_t *high, *low;      /* p + 128 = 16 high + low */
    const uint16_t *scale;          /* g; these three are the upper halves of float32 */
    const uint16_t *slack, *coarse; /* r, for all 8 bits and for the upper 4: -inf where there is no row */
    const int64_t *norms;
    const int32_t *partitions;
    const int64_t *offsets;
    int64_t first, size;
} Block;

typedef struct {
    float upper;
    int32_t block, at;
} Candidate;

typedef struct {
    const int16_t *q;
    double norm, unit;  /* |q|^2, and |z| / (|q| A): what q·x / |x| counts for */
    float weight, rest; /* t / A and |f| / A: an estimate errs by at most a row's slack and the rest */
    float least;        /* a row with a smaller upper bound can't be among the k best */
    int32_t sum;        /* of the coefficients: they meet p + 128 */
    int64_t k, held, count, room, valued;
    int64_t dense;      /* chunks to come that are read whole */
    float *best;        /* heap of the k largest lower bounds, the smallest on top */
    Candidate *found;
} Query;

typedef uint32_t (*Sieve)(const Block *, int64_t, const int8_t *, int64_t, const Query *);
typedef int (*Pair)(const Block *, int64_t, const int8_t *, int64_t, const Query *, int32_t [PAIR][LANES]);
typedef void (*Unpack)(const Block *, int64_t, int64_t, uint8_t *);
typedef struct { /* of the next pair, what is fetched from memory meanwhile */
    const uint8_t *high, *low;
    int64_t lines; /* of 64 bytes each */
} Ahead;
typedef int (*Tile)(const Block *, int64_t, const int8_t *, int64_t, const Query *, const uint8_t *, Ahead,
                    int32_t [PAIR][TILE][LANES]);
typedef int64_t (*Dot)(const int16_t *, const int16_t *, int64_t);
typedef struct {
    Sieve sieve;   /* the rows of a pair that the upper four bits leave, as bits */
    Pair pair;     /* p·c of a pair; 0 where no row reaches `least` */
    Unpack unpack; /* p + 128 of a pair, [PAIR][d/4][LANES][4], where `tile` wants it */
    Tile tile;     /* p·c of a pair for a tile of queries; 0 where no row reaches the `least` of any */
    Dot dot;
} Kernels;
/* dots.c; level 0: any CPU, 1: AVX2, 2: AVX-512 VNNI */
HIDDEN Kernels hurnet_kernels(int level);

/* planes.c */
int64_t hurnet_plane_bytes(int64_t d);
HIDDEN void hurnet_squeeze(Query *state, const int16_t *q, int64_t d, int64_t at, int64_t stride, int8_t *c,
                           int32_t *z);

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

INLINE int64_t dot_wide(const int16_t *a, const int16_t *b, int64_t d) {
    int64_t sum = 0;
    for (int64_t i = 0; i < d; i++) sum += a[i] * b[i];
    return sum;
}
