/* Two ledgers of series as one: what the events of both customers would have left.
 *
 * Theory. What is kept of a series is a function of the events that came, or its conditions' values are, whatever their
 * order (thinning.c, sums.c). What one part of the events makes useless stays so when more come. So the entries of one
 * ledger are entered into the other, as if their events came late; what has one entry for good (counts, totals, decayed
 * sums, the oldest, the newest) is joined. Of sums of windows the older part of each ledger lies in buckets of the same
 * periods: these are added up, and then the exact entries follow, so that the newest ones of both stay exact.
 *
 * An event that was delivered under both ids stands in both ledgers, and counts twice: series keep no ids.
 *
 * Contract. Both ledgers are well-formed, and the second is not changed. A series that the program does not know stays as
 * the first ledger has it, or else the second.
 *
 * Bounds. Those of a ledger: where there is no room, the oldest entries of the largest series go, and a series that only
 * the second ledger has is left out. */
#include "program.h"

static uint32_t get_u32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

static void join_counts(uint8_t *into, const uint8_t *from) {
  const uint64_t both = (uint64_t)get_u32(into) + get_u32(from);
  const uint32_t count = both > UINT32_MAX ? UINT32_MAX : (uint32_t)both;
  memcpy(into, &count, sizeof count);
}

static void join_totals(uint8_t *into, const uint8_t *from) {
  int64_t one[3], other[3]; /* sum, least, greatest */
  const bool is_empty = get_u32(into) == 0, brings_none = get_u32(from) == 0;
  memcpy(one, into + 4, sizeof one);
  memcpy(other, from + 4, sizeof other);
  join_counts(into, from);
  if (brings_none) return;
  one[0] = seg_add64(one[0], other[0]);
  if (is_empty || other[1] < one[1]) one[1] = other[1];
  if (is_empty || other[2] > one[2]) one[2] = other[2];
  memcpy(into + 4, one, sizeof one);
}

static void join_decayed(uint8_t *into, const uint8_t *from, const seg_kept_series *s) {
  const int64_t own_ms = seg_get_instant(into), other_ms = seg_get_instant(from);
  double own, other;
  memcpy(&own, into + SEG_INSTANT_BYTES, sizeof own);
  memcpy(&other, from + SEG_INSTANT_BYTES, sizeof other);
  if (other_ms > own_ms) {
    own = own * seg_exp2((double)(own_ms - other_ms) / s->half_life_ms) + other;
    seg_put_instant(into, other_ms);
  } else {
    own += other * seg_exp2((double)(other_ms - own_ms) / s->half_life_ms);
  }
  memcpy(into + SEG_INSTANT_BYTES, &own, sizeof own);
}

/* Enters what the second ledger has exactly. */
static void enter_entries(const seg_program *p, seg_ledger *into, const seg_kept_series *s, const uint8_t *entries,
                          const seg_place_of *of) {
  const int64_t step = seg_entry_bytes(of->shape);
  bool lost = false;
  for (int32_t i = 0; i < of->count; i++) {
    const uint8_t *entry = entries + i * step;
    int64_t value = 0;
    if (of->shape == SEG_SHAPE_LAST) value = entry[SEG_INSTANT_BYTES];
    else if (step >= SEG_VALUE_BYTES) value = seg_get_i64(entry + SEG_INSTANT_BYTES);
    seg_ledger_enter(p, into, s, seg_get_instant(entry), value, &lost);
  }
}

/* Adds the second ledger's buckets to those of the first, as long as there is room. */
static void add_buckets(seg_ledger *into, const seg_kept_series *s, const uint8_t *buckets, int32_t count) {
  for (int32_t i = 0; i < count; i++) {
    const uint8_t *bucket = buckets + i * (int64_t)SEG_BUCKET_BYTES;
    seg_place_of place;
    if (into->size > SEG_LEDGER_MAX - 64 || !seg_ledger_find(into, s->number, &place)) return;
    seg_add_to_bucket(into, &place, s, seg_get_instant(bucket), get_u32(bucket + SEG_INSTANT_BYTES),
                      seg_get_i64(bucket + SEG_INSTANT_BYTES + 4));
  }
}

/* Puts a series as it stands where the first ledger has none of its number. */
static void copy_series(seg_ledger *into, int64_t at, const uint8_t *series, int64_t size) {
  if (size > SEG_LEDGER_MAX - into->size) return;
  memmove(into->data + at + size, into->data + at, (size_t)(into->size - at));
  memcpy(into->data + at, series, (size_t)size);
  into->size += size;
}

static void merge_series(const seg_program *p, seg_ledger *into, const seg_kept_series *s, const uint8_t *from,
                         const seg_place_of *of, const seg_place_of *own) {
  const uint8_t *buckets = from + of->body, *entries = buckets + of->buckets * (int64_t)SEG_BUCKET_BYTES;
  uint8_t *single = into->data + own->body;
  switch (s->keep) {
    case SEG_KEEP_COUNT: join_counts(single, entries); return;
    case SEG_KEEP_TOTALS: join_totals(single, entries); return;
    case SEG_KEEP_DECAYED: join_decayed(single, entries, s); return;
    case SEG_KEEP_VALUES: add_buckets(into, s, buckets, of->buckets); break;
    default: break;
  }
  enter_entries(p, into, s, entries, of);
}

static bool has_shape(const seg_kept_series *s, const seg_place_of *place) {
  return place->count > 0 && (place->shape == seg_shape_of(s->keep) ||
                              (s->keep == SEG_KEEP_VALUES && place->shape == SEG_SHAPE_BUCKETS));
}

/* Takes out a series that is of another shape than the program has it. */
static void drop_series(seg_ledger *into, const seg_place_of *own) {
  const int64_t end = seg_ledger_end(own);
  memmove(into->data + own->head, into->data + end, (size_t)(into->size - end));
  into->size -= end - own->head;
}

void seg_ledger_merge(const seg_program *p, seg_ledger *into, seg_bytes from) {
  seg_place_of of, own;
  int32_t number;
  for (int64_t at = 0; seg_ledger_read(from.data, from.size, at, &number, &of); at = seg_ledger_end(&of)) {
    const int32_t local = p ? p->local[number] : -1;
    const seg_kept_series *s = local < 0 ? NULL : &p->series[local];
    bool is_held = seg_ledger_find(into, number, &own);
    if (s && !has_shape(s, &of)) continue;
    if (s && is_held && !has_shape(s, &own)) {
      drop_series(into, &own);
      is_held = seg_ledger_find(into, number, &own);
    }
    if (!is_held)
      copy_series(into, own.head, from.data + of.head, seg_ledger_end(&of) - of.head);
    else if (s)
      merge_series(p, into, s, from.data, &of, &own);
  }
}
