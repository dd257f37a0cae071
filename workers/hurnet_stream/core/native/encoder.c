/* The inner loops of a sentence encoder on fixed-point numbers (hurnet_stream/adapters/embedders/encoder.py): products
   with its matrices, and its convolutions.

   All numbers are multiples of 2⁻¹⁶, weights of 2⁻¹⁸, and no sum of products reaches 2¹⁹: float64 holds each of them
   exactly, in any order. Only the layer norm rounds, and there each step stands as numpy does it.

   Weights are less than 2²⁴ of their units, so float32 holds them at half the memory. A matrix is packed as
   [panel of 32 columns][row][32], which a tile of six rows goes through from front to back:

       row 0    x0 x1 x2 ...        panel   w(0,0) ... w(0,31)         sums 0    x0 w(0,·) + x1 w(1,·) + ...
       ...                                  w(1,0) ... w(1,31)         ...
       row 5    y0 y1 y2 ...                ...                        sums 5    y0 w(0,·) + y1 w(1,·) + ...

   A convolution over a window of tokens is such a product too: the rows of neighbouring tokens lie behind one another,
   so that the window of a token is one long row. Two rows of zeros part the texts. */

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    ROWS = 6,
    PANEL = 32,
    BRANCHES = 3,
    WIDTH = 256,                   /* of a branch */
    HIDDEN_WIDTH = BRANCHES * WIDTH,
    EMBEDDING = 512,
    FEATURES = EMBEDDING + HIDDEN_WIDTH,
    INPUTS = EMBEDDING + HIDDEN_WIDTH,
    APART = 2,                     /* rows of zeros between texts: no window reaches further */
    LANES = 4,
};

/* The window of each branch: how many tokens, and how many of them are left of the token itself. */
static const int64_t ORDER[BRANCHES] = {2, 3, 5}, LEFT[BRANCHES] = {0, 1, 2};
enum { FIRSTS = (2 + 3 + 5) * WIDTH }; /* what a token adds to the first convolutions around it */

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f")))
#define INLINE static inline __attribute__((always_inline))

typedef double Lanes __attribute__((vector_size(8 * LANES), aligned(8)));
typedef float Floats __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int64_t Mask __attribute__((vector_size(8 * LANES), aligned(8)));

/* Keeps the compiler from fusing a product with the addition behind it: that rounds once, and numpy rounds twice. */
#define ROUNDED(x) __asm__("" : "+x"(x))

typedef struct { /* as `_Struct` in encoder.py */
    const float *second[BRANCHES]; /* packed matrices of the second convolutions, (order * WIDTH, WIDTH) */
    const double *first_bias, *second_bias; /* [BRANCHES][WIDTH] */
    const double *gain, *bias;     /* of the layer norm, [FEATURES] */
    double epsilon;
    const float *inputs;           /* [slot][INPUTS]: of each token, its embedding and its hidden features */
    const double *firsts;          /* [slot][FIRSTS]: these times the matrices of the first convolutions */
} Encoder;

typedef void tile_function(const double *const *rows, const float *panel, int64_t depth, int count,
                           double sums[ROWS][PANEL]);

static int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

AVX512 INLINE void sums_avx512(const double *const *rows, const float *panel, int64_t depth, int count,
                               double sums[ROWS][PANEL])
{
    __m512d sum[ROWS][4];
    for (int r = 0; r < count; r++)
        for (int c = 0; c < 4; c++)
            sum[r][c] = _mm512_setzero_pd();
    for (int64_t k = 0; k < depth; k++, panel += PANEL) {
        __m512d weights[4];
        for (int c = 0; c < 4; c++)
            weights[c] = _mm512_cvtps_pd(_mm256_loadu_ps(panel + 8 * c));
        for (int r = 0; r < count; r++) {
            __m512d x = _mm512_set1_pd(rows[r][k]);
            for (int c = 0; c < 4; c++)
                sum[r][c] = _mm512_fmadd_pd(x, weights[c], sum[r][c]);
        }
    }
    for (int r = 0; r < count; r++)
        for (int c = 0; c < 4; c++)
            _mm512_storeu_pd(sums[r] + 8 * c, sum[r][c]);
}

