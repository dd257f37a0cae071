/* The inner loops of a sentence encoder on fixed-point numbers (hurnet_stream/adapters/embedders/use_kernels.py): products
   with its matrices, and its convolutions.

   All numbers are multiples of 2⁻¹⁶, weights of 2⁻¹⁸, and no sum of products reaches 2¹⁹: float64 holds each of them
   exactly, in any order. What is rounded is rounded as numpy does it: sums to multiples of 2⁻¹⁶, and each step of the
   layer norm.

   Reading the weights is what takes longest for a text alone. They are codes of 8 bits in memory: code times scale in
   float32, rounded to 2⁻¹⁸, is the weight. A matrix is packed as [panel of 32 columns][row][32] codes. The weights of a
   panel are decoded once, and then a tile of six rows goes through them from front to back:

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
    DEPTH_MAX = 1280,              /* rows of a matrix, an even number */
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

typedef struct { /* a packed matrix, as `_Matrix` in encoder.py */
    const int8_t *codes; /* [columns / PANEL][depth][PANEL] */
    const float *scales; /* [columns / PANEL] */
    int64_t depth, columns;
} Matrix;

typedef struct { /* as `_Encoder` in encoder.py */
    Matrix second[BRANCHES];       /* of the second convolutions, (order * WIDTH, WIDTH) */
    const double *first_bias, *second_bias; /* [BRANCHES][WIDTH] */
    const double *gain, *bias;     /* of the layer norm, [FEATURES] */
    double epsilon;
    const float *inputs;           /* [slot][INPUTS]: of each token, its embedding and its hidden features */
    const double *firsts;          /* [slot][FIRSTS]: these times the matrices of the first convolutions */
} Encoder;

typedef void tile_function(const double *const *rows, const float *panel, int64_t depth, int count,
                           double sums[ROWS][PANEL]);

typedef void decode_function(const Matrix *matrix, int64_t column, float *units);

enum { NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };

static int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

/* Sums of some rows times 32 columns of weights, which are in units of 2⁻¹⁸.
   Few rows take two steps at a time, each with sums of its own: additions to one sum wait for one another. */
#define STEPS(count) ((count) <= 3 ? 2 : 1)

AVX512 INLINE void sums_avx512(const double *const *rows, const float *panel, int64_t depth, int count,
                               double sums[ROWS][PANEL])
{
    __m512d sum[2][ROWS][4];
    for (int step = 0; step < STEPS(count); step++)
        for (int r = 0; r < count; r++)
            for (int c = 0; c < 4; c++)
                sum[step][r][c] = _mm512_setzero_pd();
    for (int64_t k = 0; k < depth; k += STEPS(count))
        for (int step = 0; step < STEPS(count); step++, panel += PANEL) {
            __m512d weights[4];
            for (int c = 0; c < 4; c++)
                weights[c] = _mm512_cvtps_pd(_mm256_loadu_ps(panel + 8 * c));
            for (int r = 0; r < count; r++) {
                __m512d x = _mm512_set1_pd(rows[r][k + step]);
                for (int c = 0; c < 4; c++)
                    sum[step][r][c] = _mm512_fmadd_pd(x, weights[c], sum[step][r][c]);
            }
        }
    for (int r = 0; r < count; r++)
        for (int c = 0; c < 4; c++) {
            __m512d whole = STEPS(count) == 2 ? _mm512_add_pd(sum[0][r][c], sum[1][r][c]) : sum[0][r][c];
            _mm512_storeu_pd(sums[r] + 8 * c, _mm512_mul_pd(whole, _mm512_set1_pd(0x1p-18)));
        }
}

