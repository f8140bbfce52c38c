/* What rows say of segmentations that the table does not have: kept as it stands, so that one which is configured again
 * later finds its customers' sequences.
 *
 * Only where a segmentation was taken out of the settings is there any: a list a row, from the system's memory. When a
 * segmentation is admitted, what is known of it moves into its columns. A segmentation that was of another kind and is
 * by rules now goes on from its memberships: segment, sequence and the last change become a place.
 *
 * Contract: entries are of distinct names, and at most SEG_ENTRY_LIMIT of each kind.
 *
 * Bounds: rows that there are; names of columns that there are. */
#include <stdlib.h>

#include "table.h"

int32_t seg_make_others(seg_table *table, int32_t entries, int32_t places, seg_others **out) {
  *out = NULL;
  if (entries + places == 0) return SEG_OK;
  if (!table->others) table->others = calloc((size_t)table->slot_capacity, sizeof(seg_others *));
  if (!table->others) return SEG_NO_MEMORY;
  const size_t bytes = (size_t)entries * sizeof(seg_entry) + (size_t)places * sizeof(seg_dated_place);
  seg_others *made = malloc(sizeof *made + bytes);
  if (!made) return SEG_NO_MEMORY;
  seg_entry *first = (seg_entry *)(made + 1);
  *made = (seg_others){entries, places, first, (seg_dated_place *)(first + entries)};
  *out = made;
  return SEG_OK;
}

void seg_put_others(seg_table *table, int64_t row, seg_others *others) {
  if (!table->others) return;
  free(table->others[row]);
  table->others[row] = others;
}

int64_t seg_others_bytes(const seg_others *others) {
  if (!others) return 0;
  return (int64_t)(sizeof *others + (size_t)others->entry_count * sizeof(seg_entry) +
                   (size_t)others->place_count * sizeof(seg_dated_place));
}

bool seg_take_entry(seg_entry *entries, int32_t *count, uint64_t name, seg_membership *out) {
  for (int32_t i = 0; i < *count; i++) {
    if (entries[i].name != name) continue;
    *out = entries[i].membership;
    memmove(&entries[i], &entries[i + 1], (size_t)(--*count - i) * sizeof *entries);
    return true;
  }
  return false;
}

static bool take_place(seg_dated_place *places, int32_t *count, uint64_t name, seg_dated_place *out) {
  for (int32_t i = 0; i < *count; i++) {
    if (places[i].name != name) continue;
    *out = places[i];
    memmove(&places[i], &places[i + 1], (size_t)(--*count - i) * sizeof *places);
    return true;
  }
  return false;
}

seg_dated_place seg_take_ruled(seg_entry *entries, int32_t *entry_count, seg_dated_place *places, int32_t *place_count,
                               uint64_t name) {
  seg_dated_place place = {.since_ms = SEG_NO_TIME};
  seg_membership membership;
  const bool had = seg_take_entry(entries, entry_count, name, &membership);
  if (take_place(places, place_count, name, &place) || !had || membership.sequence == 0) return place;
  return (seg_dated_place){
      .name = name,
      .place = {.sequence = membership.sequence, .segment = membership.segment, .change = membership.change},
      .since_ms = membership.since_ms,
  };
}

void seg_write_place(const seg_columns *columns, const seg_names *names, int64_t r, int64_t row,
                     const seg_dated_place *place) {
  columns->places[r * columns->capacity + row] = place->place;
  const int32_t k = names->since_of[r];
  if (k >= 0 && k < columns->since) columns->since_ms[k * columns->capacity + row] = place->since_ms;
}

void seg_table_admit(seg_table *table, const seg_columns *columns, const seg_names *names, int64_t segmentation) {
  for (int64_t row = 0; row < table->count; row++) {
    const int64_t at = segmentation * columns->capacity + row;
    seg_others *others = table->others ? table->others[row] : NULL;
    columns->outdated[at] = 0;
    if (!others || !seg_take_entry(others->entries, &others->entry_count, names->names[segmentation],
                                   &columns->memberships[at]))
      columns->memberships[at] = (seg_membership){.since_ms = SEG_NO_TIME, .assessed_at_ms = SEG_NO_TIME};
  }
}

void seg_table_admit_ruled(seg_table *table, const seg_columns *columns, const seg_names *names, int64_t ruled) {
  for (int64_t row = 0; row < table->count; row++) {
    seg_others *others = table->others ? table->others[row] : NULL;
    seg_dated_place place = {.since_ms = SEG_NO_TIME};
    if (others)
      place = seg_take_ruled(others->entries, &others->entry_count, others->places, &others->place_count,
                             names->ruled[ruled]);
    seg_write_place(columns, names, ruled, row, &place);
    seg_forget_rules(columns, row);
    if (ruled == 0) columns->rules_outdated[row] = 0;
  }
}
