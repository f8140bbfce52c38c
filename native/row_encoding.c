/* Rows as bytes, as the changelog keeps them: version 3, little-endian. What the numbers mean, stream_app/core/row.py
 * says.
 *
 *     header    version u8, number of memberships u8; bytes of event ids, orders, active and engaged days, u16 each
 *     activity  seg_activity (112 bytes)
 *     members   digest of the segmentation's name and seg_membership (40 bytes), for each
 *     event ids, orders (34 bytes each), active days, engaged days (as few bytes as hold the bits)
 *
 * Rows of versions 1 and 2 are read, too: their activity has 96 bytes (earlier_rows.c), and in version 1 there is one
 * membership without a digest, of the segmentation "value".
 *
 * Contract: a row is refused as a whole, and leaves the table as it was; those before it are in. Refused are rows that
 * are not as long as they say; that say more than a row can hold (ids, orders, days, memberships), as no version ever
 * wrote; and segments with a negative code. All other numbers are taken as they are: whoever reads them expects any.
 *
 * Bounds: lengths are compared before anything is read; sizes of keys and values must add up to no more than their
 * buffers. */
#include <stdlib.h>

#include "table.h"

#define XXH_INLINE_ALL
#include "vendor/xxhash.h"

enum {
  ROW_VERSION = 3,
  HEADER_BYTES = 10,
  ACTIVITY_BYTES = sizeof(seg_activity),
  MEMBERSHIP_BYTES = sizeof(seg_membership),
  EVENTS_BYTES_MAX = SEG_EVENT_LIMIT * SEG_DIGEST_BYTES,
  ORDERS_BYTES_MAX = SEG_ORDER_LIMIT * SEG_ORDER_BYTES,
  DAYS_BYTES_MAX = 8 * (SEG_ACTIVE_WORDS + SEG_ENGAGED_WORDS),
  AHEAD = 8
};

/* --- writing --- */

static uint8_t *put(uint8_t *at, const void *from, size_t size) {
  if (size) memcpy(at, from, size);
  return at + size;
}
static uint8_t *put16(uint8_t *at, int32_t number) {
  const uint16_t encoded = (uint16_t)number;
  return put(at, &encoded, sizeof encoded);
}
static int32_t bytes_of(const uint64_t *bits, int32_t words) { return (seg_bit_length(bits, words) + 7) / 8; }

static const seg_others *others_of(const seg_table *table, int64_t row) {
  return table->others ? table->others[row] : NULL;
}

/* How many bytes a row takes at most: days are shorter by up to 14. */
static int64_t room_for(const seg_table *table, const seg_columns *columns, int64_t row) {
  const seg_slot *slot = &table->slots[row];
  const seg_others *others = others_of(table, row);
  return HEADER_BYTES + ACTIVITY_BYTES + (columns->segmentations + (others ? others->count : 0)) * SEG_ENTRY_BYTES +
         slot->events * SEG_DIGEST_BYTES + slot->orders * SEG_ORDER_BYTES +
         8 * (slot->active_words + slot->engaged_words);
}

static uint8_t *encode_row(seg_table *table, const seg_columns *columns, const uint64_t *names, int64_t row,
                           uint8_t *at) {
  const seg_slot *slot = &table->slots[row];
  const seg_others *others = others_of(table, row);
  const int32_t other_count = others ? others->count : 0;
  seg_history history;
  seg_load_history(table, slot, &history, SEG_HAS_ALL);
  const int32_t active = bytes_of(history.active, SEG_ACTIVE_WORDS);
  const int32_t engaged = bytes_of(history.engaged, SEG_ENGAGED_WORDS);
  *at++ = ROW_VERSION;
  *at++ = (uint8_t)(columns->segmentations + other_count);
  at = put16(at, history.event_count * SEG_DIGEST_BYTES);
  at = put16(at, history.order_count * SEG_ORDER_BYTES);
  at = put16(put16(at, active), engaged);
  at = put(at, &columns->activity[row], ACTIVITY_BYTES);
  for (int64_t m = 0; m < columns->segmentations; m++) {
    at = put(at, &names[m], SEG_DIGEST_BYTES);
    at = put(at, &columns->memberships[m * columns->capacity + row], MEMBERSHIP_BYTES);
  }
  if (others) at = put(at, others->entries, (size_t)other_count * SEG_ENTRY_BYTES);
  at = put(at, history.events, (size_t)history.event_count * SEG_DIGEST_BYTES);
  seg_pack_orders(at, history.orders, history.order_count, false);
  at = put(at + history.order_count * SEG_ORDER_BYTES, history.active, (size_t)active);
  return put(at, history.engaged, (size_t)engaged);
}

