/* The lexical search: the k rows that share most with a question, by BM25 in integers, over all runs of postings.
 * In hurnet_stream/core/lexical/ are the layout of a run (run.py), the formula (bm25.py) and the same in numpy
 * (block_postings.py).
 *
 * What a term can add in a run has a bound: what it would add to the shortest row that holds it there, if it occurred
 * in it as often as in any. `least` is the score that a row must reach to be among the k best so far. Terms come rarest
 * first, so the last ones can add little:
 *
 *     least = 9          teapot   where   is    the
 *     at most            8.1      4.0     0.9   0.4
 *     from here on       13.4     5.3     1.3   0.4
 *
 * A row without "teapot" reaches 5.3 at most. So only the postings of "teapot" are gone through, and the others are
 * looked up for the rows found there, as long as what is left can still lift them to `least` (Turtle and Flood, 1995:
 * MaxScore). Nothing that could win is skipped, so the result is exact.
 *
 * The bound holds in floating point, too. A shorter row has a smaller damping, and what is rounded keeps its order. One
 * occurrence more adds a share of 4e-6 more at least (damping is 0.3 or more, occurrences 255 or fewer), and rounding
 * errs by 1e-15. A removal leaves the bounds of its run as they are: they then hold all the more. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_ROWS 16384 /* slots of a block at most */
#define HOLE 0xFFFF      /* the slot of a posting that was removed */
#define MOST_TERMS 64
#define TABLE 256        /* lengths below this have what a term adds once in a table */
#define LOOK_UP 30       /* looking up a row costs as much as going through so many postings */
#define GROUP 64         /* rows that are looked at together */

typedef struct { /* as Run.struct in hurnet_stream/core/lexical/run.py gives it */
    const uint32_t *terms, *starts;
    uint16_t *slots;
    uint8_t *times;
    const uint8_t *most_times;
    const uint16_t *shortest;
    int64_t n_terms, first, end; /* its rows have the slots first to end of their block */
    const uint16_t *lengths;     /* by slot of the block, as the next two */
    const int32_t *partitions;
    const int64_t *offsets;
    int64_t block_row;           /* the index's number of the row in slot 0 */
} Run;

typedef struct {
    const int64_t *numbers, *most; /* the terms, rarest first, and what each can add at most */
    int64_t n;
    const double *damping;         /* by length */
    int32_t once[MOST_TERMS][TABLE]; /* what a term adds to a row of this length in which it occurs once */
} Question;

typedef struct { /* the postings of one term of the question in a run */
    const uint16_t *slots;
    const uint8_t *times;
    int64_t n;
    int32_t bound; /* no posting adds more */
} Held;

typedef struct { /* as it is returned */
    int64_t score, row, partition, offset;
} Match;

typedef struct {
    Match *heap; /* of the k best so far, the worst on top */
    int64_t k, held, least;
    int64_t except; /* a row that must not answer, or -1 */
    const uint8_t *within; /* a bit for each row: whether it may answer. NULL: all may */
    int32_t scores[BLOCK_ROWS]; /* of the rows of the run that is read; all zeros in between */
    uint16_t found[BLOCK_ROWS]; /* the slots that have one and are noted */
} Search;

static int32_t adds(int64_t most, int64_t times, double damping) {
    return (int32_t)((double)most * (double)times / ((double)times + damping));
}

static int32_t added(const Question *q, int64_t term, int64_t times, int64_t length) {
    if (times == 1 && length < TABLE) return q->once[term][length];
    return adds(q->most[term], times, q->damping[length]);
}

static void prepare(Question *q, const int64_t *numbers, const int64_t *most, int64_t n, const double *damping,
                    int64_t longest) {
    q->numbers = numbers, q->most = most, q->n = n, q->damping = damping;
    for (int64_t t = 0; t < n; t++)
        for (int64_t length = 0; length < TABLE && length <= longest; length++)
            q->once[t][length] = adds(most[t], 1, damping[length]);
}

/* Where a number stands among those that ascend, or would stand. Frequent terms have low numbers: steps double. */
static int64_t place_of(const uint32_t *numbers, int64_t n, uint32_t number) {
    int64_t low = 0, high = 1;
    while (high < n && numbers[high] < number) low = high, high *= 2;
    if (high > n) high = n;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (numbers[middle] < number) low = middle + 1;
        else high = middle;
    }
    return low;
}

static Held look_up(const Run *run, const Question *q, int64_t term) {
    const uint32_t number = (uint32_t)q->numbers[term];
    const int64_t at = place_of(run->terms, run->n_terms, number);
    if (at == run->n_terms || run->terms[at] != number) return (Held){0};
    int64_t first = run->starts[at], end = run->starts[at + 1];
    while (end > first && run->slots[end - 1] == HOLE) end--;
    if (end == first) return (Held){0};
    int32_t bound = adds(q->most[term], run->most_times[at], q->damping[run->shortest[at]]);
    return (Held){run->slots + first, run->times + first, end - first, bound};
}

