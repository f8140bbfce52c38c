/* Bytes -> events: the first of three tiers that decode. It accepts only what it can prove valid; everything else is
 * doubted and goes to stream_app/contracts/fast_path.py, and from there to the models, whose verdict counts.
 *
 * Theory. A record is accepted if it is one JSON object in which
 *   - every string, key or value, is UTF-8 without escapes and without control characters (C0, DEL, C1). Then bytes are
 *     equal where texts are, there can be no lone surrogate, and what is copied needs no unescaping. Values that nobody
 *     reads, those of unknown fields, may have escapes;
 *   - no key comes twice: known ones are bits of a set, of others up to UNKNOWN_MAX in an object are compared;
 *   - nothing is nested deeper than the policy allows, nor than LEVELS_MAX. A known list makes two levels, which every
 *     policy allows;
 *   - each known field is read by one of the readers below, at least as strict as its type in contracts/fields.py.
 * Money goes from digits to minor units to the base currency in integers, rounded half to even as contracts/currencies
 * does it, or the record is doubted.
 *
 * Contract. A topic is a table of fields, words and currencies; nothing here knows a topic. A scanner is not changed
 * once it is made. What is remembered from record to record, the last date and which field follows which, stands on the
 * stack of one call.
 *
 * Bounds. A record lies within the buffer (checked without overflow), and each reader looks at a byte only after having
 * compared with the record's end. Lengths fit their fields: a text has at most TEXT_MAX characters, four bytes each.
 * Amounts have at most 18 digits, products are checked. Time of a record is linear in its length; recursion, over the
 * values of unknown fields alone, ends at LEVELS_MAX.
 */
#include "segmenter.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include "vendor/xxhash.h"

#define TEXT_MAX 16383 /* characters; in UTF-8 at most 65532 bytes, which the sizes of an event can hold */
#define UNKNOWN_MAX 16
#define LEVELS_MAX 8
#define AMOUNT_DIGITS_MAX 18 /* 10^18 < 2^63 */
#define FRACTION_DIGITS_MAX 17
#define FRACTION_OF_SECOND_MAX 9
#define MINOR_DIGITS_MAX 6
#define NUMBER_DIGITS_MAX 30
#define EXPONENT_DIGITS_MAX 3
#define TEXTS_MAX INT64_C(0xffffffff)
#define START SEG_FIELDS_MAX /* stands for "no field yet" among followers */

struct seg_scanner {
  seg_field fields[SEG_FIELDS_MAX];
  seg_word words[SEG_WORDS_MAX];
  seg_currency currencies[SEG_CURRENCIES_MAX];
  seg_scan_policy policy;
  uint32_t field_count, word_count, currency_count;
  uint32_t required; /* bit of each field */
  int64_t levels;    /* of nesting, the record itself being one */
};

typedef struct span {
  const uint8_t *at;
  size_t size;
} span;

typedef struct cursor {
  const uint8_t *at, *end;
} cursor;

/* What a call remembers from one record to the next: only what makes the next one quicker. */
typedef struct memory {
  uint8_t date[10];
  bool has_date;
  int64_t date_ms;
  uint8_t follower[SEG_FIELDS_MAX + 1]; /* which field came behind each the last time */
} memory;

/* The unknown keys of one object. */
typedef struct key_set {
  uint32_t count;
  span keys[UNKNOWN_MAX];
} key_set;

typedef struct record {
  span event_id, customer_id, order_id, type, amount;
  const seg_word *word;
  const seg_currency *currency;
  int64_t at_ms;
  uint32_t seen; /* bit of each known field */
  key_set unknown; /* the last, as only its count is set to begin with */
} record;

/* --- bytes --- */

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