/* As above, eight columns at a time: AVX2 has 16 registers. */
AVX2 INLINE void sums_avx2(const double *const *rows, const float *panel, int64_t depth, int count,
                           double sums[ROWS][PANEL])
{
    for (int first = 0; first < PANEL; first += 8) {
        const float *column = panel + first;
        __m256d sum[ROWS][2];
        for (int r = 0; r < count; r++)
            sum[r][0] = sum[r][1] = _mm256_setzero_pd();
        for (int64_t k = 0; k < depth; k++, column += PANEL) {
            __m256d low = _mm256_cvtps_pd(_mm_loadu_ps(column)), high = _mm256_cvtps_pd(_mm_loadu_ps(column + 4));
            for (int r = 0; r < count; r++) {
                __m256d x = _mm256_broadcast_sd(rows[r] + k);
                sum[r][0] = _mm256_fmadd_pd(x, low, sum[r][0]);
                sum[r][1] = _mm256_fmadd_pd(x, high, sum[r][1]);
            }
        }
        for (int r = 0; r < count; r++) {
            _mm256_storeu_pd(sums[r] + first, sum[r][0]);
            _mm256_storeu_pd(sums[r] + first + 4, sum[r][1]);
        }
    }
}

/* The number of rows as a constant: the sums must be registers. */
#define TILE(name, target, of)                                                                                        \
    target static void name(const double *const *rows, const float *panel, int64_t depth, int count,                 \
                            double sums[ROWS][PANEL])                                                                 \
    {                                                                                                                 \
        switch (count) {                                                                                              \
        case 1: of(rows, panel, depth, 1, sums); break;                                                               \
        case 2: of(rows, panel, depth, 2, sums); break;                                                               \
        case 3: of(rows, panel, depth, 3, sums); break;                                                               \
        case 4: of(rows, panel, depth, 4, sums); break;                                                               \
        case 5: of(rows, panel, depth, 5, sums); break;                                                               \
        default: of(rows, panel, depth, ROWS, sums);                                                                  \
        }                                                                                                             \
    }
TILE(tile_avx512, AVX512, sums_avx512)
TILE(tile_avx2, AVX2, sums_avx2)

static tile_function *tile_of(int level) { return level > 1 ? tile_avx512 : tile_avx2; }

/* out (n, columns) = x (n, depth) times a packed matrix of `columns` columns, a multiple of PANEL. The rows of x are
   `stride` numbers apart. */
void hurnet_product(const double *x, int64_t n, int64_t stride, int64_t depth, const float *packed, int64_t columns,
                    double *out, int level)
{
    double sums[ROWS][PANEL];
    for (int64_t column = 0; column < columns; column += PANEL)
        for (int64_t first = 0; first < n; first += ROWS) {
            const double *rows[ROWS];
            int count = (int)lesser(ROWS, n - first);
            for (int r = 0; r < count; r++)
                rows[r] = x + (first + r) * stride;
            tile_of(level)(rows, packed + column * depth, depth, count, sums);
            for (int r = 0; r < count; r++)
                memcpy(out + (first + r) * columns + column, sums[r], sizeof sums[r]);
        }
}

AVX2 INLINE Lanes load(const double *x) { return *(const Lanes *)x; }
AVX2 INLINE Lanes widened(const float *x) { return __builtin_convertvector(*(const Floats *)x, Lanes); }

/* The nearest multiple of 2⁻¹⁶, ties to even: above 2⁵² float64 holds integers alone. */
AVX2 INLINE Lanes fixed(Lanes x)
{
    Lanes above = x * 0x1p16 + 0x1.8p52;
    return (above - 0x1.8p52) * 0x1p-16;
}

/* What a convolution makes of a sum and the number it started from: bias, ReLU, rounding, and the residual. */
AVX2 INLINE Lanes activated(Lanes sum, Lanes bias, Lanes start)
{
    Lanes x = sum + bias, zero = {0};
    return fixed((Lanes)((Mask)x & (x > zero))) + start;
}

/* The first convolutions of one token, of which `before` and `after` stand in its text: into row `row` of each branch. */
AVX2 static void first_convolutions(const Encoder *e, const int64_t *slot, int64_t before, int64_t after, double *row,
                                    int64_t branch_size)
{
    const double *bias = e->first_bias;
    const float *start = e->inputs + *slot * INPUTS + EMBEDDING;
    int64_t place = 0;
    for (int b = 0; b < BRANCHES; b++, bias += WIDTH, start += WIDTH, row += branch_size) {
        double sum[WIDTH] = {0};
        for (int64_t k = -LEFT[b]; k < ORDER[b] - LEFT[b]; k++, place += WIDTH) {
            if (k < -before || k > after)
                continue;
            const double *first = e->firsts + slot[k] * FIRSTS + place;
            for (int c = 0; c < WIDTH; c += LANES)
                *(Lanes *)(sum + c) += load(first + c);
        }
        for (int c = 0; c < WIDTH; c += LANES)
            *(Lanes *)(row + c) = activated(load(sum + c), load(bias + c), widened(start + c));
    }
}

