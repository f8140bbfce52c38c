/* Rows from bytes, of version 5 and all before it; row_encoding.c says what they look like.
 *
 * What an earlier row does not say: up to when its customer's moves have been told is the latest instant that its
 * memberships were assessed at. A membership in a segmentation that is by rules now becomes a place in it.
 *
 * Contract: a row is refused as a whole, and leaves the table as it was; those before it are in. Refused are rows that
 * are not as long as they say; that say more than a row can hold (ids, orders, days, memberships, places), as no
 * version ever wrote; segments with a negative code; places without a sequence; and ledgers and traits that are none.
 * All other numbers are taken as they are: whoever reads them expects any. Of what a row names twice the later counts.
 *
 * Bounds: lengths are compared before anything is read; sizes of keys and values must add up to no more than their
 * buffers. */
#include <stdlib.h>

#include "table.h"

#define XXH_INLINE_ALL
#include "vendor/xxhash.h"

enum {
  EARLIER_HEADER_BYTES = 10, /* of versions 1 to 3 */
  ACTIVITY_BYTES = sizeof(seg_activity),
  MEMBERSHIP_BYTES = sizeof(seg_membership),
  DATED_BYTES = sizeof(seg_dated_place),
  UNDATED_BYTES = DATED_BYTES - sizeof(int64_t),
  EARLIER_EVENTS_BYTES_MAX = SEG_EARLIER_EVENT_LIMIT * SEG_DIGEST_BYTES,
  EARLIER_ORDERS_BYTES_MAX = SEG_ORDER_LIMIT * SEG_EARLIER_ORDER_BYTES,
  ORDERS_BYTES_MAX = SEG_ORDER_LIMIT * SEG_ORDER_BYTES
};

/* A customer and its row, or -1 for the size of one that is to be removed. */
typedef struct record {
  const uint8_t *key, *value;
  int64_t key_size, size;
  uint64_t hash;
} record;

/* What an encoded row says of itself. */
typedef struct header {
  int32_t version, entries, dated, undated;
  int32_t history[4]; /* bytes of ids, orders, active and engaged days */
  int64_t closed_at_ms, ledger, traits;
} header;

/* What an encoded row consists of. */
typedef struct parts {
  seg_activity activity;
  int64_t closed_at_ms;
  seg_history history;
  seg_earlier_history earlier;
  seg_entry entries[SEG_ENTRY_LIMIT]; /* of distinct segmentations, in the row's order */
  seg_dated_place places[SEG_ENTRY_LIMIT]; /* likewise */
  int32_t entry_count, place_count;
  seg_bytes traits; /* in the row */
  seg_ledger ledger;
} parts;

static int32_t refuse(seg_refusal *refusal, int32_t why, int64_t found, int64_t expected) {
  refusal->why = why;
  refusal->found = found;
  refusal->expected = expected;
  return why == SEG_WHY_VERSION ? SEG_UNKNOWN : SEG_DAMAGED;
}

/* --- memberships and places --- */

/* Enters a membership, in place of an earlier one in the same segmentation. */
static void read_entry(parts *out, uint64_t name, const uint8_t *membership) {
  int32_t at = 0;
  while (at < out->entry_count && out->entries[at].name != name) at++;
  if (at == out->entry_count) out->entry_count++;
  out->entries[at].name = name;
  memcpy(&out->entries[at].membership, membership, MEMBERSHIP_BYTES);
}

static int32_t read_entries(parts *out, const uint8_t *at, const header *of, seg_refusal *refusal) {
  out->entry_count = 0;
  if (of->version == 1) read_entry(out, __builtin_bswap64(XXH3_64bits("value", 5)), at);
  for (int32_t i = 0; of->version > 1 && i < of->entries; i++, at += SEG_ENTRY_BYTES) {
    uint64_t name;
    memcpy(&name, at, sizeof name);
    read_entry(out, name, at + SEG_DIGEST_BYTES);
  }
  int32_t lowest = 0; /* code */
  for (int32_t i = 0; i < out->entry_count; i++) {
    const seg_membership *membership = &out->entries[i].membership;
    if (membership->segment < lowest) lowest = membership->segment;
    if (membership->previous < lowest) lowest = membership->previous;
    if (membership->kept < lowest) lowest = membership->kept;
  }
  return lowest < 0 ? refuse(refusal, SEG_WHY_SEGMENT, lowest, 0) : SEG_OK;
}

