/* What local_solve.c is made of: exact dot products of rows (gram.c) and the solution of a system (positive.c). */

#pragma once

#include "gram.h"
#include "types.h"

enum { GROUP = 8, EDGE = 16 }; /* rows that may be made at once; columns of the widest tile */

/* α (size,) of K α = k. `size` is a multiple of GROUP. u is (size, ld): K from the diagonal on, k in column `size`, and
 * any numbers before and behind. It is overwritten. It stands at a multiple of 64 bytes, and so does each of its rows;
 * `ld` is no less than size + 1, rounded up to EDGE. `room` is for (GROUP + 1) size doubles, alpha for size + GROUP.
 * Returns 0 if K is not positive definite. */
typedef int Solve(double *u, int64_t size, int64_t ld, double *room, double *alpha);
HIDDEN Solve hurnet_solve_any, hurnet_solve_avx2, hurnet_solve_avx512;