/* Where a slot stands among the postings of a term, or would stand. */
static int64_t posting_of(const Held *held, uint16_t slot) {
    const uint16_t *base = held->slots;
    int64_t n = held->n;
    if (!n) return 0;
    while (n > 1) {
        int64_t half = n / 2;
        base += base[half - 1] < slot ? half : 0;
        n -= half;
    }
    return base - held->slots + (*base < slot);
}

/* ---- the k best so far ---- */

static int worse(const Match *a, const Match *b) {
    if (a->score != b->score) return a->score < b->score;
    if (a->partition != b->partition) return a->partition > b->partition;
    return a->offset > b->offset;
}

static void sink(Match *heap, int64_t n, Match match) { /* replaces the worst */
    int64_t i = 0;
    for (int64_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && worse(heap + child + 1, heap + child)) child++;
        if (!worse(heap + child, &match)) break;
        heap[i] = heap[child];
    }
    heap[i] = match;
}

static int may_answer(const Search *s, const Run *run, int64_t slot) {
    const int64_t row = run->block_row + slot;
    return !s->within || s->within[row / 8] >> row % 8 & 1;
}

/* Whether any row of a run may answer. */
static int any_may_answer(const Search *s, const Run *run) {
    if (!s->within) return 1;
    int64_t slot = run->first;
    for (; slot < run->end && slot % 8; slot++)
        if (may_answer(s, run, slot)) return 1;
    for (; slot + 8 <= run->end; slot += 8)
        if (s->within[(run->block_row + slot) / 8]) return 1;
    for (; slot < run->end; slot++)
        if (may_answer(s, run, slot)) return 1;
    return 0;
}

static void offer(Search *s, const Run *run, int64_t slot, int32_t score) {
    if (score < s->least || run->block_row + slot == s->except || !may_answer(s, run, slot)) return;
    const Match match = {score, run->block_row + slot, run->partitions[slot], run->offsets[slot]};
    if (s->held == s->k) {
        if (!worse(s->heap, &match)) return;
        sink(s->heap, s->k, match);
    } else {
        int64_t i = s->held++;
        for (; i && worse(&match, s->heap + (i - 1) / 2); i = (i - 1) / 2) s->heap[i] = s->heap[(i - 1) / 2];
        s->heap[i] = match;
    }
    if (s->held == s->k) s->least = s->heap->score;
}

/* ---- one run ---- */

/* Adds a term to all rows that hold it. */
static void go_through(Search *s, const Run *run, const Question *q, int64_t term, const Held *held) {
    for (int64_t i = 0; i < held->n; i++) {
        const uint16_t slot = held->slots[i];
        s->scores[slot] += added(q, term, held->times[i], run->lengths[slot]);
    }
}

/* The same, and notes the rows that had no score yet; returns how many are noted then. */
static int64_t note(Search *s, const Run *run, const Question *q, int64_t term, const Held *held, int64_t found) {
    for (int64_t i = 0; i < held->n; i++) {
        const uint16_t slot = held->slots[i];
        const int32_t more = added(q, term, held->times[i], run->lengths[slot]);
        if (!s->scores[slot] && more) s->found[found++] = slot;
        s->scores[slot] += more;
    }
    return found;
}

/* Adds a term to those rows that are noted. */
static void add_to_found(Search *s, const Run *run, const Question *q, int64_t term, const Held *held, int64_t found) {
    if (found * LOOK_UP > held->n) {
        for (int64_t i = 0; i < held->n; i++) {
            const uint16_t slot = held->slots[i];
            const int32_t more = added(q, term, held->times[i], run->lengths[slot]);
            s->scores[slot] += s->scores[slot] ? more : 0; /* without a branch, which nothing could predict */
        }
        return;
    }
    for (int64_t i = 0; i < found; i++) {
        const uint16_t slot = s->found[i];
        const int64_t at = posting_of(held, slot);
        if (at < held->n && held->slots[at] == slot)
            s->scores[slot] += added(q, term, held->times[at], run->lengths[slot]);
    }
}

/* Drops the noted rows that can't reach `least` even if all that is left to add were added; returns how many remain. */
static int64_t drop_beaten(Search *s, int64_t found, int64_t left) {
    int64_t kept = 0;
    for (int64_t i = 0; i < found; i++) {
        const uint16_t slot = s->found[i];
        if (s->scores[slot] + left >= s->least) s->found[kept++] = slot;
        else s->scores[slot] = 0;
    }
    return kept;
}

/* Notes the rows of a run that have a score and can still reach `least`; the others lose their score. */
static int64_t note_all(Search *s, const Run *run, int64_t left) {
    const int32_t least = (int32_t)(s->least - left > 1 ? s->least - left : 1);
    int64_t found = 0;
    for (int64_t from = run->first; from < run->end; from += GROUP) {
        const int64_t end = from + GROUP < run->end ? from + GROUP : run->end;
        int32_t any = 0;
        for (int64_t slot = from; slot < end; slot++) any |= s->scores[slot] >= least;
        for (int64_t slot = from; any && slot < end; slot++)
            if (s->scores[slot] >= least) s->found[found++] = (uint16_t)slot;
            else s->scores[slot] = 0;
        if (!any) memset(s->scores + from, 0, (size_t)(end - from) * sizeof *s->scores);
    }
    return found;
}