int64_t seg_table_encode(seg_table *table, const seg_columns *columns, const uint64_t *names, const int64_t *rows,
                         int64_t n, uint8_t *out, int64_t capacity, int64_t *sizes) {
  int64_t total = 0;
  for (int64_t i = 0; i < n; i++) {
    if (rows[i] < 0 || rows[i] >= table->count) return SEG_OUT_OF_RANGE;
    const seg_others *others = others_of(table, rows[i]);
    if (columns->segmentations + (others ? others->count : 0) > SEG_ENTRY_LIMIT) return SEG_OUT_OF_RANGE;
    if (!out) {
      total += room_for(table, columns, rows[i]);
      continue;
    }
    if (i + AHEAD < n) seg_table_prefetch(table, columns, rows[i + AHEAD]);
    if (room_for(table, columns, rows[i]) > capacity - total) return SEG_NO_ROOM;
    sizes[i] = encode_row(table, columns, names, rows[i], out + total) - (out + total);
    total += sizes[i];
  }
  return total;
}

/* --- reading --- */

/* A customer and its row, or -1 for the size of one that is to be removed. */
typedef struct record {
  const uint8_t *key, *value;
  int64_t key_size, size;
  uint64_t hash;
} record;

/* What an encoded row consists of. */
typedef struct parts {
  seg_activity activity;
  seg_history history;
  uint8_t entries[SEG_ENTRY_LIMIT * SEG_ENTRY_BYTES]; /* of distinct segmentations, in the row's order */
  int32_t entry_count;
} parts;

static int32_t refuse(seg_refusal *refusal, int32_t why, int64_t found, int64_t expected) {
  refusal->why = why;
  refusal->found = found;
  refusal->expected = expected;
  return why == SEG_WHY_VERSION ? SEG_UNKNOWN : SEG_DAMAGED;
}

/* Enters a membership, in place of an earlier one in the same segmentation. */
static void read_entry(parts *out, const uint8_t *digest, const uint8_t *membership) {
  int32_t place = 0;
  while (place < out->entry_count && memcmp(out->entries + place * SEG_ENTRY_BYTES, digest, SEG_DIGEST_BYTES) != 0)
    place++;
  uint8_t *entry = out->entries + place * SEG_ENTRY_BYTES;
  if (place == out->entry_count) out->entry_count++;
  memcpy(entry, digest, SEG_DIGEST_BYTES);
  memcpy(entry + SEG_DIGEST_BYTES, membership, MEMBERSHIP_BYTES);
}

/* The lowest code that any entry says. */
static int32_t lowest_code(const parts *row) {
  int32_t lowest = 0;
  for (int32_t i = 0; i < row->entry_count; i++) {
    seg_membership membership;
    memcpy(&membership, row->entries + i * SEG_ENTRY_BYTES + SEG_DIGEST_BYTES, sizeof membership);
    if (membership.segment < lowest) lowest = membership.segment;
    if (membership.previous < lowest) lowest = membership.previous;
    if (membership.kept < lowest) lowest = membership.kept;
  }
  return lowest;
}