/* Reads places of one kind; as many bytes each as it has. */
static int32_t read_places(parts *out, const uint8_t *at, int32_t count, size_t bytes, seg_refusal *refusal) {
  for (int32_t i = 0; i < count; i++, at += bytes) {
    seg_dated_place place = {.since_ms = SEG_NO_TIME};
    memcpy(&place, at, bytes);
    if (place.place.segment < 0) return refuse(refusal, SEG_WHY_SEGMENT, place.place.segment, 0);
    if (place.place.sequence == 0) return refuse(refusal, SEG_WHY_SEQUENCE, 0, 1);
    int32_t to = 0;
    while (to < out->place_count && out->places[to].name != place.name) to++;
    if (to == SEG_ENTRY_LIMIT) return refuse(refusal, SEG_WHY_PLACES, to + 1, SEG_ENTRY_LIMIT);
    if (to == out->place_count) out->place_count++;
    out->places[to] = place;
  }
  return SEG_OK;
}

/* --- the history --- */

/* Reads the bits of days; zeros behind the last one are left out. Their length is returned. */
static int64_t read_days(uint64_t *bits, int32_t words, const uint8_t *at, int32_t size) {
  while (size > 0 && at[size - 1] == 0) size--;
  memset(bits, 0, (size_t)words * sizeof *bits);
  if (size > words * 8) return (int64_t)size * 8;
  if (size) memcpy(bits, at, (size_t)size);
  return seg_bit_length(bits, words);
}

/* Reads ids and orders as earlier versions kept them. */
static int32_t read_earlier(seg_earlier_history *earlier, const uint8_t *at, const int32_t sizes[4],
                            seg_refusal *refusal) {
  if (sizes[0] % SEG_DIGEST_BYTES || sizes[0] > EARLIER_EVENTS_BYTES_MAX)
    return refuse(refusal, SEG_WHY_EVENTS, sizes[0], EARLIER_EVENTS_BYTES_MAX);
  if (sizes[1] % SEG_EARLIER_ORDER_BYTES || sizes[1] > EARLIER_ORDERS_BYTES_MAX)
    return refuse(refusal, SEG_WHY_ORDERS, sizes[1], EARLIER_ORDERS_BYTES_MAX);
  earlier->event_count = sizes[0] / SEG_DIGEST_BYTES;
  earlier->order_count = sizes[1] / SEG_EARLIER_ORDER_BYTES;
  if (sizes[0]) memcpy(earlier->events, at, (size_t)sizes[0]);
  seg_unpack_earlier_orders(earlier->orders, at + sizes[0], earlier->order_count);
  return SEG_OK;
}

static int32_t read_ids_and_orders(seg_history *history, const uint8_t *at, const int32_t sizes[4],
                                   seg_refusal *refusal) {
  if (!seg_unpack_ids(&history->ids, at, sizes[0])) return refuse(refusal, SEG_WHY_EVENTS, sizes[0], SEG_IDS_MAX);
  if (sizes[1] % SEG_ORDER_BYTES || sizes[1] > ORDERS_BYTES_MAX)
    return refuse(refusal, SEG_WHY_ORDERS, sizes[1], ORDERS_BYTES_MAX);
  history->order_count = sizes[1] / SEG_ORDER_BYTES;
  seg_unpack_orders(history->orders, at + sizes[0], history->order_count, false);
  return SEG_OK;
}

static int32_t read_history(parts *out, const uint8_t *at, const header *of, seg_refusal *refusal) {
  const int32_t *sizes = of->history;
  seg_history *history = &out->history;
  const int32_t status = of->version < 5 ? read_earlier(&out->earlier, at, sizes, refusal)
                                         : read_ids_and_orders(history, at, sizes, refusal);
  if (status != SEG_OK) return status;
  at += sizes[0] + sizes[1];
  const int64_t active = read_days(history->active, SEG_ACTIVE_WORDS, at, sizes[2]);
  if (active > SEG_ACTIVITY_WINDOW_DAYS) return refuse(refusal, SEG_WHY_ACTIVE, active, SEG_ACTIVITY_WINDOW_DAYS);
  const int64_t engaged = read_days(history->engaged, SEG_ENGAGED_WORDS, at + sizes[2], sizes[3]);
  if (engaged > SEG_ENGAGED_WINDOW_DAYS) return refuse(refusal, SEG_WHY_ENGAGED, engaged, SEG_ENGAGED_WINDOW_DAYS);
  return SEG_OK;
}

