/* Traits: what profiles say of a customer, of each trait the value that was observed last.
 *
 *     entry  size of the name u8, SEG_FIELD_... u8, size of the value u16, observed_ms i64, name, value
 *
 * Entries are ordered by name, byte by byte, a shorter one first.
 *
 * Theory. Of two values of a trait the one observed later stays, and of equal instants the one of the greater kind and
 * then bytes: a total order, so the greatest stays whatever the order of arrival. A trait that is taken away (null)
 * stays as an entry without a value, or a late value from before would come back. A customer has at most 128 traits, those
 * taken away included; beyond, the one that was observed longest ago is dropped, of equal instants the one of the first
 * name. That does not depend on the order of arrival either: instants of traits only grow, so a trait that has been
 * dropped is behind 128 others for good, unless it is observed anew, which tells all there is to know of it. Statements on
 * consent (names that begin with SEG_STATEMENTS) are traits of their own count, 16 at most, so that no trait displaces
 * them; of those of equal instants the lesser kind stays: what was withdrawn is not granted at the same time. A limit in
 * bytes would not be like that (what has gone would fit again once another value is shorter), so each entry is limited:
 * a value of more than SEG_TRAIT_VALUE_MAX bytes counts as null, and all entries fit SEG_TRAITS_MAX.
 *
 * Contract: traits are whole, as this file leaves them and rows are checked for; kept fields may be anything.
 *
 * Bounds: every size is compared before what it is of is read. */
#include <stdlib.h>

#include "table.h"

enum { HEADER = SEG_TRAIT_HEADER_BYTES, FIELD_HEADER = 4 };

/* A trait, or a kept field. */
typedef struct trait {
  const uint8_t *name, *value;
  int64_t observed_ms;
  int32_t name_size, kind, value_size;
} trait;

static int64_t size_of(const trait *t) { return (int64_t)HEADER + t->name_size + t->value_size; }

/* --- reading --- */

static bool are_texts(const uint8_t *value, int32_t size) {
  int32_t at = 0;
  while (size - at >= 2) {
    at += 2 + (value[at] | value[at + 1] << 8);
    if (at > size) return false;
  }
  return at == size;
}

static bool has_value_of_its_kind(const trait *t) {
  switch (t->kind) {
    case SEG_FIELD_NULL:
    case SEG_FIELD_FALSE:
    case SEG_FIELD_TRUE: return t->value_size == 0;
    case SEG_FIELD_NUMBER: return t->value_size == (int32_t)sizeof(double);
    case SEG_FIELD_TEXT: return true;
    case SEG_FIELD_TEXTS: return are_texts(t->value, t->value_size);
    default: return false;
  }
}

/* Reads what begins at `at` and has so many bytes before its name; how many it is, 0 where it is none. */
static int64_t read_one(seg_bytes data, int64_t at, int32_t header, trait *out) {
  if (data.size - at < header) return 0;
  const uint8_t *from = data.data + at;
  *out = (trait){.name = from + header, .name_size = from[0], .kind = from[1], .value_size = from[2] | from[3] << 8};
  if (header == HEADER) memcpy(&out->observed_ms, from + FIELD_HEADER, sizeof out->observed_ms);
  const int64_t size = (int64_t)header + out->name_size + out->value_size;
  if (size > data.size - at) return 0;
  out->value = out->name + out->name_size;
  return has_value_of_its_kind(out) ? size : 0;
}

static int32_t compare(const uint8_t *one, int32_t one_size, const uint8_t *other, int32_t other_size) {
  const int32_t common = one_size < other_size ? one_size : other_size;
  const int32_t order = common ? memcmp(one, other, (size_t)common) : 0;
  return order ? order : one_size - other_size;
}

static int32_t compare_names(const trait *one, const trait *other) {
  return compare(one->name, one->name_size, other->name, other->name_size);
}

static bool is_statement(const trait *t) {
  const size_t size = sizeof SEG_STATEMENTS - 1;
  return (size_t)t->name_size >= size && memcmp(t->name, SEG_STATEMENTS, size) == 0;
}

static int32_t limit_of(bool statements) { return statements ? SEG_STATEMENT_LIMIT : SEG_TRAIT_LIMIT; }

bool seg_traits_are_whole(seg_bytes traits) {
  trait last = {0}, next;
  int32_t counts[2] = {0, 0};
  for (int64_t at = 0, size; at < traits.size; at += size, last = next) {
    size = read_one(traits, at, HEADER, &next);
    if (size == 0 || next.value_size > SEG_TRAIT_VALUE_MAX) return false;
    if (at && compare_names(&last, &next) >= 0) return false;
    const bool states = is_statement(&next);
    if (counts[states]++ == limit_of(states)) return false;
  }
  return true;
}

/* --- statements on consent --- */

bool seg_traits_have_statements(seg_bytes traits) {
  const uint8_t *prefix = (const uint8_t *)SEG_STATEMENTS;
  trait next;
  for (int64_t at = 0, size; at < traits.size; at += size) {
    size = read_one(traits, at, HEADER, &next);
    if (size == 0) return false;
    if (is_statement(&next)) return true;
    if (compare(next.name, next.name_size, prefix, sizeof SEG_STATEMENTS - 1) > 0) return false;
  }
  return false;
}

seg_trait_seen seg_traits_seen(seg_bytes traits, const char *name, int32_t name_size) {
  trait next;
  for (int64_t at = 0, size; at < traits.size; at += size) {
    size = read_one(traits, at, HEADER, &next);
    const int32_t order = size ? compare(next.name, next.name_size, (const uint8_t *)name, name_size) : 1;
    if (order > 0) break;
    if (order == 0) return (seg_trait_seen){next.observed_ms, {next.value, next.value_size}, next.kind};
  }
  return (seg_trait_seen){SEG_NO_TIME, {NULL, 0}, -1};
}

