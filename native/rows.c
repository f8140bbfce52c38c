/* The table of customers: who is in it, in which row, and what lies beside a row's numbers.
 *
 * Rows are numbered from 0 in the order in which their customers were first seen; where one is removed, the last row
 * takes its number. An index finds the row of an id: buckets of a row and 32 bits of the id's hash, by linear probing,
 * at most 3/4 full; a bucket that is given up is filled from those behind it, so there are no tombstones and the index
 * never has to be cleaned. Ids stand in an arena, which is written anew when more than half of it is of customers that
 * were removed.
 *
 * Contract: `columns` are those of this table; their rows up to its count are filled, and seg_table_insert fills the
 * next one. A row that the table has not is -1 or SEG_OUT_OF_RANGE, never read.
 *
 * Bounds: ids of at most 65,535 bytes, 2^32 - 2 rows. Every function takes all the memory that it needs before it
 * changes anything. */
#include <stdlib.h>

#include "table.h"

#define XXH_INLINE_ALL
#include "vendor/xxhash.h"

enum { FIRST_BUCKETS = 64, FIRST_SLOTS = 64, ID_LIMIT = UINT16_MAX, AHEAD = 8 };
#define ROW_LIMIT ((int64_t)UINT32_MAX - 1)

/* --- the whole --- */

static void init_pools(seg_table *table) {
  for (int32_t i = 0; i < SEG_ORDER_CLASSES; i++) {
    const uint32_t orders = (uint32_t)seg_orders_of_class(i);
    seg_pool_init(&table->narrow_orders[i], SEG_NARROW_ORDER_BYTES * orders);
    seg_pool_init(&table->wide_orders[i], SEG_ORDER_BYTES * orders);
  }
  for (uint32_t i = 0; i < SEG_DAY_CLASSES; i++) seg_pool_init(&table->days[i], 8 * (i + 1));
  seg_blobs_init(&table->ids_of_events);
  seg_blobs_init(&table->ledgers);
  seg_blobs_init(&table->traits);
}

seg_table *seg_table_new(void) {
  seg_table *table = calloc(1, sizeof *table);
  seg_bucket *index = calloc(FIRST_BUCKETS, sizeof *index);
  if (!table || !index) {
    free(table);
    free(index);
    return NULL;
  }
  table->index = index;
  table->bucket_count = FIRST_BUCKETS;
  init_pools(table);
  seg_day_weights_init(&table->weights);
  return table;
}

static void clear_pools(seg_pool *pools, int32_t count) {
  for (int32_t i = 0; i < count; i++) seg_pool_clear(&pools[i]);
}

void seg_table_free(seg_table *table) {
  if (!table) return;
  for (int64_t row = 0; table->others && row < table->count; row++) free(table->others[row]);
  free(table->others);
  free(table->slots);
  free(table->index);
  seg_arena_clear(&table->ids);
  clear_pools(table->narrow_orders, SEG_ORDER_CLASSES);
  clear_pools(table->wide_orders, SEG_ORDER_CLASSES);
  clear_pools(table->days, SEG_DAY_CLASSES);
  seg_blobs_clear(&table->ids_of_events);
  seg_blobs_clear(&table->ledgers);
  seg_blobs_clear(&table->traits);
  free(table->local_days);
  free(table);
}

int64_t seg_table_count(const seg_table *table) { return table->count; }

static int64_t pools_bytes(const seg_pool *pools, int32_t count) {
  int64_t bytes = 0;
  for (int32_t i = 0; i < count; i++) bytes += seg_pool_bytes(&pools[i]);
  return bytes;
}

void seg_table_memory(const seg_table *table, seg_memory *out) {
  *out = (seg_memory){
      .ids = (int64_t)(table->ids.chunk_count * SEG_ARENA_CHUNK),
      .index = (int64_t)(table->bucket_count * sizeof *table->index),
      .slots = table->slot_capacity * (int64_t)sizeof *table->slots,
      .events = seg_blobs_bytes(&table->ids_of_events),
      .orders = pools_bytes(table->narrow_orders, SEG_ORDER_CLASSES) +
                pools_bytes(table->wide_orders, SEG_ORDER_CLASSES),
      .days = pools_bytes(table->days, SEG_DAY_CLASSES),
      .ledgers = seg_blobs_bytes(&table->ledgers),
      .traits = seg_blobs_bytes(&table->traits),
  };
  if (!table->others) return;
  out->others = table->slot_capacity * (int64_t)sizeof *table->others;
  for (int64_t row = 0; row < table->count; row++) out->others += seg_others_bytes(table->others[row]);
}

/* --- finding --- */

static bool is_of(const seg_table *table, uint32_t row, const uint8_t *id, size_t size) {
  const seg_slot *slot = &table->slots[row];
  return slot->id_size == size && (size == 0 || memcmp(seg_arena_at(&table->ids, slot->id_at), id, size) == 0);
}