/* --- a whole row --- */

static int32_t read_header(const uint8_t *row, int64_t size, header *out, seg_refusal *refusal) {
  *out = (header){.closed_at_ms = SEG_NO_TIME};
  if (size < EARLIER_HEADER_BYTES) return refuse(refusal, SEG_WHY_SHORT, size, EARLIER_HEADER_BYTES);
  out->version = row[0];
  out->entries = row[1];
  for (int32_t i = 0; i < 4; i++) out->history[i] = row[2 + 2 * i] | row[3 + 2 * i] << 8;
  if (out->version < 1 || out->version > SEG_ROW_VERSION)
    return refuse(refusal, SEG_WHY_VERSION, out->version, SEG_ROW_VERSION);
  if (out->version < 4) return SEG_OK;
  if (size < SEG_ROW_HEADER_BYTES) return refuse(refusal, SEG_WHY_SHORT, size, SEG_ROW_HEADER_BYTES);
  uint32_t dated, undated; /* and bytes of the ledger and the traits */
  memcpy(&out->closed_at_ms, row + EARLIER_HEADER_BYTES, sizeof out->closed_at_ms);
  memcpy(&dated, row + EARLIER_HEADER_BYTES + 8, sizeof dated);
  memcpy(&undated, row + EARLIER_HEADER_BYTES + 12, sizeof undated);
  out->dated = dated & 0xff;
  out->ledger = dated >> 8;
  out->undated = undated & 0xff;
  out->traits = undated >> 8;
  return SEG_OK;
}

static int32_t number_of(void *series, uint64_t digest) { return seg_number_series(series, digest); }

/* Reads a ledger, and numbers the series in it that the table does not know yet; a refused one leaves none of them. */
static int32_t read_ledger(seg_table *table, seg_bytes encoded, seg_ledger *out, seg_refusal *refusal) {
  out->size = 0;
  if (encoded.size == 0) return SEG_OK;
  const int32_t known = table->series.count;
  const int32_t status = seg_ledger_from_row(encoded, number_of, &table->series, out);
  if (status == SEG_OK) return SEG_OK;
  seg_series_cut(&table->series, known);
  if (status == SEG_NO_ROOM) return refuse(refusal, SEG_WHY_SERIES, SEG_SERIES_MAX + 1, SEG_SERIES_MAX);
  return refuse(refusal, SEG_WHY_LEDGER, encoded.size, 0);
}

static int64_t latest_assessment(const parts *row) {
  int64_t latest_ms = SEG_NO_TIME;
  for (int32_t i = 0; i < row->entry_count; i++)
    if (row->entries[i].membership.assessed_at_ms > latest_ms) latest_ms = row->entries[i].membership.assessed_at_ms;
  return latest_ms;
}

/* Reads a row, whatever its version. */
static int32_t read_row(seg_table *table, const uint8_t *row, int64_t size, parts *out, seg_refusal *refusal) {
  header of;
  int32_t status = read_header(row, size, &of, refusal);
  if (status != SEG_OK) return status;
  const int64_t start = of.version < 4 ? EARLIER_HEADER_BYTES : SEG_ROW_HEADER_BYTES;
  const int64_t activity = of.version < 3 ? SEG_EARLIER_ACTIVITY_BYTES : ACTIVITY_BYTES;
  const int64_t entries = of.version == 1 ? MEMBERSHIP_BYTES : of.entries * SEG_ENTRY_BYTES;
  const int64_t dated_at = start + activity + entries, undated_at = dated_at + of.dated * DATED_BYTES;
  const int64_t ledger_at = undated_at + of.undated * UNDATED_BYTES, traits_at = ledger_at + of.ledger;
  const int64_t history_at = traits_at + of.traits;
  const int64_t expected = history_at + of.history[0] + of.history[1] + of.history[2] + of.history[3];
  if (size != expected) return refuse(refusal, SEG_WHY_LENGTH, size, expected);
  out->place_count = 0;
  out->traits = (seg_bytes){row + traits_at, of.traits};
  status = read_entries(out, row + start + activity, &of, refusal);
  if (status == SEG_OK) status = read_places(out, row + dated_at, of.dated, DATED_BYTES, refusal);
  if (status == SEG_OK) status = read_places(out, row + undated_at, of.undated, UNDATED_BYTES, refusal);
  if (status == SEG_OK) status = read_history(out, row + history_at, &of, refusal);
  if (status != SEG_OK) return status;
  if (!seg_traits_are_whole(out->traits)) return refuse(refusal, SEG_WHY_TRAITS, of.traits, 0);
  out->closed_at_ms = of.version < 4 ? latest_assessment(out) : of.closed_at_ms;
  if (of.version >= 3)
    memcpy(&out->activity, row + start, ACTIVITY_BYTES);
  else if (!seg_carry_over(table, row + start, &out->history, &out->earlier, &out->activity))
    return refuse(refusal, SEG_WHY_NO_ORDER, 0, 1);
  if (of.version < 5) seg_carry_orders(table, &out->earlier, &out->activity, &out->history);
  return read_ledger(table, (seg_bytes){row + ledger_at, of.ledger}, &out->ledger, refusal);
}