void seg_traits_keep_statements(seg_traits *traits) {
  int64_t kept = 0;
  trait next;
  for (int64_t at = 0, size; at < traits->size; at += size) {
    size = read_one((seg_bytes){traits->data, traits->size}, at, HEADER, &next);
    if (size == 0) break; /* not whole: never so */
    if (!is_statement(&next)) continue;
    memmove(traits->data + kept, traits->data + at, (size_t)size);
    kept += size;
  }
  traits->size = kept;
}

/* --- taking over --- */

/* Whether a value stays where another one is. */
static bool outdoes(const trait *one, const trait *other) {
  if (one->observed_ms != other->observed_ms) return one->observed_ms > other->observed_ms;
  if (one->kind != other->kind) return is_statement(one) ? one->kind < other->kind : one->kind > other->kind;
  return compare(one->value, one->value_size, other->value, other->value_size) > 0;
}

/* Replaces `old_size` bytes at a place by an entry, or by none. */
static void splice(seg_traits *traits, int64_t at, int64_t old_size, const trait *t) {
  const int64_t size = t ? size_of(t) : 0;
  uint8_t *to = traits->data + at;
  memmove(to + size, to + old_size, (size_t)(traits->size - at - old_size));
  traits->size += size - old_size;
  if (!t) return;
  const uint8_t header[FIELD_HEADER] = {(uint8_t)t->name_size, (uint8_t)t->kind, (uint8_t)(t->value_size & 0xff),
                                        (uint8_t)(t->value_size >> 8)};
  memcpy(to, header, sizeof header);
  memcpy(to + FIELD_HEADER, &t->observed_ms, sizeof t->observed_ms);
  if (t->name_size) memcpy(to + HEADER, t->name, (size_t)t->name_size);
  if (t->value_size) memcpy(to + HEADER + t->name_size, t->value, (size_t)t->value_size);
}

/* What there is of a trait, and what would be dropped for it. */
typedef struct found {
  int64_t at, size;               /* where its entry is or would be; size 0 for none */
  int64_t oldest_at, oldest_size; /* of all there are of its sort */
  trait own, oldest;
  int32_t count;
} found;

static found look_for(const seg_traits *traits, const trait *t) {
  found of = {.at = traits->size};
  const bool states = is_statement(t);
  trait next;
  for (int64_t at = 0, size; at < traits->size; at += size) {
    size = read_one((seg_bytes){traits->data, traits->size}, at, HEADER, &next);
    if (size == 0) break; /* not whole: never so */
    const int32_t order = compare_names(&next, t);
    if (order >= 0 && of.at == traits->size) of.at = at;
    if (order == 0) {
      of.size = size;
      of.own = next;
    }
    if (is_statement(&next) != states || (of.count++ && next.observed_ms >= of.oldest.observed_ms)) continue;
    of.oldest_at = at;
    of.oldest_size = size;
    of.oldest = next;
  }
  return of;
}

static bool take_one(seg_traits *traits, const trait *t) {
  found of = look_for(traits, t);
  if (of.size) {
    if (!outdoes(t, &of.own)) return false;
    splice(traits, of.at, of.size, t);
    return true;
  }
  if (of.count >= limit_of(is_statement(t))) {
    if (t->observed_ms < of.oldest.observed_ms) return false;
    if (t->observed_ms == of.oldest.observed_ms && compare_names(t, &of.oldest) < 0) return false;
    splice(traits, of.oldest_at, of.oldest_size, NULL);
    if (of.oldest_at < of.at) of.at -= of.oldest_size;
  }
  splice(traits, of.at, 0, t);
  return true;
}

int32_t seg_traits_take(seg_traits *traits, seg_bytes kept, int64_t observed_ms) {
  trait t;
  int32_t changed = 0;
  for (int64_t at = 0, size; at < kept.size; at += size)
    if ((size = read_one(kept, at, FIELD_HEADER, &t)) == 0) return SEG_OUT_OF_RANGE;
  for (int64_t at = 0; at < kept.size;) {
    at += read_one(kept, at, FIELD_HEADER, &t);
    t.observed_ms = observed_ms;
    if (t.value_size > SEG_TRAIT_VALUE_MAX) {
      t.kind = SEG_FIELD_NULL;
      t.value_size = 0;
    }
    changed |= take_one(traits, &t);
  }
  return changed;
}

void seg_traits_merge(seg_traits *traits, seg_bytes from) {
  trait t;
  for (int64_t at = 0, size; at < from.size; at += size) {
    size = read_one(from, at, HEADER, &t);
    if (size == 0) break; /* not whole: never so */
    take_one(traits, &t);
  }
}

int32_t seg_table_take_traits(seg_table *table, int64_t n, const int64_t *rows, const seg_bytes *kept,
                              const int64_t *observed_ms, uint8_t *changed) {
  seg_traits *traits = malloc(sizeof *traits);
  if (!traits) return SEG_NO_MEMORY;
  int32_t status = SEG_OK;
  for (int64_t i = 0; i < n && status == SEG_OK; i++) {
    const seg_bytes own = seg_table_traits(table, rows[i]);
    traits->size = own.size;
    if (own.size) memcpy(traits->data, own.data, (size_t)own.size);
    const int32_t taken = seg_traits_take(traits, kept[i], observed_ms[i]);
    changed[i] = taken == 1;
    status = taken < 0 ? taken : seg_table_put_traits(table, rows[i], (seg_bytes){traits->data, traits->size});
  }
  free(traits);
  return status;
}