/* The bucket of an id, or the empty one where it would be. */
static uint64_t bucket_of(const seg_table *table, const uint8_t *id, size_t size, uint64_t hash) {
  const uint64_t mask = table->bucket_count - 1;
  uint64_t at = (uint32_t)hash & mask;
  for (; table->index[at].row_after; at = (at + 1) & mask)
    if (table->index[at].hash == (uint32_t)hash && is_of(table, table->index[at].row_after - 1, id, size)) break;
  return at;
}

int64_t seg_table_find(const seg_table *table, const uint8_t *id, size_t size, uint64_t hash) {
  return (int64_t)table->index[bucket_of(table, id, size, hash)].row_after - 1;
}

static void prefetch_bucket(const seg_table *table, uint64_t hash) {
  __builtin_prefetch(&table->index[(uint32_t)hash & (table->bucket_count - 1)]);
}

/* Asks for the slot that a bucket probably leads to. */
static void prefetch_slot(const seg_table *table, uint64_t hash) {
  const uint32_t row_after = table->index[(uint32_t)hash & (table->bucket_count - 1)].row_after;
  if (row_after) __builtin_prefetch(&table->slots[row_after - 1]);
}

int32_t seg_table_find_events(const seg_table *table, const seg_event *events, int64_t n, const uint8_t *texts,
                              int64_t texts_size, int64_t *rows) {
  for (int64_t i = 0; i < n; i++)
    if ((int64_t)events[i].text_at + events[i].customer_size > texts_size) return SEG_OUT_OF_RANGE;
  for (int64_t i = 0; i < n && i < 2 * AHEAD; i++) prefetch_bucket(table, events[i].customer_hash);
  for (int64_t i = 0; i < n; i++) {
    if (i + 2 * AHEAD < n) prefetch_bucket(table, events[i + 2 * AHEAD].customer_hash);
    if (i + AHEAD < n) prefetch_slot(table, events[i + AHEAD].customer_hash);
    rows[i] = seg_table_find(table, texts + events[i].text_at, events[i].customer_size, events[i].customer_hash);
  }
  return SEG_OK;
}

void seg_table_prefetch(seg_table *table, const seg_columns *columns, int64_t row) {
  if (row < 0 || row >= table->count) return;
  const seg_slot *slot = &table->slots[row];
  __builtin_prefetch(&columns->activity[row]);
  __builtin_prefetch((const uint8_t *)&columns->activity[row] + 64);
  seg_blob_prefetch(&table->ids_of_events, seg_slot_ids(slot));
  if (slot->orders) __builtin_prefetch(seg_pool_at(seg_order_pool(table, slot), slot->orders_at));
  if (slot->active_words + slot->engaged_words)
    __builtin_prefetch(seg_pool_at(seg_day_pool(table, slot), slot->days_at));
  seg_blob_prefetch(&table->ledgers, seg_slot_ledger(slot));
}

/* --- what lies beside the numbers --- */

static bool has_row(const seg_table *table, int64_t row) { return row >= 0 && row < table->count; }

seg_bytes seg_table_ledger(const seg_table *table, int64_t row) {
  return has_row(table, row) ? seg_blob_of(&table->ledgers, seg_slot_ledger(&table->slots[row])) : (seg_bytes){NULL, 0};
}

seg_bytes seg_table_traits(const seg_table *table, int64_t row) {
  return has_row(table, row) ? seg_blob_of(&table->traits, seg_slot_traits(&table->slots[row])) : (seg_bytes){NULL, 0};
}

seg_bytes seg_table_id(const seg_table *table, int64_t row) {
  if (!has_row(table, row)) return (seg_bytes){NULL, 0};
  return (seg_bytes){seg_arena_at(&table->ids, table->slots[row].id_at), table->slots[row].id_size};
}

int32_t seg_table_put_ledger(seg_table *table, int64_t row, seg_bytes ledger) {
  if (!has_row(table, row) || ledger.size < 0 || ledger.size > SEG_LEDGER_MAX) return SEG_OUT_OF_RANGE;
  seg_blob blob = seg_slot_ledger(&table->slots[row]);
  if (!seg_blob_replace(&table->ledgers, &blob, ledger)) return SEG_NO_MEMORY;
  seg_set_ledger(&table->slots[row], blob);
  return SEG_OK;
}

int32_t seg_table_put_traits(seg_table *table, int64_t row, seg_bytes traits) {
  if (!has_row(table, row) || traits.size < 0 || traits.size > SEG_TRAITS_MAX) return SEG_OUT_OF_RANGE;
  seg_blob blob = seg_slot_traits(&table->slots[row]);
  if (!seg_blob_replace(&table->traits, &blob, traits)) return SEG_NO_MEMORY;
  seg_set_traits(&table->slots[row], blob);
  if (!table->has_statements) table->has_statements = seg_traits_have_statements(traits);
  return SEG_OK;
}

