/* What the parts of the scanner have in common: a description of records, and the reading of JSON's bytes. All of it is
 * inline, as a call for each byte or text would be most of the work. See scan.c for the theory.
 */
#ifndef SCAN_H
#define SCAN_H

#include "segmenter.h"

#include <string.h>

#define TEXT_MAX 16383 /* characters; in UTF-8 at most 65532 bytes, which the sizes of an event can hold */
#define UNKNOWN_MAX 64
#define LEVELS_MAX 8
#define FRACTION_DIGITS_MAX 17
#define NUMBER_DIGITS_MAX 30
#define EXPONENT_DIGITS_MAX 3
#define KEPT_TEXT_MAX 256 /* characters of a text that is kept */
#define TRAITS_MAX SEG_PATHS_MAX /* of a record */
#define NODES_MAX (SEG_PATHS_MAX * LEVELS_MAX)
#define NOTHING (-1)

/* A key in a free object that leads to something that is kept. */
typedef struct seg_node {
  const uint8_t *key; /* within the scanner's paths */
  int32_t size;
  int16_t path;       /* what is kept there, NOTHING if the way only leads on */
  int16_t child;      /* the first of the keys in the object that is there, NOTHING for none */
  int16_t next;       /* another key of the same object */
} seg_node;

/* The traits that are listed, by their names. */
typedef struct seg_trait_table {
  seg_listed_trait *traits;
  int16_t *slots; /* [mask + 1] */
  uint32_t mask;  /* 0 for no traits */
} seg_trait_table;

struct seg_scanner {
  seg_field fields[SEG_FIELDS_MAX];
  seg_word words[SEG_WORDS_MAX];
  seg_currency currencies[SEG_CURRENCIES_MAX];
  seg_scan_policy policy;
  uint32_t field_count, word_count, currency_count;
  uint32_t required; /* bit of each field */
  uint32_t kept;     /* likewise: whether something is kept of it */
  int32_t path_count;
  int64_t levels;    /* of nesting, the record itself being one */
  int16_t path_of_field[SEG_FIELDS_MAX]; /* NOTHING if the field itself is not kept */
  int16_t tree_of_field[SEG_FIELDS_MAX]; /* first node, NOTHING for none */
  int32_t node_count;
  seg_node nodes[NODES_MAX];
  seg_kept_path paths[SEG_PATHS_MAX];
  seg_trait_table traits;
  seg_word placeholders[SEG_PLACEHOLDERS_MAX];
  uint64_t placeholder_sizes[256]; /* by an id's first byte: a bit of each size in which it may be one */
  uint32_t placeholder_count;
  bool doubts_foreign; /* customers' ids beyond ASCII, as a placeholder is */
};

typedef struct span {
  const uint8_t *at;
  size_t size;
} span;

typedef struct cursor {
  const uint8_t *at, *end;
} cursor;

/* The keys of one object, those of the contract's fields left out. */
typedef struct key_set {
  uint32_t count;
  span keys[UNKNOWN_MAX];
} key_set;

/* The value at a path, SEG_FIELD_NULL for none; or of a trait. */
typedef struct kept_value {
  int32_t kind;
  int32_t count; /* of a list's texts */
  span name;     /* of a trait */
  span text;     /* a text, or a list as it is written, its brackets left out */
  size_t size;   /* of a list, as it is kept */
  double number;
} kept_value;

/* Skips a value that nobody reads, with at most so many levels. */
bool seg_skip_value(cursor *c, int64_t levels);
/* Reads what is kept of the value of a field, which must be an object where the field is one; false if in doubt. */
bool seg_keep_field(const seg_scanner *s, uint32_t field, cursor *c, kept_value *kept);
/* Reads a value that is asked for; SEG_FIELD_NULL if it has no form to be kept in, false if in doubt. */
bool seg_keep_value(cursor *c, int64_t levels, kept_value *out);
/* Writes what is kept, of a record of that type: its size, or SEG_NO_ROOM. */
int64_t seg_put_kept(const seg_scanner *s, const kept_value *kept, span type, uint8_t *out, int64_t room);
/* Likewise, traits in their order. */
int64_t seg_put_traits(const kept_value *traits, int32_t count, uint8_t *out, int64_t room);
/* How many bytes a trait takes. */
int64_t seg_kept_size(const kept_value *trait);
/* Reads an object of traits, which come in the order of their names; false if in doubt. `kept` holds TRAITS_MAX. */
bool seg_read_traits(const seg_scanner *s, int64_t most, cursor *c, kept_value *kept, int32_t *count);
/* Fills an empty table; false if the traits are none, or there is no memory. */
bool seg_list_traits(seg_trait_table *table, const seg_listed_trait *traits, int64_t count);
void seg_unlist_traits(seg_trait_table *table);
/* Whether an id beyond ASCII is sure to be in its normal form. */
bool seg_is_certainly_normal(span id);
/* Whether an id may stand for nobody. */
bool seg_is_placeholder(const seg_scanner *s, span id);
/* Notes the placeholders, at most SEG_PLACEHOLDERS_MAX; false if one is none. */
bool seg_list_placeholders(seg_scanner *s, const seg_word *placeholders, int64_t count);
/* Finds its way to everything that is kept; false if the paths are none. */
bool seg_lay_paths(seg_scanner *s);

static inline bool is_digit(uint8_t byte) { return (uint8_t)(byte - '0') <= 9; }

