/* Checksums of rows that lie in files: hurnet_stream/core/row_sums.py has the idea and an example. */

#include "row_sums.h"

/* The sum of each of n rows that stand one behind the other. */
void hurnet_row_sums(const uint8_t *rows, int64_t n, int64_t bytes, uint64_t *sums) {
    for (int64_t i = 0; i < n; i++) sums[i] = row_sum(rows + i * bytes, bytes);
}

/* The sum of each of n rows, which stand at these addresses. */
void hurnet_row_sums_at(const void *const *rows, int64_t n, int64_t bytes, uint64_t *sums) {
    for (int64_t i = 0; i < n; i++) sums[i] = row_sum(rows[i], bytes);
}

/* The same of rows as they stand in planes (types.h): [group][step][LANES] words of four bytes. A row is its words of the
 * first plane, then those of the second one. */
void hurnet_plane_sums(const uint32_t *planes, int64_t groups, int64_t steps, uint64_t *sums) {
    memset(sums, 0, (size_t)(groups * LANES) * sizeof *sums);
    uint64_t factor = 0;
    for (int64_t plane = 0; plane < 2; plane++, factor += (uint64_t)steps * 0x9E3779B97F4A7C15u)
        for (int64_t g = 0; g < groups; g++) {
            const uint32_t *words = planes + (plane * groups + g) * steps * LANES;
            uint64_t own = factor, sum[LANES] = {0};
            for (int64_t s = 0; s < steps; s++, words += LANES) {
                own += 0x9E3779B97F4A7C15u;
                for (int64_t lane = 0; lane < LANES; lane++) sum[lane] += words[lane] * (own | 1);
            }
            for (int64_t lane = 0; lane < LANES; lane++) sums[g * LANES + lane] += sum[lane];
        }
}
