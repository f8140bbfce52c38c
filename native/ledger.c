/* A customer's series of events as one compact block of bytes.
 *
 * Theory. Conditions look at few events: the newest ones, the oldest, totals. Each such view is a *series*, shared by
 * all conditions that need it, and has a number in the table. A ledger holds the series that a customer has, by
 * ascending number, one after the other:
 *
 *     u16   number, 10 bits · shape, 3 bits · how many entries, 3 bits: 1 to 7, or 0 if that does not say
 *     u16   how many entries, where the three bits do not say; always so with buckets
 *     u16   how many buckets, of the shape that has some
 *     ...   buckets (18 bytes: newest instant, how many, sum), then entries, both by ascending instant
 *
 * so a series takes 2 bytes beside its entries as long as there are at most 7. Entries are an instant (6 bytes), an
 * instant with a value (14), a count (4), totals (28: count, sum, least, greatest), or a newest instant with one byte.
 * Instants are signed 48-bit milliseconds, values signed 64-bit millionths, and sums saturate: so sums do not depend on
 * the order in which events come. What is kept of a series that grows, thinning.c and sums.c say.
 *
 * In rows, series have the 8 bytes of their digest in place of a number, as numbers are the table's own; they stand in
 * the order of their digests there.
 *
 * Contract. A ledger is well-formed: seg_ledger_from_row takes no other, and changes keep it so. What a row says of a
 * series may be of another shape than the program has it; then the series begins anew.
 *
 * Bounds. SEG_LEDGER_MAX bytes. A change needs at most ROOM_BYTES more; where they are not there, the largest series
 * loses an eighth of its oldest entries until they are. At most UINT16_MAX entries a series by the form, at most
 * SEG_COUNT_MAX by thinning. */
#include "program.h"

#define ROOM_BYTES 64

static const int8_t shapes[SEG_KEEPS] = {
    [SEG_KEEP_INSTANTS] = SEG_SHAPE_INSTANTS, [SEG_KEEP_DAYS] = SEG_SHAPE_INSTANTS,
    [SEG_KEEP_OLDEST] = SEG_SHAPE_INSTANTS,   [SEG_KEEP_COUNT] = SEG_SHAPE_COUNT,
    [SEG_KEEP_TOTALS] = SEG_SHAPE_TOTALS,     [SEG_KEEP_VALUES] = SEG_SHAPE_VALUES,
    [SEG_KEEP_GREATEST] = SEG_SHAPE_VALUES,   [SEG_KEEP_LEAST] = SEG_SHAPE_VALUES,
    [SEG_KEEP_DECAYED] = SEG_SHAPE_DECAYED,   [SEG_KEEP_LAST] = SEG_SHAPE_LAST,
    [SEG_KEEP_OBSERVED] = SEG_SHAPE_OBSERVED};

int32_t seg_shape_of(int32_t keep) { return shapes[keep]; }

void seg_put_instant(uint8_t *at, int64_t at_ms) {
  const int64_t limit = (INT64_C(1) << 47) - 1;
  const int64_t within = at_ms > limit ? limit : at_ms < -limit ? -limit : at_ms;
  memcpy(at, &within, SEG_INSTANT_BYTES);
}

static void put_u16(uint8_t *at, int32_t value) {
  at[0] = (uint8_t)value;
  at[1] = (uint8_t)(value >> 8);
}

/* --- finding --- */

void seg_find_series(const seg_program *p, seg_bytes ledger, seg_held_series *held) {
  memset(held, 0, (size_t)p->count.series * sizeof *held);
  seg_place_of place;
  int32_t number;
  for (int64_t at = 0; seg_ledger_read(ledger.data, ledger.size, at, &number, &place); at = seg_ledger_end(&place)) {
    const int32_t local = p->local[number];
    if (local < 0) continue;
    const int32_t expected = shapes[p->series[local].keep];
    if (place.shape != expected && !(place.shape == SEG_SHAPE_BUCKETS && expected == SEG_SHAPE_VALUES)) continue;
    const uint8_t *body = ledger.data + place.body;
    held[local] = (seg_held_series){body, body + place.buckets * (int64_t)SEG_BUCKET_BYTES, place.buckets,
                                    place.count, place.shape};
  }
}

/* Where a series is, or where it would be. */
bool seg_ledger_find(const seg_ledger *ledger, int32_t number, seg_place_of *place) {
  int64_t at = 0;
  int32_t found;
  while (seg_ledger_read(ledger->data, ledger->size, at, &found, place) && found <= number) {
    if (found == number) return true;
    at = seg_ledger_end(place);
  }
  place->head = place->body = at;
  return false;
}

/* --- changing --- */

