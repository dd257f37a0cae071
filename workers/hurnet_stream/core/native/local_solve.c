/* The local solve (core/rule/local_solve.py): K of a few hundred rows, and α of several systems over them. And what it
 * starts from: the cosines of these rows with the question.
 *
 *     cosines of the rows with each other, over each range of components, from exact products     (gram.c)
 *     K = (Σ share · cosines)², and the diagonal of each row added to its own                     (here)
 *     α of K α = k                                                                                (positive.c) */

#include "dots.h"
#include "local_solve.h"

typedef struct { /* numbers, and places in the room that the caller gives */
    int64_t m, parts, size, ld;
    int32_t *packed, *grams; /* grams: (parts, m, m) */
    double *inverse;         /* (parts, size): 1 / |x| of each row over each part; 0 if it is nothing there */
    double *u, *alpha, *room;
} Work;

INLINE int64_t up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/* Places in `room`; returns how many bytes they take. */
static int64_t lay_out(int64_t m, int64_t widest, int64_t parts, char *room, Work *work) {
    const int64_t size = up(m, GROUP), ld = up(size + 1, EDGE) + 8; /* an odd number of cache lines */
    const int64_t sizes[] = {up(m, 16) * up(widest, 16) * 2, up(parts * m * m * 4, 64), parts * size * 8,
                             size * ld * 8, (size + GROUP) * 8, up((GROUP + 1) * size * 8, 64)};
    char *places[6];
    int64_t bytes = 0;
    for (int i = 0; i < 6; bytes += sizes[i++]) places[i] = room + bytes;
    *work = (Work){m, parts, size, ld, (int32_t *)places[0], (int32_t *)places[1], (double *)places[2],
                   (double *)places[3], (double *)places[4], (double *)places[5]};
    return bytes;
}

int64_t hurnet_local_room(int64_t m, int64_t widest, int64_t parts) {
    Work work;
    return lay_out(m, widest, parts, NULL, &work);
}

/* 1 / |x| of each row over one part, from the diagonal of its products. */
static void invert(const Work *work, int64_t part) {
    const int32_t *gram = work->grams + part * work->m * work->m;
    for (int64_t i = 0; i < work->m; i++) {
        const double norm = gram[i * work->m + i];
        work->inverse[part * work->size + i] = norm > 0 ? 1 / sqrt(norm) : 0;
    }
}

/* Adds share · cosines of row i with rows from `first` on. */
INLINE void add_cosines(const Work *work, int64_t part, double share, int64_t i, int64_t first, double *line) {
    const double *inverse = work->inverse + part * work->size, factor = share * inverse[i];
    const int32_t *gram = work->grams + (part * work->m + i) * work->m;
    for (int64_t j = first; j < work->m; j++) line[j] += factor * gram[j] * inverse[j];
}

/* K and k of one system, as Solve wants them: rows that fill the last group up are those of the identity, with 0 in k. */
INLINE void build(const Work *work, const double *shares, const double *diagonal, const double *right) {
    for (int64_t i = 0; i < work->size; i++) {
        double *line = work->u + i * work->ld;
        const int64_t first = i / EDGE * EDGE; /* the left edge of the tile that holds the diagonal */
        memset(line + first, 0, (size_t)(work->ld - first) * sizeof *line);
        if (i >= work->m) {
            line[i] = 1;
            continue;
        }
        for (int64_t part = 0; part < work->parts; part++)
            if (shares[part] != 0) add_cosines(work, part, shares[part], i, first, line);
        for (int64_t j = first; j < work->m; j++) line[j] *= line[j];
        line[i] += diagonal[i];
        line[work->size] = right[i];
    }
}

#define BUILD(name, target)                                                                                        \
    target static void name(const Work *work, const double *shares, const double *diagonal, const double *right) { \
        build(work, shares, diagonal, right);                                                                      \
    }
BUILD(build_any, )
#if defined(__x86_64__)
BUILD(build_avx2, TARGET_AVX2)
BUILD(build_avx512, TARGET_VNNI)
#endif

typedef void Build(const Work *, const double *, const double *, const double *);
typedef struct {
    Gram *gram;
    Build *build;
    Solve *solve;
} Ways;

static Ways ways(int level) { /* 0: any CPU, 1: AVX2, 2: AVX-512 VNNI */
#if defined(__x86_64__)
    if (level == 2) return (Ways){hurnet_gram_vnni, build_avx512, hurnet_solve_avx512};
    if (level == 1) return (Ways){hurnet_gram_avx2, build_avx2, hurnet_solve_avx2};
#endif
    (void)level;
    return (Ways){hurnet_gram_any, build_any, hurnet_solve_any};
}

/* α (systems, m) of (K + diagonal) α = right (systems, m) for m rows, K = (Σ share · cosines)², shares (systems, parts).
 * Part p of a row is its components from ranges[2p] up to ranges[2p + 1]. Returns -1 if a system is not positive
 * definite. */
int hurnet_local(int level, const int16_t *const *rows, int64_t m, const int64_t *ranges, int64_t parts,
                 const double *shares, int64_t systems, const double *diagonal, const double *right, char *room,
                 int64_t widest, double *alpha) {
    const Ways way = ways(level);
    Work work;
    lay_out(m, widest, parts, room, &work);
    for (int64_t part = 0; part < parts; part++) {
        const int64_t first = ranges[2 * part], end = ranges[2 * part + 1];
        way.gram(rows, m, first, end, work.packed, work.grams + part * m * m);
        invert(&work, part);
    }
    for (int64_t s = 0; s < systems; s++) {
        way.build(&work, shares + s * parts, diagonal, right + s * m);
        if (!way.solve(work.u, work.size, work.ld, work.room, work.alpha)) return -1;
        memcpy(alpha + s * m, work.alpha, (size_t)m * sizeof *alpha);
    }
    return 0;
}

/* The cosines of m rows with a question over each range of components, (parts, m): 0 if either is nothing there. All of
 * them have |x|² < 2³¹. The products are exact, and a cosine is rounded three times. */
void hurnet_cosines(int level, const int16_t *const *rows, int64_t m, const int64_t *ranges, int64_t parts,
                    const int16_t *question, double *cosines) {
    const Dot dot = hurnet_kernels(level).dot;
    for (int64_t row = 0; row < m; row++)
        for (int64_t part = 0; part < parts; part++) {
            const int64_t first = ranges[2 * part], size = ranges[2 * part + 1] - first;
            const int16_t *q = question + first, *x = rows[row] + first;
            const double squares = (double)dot(x, x, size) * (double)dot(q, q, size);
            cosines[part * m + row] = (double)dot(x, q, size) / sqrt(squares > 1 ? squares : 1);
        }
}

/* Dot products of m rows over the components [first, end): as Gram, by the kernel of a level. */
void hurnet_row_products(int level, const int16_t *const *rows, int64_t m, int64_t first, int64_t end, int32_t *packed,
                         int32_t *gram) {
    ways(level).gram(rows, m, first, end, packed, gram);
}
