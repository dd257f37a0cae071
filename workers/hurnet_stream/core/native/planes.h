#pragma once

#include "types.h"

/* Bytes of a row in either plane: its components after the rotation, sixteen of which take eight. */
int64_t hurnet_plane_bytes(int64_t d);

/* A query (d) as 8-bit coefficients: z = t c + f for the rotated query z. Writes c, in column `column` of a tile whose
 * rows are `stride` bytes apart, and what follows from it into `state`, which is zeros before; a query of zeros leaves
 * it so. z has room for twice the rotated query. */
HIDDEN void hurnet_quantise_query(Query *state, const int16_t *q, int64_t d, int64_t column, int64_t stride, int8_t *c,
                                  int32_t *z);
