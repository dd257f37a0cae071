/* Words cut into pieces of a vocabulary, so that the sum of the pieces' scores is the largest: what a unigram tokenizer
   does after its normalisation.

   The pieces are a tree of letters, kept as one table: from a node and a letter to the next node. From each place of a
   word the tree is walked as far as it goes, and each piece on the way offers its end a score:

       word      l i g h t s        offers from "l":  l -5.1   light -8.9   lights -12.4
       best      0 . . . . .        offers from "s":  light + s = -8.9 - 3.0, the largest that ends there

   A letter of no piece is a piece of its own, the unknown one. Of equal sums the one whose last piece begins first is
   taken, since a later offer must be larger. */

#include <stdint.h>
#include <stdlib.h>

typedef struct {
    uint64_t key;   /* node and letter; 0: nothing stands here */
    int32_t node;   /* the next one */
    int32_t piece;  /* that ends with this letter, or -1 */
} Step;

enum { ROOT = 1 };

/* Where the step from this node by this letter stands, or would. `steps` has a power of two of them, and room. */
static Step *step_at(Step *steps, int bits, int32_t node, uint32_t letter)
{
    uint64_t key = (uint64_t)node << 32 | letter, mask = ((uint64_t)1 << bits) - 1;
    uint64_t at = key * 0x9e3779b97f4a7c15u >> (64 - bits);
    while (steps[at].key && steps[at].key != key)
        at = (at + 1) & mask;
    return steps + at;
}

/* Put the pieces into `steps`, 2^bits of zeros. `letters` are those of all pieces, `ends` where each piece ends. Returns
   -1 if less than half of the steps would be left free. */
int hurnet_pieces_read(const uint32_t *letters, const int64_t *ends, int64_t pieces, Step *steps, int bits)
{
    int32_t nodes = ROOT;
    int64_t i = 0;
    for (int64_t piece = 0; piece < pieces; piece++) {
        Step *step = NULL;
        for (int32_t node = ROOT; i < ends[piece]; i++, node = step->node) {
            step = step_at(steps, bits, node, letters[i]);
            if (step->key)
                continue;
            if (nodes > (int64_t)1 << (bits - 1))
                return -1;
            *step = (Step){(uint64_t)node << 32 | letters[i], ++nodes, -1};
        }
        if (step)
            step->piece = (int32_t)piece;
    }
    return 0;
}

typedef struct { /* the best way to a place in a word */
    double score;
    int64_t begin; /* of its last piece */
    int32_t piece;
} Way;

static void offer(Way *way, double score, int64_t begin, int32_t piece)
{
    if (score > way->score)
        *way = (Way){score, begin, piece};
}

/* The pieces of a word of n letters into `out`, which has room for n. Returns how many they are, or -1 without memory. */
int64_t hurnet_pieces_cut(Step *steps, const float *scores, int bits, int32_t unknown, double unknown_score,
                          const uint32_t *letters, int64_t n, int32_t *out)
{
    Way *ways = malloc((size_t)(n + 1) * sizeof *ways);
    if (!ways)
        return -1;
    ways[0] = (Way){0, 0, 0};
    for (int64_t i = 1; i <= n; i++)
        ways[i] = (Way){-1e38, 0, 0};
    for (int64_t i = 0; i < n; i++) {
        int known = 0;
        int32_t node = ROOT;
        for (int64_t j = i; j < n; j++) {
            const Step *step = step_at(steps, bits, node, letters[j]);
            if (!step->key)
                break;
            node = step->node;
            if (step->piece < 0)
                continue;
            offer(ways + j + 1, ways[i].score + (double)scores[step->piece], i, step->piece);
            known |= j == i;
        }
        if (!known)
            offer(ways + i + 1, ways[i].score + unknown_score, i, unknown);
    }
    int64_t count = 0;
    for (int64_t at = n; at > 0; at = ways[at].begin)
        count++;
    for (int64_t at = n, to = count; at > 0; at = ways[at].begin)
        out[--to] = ways[at].piece;
    free(ways);
    return count;
}