bool seg_table_has_statements(const seg_table *table) { return table->has_statements; }

int64_t seg_table_ids(const seg_table *table, const int64_t *rows, int64_t n, uint8_t *out, int64_t capacity,
                      int64_t *sizes) {
  int64_t total = 0;
  for (int64_t i = 0; i < n; i++) {
    if (rows[i] < 0 || rows[i] >= table->count) return SEG_OUT_OF_RANGE;
    const seg_slot *slot = &table->slots[rows[i]];
    sizes[i] = slot->id_size;
    if (out && slot->id_size > capacity - total) return SEG_NO_ROOM;
    if (out && slot->id_size) memcpy(out + total, seg_arena_at(&table->ids, slot->id_at), slot->id_size);
    total += slot->id_size;
  }
  return total;
}

void seg_table_hashes(const seg_table *table, int64_t first, int64_t n, uint64_t *out) {
  for (int64_t i = 0; i < n && first >= 0 && first + i < table->count; i++) {
    const seg_slot *slot = &table->slots[first + i];
    out[i] = XXH3_64bits(seg_arena_at(&table->ids, slot->id_at), slot->id_size);
  }
}

/* --- inserting --- */

static bool grow_index(seg_table *table) {
  const uint64_t mask = 2 * table->bucket_count - 1;
  seg_bucket *index = calloc(2 * table->bucket_count, sizeof *index);
  if (!index) return false;
  for (uint64_t i = 0; i < table->bucket_count; i++) {
    if (!table->index[i].row_after) continue;
    uint64_t at = table->index[i].hash & mask;
    while (index[at].row_after) at = (at + 1) & mask;
    index[at] = table->index[i];
  }
  free(table->index);
  table->index = index;
  table->bucket_count = 2 * table->bucket_count;
  return true;
}

static bool grow_slots(seg_table *table) {
  const int64_t capacity = table->slot_capacity ? table->slot_capacity + table->slot_capacity / 2 : FIRST_SLOTS;
  seg_slot *slots = realloc(table->slots, (size_t)capacity * sizeof *slots);
  if (!slots) return false;
  table->slots = slots;
  if (table->others) {
    seg_others **others = realloc(table->others, (size_t)capacity * sizeof(seg_others *));
    if (!others) return false;
    table->others = others;
  }
  table->slot_capacity = capacity;
  return true;
}

static void fill_columns(const seg_columns *columns, int64_t row) {
  columns->activity[row] = (seg_activity){
      .first_at_ms = -SEG_NO_TIME,
      .first_purchased_at_ms = -SEG_NO_TIME,
      .purchased_at_ms = SEG_NO_TIME,
      .ordered_at_ms = SEG_NO_TIME,
      .engaged_at_ms = SEG_NO_TIME,
  };
  columns->due_at_ms[row] = SEG_NO_TIME;
  columns->closed_at_ms[row] = SEG_NO_TIME;
  for (int64_t m = 0; m < columns->segmentations; m++) {
    columns->memberships[m * columns->capacity + row] =
        (seg_membership){.since_ms = SEG_NO_TIME, .assessed_at_ms = SEG_NO_TIME};
    columns->outdated[m * columns->capacity + row] = 0;
  }
  if (columns->ruled == 0) return;
  seg_forget_rules(columns, row);
  columns->rules_outdated[row] = 0;
  for (int64_t r = 0; r < columns->ruled; r++) columns->places[r * columns->capacity + row] = (seg_place){0};
  for (int64_t k = 0; k < columns->since; k++) columns->since_ms[k * columns->capacity + row] = SEG_NO_TIME;
}

void seg_renew_row(seg_table *table, const seg_columns *columns, int64_t row) {
  seg_put_others(table, row, NULL);
  fill_columns(columns, row);
}

int64_t seg_table_insert(seg_table *table, const seg_columns *columns, const uint8_t *id, size_t size, uint64_t hash) {
  const int64_t row = table->count;
  if (size > ID_LIMIT) return SEG_OUT_OF_RANGE;
  uint64_t at = bucket_of(table, id, size, hash);
  if (table->index[at].row_after) return (int64_t)table->index[at].row_after - 1;
  if (row >= columns->capacity || row >= ROW_LIMIT) return SEG_NO_ROOM;
  if (4 * ((uint64_t)row + 1) > 3 * table->bucket_count) {
    if (!grow_index(table)) return SEG_NO_MEMORY;
    at = bucket_of(table, id, size, hash);
  }
  if (row == table->slot_capacity && !grow_slots(table)) return SEG_NO_MEMORY;
  const uint64_t place = seg_arena_keep(&table->ids, id, size);
  if (place == SEG_NO_PLACE) return SEG_NO_MEMORY;
  table->slots[row] = (seg_slot){.id_at = place, .id_size = (uint16_t)size};
  if (table->others) table->others[row] = NULL;
  table->index[at] = (seg_bucket){.row_after = (uint32_t)row + 1, .hash = (uint32_t)hash};
  table->count++;
  fill_columns(columns, row);
  return row;
}