/* Makes n bytes out of m ones; there is room. */
static void splice(seg_ledger *ledger, int64_t at, int64_t m, int64_t n) {
  memmove(ledger->data + at + n, ledger->data + at + m, (size_t)(ledger->size - at - m));
  ledger->size += n - m;
}

static void write_head(seg_ledger *ledger, int32_t number, seg_place_of *place) {
  const int64_t size = seg_head_bytes(place->shape, place->count);
  if (size != place->body - place->head) splice(ledger, place->head, place->body - place->head, size);
  place->body = place->head + size;
  uint8_t *at = ledger->data + place->head;
  const int32_t code = size == 2 ? place->count : 0;
  put_u16(at, number | place->shape << SEG_NUMBER_BITS | code << (SEG_NUMBER_BITS + SEG_SHAPE_BITS));
  if (size >= 4) put_u16(at + 2, place->count);
  if (size == 6) put_u16(at + 4, place->buckets);
}

static int32_t number_at(const seg_ledger *ledger, const seg_place_of *place) {
  return seg_get_u16(ledger->data + place->head) & (SEG_SERIES_MAX - 1);
}

static int64_t entry_at(const seg_place_of *place, int32_t index) {
  return place->body + place->buckets * (int64_t)SEG_BUCKET_BYTES + index * (int64_t)seg_entry_sizes[place->shape];
}

void seg_entry_insert(seg_ledger *ledger, int32_t number, seg_place_of *place, int32_t at, const uint8_t *entry) {
  const int64_t bytes = seg_entry_sizes[place->shape];
  splice(ledger, entry_at(place, at), 0, bytes);
  memcpy(ledger->data + entry_at(place, at), entry, (size_t)bytes);
  place->count++;
  write_head(ledger, number, place);
}

void seg_entry_remove(seg_ledger *ledger, seg_place_of *place, int32_t at, int32_t n) {
  const int32_t number = number_at(ledger, place);
  splice(ledger, entry_at(place, at), n * (int64_t)seg_entry_sizes[place->shape], 0);
  place->count -= n;
  write_head(ledger, number, place);
}

void seg_bucket_insert(seg_ledger *ledger, seg_place_of *place, int32_t at, const uint8_t *bucket) {
  const int32_t number = number_at(ledger, place);
  const int64_t where = place->body + at * (int64_t)SEG_BUCKET_BYTES;
  splice(ledger, where, 0, SEG_BUCKET_BYTES);
  memcpy(ledger->data + where, bucket, SEG_BUCKET_BYTES);
  place->shape = SEG_SHAPE_BUCKETS;
  place->buckets++;
  write_head(ledger, number, place);
}

void seg_bucket_remove(seg_ledger *ledger, seg_place_of *place, int32_t n) {
  const int32_t number = number_at(ledger, place);
  splice(ledger, place->body, n * (int64_t)SEG_BUCKET_BYTES, 0);
  place->buckets -= n;
  if (place->buckets == 0) place->shape = SEG_SHAPE_VALUES;
  write_head(ledger, number, place);
}

/* Sees to it that a change finds room; whether something had to go. */
static bool make_room(seg_ledger *ledger) {
  bool lost = false;
  while (ledger->size > SEG_LEDGER_MAX - ROOM_BYTES) {
    seg_place_of place, largest = {.body = -1};
    int32_t number;
    for (int64_t at = 0; seg_ledger_read(ledger->data, ledger->size, at, &number, &place); at = seg_ledger_end(&place))
      if (largest.body < 0 || seg_body_bytes(&place) > seg_body_bytes(&largest)) largest = place;
    if (largest.body < 0) break;
    if (largest.buckets)
      seg_bucket_remove(ledger, &largest, (largest.buckets + 7) / 8);
    else
      seg_entry_remove(ledger, &largest, 0, (largest.count + 7) / 8);
    lost = true;
  }
  return lost;
}

/* --- entering --- */

static bool enter_count(uint8_t *at) {
  uint32_t count;
  memcpy(&count, at, sizeof count);
  if (count == UINT32_MAX) return false;
  count++;
  memcpy(at, &count, sizeof count);
  return true;
}

static bool enter_totals(uint8_t *at, int64_t value) {
  int64_t totals[3]; /* sum, least, greatest */
  uint32_t count;
  memcpy(&count, at, sizeof count);
  memcpy(totals, at + 4, sizeof totals);
  totals[0] = seg_add64(totals[0], value);
  if (count == 0 || value < totals[1]) totals[1] = value;
  if (count == 0 || value > totals[2]) totals[2] = value;
  memcpy(at + 4, totals, sizeof totals);
  enter_count(at);
  return true;
}

