/* What planes.c, dots.c and scan.c share: a block of rows, and a query on its way through the blocks.
 *
 *     types.h <- planes.h <- planes.c      from vectors to planes of 4 bits
 *             <- dots.h   <- dots.c        from planes to products, and which rows reach a bound
 *                         <- scan.c        the search: which rows are read, kept and compared in integers
 *
 * The letters are those of hurnet_stream/core/search/bounds.py, where it is proved that no row that could win is lost; the C
 * only has to evaluate those bounds in float32. */

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

#define LANES 16 /* rows of a group, which stand beside one another in a plane */
#define PAIR 2   /* groups that are read at once */
#define TILE 8   /* queries that a batch kernel takes at once */

/* A plane is [group][step][LANES][4] bytes. A step is eight components of each row, two in a byte: the first four in
 * the lower halves, the second four in the upper ones. The number of steps is even.
 *
 *     group 0, step 0   row 0: 40 51 62 73      row 1: 40 51 62 73      ...    row 15: 40 51 62 73
 *     group 0, step 1   row 0: c8 d9 ea fb      row 1: ...              (a byte by its two components, in hexadecimal)
 */
typedef struct { /* as Block.struct in hurnet_stream/core/search/block.py gives it */
    const int16_t *rows;            /* [row][d] */
    const uint8_t *high, *low;      /* the planes: p + 128 = 16 high + low */
    const uint16_t *scale;          /* g; these three are the upper halves of float32 */
    const uint16_t *slack, *coarse; /* r, for all 8 bits and for the upper 4: -inf for a row that was removed */
    const int64_t *norms;           /* |x|^2 */
    const int32_t *partitions;
    const int64_t *offsets;
    const int32_t *answers;         /* by number */
    const uint64_t *sums;           /* of rows that lie in a file (row_sums.h), 0 for one that needs no check; or NULL */
    int64_t first, size;            /* the index's number of its first row; how many rows it holds */
} Block;

typedef struct { /* some rows of a block once more, side by side (hurnet_stream/core/search/excerpts.py) */
    const uint8_t *high;            /* these three as of a block that has these rows alone */
    const uint16_t *scale, *coarse;
    const uint16_t *slots;          /* which slots of the block they are, ascending */
    int64_t size;                   /* how many; 0: there is no excerpt of this block */
} Excerpt;

typedef struct { /* a row that may be among the k best */
    float upper; /* no less than its bound */
    int32_t block, slot;
} Survivor;

typedef struct {
    const int16_t *q;
    const uint8_t *without; /* by answer: whether its rows don't count. NULL: all do */
    const uint8_t *within;  /* a bit for each row: whether it may answer. NULL: all may */
    const Excerpt *excerpts; /* by block: of the rows that may answer it, and of others maybe. NULL: there are none */
    double norm, unit;  /* |q|^2, and |z| / (|q| A): what q·x / |x| counts for */
    float weight, rest; /* t / A and |f| / A: an estimate errs by at most a row's slack and the rest */
    float least;        /* a row with a smaller upper bound can't be among the k best */
    int32_t from, to;   /* the steps that have coefficients other than 0; both are even */
    int32_t sum;        /* of the coefficients: they meet p + 128, so 128 times this is subtracted */
    int64_t k, held;    /* lower bounds wanted, and how many there are in `best` */
    int64_t count, room; /* survivors found, and for how many there is memory */
    int64_t valued;     /* rows compared in integers during the pass */
    int64_t dense;      /* chunks to come that are read whole */
    int64_t damaged;    /* whether a row was read that is not what it was */
    float *best;        /* a heap of the k largest lower bounds, the smallest on top */
    Survivor *found;
} Query;

INLINE float half(uint16_t upper) { /* the float32 whose upper half this is, its lower half being zero */
    uint32_t bits = (uint32_t)upper << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

INLINE int64_t dot_wide(const int16_t *a, const int16_t *b, int64_t d) {
    int64_t sum = 0;
    for (int64_t i = 0; i < d; i++) sum += a[i] * b[i];
    return sum;
}
