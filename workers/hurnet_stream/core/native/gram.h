#pragma once

#include <stdint.h>

/* x·y of each two of m rows, y not before x, over their components [first, end), into gram (m, m). `packed` has room
   for m rows, rounded up to 16, of as many components, rounded up to 16, and is at a multiple of 64 bytes. */
typedef void Gram(const int16_t *const *rows, int64_t m, int64_t first, int64_t end, int32_t *packed, int32_t *gram);

__attribute__((visibility("hidden"))) Gram hurnet_gram_any, hurnet_gram_avx2, hurnet_gram_vnni;
