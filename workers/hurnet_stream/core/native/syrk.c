/* The upper triangle of G += XᵀX for int16 rows, exactly: int32 dot products of pairs of rows, added to int64.

   Two rows are interleaved, so that one instruction multiplies both and adds the two products up:

       row 0     a0 a1 a2 ...                       a0 b0 | a1 b1 | a2 b2 | ...
       row 1     b0 b1 b2 ...       packed as       times  a1 b1 (one column)  gives  a0 a1 + b0 b1 | a1 a1 + b1 b1 | ...

   Packed rows are [panel of 16 columns][pair of rows][column][2] int16; what d or the rows lack is zero. An instruction
   takes a pair of rows of 16 columns (8 with AVX2) by a pair of rows of one column. Its int32 sums wrap around: they are
   right modulo 2³², and so right as they stand if the sum they end with fits, for which hurnet_certified_rows cares. */

#if defined(__x86_64__)

#include "syrk.h"

enum { STRIP = 64 /* rows packed at a time: they stay in the cache from panel to panel */ };

/* How many leading rows of x (rows, d) have all column sums of squares below 2³¹. Over these
   |Σ x_i·x_j| ≤ √(Σx_i²)·√(Σx_j²) < 2³¹ (Cauchy–Schwarz). `squares` is room for d of them. A square is at most 2³⁰: a
   sum that was below 2³¹ doesn't wrap before it is seen, and one row always passes. */
AVX2 int64_t hurnet_certified_rows(const int16_t *x, int64_t rows, int64_t d, uint32_t *squares)
{
    memset(squares, 0, (size_t)d * sizeof *squares);
    for (int64_t row = 0; row < rows; row++, x += d) {
        uint32_t seen = 0;
        for (int64_t column = 0; column < d; column++) {
            squares[column] += (uint32_t)(x[column] * x[column]);
            seen |= squares[column];
        }
        if (seen >> 31)
            return row;
    }
    return rows;
}

/* 16 columns of two rows: a0 b0 a1 b1 ... */
AVX2 INLINE void interleave(const int16_t *even, const int16_t *odd, int16_t *packed)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)even), b = _mm256_loadu_si256((const __m256i *)odd);
    __m256i low = _mm256_unpacklo_epi16(a, b), high = _mm256_unpackhi_epi16(a, b);
    _mm256_store_si256((__m256i *)packed, _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_store_si256((__m256i *)packed + 1, _mm256_permute2x128_si256(low, high, 0x31));
}

/* The same at the edge, if columns are lacking or the second row. */
AVX2 static void interleave_edge(const int16_t *even, const int16_t *odd, int64_t width, int16_t *packed)
{
    int16_t padded[2][PANEL] = {{0}};
    memcpy(padded[0], even, (size_t)width * sizeof *even);
    if (odd)
        memcpy(padded[1], odd, (size_t)width * sizeof *odd);
    interleave(padded[0], padded[1], packed);
}

/* x (rows, d) into `packed`: ⌈d/16⌉ panels of ⌈rows/2⌉ times 64 bytes. */
AVX2 void hurnet_pack_pairs(const int16_t *x, int64_t rows, int64_t d, int16_t *packed)
{
    int64_t size = (rows + 1) / 2 * 2 * PANEL;
    for (int64_t strip = 0; strip < rows; strip += STRIP)
        for (int64_t first = 0; first < d; first += PANEL) {
            int64_t end = lesser(strip + STRIP, rows), width = lesser(PANEL, d - first);
            int16_t *to = packed + first / PANEL * size + strip * PANEL;
            const int16_t *from = x + strip * d + first;
            for (int64_t row = strip; row < end; row += 2, from += 2 * d, to += 2 * PANEL)
                if (width == PANEL && row + 1 < end)
                    interleave(from, from + d, to);
                else
                    interleave_edge(from, row + 1 < end ? from + d : NULL, width, to);
        }
}

