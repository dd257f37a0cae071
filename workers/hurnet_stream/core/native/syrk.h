/* The products that syrk.c and gram.c share: tiles of dot products of packed int16, which syrk.c explains. */

#pragma once

#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define HIDDEN __attribute__((visibility("hidden")))

INLINE int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2")))
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

enum { PANEL = 16, TILE = 8 };

/* Dot products of 8 columns, at `left` in their panel, with those of one panel or two. */
typedef void tile_function(const int32_t *left, const int32_t *right, int64_t pairs, int panels,
                           int32_t out[TILE][2 * PANEL]);

HIDDEN tile_function hurnet_tile_vnni, hurnet_tile_avx2;
#endif