static inline bool has(const cursor *c, size_t bytes) { return (size_t)(c->end - c->at) >= bytes; }

static inline void skip_space(cursor *c) {
  while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t')) c->at++;
}

static inline bool take(cursor *c, uint8_t byte) {
  if (c->at >= c->end || *c->at != byte) return false;
  c->at++;
  return true;
}

static inline bool take_word(cursor *c, const char *word, size_t size) {
  if (!has(c, size) || memcmp(c->at, word, size) != 0) return false;
  c->at += size;
  return true;
}

/* How many of the eight bytes before the first that is not plain: a control character, a quote, a backslash, DEL or not
 * ASCII. A borrow or carry can only spoil bytes behind the first. */
static inline unsigned plain_bytes(const uint8_t *at) {
  const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
  uint64_t x;
  memcpy(&x, at, sizeof x);
  const uint64_t quote = x ^ (ones * '"'), backslash = x ^ (ones * '\\'), delete = x ^ (ones * 0x7f);
  const uint64_t odd = ((x - ones * 0x20) | (quote - ones) | (backslash - ones) | (delete - ones) | x) & highs;
  return odd ? (unsigned)__builtin_ctzll(odd) / 8 : 8;
}

/* The bytes of the UTF-8 sequence that begins with a byte >= 0x80, 0 if it is none or a C1 control character. */
static inline size_t sequence_size(const uint8_t *at, const uint8_t *end) {
  const uint8_t first = at[0];
  const size_t size = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (size == 0 || (size_t)(end - at) < size) return 0;
  uint8_t low = 0x80, high = 0xbf;
  if (first == 0xc2 || first == 0xe0) low = 0xa0; /* C1; overlong */
  if (first == 0xed) high = 0x9f;                 /* surrogates */
  if (first == 0xf0) low = 0x90;                  /* overlong */
  if (first == 0xf4) high = 0x8f;                 /* beyond U+10FFFF */
  if (at[1] < low || at[1] > high) return 0;
  for (size_t i = 2; i < size; i++)
    if ((at[i] & 0xc0) != 0x80) return 0;
  return size;
}

static inline bool is_hexadecimal(uint8_t byte) {
  const uint8_t small = byte | 0x20;
  return is_digit(byte) || (small >= 'a' && small <= 'f');
}

/* What stands behind a backslash. */
static const uint8_t *skip_escape(const uint8_t *p, const uint8_t *end) {
  if (p >= end) return NULL;
  if (*p != 'u') return memchr("\"\\/bfnrt", *p, 8) ? p + 1 : NULL;
  if (end - p < 5) return NULL;
  for (int i = 1; i <= 4; i++)
    if (!is_hexadecimal(p[i])) return NULL;
  return p + 5;
}

/* A string without control characters, and without escapes unless they may be; the cursor stands at its quote. With
 * escapes, what it gives is the raw text. */
static inline bool read_raw_string(cursor *c, bool may_escape, span *out, size_t *characters) {
  if (!take(c, '"')) return false;
  const uint8_t *const start = c->at, *const end = c->end;
  const uint8_t *p = start;
  size_t continuations = 0;
  for (;;) {
    if (end - p >= 8) {
      const unsigned plain = plain_bytes(p);
      p += plain;
      if (plain == 8) continue;
    }
    if (p >= end) return false;
    if (*p == '"') break;
    if (*p == '\\') {
      if (!may_escape || !(p = skip_escape(p + 1, end))) return false;
      continue;
    }
    if (*p < 0x20 || *p == 0x7f) return false;
    if (*p < 0x80) {
      p++;
      continue;
    }
    const size_t size = sequence_size(p, end);
    if (size == 0) return false;
    continuations += size - 1;
    p += size;
  }
  *out = (span){start, (size_t)(p - start)};
  *characters = out->size - continuations;
  c->at = p + 1;
  return true;
}

static inline bool read_string(cursor *c, span *out, size_t *characters) {
  return read_raw_string(c, false, out, characters);
}

static inline bool read_text(cursor *c, int64_t most, span *out) {
  size_t characters;
  return read_string(c, out, &characters) && characters >= 1 && characters <= (size_t)most;
}

static inline size_t skip_digits(cursor *c) {
  const uint8_t *const start = c->at;
  while (c->at < c->end && is_digit(*c->at)) c->at++;
  return (size_t)(c->at - start);
}

/* The whole part of a JSON number: no superfluous zero before it. Its digits, 0 if it is none. */
static inline size_t skip_whole(cursor *c) {
  const uint8_t *const start = c->at;
  const size_t digits = skip_digits(c);
  return digits > 1 && *start == '0' ? 0 : digits;
}

/* A JSON number without an exponent; what follows it is looked at by whoever goes on behind it. */
static inline bool read_number(cursor *c, int64_t most) {
  take(c, '-');
  const size_t whole = skip_whole(c);
  if (whole == 0 || whole > (size_t)most) return false;
  if (!take(c, '.')) return true;
  const size_t fraction = skip_digits(c);
  return fraction >= 1 && fraction <= FRACTION_DIGITS_MAX;
}

/* Notes a key that is new to its object. */
static inline bool add_key(key_set *set, span key) {
  if (set->count == UNKNOWN_MAX) return false;
  for (uint32_t i = 0; i < set->count; i++)
    if (set->keys[i].size == key.size && memcmp(set->keys[i].at, key.at, key.size) == 0) return false;
  set->keys[set->count++] = key;
  return true;
}

#endif
