/* The solution of K α = k for a symmetric positive definite K (m, m), by Cholesky's K = UᵀU, row by row of U.

   k stands behind the last column of K. What makes U of K makes y = U⁻ᵀ k of k, and then only U α = y is left:

       K          k             U          y
       4  2  | 8                2  1  | 4
          5  | 8                   2  | 2          α₁ = 2/2 = 1,  α₀ = (4 - 1·1)/2 = 3/2

   A few rows are made at once, in tiles of columns that stay in registers: first what the rows above take off each
   element, then what these few take off each other. Every sum has the same order whatever the tile. So CPUs that
   round a product and a sum once (AVX2 and AVX-512 do) find the same α to the last bit. */

#include "local_solve.h"

typedef struct { /* the triangle of U that a few rows have on the diagonal */
    double u[GROUP][GROUP], inverse[GROUP]; /* 1 / diagonal */
} Triangle;

/* Makes it of what the rows above leave of K there. Returns 0 if K is not positive definite. */
INLINE int triangle(const double *left, int64_t stride, int rows, Triangle *own) {
    for (int r = 0; r < rows; r++) {
        for (int s = r; s < rows; s++) {
            own->u[r][s] = left[r * stride + s];
            for (int k = 0; k < r; k++) own->u[r][s] -= own->u[k][r] * own->u[k][s];
        }
        if (!(own->u[r][r] > 0)) return 0;
        own->inverse[r] = 1 / sqrt(own->u[r][r]);
        for (int s = r; s < rows; s++) own->u[r][s] *= own->inverse[r];
    }
    return 1;
}

/* α of U α = y, from the last on; y is the column `size` of U. */
INLINE void substitute(const double *u, int64_t size, int64_t ld, const double *inverse, double *alpha) {
    memset(alpha + size, 0, GROUP * sizeof *alpha);
    for (int64_t row = size - 1; row >= 0; row--) {
        const double *line = u + row * ld;
        double sums[GROUP] = {0}, sum = 0;
        for (int64_t j = row + 1; j < size; j += GROUP)
            for (int i = 0; i < GROUP; i++) sums[i] += line[j + i] * alpha[j + i];
        for (int i = 0; i < GROUP; i++) sum += sums[i];
        alpha[row] = (line[size] - sum) * inverse[row];
    }
}

#define NAMED(what) what##_any
#define SOLVE hurnet_solve_any
#define TARGET
#define VECTOR 2
#define ROWS 4
#define VECTORS 2
#include "positive.h"

#if defined(__x86_64__)
#undef NAMED
#define NAMED(what) what##_avx2
#define SOLVE hurnet_solve_avx2
#define TARGET TARGET_AVX2
#define VECTOR 4
#define ROWS 4
#define VECTORS 2
#include "positive.h"

#undef NAMED
#define NAMED(what) what##_avx512
#define SOLVE hurnet_solve_avx512
#define TARGET TARGET_VNNI
#define VECTOR 8
#define ROWS 8
#define VECTORS 2
#include "positive.h"
#endif
