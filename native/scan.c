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
 * What is kept of it beside the event, scan_values.c finds; ids are read by scan_ids.h, as they are kept or not at all.
 * Money goes from digits to minor units to the base currency in integers, rounded half to even as contracts/currencies
 * does it, or the record is doubted. Digits beyond the minor unit are zeros or the noise of floats, which is rounded off.
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
#include "scan_ids.h"
#include "scan_times.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include "vendor/xxhash.h"

#define AMOUNT_DIGITS_MAX 18 /* 10^18 < 2^63 */
#define NOISE_DIGITS 6 /* behind the point: a unit of the last one is float noise */
#define TEXTS_MAX INT64_C(0xffffffff)

typedef struct record {
  span event_id, customer_id, order_id, type, amount;
  const seg_word *word;
  const seg_currency *currency;
  int64_t at_ms;
  uint32_t seen;    /* bit of each known field */
  int32_t traits;   /* how many */
  kept_value *kept; /* of each path, or traits */
  key_set unknown; /* only its count is set to begin with */
  int64_t stated_at_ms; /* SEG_NO_TIME if it is not said */
} record;

/* What is cleared for each record; of more, compilers clear by a string instruction that takes a tenth of a record. */
_Static_assert(offsetof(record, unknown) <= 120, "record");

/* --- numbers and money --- */

