/* Cholesky's K = UᵀU and α for one kind of CPU: included by positive.c once for each, which sets
 *
 *     SOLVE      the name of the function
 *     TARGET     what it may need of the CPU
 *     VECTOR     the doubles of a vector
 *     ROWS       made at once, a divisor of GROUP
 *     VECTORS    of a tile: it is ROWS by VECTORS vectors, which should all be registers */

#define COLUMNS (VECTORS * VECTOR)
#define VECTOR_TYPE NAMED(vector)
#define TAKE_OFF NAMED(take_off)
#define FINISH NAMED(finish)

typedef double VECTOR_TYPE __attribute__((vector_size(VECTOR * sizeof(double))));

/* A tile as the rows above leave it: [row][vector]. `above` is U of the rows above, standing on end: [row above][row]. */
TARGET INLINE void TAKE_OFF(const double *u, int64_t ld, int64_t row, int64_t column, const double *above,
                            VECTOR_TYPE tile[ROWS][VECTORS]) {
    UNROLLED for (int r = 0; r < ROWS; r++)
        UNROLLED for (int v = 0; v < VECTORS; v++)
            tile[r][v] = *(const VECTOR_TYPE *)(u + (row + r) * ld + column + v * VECTOR);
    const double *line = u + column;
    for (int64_t k = 0; k < row; k++, line += ld, above += ROWS)
        UNROLLED for (int r = 0; r < ROWS; r++)
            UNROLLED for (int v = 0; v < VECTORS; v++)
                tile[r][v] -= above[r] * *(const VECTOR_TYPE *)(line + v * VECTOR);
}

/* A tile of U, given what the rows above leave of it. */
TARGET INLINE void FINISH(double *u, int64_t ld, int64_t row, int64_t column, const Triangle *own,
                          VECTOR_TYPE tile[ROWS][VECTORS]) {
    UNROLLED for (int r = 0; r < ROWS; r++)
        UNROLLED for (int v = 0; v < VECTORS; v++) {
            UNROLLED for (int k = 0; k < r; k++) tile[r][v] -= own->u[k][r] * tile[k][v];
            tile[r][v] *= own->inverse[r];
            *(VECTOR_TYPE *)(u + (row + r) * ld + column + v * VECTOR) = tile[r][v];
        }
}

TARGET int SOLVE(double *u, int64_t size, int64_t ld, double *room, double *alpha) {
    double *above = room, *inverse = room + size * GROUP;
    Triangle own;
    for (int64_t row = 0; row < size; row += ROWS) {
        for (int64_t k = 0; k < row; k++) memcpy(above + k * ROWS, u + k * ld + row, ROWS * sizeof *u);
        const int64_t first = row / COLUMNS * COLUMNS; /* of the tile that holds the diagonal */
        for (int64_t column = first; column <= size; column += COLUMNS) {
            VECTOR_TYPE tile[ROWS][VECTORS];
            TAKE_OFF(u, ld, row, column, above, tile);
            if (column == first) {
                double left[ROWS][COLUMNS];
                memcpy(left, tile, sizeof left);
                if (!triangle(*left + (row - first), COLUMNS, ROWS, &own)) return 0;
                memcpy(inverse + row, own.inverse, ROWS * sizeof *inverse);
            }
            FINISH(u, ld, row, column, &own, tile);
        }
    }
    substitute(u, size, ld, inverse, alpha);
    return 1;
}

#undef COLUMNS
#undef VECTOR_TYPE
#undef TAKE_OFF
#undef FINISH
#undef SOLVE
#undef TARGET
#undef VECTOR
#undef ROWS
#undef VECTORS
