/* Series: by what events are counted. Ledgers in memory name them by small numbers, and rows by digests of what they
 * count, which mean the same in every process.
 *
 * A number is given once and never again as long as the table lives: conditions that are compiled anew find what older
 * ones have counted, and ledgers need no correcting. An index of open addressing, at most half full, finds a digest.
 *
 * Bounds: SEG_SERIES_MAX of them. */
#include "table.h"

static uint32_t bucket_of(const seg_series *series, uint64_t digest) {
  uint32_t at = (uint32_t)(digest ^ digest >> 32) % SEG_SERIES_BUCKETS;
  while (series->number_after[at] && series->digests[series->number_after[at] - 1] != digest)
    at = (at + 1) % SEG_SERIES_BUCKETS;
  return at;
}

int32_t seg_number_series(seg_series *series, uint64_t digest) {
  const uint32_t at = bucket_of(series, digest);
  if (series->number_after[at]) return series->number_after[at] - 1;
  if (series->count == SEG_SERIES_MAX) return SEG_NO_ROOM;
  series->digests[series->count] = digest;
  series->number_after[at] = (uint16_t)++series->count;
  return series->count - 1;
}

void seg_series_cut(seg_series *series, int32_t count) {
  /* What came last stands in no other's way. */
  while (series->count > count) {
    series->number_after[bucket_of(series, series->digests[series->count - 1])] = 0;
    series->count--;
  }
}

int32_t seg_table_series(seg_table *table, uint64_t digest) { return seg_number_series(&table->series, digest); }

int32_t seg_table_series_digests(const seg_table *table, const uint64_t **out) {
  *out = table->series.digests;
  return table->series.count;
}