/* --- removing --- */

/* Empties a bucket, and moves up those behind it that would not be found any more. */
static void empty_bucket(seg_table *table, uint64_t hole) {
  const uint64_t mask = table->bucket_count - 1;
  for (uint64_t at = (hole + 1) & mask; table->index[at].row_after; at = (at + 1) & mask) {
    const uint64_t home = table->index[at].hash & mask;
    if (((at - home) & mask) < ((at - hole) & mask)) continue;
    table->index[hole] = table->index[at];
    hole = at;
  }
  table->index[hole] = (seg_bucket){0, 0};
}

/* Writes the ids of all rows into a new arena; does without where there is no memory. */
static void compact_ids(seg_table *table) {
  seg_arena fresh = {0};
  uint64_t *places = malloc((size_t)(table->count + 1) * sizeof *places);
  bool fits = places != NULL;
  for (int64_t row = 0; fits && row < table->count; row++) {
    const seg_slot *slot = &table->slots[row];
    places[row] = seg_arena_keep(&fresh, seg_arena_at(&table->ids, slot->id_at), slot->id_size);
    fits = places[row] != SEG_NO_PLACE;
  }
  if (fits) {
    for (int64_t row = 0; row < table->count; row++) table->slots[row].id_at = places[row];
    seg_arena_clear(&table->ids);
    table->ids = fresh;
  } else {
    seg_arena_clear(&fresh);
  }
  free(places);
}

static void forget_id(seg_table *table, const seg_slot *slot) {
  table->ids.dead += slot->id_size;
  if (table->ids.dead > SEG_ARENA_CHUNK && 2 * table->ids.dead > table->ids.used) compact_ids(table);
}

void seg_table_drop_last(seg_table *table, uint64_t hash) {
  const seg_slot slot = table->slots[table->count - 1];
  empty_bucket(table, bucket_of(table, seg_arena_at(&table->ids, slot.id_at), slot.id_size, hash));
  table->count--;
  forget_id(table, &slot);
}

static void move_columns(const seg_columns *columns, int64_t to, int64_t from) {
  columns->activity[to] = columns->activity[from];
  columns->due_at_ms[to] = columns->due_at_ms[from];
  for (int64_t m = 0; m < columns->segmentations; m++) {
    const int64_t column = m * columns->capacity;
    columns->memberships[column + to] = columns->memberships[column + from];
    columns->outdated[column + to] = columns->outdated[column + from];
  }
  columns->closed_at_ms[to] = columns->closed_at_ms[from];
  if (columns->ruled == 0) return;
  columns->rules_due_at_ms[to] = columns->rules_due_at_ms[from];
  columns->rules_outdated[to] = columns->rules_outdated[from];
  const int64_t stride = columns->capacity;
  for (int64_t r = 0; r < columns->ruled; r++) columns->places[r * stride + to] = columns->places[r * stride + from];
  for (int64_t k = 0; k < columns->since; k++)
    columns->since_ms[k * stride + to] = columns->since_ms[k * stride + from];
  for (int64_t w = 0; w < columns->words; w++) columns->bits[w * stride + to] = columns->bits[w * stride + from];
}

int64_t seg_table_remove(seg_table *table, const seg_columns *columns, const uint8_t *id, size_t size, uint64_t hash) {
  const uint64_t at = bucket_of(table, id, size, hash);
  const int64_t row = (int64_t)table->index[at].row_after - 1, last = table->count - 1;
  if (row < 0) return -1;
  const seg_slot removed = table->slots[row], moved = table->slots[last];
  empty_bucket(table, at);
  seg_free_history(table, &removed);
  seg_blob_give(&table->ledgers, seg_slot_ledger(&removed));
  seg_blob_give(&table->traits, seg_slot_traits(&removed));
  if (table->others) free(table->others[row]);
  if (row != last) {
    const uint8_t *last_id = seg_arena_at(&table->ids, moved.id_at);
    const uint64_t last_hash = XXH3_64bits(last_id, moved.id_size);
    table->index[bucket_of(table, last_id, moved.id_size, last_hash)].row_after = (uint32_t)row + 1;
    table->slots[row] = moved;
    if (table->others) table->others[row] = table->others[last];
    move_columns(columns, row, last);
  }
  table->count--;
  forget_id(table, &removed);
  return row;
}