/* The second convolution of one branch, of all tokens. `places` are their rows in `x`; features of a token are
   HIDDEN_WIDTH numbers apart in `out`. */
AVX2 static void second_convolution(const Encoder *e, int branch, const double *x, const int64_t *places, int64_t tokens,
                                    double *out, tile_function *tile)
{
    const double *bias = e->second_bias + branch * WIDTH;
    int64_t depth = ORDER[branch] * WIDTH;
    double sums[ROWS][PANEL];
    for (int64_t column = 0; column < WIDTH; column += PANEL)
        for (int64_t first = 0; first < tokens; first += ROWS) {
            const double *rows[ROWS];
            int count = (int)lesser(ROWS, tokens - first);
            for (int r = 0; r < count; r++)
                rows[r] = x + (places[first + r] - LEFT[branch]) * WIDTH;
            tile(rows, e->second[branch] + column * depth, depth, count, sums);
            for (int r = 0; r < count; r++) {
                const double *start = rows[r] + LEFT[branch] * WIDTH + column;
                double *to = out + (first + r) * HIDDEN_WIDTH + branch * WIDTH + column;
                for (int c = 0; c < PANEL; c += LANES)
                    *(Lanes *)(to + c) = activated(load(sums[r] + c), load(bias + column + c), load(start + c));
            }
        }
}

/* Adds the features of one token, after the layer norm, to `total`. Returns 0 if a sum of squares may have been rounded:
   they are multiples of 2⁻³². */
AVX2 static int add_normalised(const Encoder *e, const float *embedding, const double *convolved, double *total)
{
    double x[FEATURES];
    Lanes sum = {0}, squares = {0};
    for (int c = 0; c < FEATURES; c += LANES) {
        Lanes part = c < EMBEDDING ? widened(embedding + c) : load(convolved + c - EMBEDDING);
        *(Lanes *)(x + c) = part;
        sum += part;
        squares += part * part;
    }
    double mean = (sum[0] + sum[1] + sum[2] + sum[3]) / FEATURES;
    double all_squares = squares[0] + squares[1] + squares[2] + squares[3];
    double square_of_mean = mean * mean;
    ROUNDED(square_of_mean);
    double deviation = sqrt(all_squares / FEATURES - square_of_mean + e->epsilon);
    for (int c = 0; c < FEATURES; c += LANES) {
        Lanes y = (load(x + c) - mean) / deviation * load(e->gain + c);
        ROUNDED(y);
        *(Lanes *)(total + c) += fixed(y + load(e->bias + c));
    }
    return all_squares < 0x1p21;
}

/* Totals (texts, FEATURES) of the features of each text's tokens, which are given by their slots. `work` is room for
   BRANCHES * WIDTH * (2 * tokens + APART * (texts + 1)) numbers, `places` for as many as there are tokens. Returns 0 if
   a sum may have been rounded, which no text of people's comes near. */
AVX2 int hurnet_convolve(const Encoder *e, const int64_t *slots, const int64_t *lengths, int64_t texts, int64_t tokens,
                          double *work, int64_t *places, double *totals, int level)
{
    int64_t branch_size = (tokens + APART * (texts + 1)) * WIDTH;
    double *convolved = work + BRANCHES * branch_size;
    memset(work, 0, (size_t)(BRANCHES * branch_size) * sizeof *work);
    memset(totals, 0, (size_t)(texts * FEATURES) * sizeof *totals);
    int64_t token = 0;
    for (int64_t text = 0; text < texts; text++)
        for (int64_t i = 0; i < lengths[text]; i++, token++) {
            places[token] = token + APART * (text + 1);
            first_convolutions(e, slots + token, i, lengths[text] - 1 - i, work + places[token] * WIDTH, branch_size);
        }
    for (int b = 0; b < BRANCHES; b++)
        second_convolution(e, b, work + b * branch_size, places, tokens, convolved, tile_of(level));
    int exact = 1;
    token = 0;
    for (int64_t text = 0; text < texts; text++)
        for (int64_t i = 0; i < lengths[text]; i++, token++)
            exact &= add_normalised(e, e->inputs + slots[token] * INPUTS, convolved + token * HIDDEN_WIDTH,
                                    totals + text * FEATURES);
    return exact;
}

#endif