/* --- into the table --- */

static bool is_among(uint64_t name, const uint64_t *names, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    if (names[i] == name) return true;
  return false;
}

/* Counts the memberships and places that are not of the table's segmentations. */
static void count_others(const parts *row, const seg_columns *columns, const seg_names *names, int32_t *entries,
                         int32_t *places) {
  *entries = *places = 0;
  for (int32_t i = 0; i < row->entry_count; i++) {
    const uint64_t name = row->entries[i].name;
    *entries += !is_among(name, names->names, columns->segmentations) && !is_among(name, names->ruled, columns->ruled);
  }
  for (int32_t i = 0; i < row->place_count; i++)
    *places += !is_among(row->places[i].name, names->ruled, columns->ruled);
}

/* Writes a row's numbers; what is left of its memberships and places then is of other segmentations. */
static void put_columns(const seg_columns *columns, const seg_names *names, int64_t number, parts *row) {
  columns->activity[number] = row->activity;
  columns->due_at_ms[number] = SEG_NO_TIME;
  columns->closed_at_ms[number] = row->closed_at_ms;
  for (int64_t m = 0; m < columns->segmentations; m++) {
    seg_membership *membership = &columns->memberships[m * columns->capacity + number];
    if (!seg_take_entry(row->entries, &row->entry_count, names->names[m], membership))
      *membership = (seg_membership){.since_ms = SEG_NO_TIME, .assessed_at_ms = SEG_NO_TIME};
  }
  if (columns->ruled) seg_forget_rules(columns, number);
  for (int64_t r = 0; r < columns->ruled; r++) {
    const seg_dated_place place =
        seg_take_ruled(row->entries, &row->entry_count, row->places, &row->place_count, names->ruled[r]);
    seg_write_place(columns, names, r, number, &place);
  }
}

/* What a row needs memory for, kept before anything of the table changes. */
typedef struct kept {
  seg_others *others;
  seg_blob ledger, traits;
} kept;

static void give_back(seg_table *table, const kept *of) {
  free(of->others);
  seg_blob_give(&table->ledgers, of->ledger);
  seg_blob_give(&table->traits, of->traits);
}

static int32_t keep(seg_table *table, const parts *row, int32_t entries, int32_t places, kept *out) {
  *out = (kept){NULL, {0, SEG_NO_BLOB}, {0, SEG_NO_BLOB}};
  if (seg_make_others(table, entries, places, &out->others) != SEG_OK) return SEG_NO_MEMORY;
  if (!seg_blob_keep(&table->ledgers, (seg_bytes){row->ledger.data, row->ledger.size}, &out->ledger) ||
      !seg_blob_keep(&table->traits, row->traits, &out->traits)) {
    give_back(table, out);
    return SEG_NO_MEMORY;
  }
  return SEG_OK;
}

