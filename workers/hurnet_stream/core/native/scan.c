/* The exact search: the k best rows of each query among all blocks, in one pass.
 *
 *     one to four        upper 4 bits of 32 rows -> which may still win? -> those few in integers at once, or if they
 *                        lie in a file (row_sums.h) by all 8 bits
 *     five or more       all 8 bits of 32 rows, for eight queries at a time: memory is then read once for all
 *
 * A query may be restricted to some rows, given as bits. Of 32 rows
 *
 *     none may answer    nothing is read
 *     a few may          these are compared in integers at once
 *     more may           the kernel looks at all 32, and what may not answer is dropped before it is kept
 *
 * If there is an excerpt of a block, a single query reads that instead of the block.
 *
 * Each query keeps a heap of the k largest lower bounds seen so far. Its smallest, `least`, is the bar: a row whose
 * upper bound is below it can't be among the k best (hurnet_stream/core/search/bounds.py). What reached the bar when it was
 * seen is kept; at the end, what is still above it is compared in integers, which decides.
 *
 * Several threads take chunks of rows in turn, each with a state of its own for every query, and are merged at the end:
 * a smaller share of the rows only makes the bar lower. */

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dots.h"
#include "planes.h"
#include "row_sums.h"

#define GROUP ((1u << LANES) - 1) /* the rows of a group, as bits */
#define ALONE 4  /* one to four queries are faster one by one */
#define QUEUE 16 /* rows that are fetched from memory at once */
#define CHUNKS 4 /* of a block */
#define CHUNK_ROWS 4096 /* that a thread takes at once: the next query finds their upper bits in the L2 cache */
/* If the upper four bits leave more rows of a chunk than FEW and one in SHARE, all 8 bits of the rest of it are read: a
 * row in integers costs as much as the lower bits of SHARE rows. So are those of the next DENSE chunks, before the
 * upper bits alone are tried again. */
#define FEW 64
#define SHARE 24
/* Rows of a pair of groups that are compared in integers at once, if no others may answer: to read the upper bits of
 * all 32 costs as much. */
#define SCATTERED 4
#define DENSE 5

typedef struct { /* a survivor in integers */
    int64_t dot, norm, partition, offset, row;
    double cosine; /* times |q| */
} Match;

typedef struct {
    const Block *blocks;
    int64_t n_blocks, d, steps;
    int64_t tile, asked, n; /* queries taken at once; how many there are; padded to whole tiles */
    const int8_t *c;        /* coefficients: [tile of queries][d/4][query][4] */
    Kernels use;
    int64_t next;           /* the chunk that the next free thread takes */
} Search;

/* For rows whose |a||b| is not below 2^31. */
static int64_t dot_large(const int16_t *a, const int16_t *b, int64_t d) { return dot_wide(a, b, d); }

/* ---- which rows may be among the k best ---- */

static void sink(float *heap, int64_t n, float value) { /* replaces the smallest */
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child]) child++;
        if (value <= heap[child]) break;
        heap[i] = heap[child];
    }
    heap[i] = value;
}

