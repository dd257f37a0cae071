/* The terms of texts, and their numbers: hurnet_stream/core/lexical/terms.py and vocabulary.py say what these are, in
 * Python, which also takes the texts that are too hard for this.
 *
 *     "Café, -5?"    bytes     C a f é , _ - 5 ?          letters, signs and what separates words (_ is a space)
 *                    words     cafe   5-                  folded; a sign before a word goes behind it
 *                    terms     cafe   5-                  a word of letters alone is cut to its first six
 *                    record    c a f e 0 0 0 ... (32)     at most 32 bytes, zeros behind the end
 *                    tag       the upper half of a hash, by which the record is found
 */

#include <stdint.h>
#include <string.h>

#define TERM_BYTES 32
#define STEM_LETTERS 6
#define MOST_LENGTH 65535 /* terms of a text */
#define EMPTY (-1)
#define NOTHING 0
#define FOUND 1
#define TOO_HARD (-1)
#define NO_ROOM (-2)
#define NOBODY UINT32_MAX /* ends the chain of free numbers */
#define GROWTH_MAX 64     /* characters that a text may grow by when it is read, whatever its length */
#define FIRST 0x80        /* code points of a text that is not ASCII, as far as this can read them */
#define END 0x2070

enum { SEPARATOR, LETTER, DIGIT, UNDERSCORE, SIGN, HYPHEN, HARD };

typedef struct { /* as Vocabulary.struct in vocabulary.py gives it */
    uint64_t (*records)[TERM_BYTES / 8];
    uint32_t *tags;
    int32_t *held;
    int32_t *table;         /* of slots: numbers, or EMPTY */
    int64_t last;           /* slot */
    int64_t room;           /* for so many numbers */
    int64_t count, free;    /* numbers that were given; the first free one of these, or NOBODY */
    const uint64_t *factors;
} Vocabulary;

typedef struct { /* a character as it is read */
    int kind;
    int size;        /* bytes in the text */
    uint32_t folded; /* of a letter: up to four bytes of UTF-8, the first one lowest */
    int growth;      /* by how many characters the text grows when it is read */
} Character;

typedef struct {
    const uint8_t *at, *end;
    const uint64_t *table; /* by code point from FIRST to END: what it is folded to, its kind << 32, growth << 40 */
    int behind_word;       /* whether the last character was a letter, a digit or an underscore */
} Text;

/* ---- words ---- */

static const uint8_t kinds[128] = {
    ['a' ... 'z'] = LETTER, ['A' ... 'Z'] = LETTER, ['0' ... '9'] = DIGIT, ['_'] = UNDERSCORE, ['-'] = HYPHEN,
    ['#'] = SIGN, ['@'] = SIGN, ['&'] = SIGN, ['^'] = SIGN, ['$'] = SIGN, ['+'] = SIGN, ['<' ... '>'] = SIGN,
};

static Character beyond_ascii(const Text *text) {
    const uint8_t *at = text->at;
    const int size = *at < 0xE0 ? 2 : 3;
    if (*at >= 0xF0 || text->end - at < size) return (Character){HARD, 1, 0, 0};
    const uint32_t code = size == 2 ? (*at & 0x1Fu) << 6 | (at[1] & 0x3Fu)
                                    : (*at & 0xFu) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu);
    if (code < FIRST || code >= END) return (Character){HARD, 1, 0, 0};
    const uint64_t entry = text->table[code - FIRST];
    return (Character){entry >> 32 & 0xFF, size, (uint32_t)entry, entry >> 40 & 0xFF};
}

static Character look(const Text *text) {
    const uint8_t byte = *text->at;
    if (byte >= 0x80) return beyond_ascii(text);
    return (Character){kinds[byte], 1, byte >= 'A' && byte <= 'Z' ? byte | 0x20u : byte, 0};
}

typedef struct {
    uint64_t parts[TERM_BYTES / 8];
} Term;

typedef struct { /* a word that is being read */
    Term term;
    int size, letters; /* bytes, as many as there is room for; letters in all */
    int stem;          /* the size that it had with STEM_LETTERS of them */
    int plain;         /* whether it consists of letters alone */
} Word;

/* Puts up to four bytes of UTF-8 behind the others. */
static void put(Word *word, uint32_t bytes) {
    for (; bytes; bytes >>= 8) {
        if ((bytes & 0xC0) != 0x80 && word->letters++ == STEM_LETTERS) word->stem = word->size;
        if (word->size == TERM_BYTES) continue;
        ((uint8_t *)word->term.parts)[word->size++] = bytes & 0xFF;
    }
}

/* A word of letters alone is cut to its first ones. */
static Term term_of(Word *word) {
    uint8_t *bytes = (uint8_t *)word->term.parts;
    if (word->plain && word->letters > STEM_LETTERS) memset(bytes + word->stem, 0, (size_t)(TERM_BYTES - word->stem));
    return word->term;
}

/* ---- numbers ---- */

static uint32_t tag_of(const uint64_t *record, const uint64_t *factors) {
    uint64_t hash = 0;
    for (int i = 0; i < TERM_BYTES / 8; i++) hash += record[i] * factors[i];
    return (uint32_t)((hash ^ hash >> 32) * factors[TERM_BYTES / 8] >> 32);
}

