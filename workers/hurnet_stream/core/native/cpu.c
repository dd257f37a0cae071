/* What this CPU offers, and which sources the library was made from. */

#ifndef HURNET_SOURCES
#define HURNET_SOURCES ""
#endif

const char *hurnet_sources(void) { return HURNET_SOURCES; }

/* Bits: 1 AVX2, 2 AVX-512 F+BW+VL, 4 AVX-512 VNNI (with 2). The builtin asks the operating system too. */
unsigned hurnet_cpu_features(void)
{
    unsigned bits = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        bits |= 1;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
        bits |= 2;
        if (__builtin_cpu_supports("avx512vnni"))
            bits |= 4;
    }
#endif
    return bits;
}