static int32_t read_entries(parts *out, const uint8_t *at, int32_t version, int32_t count, seg_refusal *refusal) {
  out->entry_count = 0;
  if (version == 1) {
    const uint64_t first = __builtin_bswap64(XXH3_64bits("value", 5));
    uint8_t digest[SEG_DIGEST_BYTES];
    memcpy(digest, &first, sizeof digest);
    read_entry(out, digest, at);
  } else {
    for (; count > 0; count--, at += SEG_ENTRY_BYTES) read_entry(out, at, at + SEG_DIGEST_BYTES);
  }
  const int32_t lowest = lowest_code(out);
  return lowest < 0 ? refuse(refusal, SEG_WHY_SEGMENT, lowest, 0) : SEG_OK;
}

/* Reads the bits of days; zeros behind the last one are left out. Their length is returned. */
static int64_t read_days(uint64_t *bits, int32_t words, const uint8_t *at, int32_t size) {
  while (size > 0 && at[size - 1] == 0) size--;
  memset(bits, 0, (size_t)words * sizeof *bits);
  if (size > words * 8) return (int64_t)size * 8;
  if (size) memcpy(bits, at, (size_t)size);
  return seg_bit_length(bits, words);
}

static int32_t read_history(seg_history *history, const uint8_t *at, const int32_t sizes[4], seg_refusal *refusal) {
  if (sizes[0] % SEG_DIGEST_BYTES || sizes[0] > EVENTS_BYTES_MAX)
    return refuse(refusal, SEG_WHY_EVENTS, sizes[0], EVENTS_BYTES_MAX);
  if (sizes[1] % SEG_ORDER_BYTES || sizes[1] > ORDERS_BYTES_MAX)
    return refuse(refusal, SEG_WHY_ORDERS, sizes[1], ORDERS_BYTES_MAX);
  history->event_count = sizes[0] / SEG_DIGEST_BYTES;
  history->order_count = sizes[1] / SEG_ORDER_BYTES;
  if (sizes[0]) memcpy(history->events, at, (size_t)sizes[0]);
  at += sizes[0];
  seg_unpack_orders(history->orders, at, history->order_count, false);
  at += sizes[1];
  const int64_t active = read_days(history->active, SEG_ACTIVE_WORDS, at, sizes[2]);
  if (active > SEG_ACTIVITY_WINDOW_DAYS) return refuse(refusal, SEG_WHY_ACTIVE, active, SEG_ACTIVITY_WINDOW_DAYS);
  const int64_t engaged = read_days(history->engaged, SEG_ENGAGED_WORDS, at + sizes[2], sizes[3]);
  if (engaged > SEG_ENGAGED_WINDOW_DAYS) return refuse(refusal, SEG_WHY_ENGAGED, engaged, SEG_ENGAGED_WINDOW_DAYS);
  return SEG_OK;
}

/* Reads a row, whatever its version. */
static int32_t read_row(const seg_table *table, const uint8_t *row, int64_t size, parts *out, seg_refusal *refusal) {
  if (size < HEADER_BYTES) return refuse(refusal, SEG_WHY_SHORT, size, HEADER_BYTES);
  const int32_t version = row[0], count = row[1];
  int32_t sizes[4];
  for (int32_t i = 0; i < 4; i++) sizes[i] = row[2 + 2 * i] | row[3 + 2 * i] << 8;
  if (version < 1 || version > ROW_VERSION) return refuse(refusal, SEG_WHY_VERSION, version, ROW_VERSION);
  const int32_t activity = version == ROW_VERSION ? ACTIVITY_BYTES : SEG_EARLIER_ACTIVITY_BYTES;
  const int32_t entries = version == 1 ? MEMBERSHIP_BYTES : count * SEG_ENTRY_BYTES;
  const int64_t expected = (int64_t)HEADER_BYTES + activity + entries + sizes[0] + sizes[1] + sizes[2] + sizes[3];
  if (size != expected) return refuse(refusal, SEG_WHY_LENGTH, size, expected);
  const uint8_t *at = row + HEADER_BYTES + activity;
  int32_t status = read_entries(out, at, version, count, refusal);
  if (status == SEG_OK) status = read_history(&out->history, at + entries, sizes, refusal);
  if (status != SEG_OK) return status;
  if (version == ROW_VERSION)
    memcpy(&out->activity, row + HEADER_BYTES, ACTIVITY_BYTES);
  else if (!seg_carry_over(table, row + HEADER_BYTES, &out->history, &out->activity))
    return refuse(refusal, SEG_WHY_NO_ORDER, 0, 1);
  return SEG_OK;
}

