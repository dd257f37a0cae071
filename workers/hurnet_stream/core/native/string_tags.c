/* SipHash-1-3 (Aumasson and Bernstein, 2012) of strings, of which the lower 32 bits are their tags:
 * hurnet_stream/core/string_tags.py has an example, and the same in numpy. */

#include "types.h"

#define ROTATED(x, b) ((x) << (b) | (x) >> (64 - (b)))

INLINE void sip_round(uint64_t v[4]) {
    v[0] += v[1], v[2] += v[3];
    v[1] = ROTATED(v[1], 13) ^ v[0], v[3] = ROTATED(v[3], 16) ^ v[2];
    v[0] = ROTATED(v[0], 32);
    v[2] += v[1], v[0] += v[3];
    v[1] = ROTATED(v[1], 17) ^ v[2], v[3] = ROTATED(v[3], 21) ^ v[0];
    v[2] = ROTATED(v[2], 32);
}

/* The tag of each of n strings, which begin in `bytes` at `starts` (n + 1). */
void hurnet_string_tags(const uint8_t *bytes, const int64_t *starts, int64_t n, const uint64_t *key, uint32_t *tags) {
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *at = bytes + starts[i], *const end = bytes + starts[i + 1];
        const uint64_t length = (uint64_t)(end - at);
        uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                         key[1] ^ 0x7465646279746573u};
        uint64_t word;
        for (; end - at >= 8; at += 8) {
            memcpy(&word, at, 8);
            v[3] ^= word;
            sip_round(v);
            v[0] ^= word;
        }
        word = 0;
        memcpy(&word, at, (size_t)(end - at));
        word |= length << 56;
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
        v[2] ^= 0xff;
        for (int r = 0; r < 3; r++) sip_round(v);
        tags[i] = (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
    }
}