static void search_run(Search *s, const Run *run, const Question *q) {
    Held held[MOST_TERMS];
    int64_t left[MOST_TERMS + 1]; /* what the terms from here on can add together */
    left[q->n] = 0;
    for (int64_t t = q->n - 1; t >= 0; t--) {
        held[t] = look_up(run, q, t);
        left[t] = left[t + 1] + held[t].bound;
    }
    int64_t found = 0, t = 0, first = 0, postings = 0;
    for (; first < q->n && left[first] >= s->least; first++) postings += held[first].n;
    if (postings < run->end - run->first) {
        for (; t < first; t++) found = note(s, run, q, t, held + t, found);
    } else { /* it is faster to look at all rows in the end than to ask of each posting whether its row is new */
        for (; t < first; t++) go_through(s, run, q, t, held + t);
        found = note_all(s, run, left[t]);
    }
    for (; t < q->n && found; t++) {
        found = drop_beaten(s, found, left[t]);
        add_to_found(s, run, q, t, held + t, found);
    }
    for (int64_t i = 0; i < found; i++) {
        const uint16_t slot = s->found[i];
        offer(s, run, slot, s->scores[slot]);
        s->scores[slot] = 0;
    }
}

/* The k best rows that score, best first, for a question of n terms. `damping` has longest + 1 elements. `except` is a
 * row that must not answer, or -1. `within` is a bit for each row that may, or NULL. `matches` has room for k. Returns how many there are, or -1 without memory. */
int64_t hurnet_lexical_search(const Run *runs, int64_t n_runs, const int64_t *numbers, const int64_t *most, int64_t n,
                              const double *damping, int64_t longest, int64_t k, int64_t except, const uint8_t *within,
                              Match *matches) {
    Search *s = calloc(1, sizeof *s);
    Question *q = malloc(sizeof *q);
    if (!s || !q) {
        free(s), free(q);
        return -1;
    }
    s->heap = matches, s->k = k, s->except = except, s->within = within, s->least = 1;
    prepare(q, numbers, most, n, damping, longest);
    for (int64_t r = 0; r < n_runs; r++)
        if (any_may_answer(s, runs + r)) search_run(s, runs + r, q);
    const int64_t held = s->held;
    for (int64_t i = held - 1; i > 0; i--) { /* the worst goes to the end */
        const Match last = matches[i], worst = *matches;
        sink(matches, i, last);
        matches[i] = worst;
    }
    free(s), free(q);
    return held;
}

/* ---- given rows ---- */

/* scores[i] = what rows[i] scores. Returns 0, or -1 without memory. */
int hurnet_lexical_scores(const Run *runs, int64_t n_runs, const int64_t *numbers, const int64_t *most, int64_t n,
                          const double *damping, int64_t longest, const int64_t *rows, int64_t n_rows,
                          int64_t *scores) {
    Question *q = malloc(sizeof *q);
    int64_t *of_run = malloc((size_t)(n_rows + 1) * sizeof *of_run);
    if (!q || !of_run) {
        free(q), free(of_run);
        return -1;
    }
    prepare(q, numbers, most, n, damping, longest);
    memset(scores, 0, (size_t)n_rows * sizeof *scores);
    for (int64_t r = 0; r < n_runs; r++) {
        const Run *run = runs + r;
        int64_t inside = 0;
        for (int64_t i = 0; i < n_rows; i++) {
            const int64_t slot = rows[i] - run->block_row;
            if (run->first <= slot && slot < run->end) of_run[inside++] = i;
        }
        for (int64_t t = 0; t < n && inside; t++) {
            const Held held = look_up(run, q, t);
            for (int64_t i = 0; i < inside; i++) {
                const int64_t slot = rows[of_run[i]] - run->block_row, at = posting_of(&held, (uint16_t)slot);
                if (at < held.n && held.slots[at] == slot)
                    scores[of_run[i]] += added(q, t, held.times[at], run->lengths[slot]);
            }
        }
    }
    free(q), free(of_run);
    return 0;
}

/* ---- a row that is removed ---- */

/* Removes the postings of n terms in a slot of a run. What is left of a term's postings moves up, and behind it is a
 * hole. */
void hurnet_lexical_remove(const Run *run, const int64_t *numbers, int64_t n, int64_t slot) {
    for (int64_t t = 0; t < n; t++) {
        const int64_t i = place_of(run->terms, run->n_terms, (uint32_t)numbers[t]);
        const int64_t first = run->starts[i], end = run->starts[i + 1];
        const Held held = {run->slots + first, run->times + first, end - first, 0};
        const int64_t at = first + posting_of(&held, (uint16_t)slot), behind = end - at - 1;
        memmove(run->slots + at, run->slots + at + 1, (size_t)behind * sizeof *run->slots);
        memmove(run->times + at, run->times + at + 1, (size_t)behind);
        run->slots[end - 1] = HOLE;
        run->times[end - 1] = 0;
    }
}
