/* How many customers have a value of each trait.
 *
 * One pass over the table, with an index of names by open addressing, at most half full. Names stay where they are, in
 * the traits of the first customer that has each, as nothing changes meanwhile; at the end they are sorted.
 *
 * Bounds: as many names as customers' traits hold, 48 bytes each. */
#include <stdlib.h>

#include "table.h"

#define XXH_INLINE_ALL
#include "vendor/xxhash.h"

typedef struct named {
  const uint8_t *name; /* NULL for an empty bucket */
  uint64_t customers;
  int32_t size;
} named;

typedef struct index {
  named *buckets;
  uint64_t bucket_count, count; /* the first a power of 2 */
} index;

static named *find(const index *of, const uint8_t *name, int32_t size) {
  uint64_t at = XXH3_64bits(name, (size_t)size) & (of->bucket_count - 1);
  while (of->buckets[at].name &&
         (of->buckets[at].size != size || (size && memcmp(of->buckets[at].name, name, (size_t)size) != 0)))
    at = (at + 1) & (of->bucket_count - 1);
  return &of->buckets[at];
}

static bool grow(index *of) {
  index larger = {.bucket_count = of->bucket_count ? 2 * of->bucket_count : 64, .count = of->count};
  larger.buckets = calloc(larger.bucket_count, sizeof *larger.buckets);
  if (!larger.buckets) return false;
  for (uint64_t i = 0; i < of->bucket_count; i++)
    if (of->buckets[i].name) *find(&larger, of->buckets[i].name, of->buckets[i].size) = of->buckets[i];
  free(of->buckets);
  *of = larger;
  return true;
}

/* Counts those of one customer, which are whole. */
static bool count_row(index *of, seg_bytes traits) {
  for (int64_t at = 0; at < traits.size;) {
    const uint8_t *entry = traits.data + at, *name = entry + SEG_TRAIT_HEADER_BYTES;
    const int32_t size = entry[0], kind = entry[1];
    at += SEG_TRAIT_HEADER_BYTES + size + (entry[2] | entry[3] << 8);
    if (kind == SEG_FIELD_NULL) continue;
    if (2 * (of->count + 1) > of->bucket_count && !grow(of)) return false;
    named *bucket = find(of, name, size);
    if (!bucket->name) {
      *bucket = (named){.name = name, .size = size};
      of->count++;
    }
    bucket->customers++;
  }
  return true;
}

static int by_name(const void *one, const void *other) {
  const named *a = one, *b = other;
  if (!a->name || !b->name) return (a->name == NULL) - (b->name == NULL); /* empty buckets last */
  const int order = memcmp(a->name, b->name, (size_t)(a->size < b->size ? a->size : b->size));
  return order ? order : a->size - b->size;
}

int64_t seg_table_count_traits(const seg_table *table, uint8_t *out, int64_t capacity) {
  index of = {0};
  int64_t total = 0;
  for (int64_t row = 0; row < table->count; row++)
    if (!count_row(&of, seg_table_traits(table, row))) {
      free(of.buckets);
      return SEG_NO_MEMORY;
    }
  if (of.count) qsort(of.buckets, of.bucket_count, sizeof *of.buckets, by_name);
  for (uint64_t i = 0; i < of.count; i++) {
    const named *each = &of.buckets[i];
    const int64_t size = (int64_t)sizeof each->customers + 1 + each->size;
    if (total + size <= capacity) {
      memcpy(out + total, &each->customers, sizeof each->customers);
      out[total + 8] = (uint8_t)each->size;
      memcpy(out + total + 9, each->name, (size_t)each->size);
    }
    total += size;
  }
  free(of.buckets);
  return total;
}
