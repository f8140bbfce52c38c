/* Ledgers in rows: series have digests there in place of numbers, which are the table's own.
 *
 * A row's ledger is made of series as ledger.c has them, each behind the 8 bytes of its digest, with a number of 0, by
 * ascending digest.
 *
 * Bounds. A row's bytes may say anything: every length is checked against what is left, counts against what the shape
 * can have, and instants must ascend, as all that evaluates takes them in that order. A digest that comes twice is
 * damage. What is larger than a ledger can be is damage, too. */
#include "program.h"

#define DIGEST_BYTES 8
#define NUMBER_MASK (SEG_SERIES_MAX - 1)

/* The bytes of the series at `at`, 0 if it is none that could have been written. */
static int64_t series_bytes(const uint8_t *data, int64_t size, int64_t at) {
  seg_place_of place;
  int32_t number;
  if (!seg_ledger_read(data, size, at, &number, &place)) return 0;
  const bool is_single = place.shape >= SEG_SHAPE_COUNT && place.shape <= SEG_SHAPE_LAST;
  if (place.count > SEG_COUNT_MAX || place.count + place.buckets < 1 || (is_single && place.count != 1)) return 0;
  if (place.shape == SEG_SHAPE_BUCKETS && place.buckets < 1) return 0;
  const uint8_t *bucket = data + place.body, *entry = bucket + place.buckets * (int64_t)SEG_BUCKET_BYTES;
  for (int32_t i = 1; i < place.buckets; i++)
    if (seg_get_instant(bucket + (i - 1) * (int64_t)SEG_BUCKET_BYTES) >
        seg_get_instant(bucket + i * (int64_t)SEG_BUCKET_BYTES))
      return 0;
  const int64_t step = seg_entry_bytes(place.shape);
  for (int32_t i = 1; i < place.count; i++)
    if (seg_get_instant(entry + (i - 1) * step) > seg_get_instant(entry + i * step)) return 0;
  return seg_ledger_end(&place) - at;
}

int64_t seg_ledger_to_row(seg_bytes ledger, const uint64_t *digests, int64_t digest_count, uint8_t *out,
                          int64_t capacity) {
  struct {
    uint64_t digest;
    int64_t at, size;
  } found[SEG_SERIES_MAX], each;
  int32_t count = 0;
  int64_t total = 0;
  for (int64_t at = 0; at < ledger.size; at += each.size) {
    seg_place_of place;
    int32_t number;
    if (count == SEG_SERIES_MAX || !seg_ledger_read(ledger.data, ledger.size, at, &number, &place)) return SEG_DAMAGED;
    if (number >= digest_count) return SEG_OUT_OF_RANGE;
    each.digest = digests[number];
    each.at = at;
    each.size = seg_ledger_end(&place) - at;
    int32_t i = count++;
    for (; i > 0 && found[i - 1].digest > each.digest; i--) found[i] = found[i - 1];
    found[i] = each;
    total += DIGEST_BYTES + each.size;
  }
  if (!out) return total;
  if (total > capacity) return SEG_NO_ROOM;
  for (int32_t i = 0; i < count; i++) {
    memcpy(out, &found[i].digest, DIGEST_BYTES);
    memcpy(out + DIGEST_BYTES, ledger.data + found[i].at, (size_t)found[i].size);
    out[DIGEST_BYTES] = 0; /* the number's ten bits */
    out[DIGEST_BYTES + 1] &= (uint8_t)~(NUMBER_MASK >> 8);
    out += DIGEST_BYTES + found[i].size;
  }
  return total;
}

/* Puts the bytes of a series where its number belongs; false if that number is there already, or there is no room. */
static bool add(seg_ledger *ledger, int32_t number, const uint8_t *series, int64_t size) {
  seg_place_of place;
  if (seg_ledger_find(ledger, number, &place) || size > SEG_LEDGER_MAX - ledger->size) return false;
  uint8_t *const at = ledger->data + place.head;
  memmove(at + size, at, (size_t)(ledger->size - place.head));
  memcpy(at, series, (size_t)size);
  at[0] = (uint8_t)number;
  at[1] = (uint8_t)((at[1] & ~(NUMBER_MASK >> 8)) | number >> 8);
  ledger->size += size;
  return true;
}

int32_t seg_ledger_from_row(seg_bytes row, seg_series_number number_of, void *context, seg_ledger *out) {
  out->size = 0;
  for (int64_t at = 0; at < row.size;) {
    if (row.size - at < DIGEST_BYTES + 2) return SEG_DAMAGED;
    uint64_t digest;
    memcpy(&digest, row.data + at, DIGEST_BYTES);
    at += DIGEST_BYTES;
    const int64_t size = series_bytes(row.data, row.size, at);
    if (size == 0) return SEG_DAMAGED;
    const int32_t number = number_of(context, digest);
    if (number < 0) return number;
    if (number >= SEG_SERIES_MAX) return SEG_OUT_OF_RANGE;
    if (!add(out, number, row.data + at, size)) return SEG_DAMAGED;
    at += size;
  }
  return SEG_OK;
}