static bool take_word(cursor *c, const char *word, size_t size) {
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
static size_t sequence_size(const uint8_t *at, const uint8_t *end) {
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

static bool read_string(cursor *c, span *out, size_t *characters) {
  return read_raw_string(c, false, out, characters);
}

static bool read_text(cursor *c, int64_t most, span *out) {
  size_t characters;
  return read_string(c, out, &characters) && characters >= 1 && characters <= (size_t)most;
}

/* --- times --- */

static inline int32_t two_digits(const uint8_t *at) {
  return is_digit(at[0]) && is_digit(at[1]) ? (at[0] - '0') * 10 + (at[1] - '0') : -1;
}

/* Days from 1970-01-01 of the proleptic Gregorian calendar (Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t days_since_epoch(int32_t year, int32_t month, int32_t day) {
  const int32_t shifted = month <= 2 ? year - 1 : year; /* years from March; >= 0, as year >= 1 */
  const int32_t era = shifted / 400, of_era = shifted % 400;
  const int32_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  return (int64_t)era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool read_date(const uint8_t *at, memory *m, int64_t *date_ms) {
  if (m->has_date && memcmp(at, m->date, sizeof m->date) == 0) {
    *date_ms = m->date_ms;
    return true;
  }
  static const int8_t lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const int32_t century = two_digits(at), of_century = two_digits(at + 2);
  const int32_t month = two_digits(at + 5), day = two_digits(at + 8);
  if (century < 0 || of_century < 0 || at[4] != '-' || at[7] != '-' || month < 1 || month > 12) return false;
  const int32_t year = century * 100 + of_century;
  const bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  if (year < 1 || day < 1 || day > lengths[month - 1] + (month == 2 && is_leap)) return false;
  m->date_ms = *date_ms = days_since_epoch(year, month, day) * SEG_DAY_MS;
  memcpy(m->date, at, sizeof m->date);
  m->has_date = true;
  return true;
}

/* Whole milliseconds of a fraction of a second; what is finer is cut off. The cursor stands behind the point. */
static bool read_fraction(cursor *c, int64_t *ms) {
  int64_t value = 0;
  int digits = 0;
  for (; c->at < c->end && is_digit(*c->at); c->at++, digits++)
    if (digits < 3) value = value * 10 + (*c->at - '0');
  if (digits < 1 || digits > FRACTION_OF_SECOND_MAX) return false;
  for (int i = digits; i < 3; i++) value *= 10;
  *ms = value;
  return true;
}

static bool read_zone(cursor *c, int64_t *offset_ms) {
  *offset_ms = 0;
  if (take(c, 'Z')) return true;
  if (!has(c, 6) || (c->at[0] != '+' && c->at[0] != '-') || c->at[3] != ':') return false;
  const int32_t hours = two_digits(c->at + 1), minutes = two_digits(c->at + 4);
  if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return false;
  *offset_ms = (hours * INT64_C(60) + minutes) * 60 * SEG_SECOND_MS * (c->at[0] == '-' ? -1 : 1);
  c->at += 6;
  return true;
}

/* "2024-05-01T12:34:56.789Z", with any fraction or none, and any offset; no leap second, as Unix time has none. */
static bool read_time(cursor *c, memory *m, int64_t *at_ms) {
  int64_t date_ms, fraction_ms = 0, offset_ms;
  if (!take(c, '"') || !has(c, 19) || !read_date(c->at, m, &date_ms)) return false;
  const uint8_t *const at = c->at;
  const int32_t hour = two_digits(at + 11), minute = two_digits(at + 14), second = two_digits(at + 17);
  if (at[10] != 'T' || at[13] != ':' || at[16] != ':') return false;
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return false;
  c->at += 19;
  if (take(c, '.') && !read_fraction(c, &fraction_ms)) return false;
  if (!read_zone(c, &offset_ms) || !take(c, '"')) return false;
  *at_ms = date_ms + ((hour * INT64_C(60) + minute) * 60 + second) * SEG_SECOND_MS + fraction_ms - offset_ms;
  return true;
}

/* --- numbers and money --- */

static size_t skip_digits(cursor *c) {
  const uint8_t *const start = c->at;
  while (c->at < c->end && is_digit(*c->at)) c->at++;
  return (size_t)(c->at - start);
}

/* The whole part of a JSON number: no superfluous zero before it. Its digits, 0 if it is none. */
static size_t skip_whole(cursor *c) {
  const uint8_t *const start = c->at;
  const size_t digits = skip_digits(c);
  return digits > 1 && *start == '0' ? 0 : digits;
}

static bool read_count(cursor *c, int64_t most) {
  const uint8_t *at = c->at;
  const size_t digits = skip_whole(c);
  if (digits == 0 || digits > AMOUNT_DIGITS_MAX) return false;
  int64_t value = 0;
  for (; at < c->at; at++) value = value * 10 + (*at - '0');
  return value <= most;
}

/* A JSON number without an exponent; what follows it is looked at by whoever goes on behind it. */
static bool read_number(cursor *c, int64_t most) {
  take(c, '-');
  const size_t whole = skip_whole(c);
  if (whole == 0 || whole > (size_t)most) return false;
  if (!take(c, '.')) return true;
  const size_t fraction = skip_digits(c);
  return fraction >= 1 && fraction <= FRACTION_DIGITS_MAX;
}

/* The digits and the point of an amount. As text it may begin with zeros, as a number not. */
static bool read_amount(cursor *c, span *out) {
  const bool is_text = take(c, '"');
  const uint8_t *const start = c->at;
  const size_t whole = is_text ? skip_digits(c) : skip_whole(c);
  if (whole == 0) return false;
  if (take(c, '.') && skip_digits(c) == 0) return false;
  *out = (span){start, (size_t)(c->at - start)};
  return !is_text || take(c, '"');
}

/* Minor units of its own currency. */
static bool to_minor(span amount, const seg_currency *currency, int64_t *minor) {
  int64_t value = 0;
  int32_t digits = 0, fraction = -1; /* -1: before the point */
  for (size_t i = 0; i < amount.size; i++) {
    if (amount.at[i] == '.') {
      fraction = 0;
      continue;
    }
    if (++digits > AMOUNT_DIGITS_MAX) return false;
    if (fraction >= 0) fraction++;
    value = value * 10 + (amount.at[i] - '0');
  }
  const int32_t missing = currency->minor_digits - (fraction < 0 ? 0 : fraction);
  if (missing < 0 || digits + missing > AMOUNT_DIGITS_MAX) return false;
  for (int32_t i = 0; i < missing; i++) value *= 10;
  *minor = value;
  return value <= currency->limit_minor;
}

/* Minor units of the base currency, rounded half to even; see Conversion.to_base. */
static bool to_base(int64_t minor, const seg_currency *currency, int64_t *base) {
  int64_t product;
  if (__builtin_mul_overflow(minor, currency->numerator, &product)) return false;
  const int64_t whole = product / currency->denominator;
  const uint64_t rest = (uint64_t)(product % currency->denominator), denominator = (uint64_t)currency->denominator;
  const bool is_up = 2 * rest > denominator || (2 * rest == denominator && whole % 2 == 1);
  return !__builtin_add_overflow(whole, (int64_t)is_up, base);
}

/* --- fields --- */

static bool read_word(const seg_scanner *s, cursor *c, record *r) {
  size_t characters;
  if (!read_string(c, &r->type, &characters)) return false;
  for (uint32_t i = 0; i < s->word_count; i++) {
    const seg_word *word = &s->words[i];
    if ((size_t)word->size == r->type.size && memcmp(word->text, r->type.at, r->type.size) == 0) {
      r->word = word;
      return true;
    }
  }
  return false;
}

static bool read_name(cursor *c, int64_t most, span *out) {
  if (!read_text(c, most, out) || out->at[0] < 'a' || out->at[0] > 'z') return false;
  for (size_t i = 1; i < out->size; i++) {
    const uint8_t byte = out->at[i];
    if (!((byte >= 'a' && byte <= 'z') || is_digit(byte) || byte == '_')) return false;
  }
  return true;
}

static bool read_currency(const seg_scanner *s, cursor *c, record *r) {
  span code;
  if (!read_text(c, 3, &code) || code.size != 3) return false;
  for (uint32_t i = 0; i < s->currency_count; i++)
    if (memcmp(s->currencies[i].code, code.at, 3) == 0) {
      r->currency = &s->currencies[i];
      return true;
    }
  return false;
}

static bool read_texts(cursor *c, int64_t most) {
  span text;
  if (!take(c, '[')) return false;
  skip_space(c);
  if (take(c, ']')) return true;
  for (int64_t count = 1; count <= most; count++) {
    if (!read_text(c, SEG_LISTED_TEXT, &text)) return false;
    skip_space(c);
    if (take(c, ']')) return true;
    if (!take(c, ',')) return false;
    skip_space(c);
  }
  return false;
}

/* Notes a key that is new to its object. */
static bool add_key(key_set *set, span key) {
  if (set->count == UNKNOWN_MAX) return false;
  for (uint32_t i = 0; i < set->count; i++)
    if (set->keys[i].size == key.size && memcmp(set->keys[i].at, key.at, key.size) == 0) return false;
  set->keys[set->count++] = key;
  return true;
}

static bool skip_value(cursor *c, int64_t levels);

/* A list or an object within `levels` levels; the cursor stands behind its bracket. */
static bool skip_children(cursor *c, int64_t levels, uint8_t bracket, bool is_object) {
  key_set set;
  set.count = 0;
  if (levels == 0) return false;
  skip_space(c);
  if (take(c, bracket)) return true;
  for (;;) {
    skip_space(c);
    if (is_object) {
      span key;
      size_t characters;
      if (!read_string(c, &key, &characters) || !add_key(&set, key)) return false;
      skip_space(c);
      if (!take(c, ':')) return false;
      skip_space(c);
    }
    if (!skip_value(c, levels - 1)) return false;
    skip_space(c);
    if (take(c, bracket)) return true;
    if (!take(c, ',')) return false;
  }
}

static bool skip_number(cursor *c) {
  if (!read_number(c, NUMBER_DIGITS_MAX)) return false;
  if (!take(c, 'e') && !take(c, 'E')) return true;
  if (!take(c, '-')) take(c, '+');
  const size_t digits = skip_digits(c);
  return digits >= 1 && digits <= EXPONENT_DIGITS_MAX;
}

/* The value of a field that the contract does not know, with at most so many levels. */
static bool skip_value(cursor *c, int64_t levels) {
  span text;
  size_t characters;
  if (c->at >= c->end) return false;
  switch (*c->at) {
    case '"': return read_raw_string(c, true, &text, &characters);
    case 't': return take_word(c, "true", 4);
    case 'f': return take_word(c, "false", 5);
    case 'n': return take_word(c, "null", 4);
    case '[': c->at++; return skip_children(c, levels, ']', false);
    case '{': c->at++; return skip_children(c, levels, '}', true);
    default: return skip_number(c);
  }
}

static bool read_text_field(const seg_field *field, cursor *c, record *r) {
  span other;
  switch (field->meaning) {
    case SEG_TEXT_EVENT_ID: return read_text(c, field->most, &r->event_id);
    case SEG_TEXT_CUSTOMER_ID: return read_text(c, field->most, &r->customer_id);
    case SEG_TEXT_ORDER_ID: return read_text(c, field->most, &r->order_id);
    default: return read_text(c, field->most, &other);
  }
}

static bool read_value(const seg_scanner *s, const seg_field *field, cursor *c, memory *m, record *r) {
  if (c->at < c->end && *c->at == 'n') return !field->required && take_word(c, "null", 4);
  switch (field->reads) {
    case SEG_READS_TEXT: return read_text_field(field, c, r);
    case SEG_READS_TIME: return read_time(c, m, &r->at_ms);
    case SEG_READS_WORD: return read_word(s, c, r);
    case SEG_READS_NAME: return read_name(c, field->most, &r->type);
    case SEG_READS_CURRENCY: return read_currency(s, c, r);
    case SEG_READS_AMOUNT: return read_amount(c, &r->amount);
    case SEG_READS_COUNT: return read_count(c, field->most);
    case SEG_READS_NUMBER: return read_number(c, field->most);
    case SEG_READS_TEXTS: return read_texts(c, field->most);
    default: return false;
  }
}

/* --- objects --- */

static inline bool is_name(const seg_field *field, const cursor *c) {
  const size_t size = (size_t)field->name_size;
  return has(c, size + 2) && memcmp(c->at + 1, field->name, size) == 0 && c->at[size + 1] == '"';
}

/* Reads a key that may be new: the number of its field, the count of fields if it is an unknown one, or -1. */
static int32_t read_key(const seg_scanner *s, cursor *c, record *r) {
  span key;
  size_t characters;
  if (!read_string(c, &key, &characters)) return -1;
  for (uint32_t i = 0; i < s->field_count; i++)
    if ((size_t)s->fields[i].name_size == key.size && memcmp(s->fields[i].name, key.at, key.size) == 0) return (int32_t)i;
  return add_key(&r->unknown, key) ? (int32_t)s->field_count : -1;
}

static bool read_member(const seg_scanner *s, cursor *c, memory *m, record *r, uint32_t *last) {
  if (c->at >= c->end || *c->at != '"') return false;
  uint32_t number = m->follower[*last];
  if (number < s->field_count && is_name(&s->fields[number], c)) {
    c->at += (size_t)s->fields[number].name_size + 2;
  } else {
    const int32_t found = read_key(s, c, r);
    if (found < 0) return false;
    number = (uint32_t)found;
  }
  skip_space(c);
  if (!take(c, ':')) return false;
  skip_space(c);
  if (number == s->field_count) return skip_value(c, s->levels - 1);
  m->follower[*last] = (uint8_t)number;
  *last = number;
  if (r->seen & (UINT32_C(1) << number)) return false;
  r->seen |= UINT32_C(1) << number;
  return read_value(s, &s->fields[number], c, m, r);
}

static bool read_object(const seg_scanner *s, cursor *c, memory *m, record *r) {
  uint32_t last = START;
  skip_space(c);
  if (!take(c, '{')) return false;
  for (;;) {
    skip_space(c);
    if (!read_member(s, c, m, r, &last)) return false;
    skip_space(c);
    if (take(c, ',')) continue;
    if (!take(c, '}')) return false;
    skip_space(c);
    return c->at == c->end && (r->seen & s->required) == s->required;
  }
}

/* What is known of the whole record alone. */
static bool judge(const seg_scanner *s, record *r, const span *key, int64_t now_ms, seg_event *e) {
  const seg_scan_policy *policy = &s->policy;
  int64_t latest_ms;
  if (key && (key->size != r->customer_id.size || memcmp(key->at, r->customer_id.at, key->size) != 0)) return false;
  if (__builtin_add_overflow(now_ms, policy->tolerance_ms, &latest_ms)) return false;
  if (r->at_ms < policy->earliest_ms || r->at_ms > latest_ms) return false;
  if (!r->type.at) {
    if (policy->absent_word < 0) return false;
    r->word = &s->words[policy->absent_word];
    r->type = (span){r->word->text, (size_t)r->word->size};
  }
  e->kind = (uint8_t)(r->word ? r->word->kind : policy->kind);
  if (r->currency) {
    int64_t minor;
    if (!to_minor(r->amount, r->currency, &minor) || !to_base(minor, r->currency, &e->amount_minor)) return false;
  }
  e->at_ms = r->at_ms;
  e->event_digest = XXH3_64bits(r->event_id.at, r->event_id.size);
  e->customer_hash = XXH3_64bits(r->customer_id.at, r->customer_id.size);
  if (r->order_id.at) e->order_digest = XXH3_64bits(r->order_id.at, r->order_id.size);
  e->customer_size = (uint16_t)r->customer_id.size;
  e->event_id_size = (uint16_t)r->event_id.size;
  e->type_size = (uint16_t)r->type.size;
  return true;
}

/* --- records --- */

typedef struct texts_out {
  uint8_t *at;
  int64_t size, capacity;
} texts_out;

static bool copy_texts(const record *r, texts_out *texts, seg_event *e) {
  const size_t size = r->customer_id.size + r->event_id.size + r->type.size;
  if (texts->capacity - texts->size < (int64_t)size) return false;
  e->text_at = (uint32_t)texts->size;
  uint8_t *at = texts->at + texts->size;
  memcpy(at, r->customer_id.at, r->customer_id.size);
  memcpy(at + r->customer_id.size, r->event_id.at, r->event_id.size);
  memcpy(at + r->customer_id.size + r->event_id.size, r->type.at, r->type.size);
  texts->size += (int64_t)size;
  return true;
}

static int32_t scan_record(const seg_scanner *s, span value, const span *key, int64_t now_ms, memory *m,
                           texts_out *texts, seg_event *e) {
  cursor c = {value.at, value.at + value.size};
  record r;
  memset(&r, 0, offsetof(record, unknown));
  r.unknown.count = 0;
  if ((int64_t)value.size > s->policy.max_payload_bytes || !read_object(s, &c, m, &r) ||
      !judge(s, &r, key, now_ms, e)) {
    *e = (seg_event){.at_ms = SEG_NO_TIME, .status = SEG_DOUBTED};
    return SEG_OK;
  }
  e->status = SEG_EVENT;
  return copy_texts(&r, texts, e) ? SEG_OK : SEG_NO_ROOM;
}

/* A part of the buffer; false if it is not within. */
static bool within(const uint8_t *buffer, int64_t size, int64_t at, int64_t part, span *out) {
  if (at < 0 || part < 0 || at > size || part > size - at) return false;
  *out = (span){buffer + at, (size_t)part};
  return true;
}

int32_t seg_scan(const seg_scanner *scanner, const uint8_t *buffer, int64_t size, int64_t n, const int64_t *value_at,
                 const int64_t *value_size, const int64_t *key_at, const int64_t *key_size, int64_t now_ms,
                 seg_event *out, uint8_t *texts, int64_t capacity, int64_t *texts_size) {
  memory m = {.has_date = false};
  for (uint32_t i = 0; i <= SEG_FIELDS_MAX; i++) m.follower[i] = (uint8_t)(i == START ? 0 : i + 1);
  texts_out written = {texts, 0, capacity < TEXTS_MAX ? capacity : TEXTS_MAX};
  for (int64_t i = 0; i < n; i++) {
    span value, key = {buffer, 0};
    out[i] = (seg_event){.at_ms = SEG_NO_TIME, .status = SEG_SKIPPED};
    if (value_size[i] == -1) continue;
    if (!within(buffer, size, value_at[i], value_size[i], &value)) return SEG_OUT_OF_RANGE;
    if (key_at && key_size[i] != -1 && !within(buffer, size, key_at[i], key_size[i], &key)) return SEG_OUT_OF_RANGE;
    out[i].at_ms = 0;
    const int32_t status = scan_record(scanner, value, key_at ? &key : NULL, now_ms, &m, &written, &out[i]);
    if (status != SEG_OK) return status;
  }
  *texts_size = written.size;
  return SEG_OK;
}

int64_t seg_split_lines(const uint8_t *buffer, int64_t size, int64_t *line_at, int64_t *line_size, int64_t capacity) {
  int64_t count = 0;
  for (int64_t at = 0; at < size;) {
    const uint8_t *const end = memchr(buffer + at, '\n', (size_t)(size - at));
    if (!end) break;
    if (count == capacity) return SEG_NO_ROOM;
    line_at[count] = at;
    line_size[count] = end - (buffer + at);
    at += line_size[count++] + 1;
  }
  return count;
}

/* --- descriptions --- */

static bool is_field(const seg_field *f) {
  static const int64_t highest[] = {
      [SEG_READS_TEXT] = TEXT_MAX,      [SEG_READS_TIME] = 0,
      [SEG_READS_WORD] = 0,             [SEG_READS_NAME] = TEXT_MAX,
      [SEG_READS_CURRENCY] = 0,         [SEG_READS_AMOUNT] = 0,
      [SEG_READS_COUNT] = INT64_MAX,    [SEG_READS_NUMBER] = NUMBER_DIGITS_MAX,
      [SEG_READS_TEXTS] = INT64_C(1) << 32,
  };
  if (f->name_size < 1 || f->name_size > (int32_t)sizeof f->name) return false;
  for (int32_t i = 0; i < f->name_size; i++)
    if (f->name[i] < 0x20 || f->name[i] > 0x7e || f->name[i] == '"' || f->name[i] == '\\') return false;
  if (f->reads < SEG_READS_TEXT || f->reads >= SEG_READERS) return false;
  if (f->meaning < SEG_TEXT_OTHER || f->meaning > SEG_TEXT_ORDER_ID) return false;
  if (f->meaning != SEG_TEXT_OTHER && f->reads != SEG_READS_TEXT) return false;
  return f->most >= 0 && f->most <= highest[f->reads];
}

/* Whether each thing that an event is made of has one field at most, and what it cannot do without has one. */
static bool is_event_complete(const seg_scanner *s) {
  uint32_t readers[SEG_READERS] = {0}, meanings[SEG_TEXT_ORDER_ID + 1] = {0};
  for (uint32_t i = 0; i < s->field_count; i++) {
    const seg_field *f = &s->fields[i];
    const bool must = f->meaning == SEG_TEXT_EVENT_ID || f->meaning == SEG_TEXT_CUSTOMER_ID ||
                      f->reads == SEG_READS_TIME || f->reads == SEG_READS_CURRENCY || f->reads == SEG_READS_AMOUNT;
    if (must && !f->required) return false;
    readers[f->reads]++;
    meanings[f->meaning]++;
    for (uint32_t j = 0; j < i; j++)
      if (s->fields[j].name_size == f->name_size && memcmp(s->fields[j].name, f->name, (size_t)f->name_size) == 0)
        return false;
  }
  return readers[SEG_READS_TIME] == 1 && meanings[SEG_TEXT_EVENT_ID] == 1 && meanings[SEG_TEXT_CUSTOMER_ID] == 1 &&
         meanings[SEG_TEXT_ORDER_ID] <= 1 && readers[SEG_READS_WORD] + readers[SEG_READS_NAME] <= 1 &&
         readers[SEG_READS_CURRENCY] <= 1 && readers[SEG_READS_CURRENCY] == readers[SEG_READS_AMOUNT];
}

static bool are_words(const seg_scanner *s) {
  for (uint32_t i = 0; i < s->word_count; i++) {
    const seg_word *word = &s->words[i];
    if (word->size < 1 || word->size > (int32_t)sizeof word->text) return false;
    if (word->kind < SEG_PURCHASE || word->kind > SEG_ENGAGEMENT) return false;
  }
  return s->policy.absent_word >= -1 && s->policy.absent_word < (int32_t)s->word_count;
}

static bool are_currencies(const seg_scanner *s) {
  for (uint32_t i = 0; i < s->currency_count; i++) {
    const seg_currency *currency = &s->currencies[i];
    if (currency->limit_minor < 0 || currency->numerator < 1 || currency->denominator < 1) return false;
    if (currency->minor_digits < 0 || currency->minor_digits > MINOR_DIGITS_MAX) return false;
  }
  return true;
}

seg_scanner *seg_scanner_new(const seg_field *fields, int64_t field_count, const seg_word *words, int64_t word_count,
                             const seg_currency *currencies, int64_t currency_count, const seg_scan_policy *policy) {
  if (field_count < 1 || field_count > SEG_FIELDS_MAX || word_count < 0 || word_count > SEG_WORDS_MAX ||
      currency_count < 0 || currency_count > SEG_CURRENCIES_MAX || policy->tolerance_ms < 0 ||
      policy->max_depth < 2 || policy->kind < SEG_PURCHASE || policy->kind > SEG_ENGAGEMENT)
    return NULL;
  seg_scanner *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  memcpy(s->fields, fields, (size_t)field_count * sizeof *fields);
  if (word_count) memcpy(s->words, words, (size_t)word_count * sizeof *words); /* NULL, where there are none */
  if (currency_count) memcpy(s->currencies, currencies, (size_t)currency_count * sizeof *currencies);
  s->policy = *policy;
  s->levels = policy->max_depth < LEVELS_MAX ? policy->max_depth : LEVELS_MAX;
  s->field_count = (uint32_t)field_count;
  s->word_count = (uint32_t)word_count;
  s->currency_count = (uint32_t)currency_count;
  bool is_sound = are_words(s) && are_currencies(s);
  for (uint32_t i = 0; i < s->field_count; i++) {
    is_sound = is_sound && is_field(&s->fields[i]);
    if (s->fields[i].required) s->required |= UINT32_C(1) << i;
  }
  if (is_sound && is_event_complete(s)) return s;
  free(s);
  return NULL;
}

void seg_scanner_free(seg_scanner *scanner) { free(scanner); }