static bool read_count(cursor *c, int64_t most) {
  const uint8_t *at = c->at;
  const size_t digits = skip_whole(c);
  if (digits == 0 || digits > AMOUNT_DIGITS_MAX) return false;
  int64_t value = 0;
  for (; at < c->at; at++) value = value * 10 + (*at - '0');
  return value <= most;
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

/* Rounds off zeros and float noise beyond the minor unit; see minor_units of contracts/currencies.py. `value` has
 * `fraction` digits behind the point, at most AMOUNT_DIGITS_MAX. */
static bool round_noise(int64_t value, int32_t fraction, int32_t minor_digits, int64_t *minor) {
  int64_t unit = 1, noise = fraction >= NOISE_DIGITS;
  for (int32_t i = minor_digits; i < fraction; i++) unit *= 10;
  for (int32_t i = NOISE_DIGITS; i < fraction; i++) noise *= 10;
  const int64_t rest = value % unit;
  *minor = value / unit + (rest > noise);
  return rest <= noise || unit - rest <= noise;
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
  if (missing < 0 && !round_noise(value, fraction, currency->minor_digits, &value)) return false;
  if (digits + missing > AMOUNT_DIGITS_MAX) return false;
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

/* In small letters, too, unless the code itself is kept, which would be in capitals. */
static bool read_currency(const seg_scanner *s, const seg_field *field, cursor *c, record *r) {
  span text;
  if (!read_text(c, 3, &text) || text.size != 3) return false;
  uint8_t code[3] = {text.at[0], text.at[1], text.at[2]};
  for (size_t i = 0; i < sizeof code; i++)
    if (code[i] >= 'a' && code[i] <= 'z' && !is_kept(s, field)) code[i] &= 0xdf;
  for (uint32_t i = 0; i < s->currency_count; i++)
    if (memcmp(s->currencies[i].code, code, sizeof code) == 0) {
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

static bool read_text_field(const seg_scanner *s, const seg_field *field, cursor *c, record *r) {
  span other;
  switch (field->meaning) {
    case SEG_TEXT_EVENT_ID: return read_id(s, field, c, &r->event_id);
    case SEG_TEXT_CUSTOMER_ID: return read_id(s, field, c, &r->customer_id) && !may_be_nobody(s, r->customer_id);
    case SEG_TEXT_ORDER_ID: return read_id(s, field, c, &r->order_id);
    default: return read_text(c, field->most, &other);
  }
}

/* Free objects and traits, apart from the fields that every record has. */
static __attribute__((noinline)) bool read_object_of(const seg_scanner *s, const seg_field *field, cursor *c,
                                                     record *r) {
  const uint32_t number = (uint32_t)(field - s->fields);
  if (field->reads == SEG_READS_TRAITS) return seg_read_traits(s, field->most, c, r->kept, &r->traits);
  if (c->at >= c->end || *c->at != '{') return false;
  return s->kept & (UINT32_C(1) << number) ? seg_keep_field(s, number, c, r->kept) : seg_skip_value(c, s->levels - 1);
}

static bool read_value(const seg_scanner *s, const seg_field *field, cursor *c, memory *m, record *r) {
  if (c->at < c->end && *c->at == 'n') return !field->required && take_word(c, "null", 4);
  switch (field->reads) {
    case SEG_READS_TEXT: return read_text_field(s, field, c, r);
    case SEG_READS_TIME: return read_time(c, m, field->meaning == SEG_TIME_STATED ? &r->stated_at_ms : &r->at_ms);
    case SEG_READS_WORD: return read_word(s, c, r);
    case SEG_READS_TYPE: return read_text(c, field->most, &r->type);
    case SEG_READS_CURRENCY: return read_currency(s, field, c, r);
    case SEG_READS_AMOUNT: return read_amount(c, &r->amount);
    case SEG_READS_COUNT: return read_count(c, field->most);
    case SEG_READS_NUMBER: return read_number(c, field->most);
    case SEG_READS_TEXTS: return read_texts(c, field->most);
    case SEG_READS_OBJECT:
    case SEG_READS_TRAITS: return read_object_of(s, field, c, r);
    default: return false;
  }
}

/* Reads the value of a field, which ends behind it, once more for what is kept of it. */
static __attribute__((noinline)) bool keep_again(const seg_scanner *s, uint32_t number, cursor value, record *r) {
  const int32_t reads = s->fields[number].reads;
  if (reads == SEG_READS_OBJECT || reads == SEG_READS_TRAITS) return true; /* noted already */
  if (reads == SEG_READS_WORD || reads == SEG_READS_TYPE) return true;     /* written from the record's type */
  return seg_keep_field(s, number, &value, r->kept);
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
  if (number == s->field_count) return seg_skip_value(c, s->levels - 1);
  m->follower[*last] = (uint8_t)number;
  *last = number;
  if (r->seen & (UINT32_C(1) << number)) return false;
  r->seen |= UINT32_C(1) << number;
  const uint8_t *const start = c->at;
  if (!read_value(s, &s->fields[number], c, m, r)) return false;
  return !(s->kept & (UINT32_C(1) << number)) || keep_again(s, number, (cursor){start, c->at}, r);
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

/* What a record says of money: a purchase has an amount, a refund without one returns all that is left. */
static bool read_money(const record *r, seg_event *e) {
  int64_t minor;
  if (r->word && r->word->kind == SEG_CANCELLATION) {
    e->kind = SEG_REFUND;
    e->amount_minor = SEG_CANCELS;
    return !r->amount.at; /* what is said of money then, the slower tiers judge */
  }
  if (!r->amount.at) {
    if (e->kind == SEG_REFUND) e->amount_minor = SEG_ALL_LEFT;
    return e->kind != SEG_PURCHASE;
  }
  return r->currency && to_minor(r->amount, r->currency, &minor) && to_base(minor, r->currency, &e->amount_minor);
}

/* What is known of the whole record alone. */
static bool judge(const seg_scanner *s, record *r, const span *key, int64_t now_ms, seg_event *e) {
  const seg_scan_policy *policy = &s->policy;
  int64_t latest_ms;
  if (key && (key->size != r->customer_id.size || memcmp(key->at, r->customer_id.at, key->size) != 0)) return false;
  if (__builtin_add_overflow(now_ms, policy->tolerance_ms, &latest_ms)) return false;
  if (r->at_ms < policy->earliest_ms || r->at_ms > latest_ms) return false;
  if (r->stated_at_ms != SEG_NO_TIME && (r->stated_at_ms < policy->earliest_ms || r->stated_at_ms > latest_ms))
    return false;
  if (!r->type.at) {
    if (policy->absent_word < 0) return false;
    r->word = &s->words[policy->absent_word];
    r->type = (span){r->word->text, (size_t)r->word->size};
  }
  e->kind = (uint8_t)(r->word ? r->word->kind : policy->kind);
  if (!read_money(r, e)) return false;
  if (!r->event_id.at) r->event_id = (span){r->customer_id.at, 0}; /* of what needs none */
  e->at_ms = e->stated_at_ms = r->at_ms;
  if (r->stated_at_ms != SEG_NO_TIME && e->kind == SEG_PURCHASE) e->stated_at_ms = r->stated_at_ms;
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

static __attribute__((noinline)) bool append_kept(const seg_scanner *s, const record *r, texts_out *texts,
                                                  seg_event *e) {
  uint8_t *const at = texts->at + texts->size;
  const int64_t room = texts->capacity - texts->size;
  const int64_t size = r->traits ? seg_put_traits(r->kept, r->traits, at, room)
                                 : seg_put_kept(s, r->kept, r->type, at, room);
  if (size < 0) return false;
  e->kept_size = (uint16_t)size;
  texts->size += size;
  return true;
}

static bool copy_texts(const seg_scanner *s, const record *r, texts_out *texts, seg_event *e) {
  const size_t size = r->customer_id.size + r->event_id.size + r->type.size;
  if (texts->capacity - texts->size < (int64_t)size) return false;
  e->text_at = (uint32_t)texts->size;
  uint8_t *at = texts->at + texts->size;
  memcpy(at, r->customer_id.at, r->customer_id.size);
  memcpy(at + r->customer_id.size, r->event_id.at, r->event_id.size);
  memcpy(at + r->customer_id.size + r->event_id.size, r->type.at, r->type.size);
  texts->size += (int64_t)size;
  return !s->kept || append_kept(s, r, texts, e);
}

static int32_t scan_record(const seg_scanner *s, span value, const span *key, int64_t now_ms, memory *m,
                           texts_out *texts, seg_event *e) {
  cursor c = {value.at, value.at + value.size};
  record r;
  kept_value kept[SEG_PATHS_MAX];
  memset(&r, 0, offsetof(record, unknown));
  for (int32_t i = 0; i < s->path_count; i++) kept[i].kind = SEG_FIELD_NULL;
  r.kept = kept;
  r.unknown.count = 0;
  r.stated_at_ms = SEG_NO_TIME;
  if ((int64_t)value.size > s->policy.max_payload_bytes || !read_object(s, &c, m, &r) ||
      !judge(s, &r, key, now_ms, e)) {
    *e = (seg_event){.at_ms = SEG_NO_TIME, .status = SEG_DOUBTED};
    return SEG_OK;
  }
  e->status = SEG_EVENT;
  return copy_texts(s, &r, texts, e) ? SEG_OK : SEG_NO_ROOM;
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