/* As above, eight columns at a time: AVX2 has 16 registers. */
AVX2 INLINE void sums_avx2(const double *const *rows, const float *panel, int64_t depth, int count,
                           double sums[ROWS][PANEL])
{
    for (int first = 0; first < PANEL; first += 8) {
        const float *column = panel + first;
        __m256d sum[2][ROWS][2];
        for (int step = 0; step < STEPS(count); step++)
            for (int r = 0; r < count; r++)
                sum[step][r][0] = sum[step][r][1] = _mm256_setzero_pd();
        for (int64_t k = 0; k < depth; k += STEPS(count))
            for (int step = 0; step < STEPS(count); step++, column += PANEL) {
                __m256d low = _mm256_cvtps_pd(_mm_loadu_ps(column)), high = _mm256_cvtps_pd(_mm_loadu_ps(column + 4));
                for (int r = 0; r < count; r++) {
                    __m256d x = _mm256_broadcast_sd(rows[r] + k + step);
                    sum[step][r][0] = _mm256_fmadd_pd(x, low, sum[step][r][0]);
                    sum[step][r][1] = _mm256_fmadd_pd(x, high, sum[step][r][1]);
                }
            }
        for (int r = 0; r < count; r++)
            for (int half = 0; half < 2; half++) {
                __m256d whole = sum[0][r][half];
                if (STEPS(count) == 2)
                    whole = _mm256_add_pd(whole, sum[1][r][half]);
                _mm256_storeu_pd(sums[r] + first + 4 * half, _mm256_mul_pd(whole, _mm256_set1_pd(0x1p-18)));
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

/* The weights of the panel that begins at `column`, in units of 2⁻¹⁸. */
AVX512 static void decode_avx512(const Matrix *matrix, int64_t column, float *units)
{
    const int8_t *codes = matrix->codes + column * matrix->depth;
    const __m512 scale = _mm512_set1_ps(matrix->scales[column / PANEL] * 0x1p18f);
    for (int64_t i = 0; i < matrix->depth * PANEL; i += 16) {
        __m512i wide = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(codes + i)));
        __m512 weights = _mm512_mul_ps(_mm512_cvtepi32_ps(wide), scale);
        _mm512_storeu_ps(units + i, _mm512_roundscale_ps(weights, NEAREST));
    }
}

AVX2 static void decode_avx2(const Matrix *matrix, int64_t column, float *units)
{
    const int8_t *codes = matrix->codes + column * matrix->depth;
    const __m256 scale = _mm256_set1_ps(matrix->scales[column / PANEL] * 0x1p18f);
    for (int64_t i = 0; i < matrix->depth * PANEL; i += 8) {
        __m256i wide = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(codes + i)));
        __m256 weights = _mm256_mul_ps(_mm256_cvtepi32_ps(wide), scale);
        _mm256_storeu_ps(units + i, _mm256_round_ps(weights, NEAREST));
    }
}

typedef struct {
    tile_function *tile;
    decode_function *decode;
} Level;

/* By the number that encoder.py gives. */
static const Level LEVELS[] = {{0}, {tile_avx2, decode_avx2}, {tile_avx512, decode_avx512}};

