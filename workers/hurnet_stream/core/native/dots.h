#pragma once

#include "types.h"

typedef uint32_t (*Sieve)(const Block *, int64_t, const int8_t *, int64_t, const Query *);
typedef uint32_t (*Pair)(const Block *, int64_t, const int8_t *, int64_t, const Query *, int32_t [PAIR][LANES]);
typedef void (*Unpack)(const Block *, int64_t, int64_t, uint8_t *);
typedef struct { /* of the next pair, what is fetched from memory meanwhile */
    const uint8_t *high, *low;
    int64_t lines; /* of 64 bytes each */
} Ahead;
typedef int (*Tile)(const Block *, int64_t, const int8_t *, int64_t, const Query *, const uint8_t *, Ahead,
                    int32_t [PAIR][TILE][LANES], uint32_t [TILE]);
typedef int64_t (*Dot)(const int16_t *, const int16_t *, int64_t);

typedef struct { /* the kernels for one kind of CPU; a pair is 32 rows of a block, from slot `slot` on */
    Sieve sieve;   /* the rows of a pair that the upper four bits leave, as bits */
    Pair pair;     /* p·c of a pair by all eight bits; the rows that reach `least`, as bits */
    Unpack unpack; /* p + 128 of a pair, [PAIR][d/4][LANES][4], if `tile` wants it; else NULL */
    Tile tile;     /* p·c of a pair for a tile of queries, and the rows that reach each one's `least`; 0 if none does */
    Dot dot;       /* a·b of two rows whose |a||b| is below 2^31 */
} Kernels;

/* level 0: any CPU, 1: AVX2, 2: AVX-512 VNNI */
HIDDEN Kernels hurnet_kernels(int level);

/* The rows of a group, as bits, whose upper bound reaches `bar`, given p·c or, with half the weight, (2p)·c. */
INLINE uint32_t reaching(const int32_t *dots, const uint16_t *scale, const uint16_t *slack, float weight, float bar) {
    uint32_t rows = 0;
    float upper[LANES];
    for (int r = 0; r < LANES; r++) upper[r] = (float)dots[r] * half(scale[r]) * weight + half(slack[r]);
    for (int r = 0; r < LANES; r++) rows |= (uint32_t)(upper[r] >= bar) << r;
    return rows;
}
