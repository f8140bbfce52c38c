/* Rows as bytes, as the changelog keeps them: version 5, little-endian. What the numbers mean, stream_app/core/row.py
 * says.
 *
 *     header    version u8, number of memberships u8; bytes of ids, orders, active and engaged days, u16 each;
 *               closed_at_ms i64; u32: number of dated places (8 bits) and bytes of the ledger (24 bits);
 *               u32: number of undated places and bytes of the traits, likewise
 *     activity  seg_activity (112 bytes)
 *     members   digest of the segmentation's name and seg_membership (40 bytes), for each
 *     places    in segmentations by rules that the customer has ever been in: digest of the name, seg_place, and when
 *               the segment was entered (24 bytes); then those of which that is not known (16 bytes)
 *     ledger    series of events by the digests of what they count, see ledger.c
 *     traits    see traits.c
 *     ids of events (see ids.c), orders (42 bytes each), active days, engaged days (as few bytes as hold the bits)
 *
 * Earlier versions, which row_reading.c takes as well: until version 4 ids were the digests of the last 32 events, and
 * orders had 34 bytes and no state (earlier_rows.c); until version 3 the header ended before closed_at_ms, and there
 * were no places, ledger and traits; until version 2 the activity had 96 bytes (earlier_rows.c); in version 1 there was
 * one membership without a digest, of the segmentation "value".
 *
 * A row without rules and traits is as long as in version 3, and 16 bytes.
 *
 * Contract: the same table gives the same bytes, and so does one that was restored from them.
 *
 * Bounds: rows that the table does not have, and those of more than 255 memberships or places, are not encoded; room is
 * compared before each. */
#include "table.h"

enum { AHEAD = 8, SERIES_BYTES_MIN = 4 /* of a series in memory */ };

static uint8_t *put(uint8_t *at, const void *from, size_t size) {
  if (size) memcpy(at, from, size);
  return at + size;
}
static uint8_t *put16(uint8_t *at, int32_t number) {
  const uint16_t encoded = (uint16_t)number;
  return put(at, &encoded, sizeof encoded);
}
static uint8_t *put_count_and_size(uint8_t *at, int32_t count, int64_t size) {
  const uint32_t encoded = (uint32_t)count | (uint32_t)size << 8;
  return put(at, &encoded, sizeof encoded);
}
static int32_t bytes_of(const uint64_t *bits, int32_t words) { return (seg_bit_length(bits, words) + 7) / 8; }

/* --- places --- */

/* A row's place in segmentation by rules r, with when it was entered; whether it has been in one. */
static bool place_in(const seg_columns *columns, const seg_names *names, int64_t r, int64_t row,
                     seg_dated_place *out) {
  const int32_t k = names->since_of[r];
  out->name = names->ruled[r];
  out->place = columns->places[r * columns->capacity + row];
  out->since_ms = k >= 0 && k < columns->since ? columns->since_ms[k * columns->capacity + row] : SEG_NO_TIME;
  return out->place.sequence != 0;
}

typedef struct counts {
  int32_t dated, undated;
} counts;

static void count_place(counts *total, const seg_dated_place *place) {
  if (place->since_ms != SEG_NO_TIME)
    total->dated++;
  else
    total->undated++;
}

static counts count_places(const seg_columns *columns, const seg_names *names, const seg_others *others, int64_t row) {
  counts total = {0, 0};
  seg_dated_place place;
  for (int64_t r = 0; r < columns->ruled; r++)
    if (place_in(columns, names, r, row, &place)) count_place(&total, &place);
  for (int32_t i = 0; others && i < others->place_count; i++) count_place(&total, &others->places[i]);
  return total;
}

static uint8_t *put_place(uint8_t *at, const seg_dated_place *place, bool dated) {
  if ((place->since_ms != SEG_NO_TIME) != dated) return at;
  at = put(put(at, &place->name, SEG_DIGEST_BYTES), &place->place, sizeof place->place);
  return dated ? put(at, &place->since_ms, sizeof place->since_ms) : at;
}

static uint8_t *put_places(uint8_t *at, const seg_columns *columns, const seg_names *names, const seg_others *others,
                           int64_t row, bool dated) {
  seg_dated_place place;
  for (int64_t r = 0; r < columns->ruled; r++)
    if (place_in(columns, names, r, row, &place)) at = put_place(at, &place, dated);
  for (int32_t i = 0; others && i < others->place_count; i++) at = put_place(at, &others->places[i], dated);
  return at;
}

/* --- rows --- */

static bool can_be_said(const seg_columns *columns, const seg_others *others) {
  return columns->segmentations + (others ? others->entry_count : 0) <= SEG_ENTRY_LIMIT &&
         columns->ruled + (others ? others->place_count : 0) <= SEG_ENTRY_LIMIT;
}

/* How many bytes a ledger takes at most in a row. */
static int64_t ledger_room(const seg_table *table, seg_blob blob) {
  const int64_t bytes = seg_blob_room(&table->ledgers, blob), series = bytes / SERIES_BYTES_MIN;
  return bytes + SEG_DIGEST_BYTES * (series < table->series.count ? series : table->series.count);
}

