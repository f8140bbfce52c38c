/* Instants with values, for sums and averages of windows: the newest SEG_EXACT_VALUES exactly, what is older in buckets
 * of a 128th of the window.
 *
 * Theory. A bucket is all that falls into one period of s->width_ms since the epoch: its newest instant, how many, and
 * their sum. It leaves a window when its newest instant does, so a sum is too high by at most one bucket, and only of
 * customers with more than SEG_EXACT_VALUES events in the window. Entries are ordered by instant and value, the newest
 * ones are exact, the others belong to their periods: so what is kept is the same in whatever order events came. For the
 * same reason what is too old goes by whole periods: all of those that end at or before the horizon.
 *
 * Bounds: some 130 buckets, as a horizon is a window. */
#include "program.h"

#define BUCKET_COUNT_AT SEG_INSTANT_BYTES
#define BUCKET_SUM_AT (SEG_INSTANT_BYTES + 4)

static int64_t floored(int64_t at_ms, int64_t width_ms) {
  return at_ms >= 0 ? at_ms / width_ms : -((-at_ms + width_ms - 1) / width_ms);
}

static uint8_t *bucket_at(seg_ledger *ledger, const seg_place_of *place, int32_t index) {
  return ledger->data + place->body + index * (int64_t)SEG_BUCKET_BYTES;
}

static uint8_t *entry_at(seg_ledger *ledger, const seg_place_of *place, int32_t index) {
  return bucket_at(ledger, place, place->buckets) + index * (int64_t)SEG_VALUE_BYTES;
}

void seg_add_to_bucket(seg_ledger *ledger, seg_place_of *place, const seg_kept_series *s, int64_t at_ms,
                       uint32_t entries, int64_t sum_of_them) {
  const int64_t period = floored(at_ms, s->width_ms);
  int32_t index = place->buckets;
  while (index > 0 && floored(seg_get_instant(bucket_at(ledger, place, index - 1)), s->width_ms) > period) index--;
  if (index > 0 && floored(seg_get_instant(bucket_at(ledger, place, index - 1)), s->width_ms) == period) {
    uint8_t *bucket = bucket_at(ledger, place, index - 1);
    uint32_t count;
    memcpy(&count, bucket + BUCKET_COUNT_AT, sizeof count);
    count = entries > UINT32_MAX - count ? UINT32_MAX : count + entries;
    const int64_t sum = seg_add64(seg_get_i64(bucket + BUCKET_SUM_AT), sum_of_them);
    if (at_ms > seg_get_instant(bucket)) seg_put_instant(bucket, at_ms);
    memcpy(bucket + BUCKET_COUNT_AT, &count, sizeof count);
    memcpy(bucket + BUCKET_SUM_AT, &sum, sizeof sum);
    return;
  }
  uint8_t bucket[SEG_BUCKET_BYTES];
  seg_put_instant(bucket, at_ms);
  memcpy(bucket + BUCKET_COUNT_AT, &entries, sizeof entries);
  memcpy(bucket + BUCKET_SUM_AT, &sum_of_them, sizeof sum_of_them);
  seg_bucket_insert(ledger, place, index, bucket);
}

static bool is_past(const seg_kept_series *s, int64_t at_ms, int64_t newest_ms) {
  return (floored(at_ms, s->width_ms) + 1) * s->width_ms <= newest_ms - s->horizon_ms;
}

static void forget_old(seg_ledger *ledger, seg_place_of *place, const seg_kept_series *s, int64_t newest_ms) {
  int32_t old = 0;
  while (old < place->buckets && is_past(s, seg_get_instant(bucket_at(ledger, place, old)), newest_ms)) old++;
  if (old) seg_bucket_remove(ledger, place, old);
  old = 0;
  while (old + 1 < place->count && is_past(s, seg_get_instant(entry_at(ledger, place, old)), newest_ms)) old++;
  if (old) seg_entry_remove(ledger, place, 0, old);
}

bool seg_enter_value(seg_ledger *ledger, seg_place_of *place, const seg_kept_series *s, int64_t at_ms, int64_t value) {
  const int64_t newest_ms = seg_get_instant(entry_at(ledger, place, place->count - 1));
  if (at_ms <= newest_ms && is_past(s, at_ms, newest_ms)) return false;
  int32_t index = place->count;
  for (; index > 0; index--) {
    const uint8_t *entry = entry_at(ledger, place, index - 1);
    const int64_t there_ms = seg_get_instant(entry);
    if (there_ms < at_ms || (there_ms == at_ms && seg_get_i64(entry + SEG_INSTANT_BYTES) <= value)) break;
  }
  if (index == 0 && place->count >= SEG_EXACT_VALUES) {
    seg_add_to_bucket(ledger, place, s, at_ms, 1, value);
    return true;
  }
  uint8_t entry[SEG_VALUE_BYTES];
  seg_put_instant(entry, at_ms);
  memcpy(entry + SEG_INSTANT_BYTES, &value, sizeof value);
  seg_entry_insert(ledger, s->number, place, index, entry);
  forget_old(ledger, place, s, at_ms > newest_ms ? at_ms : newest_ms);
  if (place->count > SEG_EXACT_VALUES) {
    const uint8_t *oldest = entry_at(ledger, place, 0);
    const int64_t oldest_ms = seg_get_instant(oldest), oldest_value = seg_get_i64(oldest + SEG_INSTANT_BYTES);
    seg_entry_remove(ledger, place, 0, 1);
    seg_add_to_bucket(ledger, place, s, oldest_ms, 1, oldest_value);
  }
  return true;
}