/* out (n, columns) = x (n, depth) times the matrix. The rows of x are `stride` numbers apart. */
void hurnet_product(const double *x, int64_t n, int64_t stride, const Matrix *matrix, double *out, int level)
{
    static _Thread_local float units[DEPTH_MAX * PANEL]; /* a thread's stack may be too small */
    double sums[ROWS][PANEL];
    for (int64_t column = 0; column < matrix->columns; column += PANEL) {
        LEVELS[level].decode(matrix, column, units);
        for (int64_t first = 0; first < n; first += ROWS) {
            const double *rows[ROWS];
            int count = (int)lesser(ROWS, n - first);
            for (int r = 0; r < count; r++)
                rows[r] = x + (first + r) * stride;
            LEVELS[level].tile(rows, units, matrix->depth, count, sums);
            for (int r = 0; r < count; r++)
                memcpy(out + (first + r) * matrix->columns + column, sums[r], sizeof sums[r]);
        }
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

/* The second convolution of one branch, of all tokens. `row_of` says which row of `x` is whose; features of a token are
   HIDDEN_WIDTH numbers apart in `out`. */
AVX2 static void second_convolution(const Encoder *e, int branch, const double *x, const int64_t *row_of, int64_t tokens,
                                    double *out, int level)
{
    const Matrix *matrix = e->second + branch;
    const double *bias = e->second_bias + branch * WIDTH;
    static _Thread_local float units[DEPTH_MAX * PANEL]; /* a thread's stack may be too small */
    double sums[ROWS][PANEL];
    for (int64_t column = 0; column < WIDTH; column += PANEL) {
        LEVELS[level].decode(matrix, column, units);
        for (int64_t first = 0; first < tokens; first += ROWS) {
            const double *rows[ROWS];
            int count = (int)lesser(ROWS, tokens - first);
            for (int r = 0; r < count; r++)
                rows[r] = x + (row_of[first + r] - LEFT[branch]) * WIDTH;
            LEVELS[level].tile(rows, units, matrix->depth, count, sums);
            for (int r = 0; r < count; r++) {
                const double *start = rows[r] + LEFT[branch] * WIDTH + column;
                double *to = out + (first + r) * HIDDEN_WIDTH + branch * WIDTH + column;
                for (int c = 0; c < PANEL; c += LANES)
                    *(Lanes *)(to + c) = activated(load(sums[r] + c), load(bias + column + c), load(start + c));
            }
        }
    }
}

/* The sum of the squares of FEATURES numbers, rounded once. They are multiples of 2⁻¹⁶: where the sum below is less than
   2²¹, none of its additions was rounded. */
AVX2 static double sum_of_squares(const double *x)
{
    Lanes sum = {0};
    for (int c = 0; c < FEATURES; c += LANES)
        sum += load(x + c) * load(x + c);
    double whole = sum[0] + sum[1] + sum[2] + sum[3];
    if (whole < 0x1p21)
        return whole;
    __int128 exact = 0;
    for (int c = 0; c < FEATURES; c++) {
        int64_t units = (int64_t)(x[c] * 0x1p16);
        exact += (__int128)units * units;
    }
    return (double)exact * 0x1p-32;
}

/* Adds the features of one token, after the layer norm, to `total`. */
AVX2 static void add_normalised(const Encoder *e, const float *embedding, const double *convolved, double *total)
{
    double x[FEATURES];
    Lanes sum = {0};
    for (int c = 0; c < FEATURES; c += LANES) {
        Lanes part = c < EMBEDDING ? widened(embedding + c) : load(convolved + c - EMBEDDING);
        *(Lanes *)(x + c) = part;
        sum += part;
    }
    double mean = (sum[0] + sum[1] + sum[2] + sum[3]) / FEATURES;
    double square_of_mean = mean * mean;
    ROUNDED(square_of_mean);
    double deviation = sqrt(sum_of_squares(x) / FEATURES - square_of_mean + e->epsilon);
    for (int c = 0; c < FEATURES; c += LANES) {
        Lanes y = (load(x + c) - mean) / deviation * load(e->gain + c);
        ROUNDED(y);
        *(Lanes *)(total + c) += fixed(y + load(e->bias + c));
    }
}

/* Totals (texts, FEATURES) of the features of each text's tokens, which are given by their slots. `work` is room for
   BRANCHES * WIDTH * (2 * tokens + APART * (texts + 1)) numbers, `row_of` for as many as there are tokens. */
AVX2 void hurnet_convolve(const Encoder *e, const int64_t *slots, const int64_t *lengths, int64_t texts, int64_t tokens,
                          double *work, int64_t *row_of, double *totals, int level)
{
    int64_t branch_size = (tokens + APART * (texts + 1)) * WIDTH;
    double *convolved = work + BRANCHES * branch_size;
    memset(work, 0, (size_t)(BRANCHES * branch_size) * sizeof *work);
    memset(totals, 0, (size_t)(texts * FEATURES) * sizeof *totals);
    int64_t token = 0;
    for (int64_t text = 0; text < texts; text++)
        for (int64_t i = 0; i < lengths[text]; i++, token++) {
            row_of[token] = token + APART * (text + 1);
            first_convolutions(e, slots + token, i, lengths[text] - 1 - i, work + row_of[token] * WIDTH, branch_size);
        }
    for (int b = 0; b < BRANCHES; b++)
        second_convolution(e, b, work + b * branch_size, row_of, tokens, convolved, level);
    token = 0;
    for (int64_t text = 0; text < texts; text++)
        for (int64_t i = 0; i < lengths[text]; i++, token++)
            add_normalised(e, e->inputs + slots[token] * INPUTS, convolved + token * HIDDEN_WIDTH,
                           totals + text * FEATURES);
}

#endif