/* How many bytes a row takes at most, by its slot alone: what lies in blocks is as long as a block can hold, days are
 * shorter by up to 14, places by those that the customer was never in. So making room does not wait for memory, and a
 * ledger is gone through once. */
static int64_t room_for(const seg_table *table, const seg_columns *columns, int64_t row) {
  const seg_slot *slot = &table->slots[row];
  const seg_others *others = seg_others_of(table, row);
  const int64_t entries = columns->segmentations + (others ? others->entry_count : 0);
  const int64_t places = columns->ruled + (others ? others->place_count : 0);
  return SEG_ROW_HEADER_BYTES + (int64_t)sizeof(seg_activity) + entries * (int64_t)sizeof(seg_entry) +
         places * (int64_t)sizeof(seg_dated_place) + ledger_room(table, seg_slot_ledger(slot)) +
         seg_blob_room(&table->traits, seg_slot_traits(slot)) +
         seg_blob_room(&table->ids_of_events, seg_slot_ids(slot)) + slot->orders * SEG_ORDER_BYTES +
         8 * (slot->active_words + slot->engaged_words);
}

/* Writes a row where there is as much room as `room_for` says; how many bytes it takes, or a seg_status of a series
 * without a digest. */
static int64_t encode_row(seg_table *table, const seg_columns *columns, const seg_names *names, int64_t row,
                          uint8_t *begin) {
  const seg_others *others = seg_others_of(table, row);
  const int32_t other_entries = others ? others->entry_count : 0;
  const counts places = count_places(columns, names, others, row);
  const seg_bytes traits = seg_table_traits(table, row);
  seg_history history;
  seg_load_history(table, &table->slots[row], &history, SEG_HAS_ORDERS | SEG_HAS_DAYS);
  const seg_bytes ids = seg_blob_of(&table->ids_of_events, seg_slot_ids(&table->slots[row]));
  const int32_t active = bytes_of(history.active, SEG_ACTIVE_WORDS);
  const int32_t engaged = bytes_of(history.engaged, SEG_ENGAGED_WORDS);
  uint8_t *at = begin;
  *at++ = SEG_ROW_VERSION;
  *at++ = (uint8_t)(columns->segmentations + other_entries);
  at = put16(at, (int32_t)ids.size);
  at = put16(at, history.order_count * SEG_ORDER_BYTES);
  at = put16(put16(at, active), engaged);
  at = put(at, &columns->closed_at_ms[row], sizeof(int64_t));
  uint8_t *const ledger_size_at = at;
  at = put_count_and_size(put_count_and_size(at, places.dated, 0), places.undated, traits.size);
  at = put(at, &columns->activity[row], sizeof(seg_activity));
  for (int64_t m = 0; m < columns->segmentations; m++) {
    at = put(at, &names->names[m], SEG_DIGEST_BYTES);
    at = put(at, &columns->memberships[m * columns->capacity + row], sizeof(seg_membership));
  }
  if (others) at = put(at, others->entries, (size_t)other_entries * sizeof(seg_entry));
  if (places.dated) at = put_places(at, columns, names, others, row, true);
  if (places.undated) at = put_places(at, columns, names, others, row, false);
  const seg_bytes series = seg_table_ledger(table, row);
  const int64_t ledger = seg_ledger_to_row(series, table->series.digests, table->series.count, at,
                                           ledger_room(table, seg_slot_ledger(&table->slots[row])));
  if (ledger < 0) return ledger;
  put_count_and_size(ledger_size_at, places.dated, ledger);
  at += ledger;
  at = put(at, traits.data, (size_t)traits.size);
  at = put(at, ids.data, (size_t)ids.size);
  seg_pack_orders(at, history.orders, history.order_count, false);
  at = put(at + history.order_count * SEG_ORDER_BYTES, history.active, (size_t)active);
  return put(at, history.engaged, (size_t)engaged) - begin;
}

int64_t seg_table_encode(seg_table *table, const seg_columns *columns, const seg_names *names, const int64_t *rows,
                         int64_t n, uint8_t *out, int64_t capacity, int64_t *sizes) {
  int64_t total = 0;
  for (int64_t i = 0; i < n; i++) {
    if (rows[i] < 0 || rows[i] >= table->count) return SEG_OUT_OF_RANGE;
    if (!can_be_said(columns, seg_others_of(table, rows[i]))) return SEG_OUT_OF_RANGE;
    const int64_t room = room_for(table, columns, rows[i]);
    if (!out) {
      total += room;
      continue;
    }
    if (i + AHEAD < n) seg_table_prefetch(table, columns, rows[i + AHEAD]);
    if (room > capacity - total) return SEG_NO_ROOM;
    sizes[i] = encode_row(table, columns, names, rows[i], out + total);
    if (sizes[i] < 0) return sizes[i];
    total += sizes[i];
  }
  return total;
}