VNNI INLINE void dots_vnni(const int32_t *left, const int32_t *right, int64_t pairs, int panels,
                           int32_t out[TILE][2 * PANEL])
{
    __m512i sum[TILE][2] = {0};
    for (int64_t pair = 0; pair < pairs; pair++, left += PANEL, right += PANEL) {
        __m512i columns[2];
        for (int p = 0; p < panels; p++)
            columns[p] = _mm512_load_si512(right + p * pairs * PANEL);
        for (int i = 0; i < TILE; i++)
            for (int p = 0; p < panels; p++)
                sum[i][p] = _mm512_dpwssd_epi32(sum[i][p], _mm512_set1_epi32(left[i]), columns[p]);
    }
    for (int i = 0; i < TILE; i++)
        for (int p = 0; p < panels; p++)
            _mm512_store_si512(out[i] + p * PANEL, sum[i][p]);
}

VNNI void hurnet_tile_vnni(const int32_t *left, const int32_t *right, int64_t pairs, int panels,
                            int32_t out[TILE][2 * PANEL])
{
    if (panels == 2) /* as constants: the sums must be registers */
        dots_vnni(left, right, pairs, 2, out);
    else
        dots_vnni(left, right, pairs, 1, out);
}

/* As hurnet_tile_vnni, 4 columns with one panel at a time: AVX2 has 16 registers. */
AVX2 void hurnet_tile_avx2(const int32_t *left, const int32_t *right, int64_t pairs, int panels,
                           int32_t out[TILE][2 * PANEL])
{
    for (int part = 0; part < 2 * panels; part++) {
        const int32_t *a = left + part % 2 * 4, *b = right + part / 2 * pairs * PANEL;
        __m256i sum[4][2] = {0};
        for (int64_t pair = 0; pair < pairs; pair++, a += PANEL, b += PANEL) {
            __m256i low = _mm256_load_si256((const __m256i *)b), high = _mm256_load_si256((const __m256i *)b + 1);
            for (int i = 0; i < 4; i++) {
                __m256i column = _mm256_set1_epi32(a[i]);
                sum[i][0] = _mm256_add_epi32(sum[i][0], _mm256_madd_epi16(column, low));
                sum[i][1] = _mm256_add_epi32(sum[i][1], _mm256_madd_epi16(column, high));
            }
        }
        for (int i = 0; i < 4; i++)
            for (int half = 0; half < 2; half++)
                _mm256_store_si256((__m256i *)(out[part % 2 * 4 + i] + part / 2 * PANEL) + half, sum[i][half]);
    }
}

/* Columns of the panels [from, to) of G, `from` even, down to the diagonal and up to 31 rows below it. */
AVX2 static void syrk(tile_function *tile, const int32_t *packed, int64_t pairs, int64_t d, int64_t from,
                      int64_t to, int64_t *gram)
{
    int32_t out[TILE][2 * PANEL] __attribute__((aligned(64)));
    for (int64_t panel = from; panel < to; panel += 2)
        for (int64_t i = 0; i < lesser(d, (panel + 2) * PANEL); i += TILE) {
            int64_t first = i < (panel + 1) * PANEL ? panel : panel + 1; /* the panel left of the diagonal is not wanted */
            int64_t j = first * PANEL, width = lesser((panel + 2) * PANEL, d) - j;
            tile(packed + i / PANEL * pairs * PANEL + i % PANEL, packed + first * pairs * PANEL, pairs,
                 width > PANEL ? 2 : 1, out);
            for (int64_t row = 0; row < lesser(TILE, d - i); row++)
                for (int64_t column = 0; column < width; column++)
                    gram[(i + row) * d + j + column] += out[row][column];
        }
}

void hurnet_syrk_vnni(const int32_t *packed, int64_t pairs, int64_t d, int64_t from, int64_t to, int64_t *gram)
{
    syrk(hurnet_tile_vnni, packed, pairs, d, from, to, gram);
}

void hurnet_syrk_avx2(const int32_t *packed, int64_t pairs, int64_t d, int64_t from, int64_t to, int64_t *gram)
{
    syrk(hurnet_tile_avx2, packed, pairs, d, from, to, gram);
}

#endif