static int64_t find(const Vocabulary *v, const uint64_t *record, uint32_t tag, int64_t *slot) {
    for (*slot = tag & v->last; v->table[*slot] != EMPTY; *slot = (*slot + 1) & v->last) {
        const int32_t number = v->table[*slot];
        if (v->tags[number] == tag && !memcmp(v->records[number], record, TERM_BYTES)) return number;
    }
    return EMPTY;
}

/* The number of a term, a new one if it has none; EMPTY if there is no room for it. */
static int64_t number_of(Vocabulary *v, const uint64_t *record) {
    const uint32_t tag = tag_of(record, v->factors);
    int64_t slot, number = find(v, record, tag, &slot);
    if (number != EMPTY) return number;
    if (v->free != NOBODY) {
        number = v->free;
        v->free = v->tags[number];
    } else if (v->count < v->room && 2 * v->count < v->last) { /* at most half of the slots are full */
        number = v->count++;
    } else {
        return EMPTY;
    }
    memcpy(v->records[number], record, TERM_BYTES);
    v->tags[number] = tag;
    v->held[number] = 0;
    v->table[slot] = (int32_t)number;
    return number;
}

/* The numbers of n terms, EMPTY for those that have none. */
void hurnet_find_terms(const Vocabulary *v, const uint64_t (*records)[TERM_BYTES / 8], int64_t n, int64_t *numbers) {
    for (int64_t i = 0, slot; i < n; i++) numbers[i] = find(v, records[i], tag_of(records[i], v->factors), &slot);
}

/* ---- texts ---- */

/* Takes a word, of which `c` is the first character. Signs before its first letter go behind its last one. */
static Term read_word(Text *text, Character c) {
    Word word = {.plain = 1};
    const uint8_t *signs = text->at, *letters;
    while (c.kind == SIGN || (c.kind == HYPHEN && text->at == signs)) {
        text->at += c.size;
        if (text->at == text->end) break;
        c = look(text);
    }
    letters = text->at;
    text->behind_word = 0;
    while (text->at < text->end) {
        c = look(text);
        if (c.kind != LETTER && c.kind != DIGIT && c.kind != UNDERSCORE && c.kind != SIGN) break;
        put(&word, c.folded);
        word.plain &= c.kind == LETTER;
        text->behind_word = c.kind != SIGN;
        text->at += c.size;
    }
    word.plain &= signs == letters;
    for (; signs < letters; signs++) put(&word, *signs);
    return term_of(&word);
}

/* Whether a hyphen is the sign of a number: -5 is one word, and 4-5 are two. */
static int is_minus(const Text *text) {
    return !text->behind_word && text->end - text->at > 1 && text->at[1] < 0x80 && kinds[text->at[1]] == DIGIT;
}

/* Takes the next term of a text that is easy: returns FOUND, or NOTHING at its end. */
static int next_term(Text *text, Term *term) {
    while (text->at < text->end) {
        const Character c = look(text);
        if (c.kind != SEPARATOR && (c.kind != HYPHEN || is_minus(text))) {
            *term = read_word(text, c);
            return FOUND;
        }
        text->at += c.size;
        text->behind_word = 0;
    }
    return NOTHING;
}

/* Whether a text has no character that is too hard, and can't have more terms than count. */
static int is_easy(Text text) {
    if (text.end - text.at > MOST_LENGTH) return 0;
    for (int growth = 0; text.at < text.end;) {
        const Character c = look(&text);
        growth += c.growth;
        if (c.kind == HARD || growth > GROWTH_MAX) return 0;
        text.at += c.size;
    }
    return 1;
}

/* The numbers of a text's terms; returns how many, or TOO_HARD, or NO_ROOM for a new term. A text without words is too
 * hard: its terms are what stands between spaces. No term of a text that is too hard gets a number here, since Python
 * may read another one in its place. */
static int64_t number_text(Vocabulary *v, Text text, int32_t *numbers) {
    Term term;
    int64_t n = 0;
    if (!is_easy(text)) return TOO_HARD;
    while (next_term(&text, &term) == FOUND) {
        const int64_t number = number_of(v, term.parts);
        if (number == EMPTY) return NO_ROOM;
        numbers[n++] = (int32_t)number;
    }
    return n ? n : TOO_HARD;
}

/* The numbers of the terms of texts, which begin at `starts` (n + 1); written one behind the other to `numbers`, and
 * how many each text has to `lengths`, TOO_HARD for a text that is left to Python. Returns how many texts are done:
 * less than n if there is no room for a new term. */
int64_t hurnet_number_terms(Vocabulary *v, const uint8_t *texts, const int64_t *starts, int64_t n,
                            const uint64_t *table, int32_t *numbers, int64_t *lengths) {
    for (int64_t i = 0; i < n; i++) {
        lengths[i] = number_text(v, (Text){texts + starts[i], texts + starts[i + 1], table, 0}, numbers);
        if (lengths[i] == NO_ROOM) return i;
        if (lengths[i] > 0) numbers += lengths[i];
    }
    return n;
}

/* The records of a text's terms; returns how many, or TOO_HARD. */
int64_t hurnet_read_terms(const uint8_t *text, int64_t size, const uint64_t *table, Term *records) {
    Text left = {text, text + size, table, 0};
    int64_t n = 0;
    if (!is_easy(left)) return TOO_HARD;
    while (next_term(&left, records + n) == FOUND) n++;
    return n ? n : TOO_HARD;
}