static bool enter_decayed(uint8_t *at, const seg_kept_series *s, int64_t at_ms, double value) {
  const int64_t newest_ms = seg_get_instant(at);
  double sum;
  memcpy(&sum, at + SEG_INSTANT_BYTES, sizeof sum);
  if (at_ms >= newest_ms) {
    sum = sum * seg_exp2((double)(newest_ms - at_ms) / s->half_life_ms) + value;
    seg_put_instant(at, at_ms);
  } else {
    sum += value * seg_exp2((double)(at_ms - newest_ms) / s->half_life_ms);
  }
  memcpy(at + SEG_INSTANT_BYTES, &sum, sizeof sum);
  return true;
}

/* Of two events at one instant, that which passes is the last one. */
static bool enter_last(uint8_t *at, int64_t at_ms, bool passes) {
  const int64_t newest_ms = seg_get_instant(at);
  if (at_ms < newest_ms) return false;
  if (at_ms == newest_ms && (at[SEG_INSTANT_BYTES] || !passes)) return false;
  seg_put_instant(at, at_ms);
  at[SEG_INSTANT_BYTES] = passes;
  return true;
}

static bool enter_oldest(uint8_t *at, int64_t at_ms) {
  if (at_ms >= seg_get_instant(at)) return false;
  seg_put_instant(at, at_ms);
  return true;
}

/* Into a series that has one entry for good. */
static bool enter_single(uint8_t *at, const seg_kept_series *s, int64_t at_ms, int64_t value) {
  switch (s->keep) {
    case SEG_KEEP_COUNT: return enter_count(at);
    case SEG_KEEP_TOTALS: return enter_totals(at, value);
    case SEG_KEEP_DECAYED: return enter_decayed(at, s, at_ms, (double)value / SEG_MILLIONTHS);
    case SEG_KEEP_LAST: return enter_last(at, at_ms, value != 0);
    default: return enter_oldest(at, at_ms);
  }
}

static bool is_single(int32_t keep) {
  return keep == SEG_KEEP_OLDEST || keep == SEG_KEEP_COUNT || keep == SEG_KEEP_TOTALS || keep == SEG_KEEP_DECAYED ||
         keep == SEG_KEEP_LAST;
}

/* The first entry of a series. */
static void begin(seg_ledger *ledger, seg_place_of *place, const seg_kept_series *s, int64_t at_ms, int64_t value) {
  uint8_t entry[SEG_TOTALS_BYTES] = {0};
  place->body = place->head;
  place->shape = shapes[s->keep];
  place->count = place->buckets = 0;
  if (place->shape != SEG_SHAPE_COUNT && place->shape != SEG_SHAPE_TOTALS) seg_put_instant(entry, at_ms);
  switch (s->keep) {
    case SEG_KEEP_COUNT: enter_count(entry); break;
    case SEG_KEEP_TOTALS: enter_totals(entry, value); break;
    case SEG_KEEP_DECAYED: enter_decayed(entry, s, at_ms, (double)value / SEG_MILLIONTHS); break;
    case SEG_KEEP_LAST: entry[SEG_INSTANT_BYTES] = value != 0; break;
    case SEG_KEEP_VALUES:
    case SEG_KEEP_GREATEST:
    case SEG_KEEP_LEAST:
    case SEG_KEEP_OBSERVED: memcpy(entry + SEG_INSTANT_BYTES, &value, sizeof value); break;
    default: break;
  }
  seg_entry_insert(ledger, s->number, place, 0, entry);
}

bool seg_ledger_enter(const seg_program *p, seg_ledger *ledger, const seg_kept_series *s, int64_t at_ms, int64_t value,
                      bool *lost) {
  if (ledger->size > SEG_LEDGER_MAX - ROOM_BYTES) *lost |= make_room(ledger);
  seg_place_of place;
  const bool is_held = seg_ledger_find(ledger, s->number, &place);
  const bool is_of_shape = is_held && (place.shape == shapes[s->keep] ||
                                       (s->keep == SEG_KEEP_VALUES && place.shape == SEG_SHAPE_BUCKETS));
  if (!is_of_shape || place.count == 0) {
    if (is_held) splice(ledger, place.head, seg_ledger_end(&place) - place.head, 0);
    begin(ledger, &place, s, at_ms, value);
    return true;
  }
  if (is_single(s->keep)) return enter_single(ledger->data + place.body, s, at_ms, value);
  switch (s->keep) {
    case SEG_KEEP_VALUES: return seg_enter_value(ledger, &place, s, at_ms, value);
    case SEG_KEEP_GREATEST:
    case SEG_KEEP_LEAST: return seg_enter_extreme(ledger, &place, s, at_ms, value);
    case SEG_KEEP_OBSERVED: return seg_enter_observation(ledger, &place, at_ms, (uint64_t)value);
    default: return seg_enter_instant(p, ledger, &place, s, at_ms);
  }
}