static int32_t put_row(seg_table *table, const seg_columns *columns, const seg_names *names, const record *from,
                       int32_t entries, int32_t places, parts *row) {
  const int64_t count = table->count;
  const int64_t number = seg_table_insert(table, columns, from->key, (size_t)from->key_size, from->hash);
  if (number < 0) return (int32_t)number;
  seg_slot *slot = &table->slots[number];
  kept made;
  int32_t status = keep(table, row, entries, places, &made);
  if (status == SEG_OK) {
    status = seg_store_history(table, slot, &row->history, SEG_HAS_ALL);
    if (status != SEG_OK) give_back(table, &made);
  }
  if (status != SEG_OK) {
    if (number == count) seg_table_drop_last(table, from->hash);
    return status;
  }
  seg_blob_give(&table->ledgers, seg_slot_ledger(slot));
  seg_blob_give(&table->traits, seg_slot_traits(slot));
  seg_set_ledger(slot, made.ledger);
  seg_set_traits(slot, made.traits);
  if (!table->has_statements) table->has_statements = seg_traits_have_statements(row->traits);
  put_columns(columns, names, number, row);
  if (made.others) {
    memcpy(made.others->entries, row->entries, (size_t)entries * sizeof *row->entries);
    memcpy(made.others->places, row->places, (size_t)places * sizeof *row->places);
  }
  seg_put_others(table, number, made.others);
  return SEG_OK;
}

static int32_t restore_one(seg_table *table, const seg_columns *columns, const seg_names *names, const record *from,
                           parts *row, seg_refusal *refusal) {
  if (from->size < 0) {
    seg_table_remove(table, columns, from->key, (size_t)from->key_size, from->hash);
    return SEG_OK;
  }
  int32_t other_entries, other_places;
  const int32_t known = table->series.count;
  int32_t status = read_row(table, from->value, from->size, row, refusal);
  if (status != SEG_OK) return status;
  count_others(row, columns, names, &other_entries, &other_places);
  const int64_t entries = columns->segmentations + other_entries, places = columns->ruled + other_places;
  if (entries > SEG_ENTRY_LIMIT) status = refuse(refusal, SEG_WHY_MEMBERSHIPS, entries, SEG_ENTRY_LIMIT);
  else if (places > SEG_ENTRY_LIMIT) status = refuse(refusal, SEG_WHY_PLACES, places, SEG_ENTRY_LIMIT);
  else status = put_row(table, columns, names, from, other_entries, other_places, row);
  if (status != SEG_OK) seg_series_cut(&table->series, known);
  return status;
}

/* Whether each part lies within the buffer; a size below 0 is that of none. */
static bool fits(const seg_parts *parts, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    if (parts->sizes[i] <= 0) continue;
    if (parts->at[i] < 0 || parts->at[i] > parts->size || parts->sizes[i] > parts->size - parts->at[i]) return false;
  }
  return true;
}

/* Whether bytes are UTF-8, as ids are. */
static bool is_utf8(const uint8_t *text, int64_t size) {
  int64_t at = 0;
  while (at < size) {
    const uint8_t first = text[at++];
    if (first < 0x80) continue;
    const int more = first >= 0xc2 && first < 0xe0 ? 1 : (first & 0xf0) == 0xe0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : 0;
    if (more == 0 || more > size - at) return false;
    /* The second byte leaves out what is too long, surrogates, and what lies beyond the last code point. */
    const uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (text[at] < low || text[at] > high) return false;
    for (int i = 1; i < more; i++) {
      if ((text[at + i] & 0xc0) != 0x80) return false;
    }
    at += more;
  }
  return true;
}

int32_t seg_table_restore(seg_table *table, const seg_columns *columns, const seg_names *names, int64_t n,
                          const seg_parts *keys, const seg_parts *values, seg_refusal *refusal) {
  refusal->index = 0;
  if (!fits(keys, n) || !fits(values, n)) return SEG_OUT_OF_RANGE;
  for (int64_t i = 0; i < n; i++)
    if (keys->sizes[i] < 0) return SEG_OUT_OF_RANGE;
  parts *row = malloc(sizeof *row);
  if (!row) return SEG_NO_MEMORY;
  int32_t status = SEG_OK;
  for (int64_t i = 0; i < n && status == SEG_OK; i++) {
    const uint8_t *key = keys->data + (keys->sizes[i] ? keys->at[i] : 0);
    const uint8_t *value = values->data + (values->sizes[i] > 0 ? values->at[i] : 0);
    const record from = {key, value, keys->sizes[i], values->sizes[i], XXH3_64bits(key, (size_t)keys->sizes[i])};
    refusal->index = i;
    status = is_utf8(key, from.key_size) ? restore_one(table, columns, names, &from, row, refusal)
                                         : refuse(refusal, SEG_WHY_ID, 0, 0);
  }
  free(row);
  return status;
}