/* Takes the entry of a segmentation out; whether there was one. */
static bool take_entry(parts *row, uint64_t name, seg_membership *out) {
  for (int32_t i = 0; i < row->entry_count; i++) {
    uint8_t *entry = row->entries + i * SEG_ENTRY_BYTES;
    if (memcmp(entry, &name, SEG_DIGEST_BYTES) != 0) continue;
    memcpy(out, entry + SEG_DIGEST_BYTES, sizeof *out);
    memmove(entry, entry + SEG_ENTRY_BYTES, (size_t)(--row->entry_count - i) * SEG_ENTRY_BYTES);
    return true;
  }
  return false;
}

/* Counts the entries that are not of the table's segmentations. */
static int32_t count_others(const parts *row, const uint64_t *names, int64_t segmentations) {
  int32_t others = row->entry_count;
  for (int32_t i = 0; i < row->entry_count; i++)
    for (int64_t m = 0; m < segmentations; m++)
      if (memcmp(row->entries + i * SEG_ENTRY_BYTES, &names[m], SEG_DIGEST_BYTES) == 0) {
        others--;
        break;
      }
  return others;
}

/* Writes a row's numbers and memberships; what is left of these then is of other segmentations. */
static void put_columns(const seg_columns *columns, const uint64_t *names, int64_t number, parts *row) {
  columns->activity[number] = row->activity;
  columns->due_at_ms[number] = SEG_NO_TIME;
  for (int64_t m = 0; m < columns->segmentations; m++) {
    seg_membership *membership = &columns->memberships[m * columns->capacity + number];
    if (!take_entry(row, names[m], membership))
      *membership = (seg_membership){.since_ms = SEG_NO_TIME, .assessed_at_ms = SEG_NO_TIME};
  }
}

static int32_t put_row(seg_table *table, const seg_columns *columns, const uint64_t *names, const record *from,
                       int32_t other_count, parts *row) {
  const int64_t count = table->count;
  const int64_t number = seg_table_insert(table, columns, from->key, (size_t)from->key_size, from->hash);
  if (number < 0) return (int32_t)number;
  seg_others *others;
  int32_t status = seg_make_others(table, other_count, &others);
  if (status == SEG_OK) status = seg_store_history(table, &table->slots[number], &row->history, SEG_HAS_ALL);
  if (status != SEG_OK) {
    free(others);
    if (number == count) seg_table_drop_last(table, from->hash);
    return status;
  }
  put_columns(columns, names, number, row);
  if (others) {
    others->count = other_count;
    memcpy(others->entries, row->entries, (size_t)other_count * SEG_ENTRY_BYTES);
  }
  seg_put_others(table, number, others);
  return SEG_OK;
}

static int32_t restore_one(seg_table *table, const seg_columns *columns, const uint64_t *names, const record *from,
                           parts *row, seg_refusal *refusal) {
  if (from->size < 0) {
    seg_table_remove(table, columns, from->key, (size_t)from->key_size, from->hash);
    return SEG_OK;
  }
  const int32_t status = read_row(table, from->value, from->size, row, refusal);
  if (status != SEG_OK) return status;
  const int32_t others = count_others(row, names, columns->segmentations);
  const int64_t entries = columns->segmentations + others;
  if (entries > SEG_ENTRY_LIMIT) return refuse(refusal, SEG_WHY_MEMBERSHIPS, entries, SEG_ENTRY_LIMIT);
  return put_row(table, columns, names, from, others, row);
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

int32_t seg_table_restore(seg_table *table, const seg_columns *columns, const uint64_t *names, int64_t n,
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