static void lift(float *heap, int64_t i, float value) { /* adds one at i, the end */
    for (; i && value < heap[(i - 1) / 2]; i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = value;
}

/* The bar has risen since some were found. */
static void drop_beaten(Query *state) {
    int64_t kept = 0;
    for (int64_t i = 0; i < state->count; i++)
        if (state->found[i].upper >= state->least) state->found[kept++] = state->found[i];
    state->count = kept;
}

/* Keeps a row, and raises the bar by its lower bound. Returns -1 without memory. */
static int keep(Query *state, Survivor survivor, float lower) {
    if (state->count == state->room) {
        drop_beaten(state);
        if (2 * state->count > state->room) {
            Survivor *larger = realloc(state->found, (size_t)state->room * 2 * sizeof *larger);
            if (!larger) return -1;
            state->found = larger;
            state->room *= 2;
        }
    }
    state->found[state->count++] = survivor;
    if (state->held < state->k) {
        lift(state->best, state->held++, lower);
        if (state->held == state->k) state->least = state->best[0];
    } else if (lower > state->best[0]) {
        sink(state->best, state->k, lower);
        state->least = state->best[0];
    }
    return 0;
}

INLINE int counts(const Query *state, const Block *block, int64_t slot) {
    return !state->without || !state->without[block->answers[slot]];
}

/* Which of the 32 rows from a slot on may answer, as bits. */
INLINE uint32_t may_answer(const Query *state, const Block *block, int64_t slot) {
    if (!state->within) return ~0u;
    const uint8_t *bits = state->within + (block->first + slot) / 8;
    return bits[0] | (uint32_t)bits[1] << 8 | (uint32_t)bits[2] << 16 | (uint32_t)bits[3] << 24;
}

/* Keeps those of some rows of a group, given as bits, whose upper bound reaches the bar, given p·c: it may have risen since
 * the kernel looked. Returns -1 without memory. */
static int offer(Query *state, const Block *block, int32_t number, int64_t slot, const int32_t *dots, uint32_t rows) {
    for (; rows; rows &= rows - 1) {
        const int64_t r = __builtin_ctz(rows);
        if (slot + r >= block->size) break;
        float width = half(block->slack[slot + r]) + state->rest;
        float upper = (float)dots[r] * half(block->scale[slot + r]) * state->weight + width;
        if (upper >= state->least && counts(state, block, slot + r) &&
            keep(state, (Survivor){upper, number, (int32_t)(slot + r)}, upper - 2 * width))
            return -1;
    }
    return 0;
}

typedef struct {
    const Block *block;
    int32_t number, slot;
} Row;

/* Asks memory for a row that will be compared soon. */
static void fetch(const Row *row, int64_t d) {
    const char *x = (const char *)(row->block->rows + row->slot * d);
    for (int64_t i = 0; i < d * 2; i += 64) __builtin_prefetch(x + i);
    __builtin_prefetch(row->block->norms + row->slot);
}

/* Whether a row is what it was when it was put into its file, if it lies in one. */
INLINE int is_sound(Query *state, const Block *block, int64_t slot, int64_t d) {
    if (!block->sums || !block->sums[slot] || row_sum(block->rows + slot * d, d * 2) == block->sums[slot]) return 1;
    state->damaged = 1;
    return 0;
}

/* Keeps those of some rows whose exact value reaches the bar: it is both bounds, but for what float64 and the rounding
 * to float32 err by. Returns -1 without memory, and for a damaged row. */
static int offer_exactly(Query *state, const Row *rows, int64_t n, int64_t d, Dot dot) {
    state->valued += n;
    for (int64_t i = 0; i < n; i++) {
        const Block *block = rows[i].block;
        if (!counts(state, block, rows[i].slot)) continue;
        const double norm = (double)block->norms[rows[i].slot];
        if (!is_sound(state, block, rows[i].slot, d)) return -1;
        const Dot fits = state->norm * norm < 0x1p61 ? dot : dot_large;
        double value = (double)fits(state->q, block->rows + rows[i].slot * d, d) * state->unit / sqrt(norm);
        float upper = (float)(value + 0x1p-20), lower = (float)(value - 0x1p-20);
        if (upper >= state->least && keep(state, (Survivor){upper, rows[i].number, rows[i].slot}, lower)) return -1;
    }
    return 0;
}

/* Some of the 32 rows from a slot on, given as bits, by all eight bits. */
static int offer_pair(const Search *search, int64_t b, int64_t slot, const int8_t *c, Query *state, uint32_t rows) {
    const Block *block = search->blocks + b;
    int32_t dots[PAIR][LANES];
    rows &= search->use.pair(block, slot, c, search->steps, state, dots);
    for (int64_t g = 0; g < PAIR && rows; g++)
        if (offer(state, block, (int32_t)b, slot + g * LANES, dots[g], rows >> g * LANES & GROUP)) return -1;
    return 0;
}

/* Slots `slot` to `end` of a block by all eight bits. */
static int scan_whole(const Search *search, int64_t b, int64_t slot, int64_t end, const int8_t *c, Query *state) {
    for (; slot < end; slot += PAIR * LANES) {
        const uint32_t may = may_answer(state, search->blocks + b, slot);
        if (may && offer_pair(search, b, slot, c, state, may)) return -1;
    }
    return 0;
}

typedef struct { /* rows that the upper four bits leave, on their way from memory */
    Row rows[2 * QUEUE + PAIR * LANES];
    int64_t waiting;
} Queue;

/* Has the first n that wait compared. */
static int compare(const Search *search, Queue *queue, int64_t n, Query *state) {
    if (offer_exactly(state, queue->rows, n, search->d, search->use.dot)) return -1;
    queue->waiting -= n;
    memmove(queue->rows, queue->rows + n, (size_t)queue->waiting * sizeof *queue->rows);
    return 0;
}

/* Some of the 32 rows from a slot on, given as bits, are to be compared. Rows in a file may be far away: their lower bits,
 * which are in memory, are asked first. */
static int enqueue(const Search *search, int64_t b, int64_t slot, const int8_t *c, Query *state, uint32_t rows,
                   Queue *queue) {
    const Block *block = search->blocks + b;
    if (block->sums) return rows && offer_pair(search, b, slot, c, state, rows);
    for (; rows; rows &= rows - 1) {
        const int64_t row = slot + __builtin_ctz(rows);
        if (row >= block->size) break;
        queue->rows[queue->waiting] = (Row){block, (int32_t)b, (int32_t)row};
        fetch(queue->rows + queue->waiting++, search->d);
    }
    return queue->waiting < 2 * QUEUE ? 0 : compare(search, queue, queue->waiting - QUEUE, state);
}

/* The first row of an excerpt that does not stand before a slot. */
static int64_t first_at(const Excerpt *own, int64_t slot) {
    int64_t low = 0, high = own->size;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (own->slots[middle] < slot) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* One query, by the upper four bits of an excerpt. However many rows they leave: all bits of the block would cost more. */
static int scan_excerpt(const Search *search, int64_t b, int64_t slot, int64_t end, const int8_t *c, Query *state) {
    const Excerpt *own = state->excerpts + b;
    const Block alone = {.high = own->high, .scale = own->scale, .coarse = own->coarse};
    const int64_t first = first_at(own, slot), last = first_at(own, end);
    Queue queue = {.waiting = 0};
    for (int64_t i = first - first % (PAIR * LANES); i < last; i += PAIR * LANES) {
        uint32_t rows = search->use.sieve(&alone, i, c, search->steps, state);
        for (; rows; rows &= rows - 1) {
            const int64_t at = i + __builtin_ctz(rows);
            if (at < first || at >= last) continue; /* another chunk's */
            const int64_t in_pair = own->slots[at] % (PAIR * LANES), pair = own->slots[at] - in_pair;
            const uint32_t row = may_answer(state, search->blocks + b, pair) & 1u << in_pair; /* it may be gone */
            if (row && enqueue(search, b, pair, c, state, row, &queue)) return -1;
        }
    }
    return compare(search, &queue, queue.waiting, state);
}

/* One query, by the upper four bits as long as they leave few enough rows. */
static int scan_alone(const Search *search, int64_t b, int64_t from, int64_t end, const int8_t *c, Query *state) {
    const Block *block = search->blocks + b;
    Queue queue = {.waiting = 0};
    int64_t survivors = 0, read = 0, slot = from;
    if (state->excerpts && state->excerpts[b].size) return scan_excerpt(search, b, from, end, c, state);
    if (state->dense) { /* the upper bits left too many rows a short while ago */
        state->dense--;
        return scan_whole(search, b, from, end, c, state);
    }
    /* Stops if more than FEW + (rows read so far) / SHARE rows are left: reading all bits is then cheaper. */
    for (; slot < end && survivors <= FEW + read / SHARE; slot += PAIR * LANES) {
        uint32_t rows = may_answer(state, block, slot);
        if (!rows) continue;
        if (__builtin_popcount(rows) > SCATTERED) {
            rows &= search->use.sieve(block, slot, c, search->steps, state);
            read += PAIR * LANES;
            survivors += __builtin_popcount(rows);
        }
        if (enqueue(search, b, slot, c, state, rows, &queue)) return -1;
    }
    if (compare(search, &queue, queue.waiting, state)) return -1;
    /* A block's first chunk does not set `dense`: there may have been no bound yet, so that all rows were left. */
    if (slot < end && from && read * 4 < CHUNK_ROWS) state->dense = DENSE;
    return scan_whole(search, b, slot, end, c, state);
}

/* What to prefetch of the next pair of row groups: part `part` of `parts` of both planes, two cache lines a step. */
static Ahead ahead_of(const Block *block, int64_t slot, int64_t steps, int64_t part, int64_t parts) {
    const int64_t first = 2 * steps * part / parts, end = 2 * steps * (part + 1) / parts;
    const int64_t offset = slot * steps * 4 + first * 64;
    return (Ahead){block->high + offset, block->low + offset, end - first};
}

/* Whether any of some queries may be answered by any of 32 rows. What fills the last tile up has no finite bar. */
static int any_may_answer(const Query *states, int64_t n, const Block *block, int64_t slot) {
    for (int64_t i = 0; i < n; i++)
        if (states[i].least < INFINITY && may_answer(states + i, block, slot)) return 1;
    return 0;
}

/* All queries, by all eight bits, a tile of queries at a time. */
static int scan_together(const Search *search, int64_t b, int64_t slot, int64_t end, uint8_t *bytes, Query *states) {
    const Block *block = search->blocks + b;
    const int64_t steps = search->steps, n = search->n;
    int32_t out[PAIR][TILE][LANES];
    uint32_t rows[TILE];
    for (; slot < end; slot += PAIR * LANES) {
        if (!any_may_answer(states, n, block, slot)) continue;
        if (search->use.unpack) search->use.unpack(block, slot, steps, bytes);
        for (int64_t q = 0; q < n; q += TILE) {
            if (!any_may_answer(states + q, TILE, block, slot)) continue;
            Ahead ahead = ahead_of(block, slot + PAIR * LANES, steps, q / TILE, n / TILE);
            const int8_t *c = search->c + q * steps * 8;
            if (!search->use.tile(block, slot, c, steps, states + q, bytes, ahead, out, rows)) continue;
            for (int64_t i = 0; i < TILE; i++) {
                const uint32_t left = rows[i] ? rows[i] & may_answer(states + q + i, block, slot) : 0;
                for (int64_t g = 0; g < PAIR && left; g++)
                    if (offer(states + q + i, block, (int32_t)b, slot + g * LANES, out[g][i], left >> g * LANES & GROUP))
                        return -1;
            }
        }
    }
    return 0;
}

/* ---- threads: each takes the next chunk that nobody has, with a state of its own for every query ---- */

typedef struct {
    Search *search;
    Query *states;
    uint8_t *bytes;
    int failed;
    pthread_t thread;
} Worker;

/* A block has CHUNKS chunks, the last of which also takes what is left over. */
static int scan_chunk(const Search *search, int64_t chunk, Query *states, uint8_t *bytes) {
    const int64_t b = chunk / CHUNKS, part = chunk % CHUNKS, size = search->blocks[b].size;
    const int64_t slot = part * CHUNK_ROWS, next = slot + CHUNK_ROWS;
    const int64_t end = part == CHUNKS - 1 || next > size ? size : next;
    if (search->tile > 1) return scan_together(search, b, slot, end, bytes, states);
    for (int64_t i = 0; i < search->n; i++)
        if (scan_alone(search, b, slot, end, search->c + i * search->steps * 8, states + i)) return -1;
    return 0;
}

static void *work(void *own) {
    Worker *worker = own;
    Search *search = worker->search;
    while (!worker->failed) {
        int64_t chunk = __atomic_fetch_add(&search->next, 1, __ATOMIC_RELAXED);
        if (chunk >= search->n_blocks * CHUNKS) break;
        worker->failed = scan_chunk(search, chunk, worker->states, worker->bytes);
    }
    return NULL;
}

/* A query's state for one worker. */
static int prepare(Query *state, const Query *from, int64_t k) {
    *state = *from;
    state->k = k;
    state->room = 4 * k + 1024;
    state->best = malloc((size_t)k * sizeof *state->best);
    state->found = malloc((size_t)state->room * sizeof *state->found);
    return state->best && state->found ? 0 : -1;
}

static int hire(Worker *worker, Search *search, const Query *queries, const int64_t *except, int64_t k) {
    *worker = (Worker){.search = search};
    worker->states = calloc((size_t)search->n, sizeof *worker->states);
    worker->bytes = malloc((size_t)search->steps * 128 * PAIR);
    if (!worker->states || !worker->bytes) return -1;
    for (int64_t i = 0; i < search->n; i++)
        if (prepare(worker->states + i, queries + i, k + (except && i < search->asked && except[3 * i]))) return -1;
    return 0;
}

static void dismiss(Worker *worker, int64_t n) {
    for (int64_t i = 0; worker->states && i < n; i++) free(worker->states[i].best), free(worker->states[i].found);
    free(worker->states);
    free(worker->bytes);
}

/* What one worker has found, to another's: `least` is then that of both. */
static int merge(Query *into, const Query *from) {
    const float least = fmaxf(into->least, from->least);
    for (int64_t i = 0; i < from->count; i++)
        if (from->found[i].upper >= least && keep(into, from->found[i], -INFINITY)) return -1;
    into->least = least;
    into->valued += from->valued;
    return 0;
}

/* The first worker is this thread, and ends with everything. */
static int scan_all(Worker *workers, int64_t threads, int64_t n) {
    int64_t started = 1;
    while (started < threads && !pthread_create(&workers[started].thread, NULL, work, workers + started)) started++;
    work(workers);
    int failed = workers->failed;
    for (int64_t t = 1; t < started; t++) {
        pthread_join(workers[t].thread, NULL);
        failed |= workers[t].failed;
        for (int64_t i = 0; i < n && !failed; i++) failed = merge(workers->states + i, workers[t].states + i);
    }
    return failed;
}

/* ---- the survivors, in integers ---- */

/* Like cosines, exactly: dots are below 2^43 and norms below 2^42, so the products stay below 2^127. */
static int exactly(const Match *a, const Match *b) {
    __int128 left = (__int128)a->dot * llabs(a->dot) * b->norm, right = (__int128)b->dot * llabs(b->dot) * a->norm;
    return (left < right) - (left > right);
}

static int better(const void *one, const void *other) {
    const Match *a = one, *b = other;
    double far = 1e-12 * fmax(fabs(a->cosine), fabs(b->cosine)); /* float64 errs by less than 1e-15 */
    if (fabs(a->cosine - b->cosine) > far) return a->cosine > b->cosine ? -1 : 1;
    int order = exactly(a, b);
    if (order) return order;
    if (a->partition != b->partition) return a->partition < b->partition ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

/* Asks the disk for the rows that have survived and lie in files, all at once: one by one each would be waited for. */
static void fetch_from_files(const Query *state, const Block *blocks, int64_t d) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (int64_t i = 0; i < state->count; i++) {
        const Block *b = blocks + state->found[i].block;
        if (!b->sums) continue;
        const uintptr_t row = (uintptr_t)(b->rows + state->found[i].slot * d), from = row / page * page;
        madvise((void *)from, row + (uintptr_t)d * 2 - from, MADV_WILLNEED);
    }
}

/* Compares what has survived in integers. Writes at most k rows and cosines, best first; returns how many, or -1
 * without memory and for a damaged row. */
static int64_t decide(Query *state, const Block *blocks, int64_t d, const int64_t *except, Dot fast, int64_t *rows,
                      double *cosines) {
    drop_beaten(state);
    fetch_from_files(state, blocks, d);
    Match *matches = malloc((size_t)(state->count + 1) * sizeof *matches);
    if (!matches) return -1;
    int64_t n = 0;
    for (int64_t i = 0; i < state->count; i++) {
        const Block *b = blocks + state->found[i].block;
        int64_t slot = state->found[i].slot, norm = b->norms[slot];
        if (except && b->partitions[slot] == except[0] && b->offsets[slot] == except[1]) continue;
        if (!is_sound(state, b, slot, d)) break;
        int64_t dot = (state->norm * (double)norm < 0x1p61 ? fast : dot_large)(state->q, b->rows + slot * d, d);
        const double cosine = dot / sqrt((double)norm);
        matches[n++] = (Match){dot, norm, b->partitions[slot], b->offsets[slot], b->first + slot, cosine};
    }
    if (state->damaged) n = 0;
    qsort(matches, (size_t)n, sizeof *matches, better);
    int64_t wanted = state->k - (except != NULL);
    if (n > wanted) n = wanted;
    for (int64_t i = 0; i < n; i++) {
        rows[i] = matches[i].row;
        cosines[i] = (double)matches[i].dot / (sqrt((double)matches[i].norm) * sqrt(state->norm));
    }
    free(matches);
    return state->damaged ? -1 : n;
}

/* The k best rows of the blocks for each of n queries, which the caller has checked to lie on the grid: the sums of
 * products fit their integers only then.
 *
 * `except`, if it is not NULL, is (n, 3): a flag, and partition and offset of the entry that must not answer. `without`,
 * if it is not NULL, says of each answer whether its rows don't count. `within`, if it is not NULL, is for each query
 * the bits of the rows that may answer it, NULL for one that all may; and `excerpts`, if it is not NULL, excerpts of all
 * blocks that have all of these rows, NULL for a query that has none. `out` is
 * for each query how many were found, their rows, best first, and their cosines (1 + k + k), none for a query of zeros;
 * and behind all, how many rows the upper four bits left, if they were read alone, and how many were compared in the
 * end. Returns 0, -1 without memory, or -2 if a row that lies in a file is not what it was. */
int hurnet_search(const Block *blocks, int64_t n_blocks, int64_t d, const int16_t *queries, int64_t n, int64_t k,
                  const int64_t *except, const uint8_t *without, const uint8_t *const *within,
                  const Excerpt *const *excerpts, int level, int64_t threads, int64_t *out) {
    const int64_t steps = hurnet_plane_bytes(d) / 4, tile = n > ALONE ? TILE : 1, padded = (n + tile - 1) / tile * tile;
    Query *states = calloc((size_t)padded, sizeof *states);
    int8_t *c = calloc((size_t)padded, (size_t)steps * 8);
    int32_t *z = malloc((size_t)steps * 16 * sizeof *z);
    Worker *workers = calloc((size_t)threads, sizeof *workers);
    Search search = {blocks, n_blocks, d, steps, tile, n, padded, c, hurnet_kernels(level), 0};
    int failed = states && c && z && workers ? 0 : -1;
    for (int64_t i = 0; i < padded && !failed; i++) {
        states[i].least = INFINITY; /* which nothing reaches */
        states[i].without = without;
        states[i].within = within && i < n ? within[i] : NULL;
        states[i].excerpts = excerpts && i < n ? excerpts[i] : NULL;
        int8_t *own_tile = c + (i - i % tile) * steps * 8;
        if (i < n) hurnet_quantise_query(states + i, queries + i * d, d, i % tile, tile * 4, own_tile, z);
    }
    for (int64_t t = 0; t < threads && !failed; t++) failed = hire(workers + t, &search, states, except, k);
    if (!failed) failed = scan_all(workers, threads, n);
    int64_t *looked = out + n * (1 + 2 * k);
    looked[0] = looked[1] = 0;
    for (int64_t i = 0; i < n && !failed; i++, out += 1 + 2 * k) {
        const int64_t *own = except && except[3 * i] ? except + 3 * i + 1 : NULL;
        *out = decide(workers->states + i, blocks, d, own, search.use.dot, out + 1, (double *)(out + 1 + k));
        looked[0] += workers->states[i].valued;
        looked[1] += workers->states[i].count;
        failed = *out < 0 ? -1 : 0;
    }
    for (int64_t t = 0; workers && t < threads; t++)
        for (int64_t i = 0; workers[t].states && i < padded; i++)
            if (workers[t].states[i].damaged) failed = -2;
    for (int64_t t = 0; workers && t < threads; t++) dismiss(workers + t, padded);
    free(workers);
    free(z);
    free(c);
    free(states);
    return failed;
}
