/* Dot products of a few hundred int16 rows with each other, exactly, over one range of their components: the upper
   triangle of XXᵀ in int32.

   A row times a row is, seen from the side, a column times a column. So the tiles of syrk.c do it once the rows stand
   on end, sixteen of them beside one another:

       row 0     a0 a1 a2 a3 ...               a0 a1 | b0 b1 | c0 c1 | ...      16 rows: the first pair of components
       row 1     b0 b1 b2 b3 ...    packed as  a2 a3 | b2 b3 | c2 c3 | ...               the second
       row 2     c0 c1 c2 c3 ...

   The caller sees to it that each row has |x|² < 2³¹. Sums then fit int32, as |x·y| <= |x||y| (Cauchy-Schwarz): one that
   wraps on its way is right in the end. */

#include "gram.h"
#include "syrk.h"

void hurnet_gram_any(const int16_t *const *rows, int64_t m, int64_t first, int64_t end, int32_t *packed, int32_t *gram)
{
    (void)packed;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = i; j < m; j++) {
            uint32_t sum = 0;
            for (int64_t k = first; k < end; k++)
                sum += (uint32_t)(rows[i][k] * rows[j][k]);
            gram[i * m + j] = (int32_t)sum;
        }
}

#if defined(__x86_64__)

enum { EIGHT = 8 /* rows, and pairs of components, that are turned at a time */ };

/* Eight pairs of components of eight rows: to[pair][row], the pairs PANEL apart. */
AVX2 INLINE void turn(const int16_t *const rows[EIGHT], int64_t from, int32_t *to)
{
    __m256i x[EIGHT], y[EIGHT];
    for (int r = 0; r < EIGHT; r++)
        x[r] = _mm256_loadu_si256((const __m256i *)(rows[r] + from));
    for (int r = 0; r < EIGHT; r += 2) {
        y[r] = _mm256_unpacklo_epi32(x[r], x[r + 1]);
        y[r + 1] = _mm256_unpackhi_epi32(x[r], x[r + 1]);
    }
    for (int r = 0; r < EIGHT; r += 4)
        for (int i = 0; i < 2; i++) {
            x[r + 2 * i] = _mm256_unpacklo_epi64(y[r + i], y[r + i + 2]);
            x[r + 2 * i + 1] = _mm256_unpackhi_epi64(y[r + i], y[r + i + 2]);
        }
    for (int r = 0; r < 4; r++) {
        _mm256_store_si256((__m256i *)(to + r * PANEL), _mm256_permute2x128_si256(x[r], x[r + 4], 0x20));
        _mm256_store_si256((__m256i *)(to + (r + 4) * PANEL), _mm256_permute2x128_si256(x[r], x[r + 4], 0x31));
    }
}

/* The components [first, end) of eight rows, some of which may be lacking, into their half of a panel. */
AVX2 static void stand_up(const int16_t *const *rows, int64_t held, int64_t first, int64_t end, int32_t *to)
{
    int16_t padded[EIGHT][2 * EIGHT] = {{0}};
    const int16_t *of[EIGHT], *edge[EIGHT];
    for (int r = 0; r < EIGHT; r++) {
        of[r] = rows[r < held ? r : 0]; /* what is read of a row too many is not looked at */
        edge[r] = padded[r];
    }
    for (; first + 2 * EIGHT <= end; first += 2 * EIGHT, to += EIGHT * PANEL)
        turn(of, first, to);
    if (first == end)
        return;
    for (int r = 0; r < EIGHT; r++)
        memcpy(padded[r], of[r] + first, (size_t)(end - first) * sizeof **rows);
    turn(edge, 0, to);
}

/* Pairs of components as they are packed, what lacks of the last eight being zero. */
INLINE int64_t pairs_of(int64_t width) { return (width + 2 * EIGHT - 1) / (2 * EIGHT) * EIGHT; }

AVX2 static void gram_by(tile_function *tile, const int16_t *const *rows, int64_t m, int64_t first, int64_t end,
                        int32_t *packed, int32_t *gram)
{
    const int64_t pairs = pairs_of(end - first), panel_size = pairs * PANEL;
    for (int64_t row = 0; row < m; row += EIGHT)
        stand_up(rows + row, m - row, first, end, packed + row / PANEL * panel_size + row % PANEL);
    int32_t out[TILE][2 * PANEL] __attribute__((aligned(64)));
    for (int64_t j = 0; j < m; j += 2 * PANEL)
        for (int64_t i = 0; i < lesser(m, j + 2 * PANEL); i += TILE) {
            const int64_t width = lesser(2 * PANEL, m - j);
            tile(packed + i / PANEL * panel_size + i % PANEL, packed + j / PANEL * panel_size, pairs,
                 width > PANEL ? 2 : 1, out);
            for (int64_t row = 0; row < lesser(TILE, m - i); row++)
                memcpy(gram + (i + row) * m + j, out[row], (size_t)width * sizeof **out);
        }
}

void hurnet_gram_vnni(const int16_t *const *rows, int64_t m, int64_t first, int64_t end, int32_t *packed, int32_t *gram)
{
    gram_by(hurnet_tile_vnni, rows, m, first, end, packed, gram);
}

void hurnet_gram_avx2(const int16_t *const *rows, int64_t m, int64_t first, int64_t end, int32_t *packed, int32_t *gram)
{
    gram_by(hurnet_tile_avx2, rows, m, first, end, packed, gram);
}

#endif
