#pragma once

#include "types.h"

/* The checksum of a row: of each 64-bit word w, w ^ w >> 32 times an odd factor of its own, summed. It is that of
 * hurnet_stream/core/row_sums.py. What is behind the last whole word is read as if zeros followed it. */
INLINE uint64_t row_sum(const void *row, int64_t bytes) {
    const char *at = row;
    uint64_t sum = 0, factor = 0;
    int64_t i = 0;
    for (; i + 8 <= bytes; i += 8) {
        uint64_t word;
        memcpy(&word, at + i, 8);
        factor += 0x9E3779B97F4A7C15u;
        sum += (word ^ word >> 32) * (factor | 1);
    }
    if (i < bytes) {
        uint64_t word = 0;
        memcpy(&word, at + i, (size_t)(bytes - i));
        factor += 0x9E3779B97F4A7C15u;
        sum += (word ^ word >> 32) * (factor | 1);
    }
    return sum;
}
