/* Values of events' fields and of traits, and what is asked of them.
 *
 * Conventions. Nothing is turned into something else: text is no number, "120" neither, and true is not 1. What is absent
 * passes no test, so a negated one passes it; so it is with null. An empty text counts as absent for "exists". Only lists
 * contain something, and what they contain are texts.
 *
 * Bounds: kept fields come from records and rows; each size is compared with what is left, and what is cut off ends the
 * walk. A number that is not 8 bytes long is none. */
#include "program.h"

#define XXH_INLINE_ALL
#include "vendor/xxhash.h"

#define KEPT_HEAD 4

bool seg_next_kept(const uint8_t **at, const uint8_t *end, const uint8_t **name, int32_t *name_size,
                   seg_value *value) {
  const uint8_t *from = *at;
  if (end - from < KEPT_HEAD) return false;
  *name_size = from[0];
  value->kind = from[1];
  value->size = from[2] | from[3] << 8;
  if (end - from - KEPT_HEAD < *name_size + value->size) return false;
  *name = from + KEPT_HEAD;
  value->data = *name + *name_size;
  *at = value->data + value->size;
  return true;
}

bool seg_number_of(seg_value value, double *number) {
  if (value.kind != SEG_FIELD_NUMBER || value.size != (int64_t)sizeof *number) return false;
  memcpy(number, value.data, sizeof *number);
  return true;
}

/* Of kind and value; of what equals each other it is equal. */
uint64_t seg_value_hash(seg_value value) {
  double number;
  if (seg_number_of(value, &number) && number == 0) {
    const double zero = 0; /* has no sign */
    return XXH3_64bits_withSeed(&zero, sizeof zero, SEG_FIELD_NUMBER);
  }
  return XXH3_64bits_withSeed(value.data, (size_t)value.size, (uint64_t)value.kind);
}

static bool is_among(const uint64_t *hashes, int32_t count, uint64_t hash) {
  int32_t low = 0, high = count;
  while (low < high) {
    const int32_t middle = (low + high) / 2;
    if (hashes[middle] < hash)
      low = middle + 1;
    else
      high = middle;
  }
  return low < count && hashes[low] == hash;
}

static bool is_text(seg_value value, const uint8_t *text, int64_t size) {
  return value.size == size && memcmp(value.data, text, (size_t)size) == 0;
}

static bool contains(seg_value value, const uint8_t *text, int64_t size) {
  for (int64_t at = 0; value.size - at >= 2;) {
    const int64_t each = value.data[at] | value.data[at + 1] << 8;
    at += 2;
    if (each > value.size - at) return false;
    if (each == size && memcmp(value.data + at, text, (size_t)size) == 0) return true;
    at += each;
  }
  return false;
}

static bool passes(const seg_program *p, const seg_test *test, seg_value value) {
  const uint8_t *text = p->texts + test->at;
  double number;
  switch (test->test) {
    case SEG_TEST_EXISTS:
      return value.kind > SEG_FIELD_NULL && !(value.kind == SEG_FIELD_TEXT && value.size == 0);
    case SEG_TEST_AT_LEAST: return seg_number_of(value, &number) && number >= test->number;
    case SEG_TEST_MORE: return seg_number_of(value, &number) && number > test->number;
    case SEG_TEST_NUMBER: return seg_number_of(value, &number) && number == test->number;
    case SEG_TEST_TEXT: return value.kind == SEG_FIELD_TEXT && is_text(value, text, test->size);
    case SEG_TEST_TRUE: return value.kind == SEG_FIELD_TRUE;
    case SEG_TEST_FALSE: return value.kind == SEG_FIELD_FALSE;
    case SEG_TEST_AMONG:
      return value.kind > SEG_FIELD_NULL && value.kind <= SEG_FIELD_TEXT &&
             is_among(p->hashes + test->at, test->size, seg_value_hash(value));
    case SEG_TEST_CONTAINS: return value.kind == SEG_FIELD_TEXTS && contains(value, text, test->size);
    default:
      return value.kind == SEG_FIELD_TEXT && value.size >= test->size &&
             memcmp(value.data, text, (size_t)test->size) == 0;
  }
}

bool seg_passes(const seg_program *p, const seg_test *test, seg_value value) {
  return passes(p, test, value) != (test->negated != 0);
}

bool seg_is_listed(const seg_program *p, int32_t at, int32_t count, uint64_t hash) {
  return is_among(p->hashes + at, count, hash);
}

/* By XXH3-64 of salt, colon and id. */
bool seg_is_drawn(const uint8_t *salt, int64_t salt_size, seg_bytes id, int64_t from, int64_t to) {
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  XXH3_64bits_update(&state, salt, (size_t)salt_size);
  XXH3_64bits_update(&state, ":", 1);
  XXH3_64bits_update(&state, id.data, (size_t)id.size);
  const int64_t share = (int64_t)(XXH3_64bits_digest(&state) % 10000);
  return share >= from && share < to;
}

uint64_t seg_id_hash(seg_bytes id) { return XXH3_64bits(id.data, (size_t)id.size); }
uint64_t seg_text_hash(const uint8_t *text, int64_t size) { return XXH3_64bits(text, (size_t)size); }
