/* Whose an order is: for records that say what was returned or cancelled, but not by whom.
 *
 * Theory. Such a record is that of the one customer who *holds* its order at that moment: whose ledger has it, or the ids
 * of orders that the ledger has forgotten (ids.c). An order comes to be held by being folded, and in no other way; so
 * whoever holds one of the orders that a step asks for either did so before the step, or folds an event of that order
 * in it. The first ones are found by one pass over all rows, before the first event; the others are noted as they come.
 * What is asked is then asked of these alone, at the record's own place. So the answer depends on the log, and not on how
 * it was cut into steps. Where nobody holds an order, or more than one customer does, there is no answer.
 *
 * The pass looks at the digests of orders alone. Of 2^16 bits, one for each value of 16 bits of a digest, those are set
 * that are asked for; what meets one is looked up among the orders, in their order. A step without such records costs
 * one look at the size of each event's customer.
 *
 * Bounds. An order that is asked for takes 16 bytes, and 16 for each holder that was found. Two that hold it now end a
 * look-up, so that an id which everybody has (`1`) costs no more than another one. */
#include <stdlib.h>
#include <string.h>

#include "step.h"
#include "table.h"

enum { FILTER_BITS = 1 << 16, SHORT_SHIFT = 64 - 8 * SEG_ID_BYTES };

static int by_digest(const void *one, const void *other) {
  const uint64_t a = ((const seg_wanted *)one)->digest, b = ((const seg_wanted *)other)->digest;
  return (a > b) - (a < b);
}

/* The first order that is asked for and whose digest is not less. */
static int64_t place_of(const seg_workspace *work, uint64_t digest) {
  int64_t low = 0, high = work->wanted_count;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (work->wanted[middle].digest < digest) low = middle + 1;
    else high = middle;
  }
  return low;
}

static bool is_wanted(const seg_workspace *work, int64_t place, uint64_t digest) {
  return place < work->wanted_count && work->wanted[place].digest == digest;
}

/* Notes that a row may hold an order; whether there was memory. */
static bool note(seg_workspace *work, int64_t place, int64_t row) {
  seg_wanted *wanted = &work->wanted[place];
  if (wanted->first >= 0 && work->holders[wanted->first].row == row) return true;
  if (!seg_reserve(&work->holders, &work->holders_room, work->holder_count + 1, sizeof(seg_holder))) return false;
  work->holders[work->holder_count] = (seg_holder){.row = row, .next = wanted->first};
  wanted->first = work->holder_count++;
  return true;
}

/* --- before the step --- */

/* The orders that are asked for, each once, in their order; whether there was memory. */
static bool list_wanted(seg_workspace *work, const seg_step *step) {
  int64_t count = 0;
  for (int64_t i = 0; i < step->event_count; i++) {
    if (!seg_is_unnamed(&step->events[i])) continue;
    if (!seg_reserve(&work->wanted, &work->wanted_room, count + 1, sizeof(seg_wanted))) return false;
    work->wanted[count++] = (seg_wanted){.digest = step->events[i].order_digest, .first = -1};
  }
  if (count) qsort(work->wanted, (size_t)count, sizeof(seg_wanted), by_digest);
  for (int64_t i = 0; i < count; i++) {
    if (!work->wanted_count || work->wanted[work->wanted_count - 1].digest != work->wanted[i].digest)
      work->wanted[work->wanted_count++] = work->wanted[i];
  }
  return true;
}

static uint64_t bit_of(uint64_t digest) { return (digest >> SHORT_SHIFT) & (FILTER_BITS - 1); }

static bool passes(const uint64_t *filter, uint64_t digest) {
  const uint64_t bit = bit_of(digest);
  return filter[bit / 64] >> (bit % 64) & 1;
}

static bool note_ledger(seg_table *table, seg_workspace *work, const uint64_t *filter, int64_t row) {
  const seg_slot *slot = &table->slots[row];
  if (!slot->orders) return true;
  const uint8_t *at = seg_pool_at(seg_order_pool(table, slot), slot->orders_at);
  const size_t size = slot->orders_are_narrow ? SEG_NARROW_ORDER_BYTES : SEG_ORDER_BYTES;
  for (uint32_t i = 0; i < slot->orders; i++, at += size) {
    uint64_t digest;
    memcpy(&digest, at, sizeof digest);
    digest = __builtin_bswap64(digest);
    if (!passes(filter, digest)) continue;
    const int64_t place = place_of(work, digest);
    if (is_wanted(work, place, digest) && !note(work, place, row)) return false;
  }
  return true;
}

static bool note_forgotten(seg_table *table, seg_workspace *work, const uint64_t *filter, int64_t row) {
  const seg_bytes ids = seg_blob_of(&table->ids_of_events, seg_slot_ids(&table->slots[row]));
  if (ids.size < 2) return true;
  const uint8_t *at = ids.data + 2 + SEG_ID_BYTES * ids.data[0];
  for (int32_t i = 0; i < ids.data[1]; i++, at += SEG_ID_BYTES) {
    uint64_t least = 0; /* of the digests that begin like this one */
    memcpy(&least, at, SEG_ID_BYTES);
    least = __builtin_bswap64(least);
    if (!passes(filter, least)) continue;
    for (int64_t place = place_of(work, least);
         place < work->wanted_count && work->wanted[place].digest >> SHORT_SHIFT == least >> SHORT_SHIFT; place++)
      if (!note(work, place, row)) return false;
  }
  return true;
}

int32_t seg_gather_holders(seg_run *run) {
  seg_workspace *work = run->work;
  work->wanted_count = work->holder_count = work->owner_count = 0;
  if (!list_wanted(work, run->step)) return SEG_NO_MEMORY;
  if (!work->wanted_count) return SEG_OK;
  uint64_t filter[FILTER_BITS / 64] = {0};
  for (int64_t i = 0; i < work->wanted_count; i++) {
    const uint64_t bit = bit_of(work->wanted[i].digest);
    filter[bit / 64] |= UINT64_C(1) << (bit % 64);
  }
  for (int64_t row = 0; row < run->table->count; row++) {
    if (!note_ledger(run->table, work, filter, row) || !note_forgotten(run->table, work, filter, row))
      return SEG_NO_MEMORY;
  }
  return SEG_OK;
}

/* --- in the step --- */

int32_t seg_note_holder(seg_run *run, const seg_event *event, int64_t row) {
  seg_workspace *work = run->work;
  if (!work->wanted_count || !event->order_digest) return SEG_OK;
  const int64_t place = place_of(work, event->order_digest);
  return !is_wanted(work, place, event->order_digest) || note(work, place, row) ? SEG_OK : SEG_NO_MEMORY;
}

int32_t seg_hand_over_orders(seg_run *run, int64_t from, int64_t into) {
  seg_workspace *work = run->work;
  for (int64_t place = 0; place < work->wanted_count; place++) {
    for (int64_t at = work->wanted[place].first; at >= 0; at = work->holders[at].next) {
      if (work->holders[at].row != from) continue;
      if (!note(work, place, into)) return SEG_NO_MEMORY;
      break;
    }
  }
  return SEG_OK;
}

static bool holds(seg_table *table, int64_t row, uint64_t digest) {
  const seg_slot *slot = &table->slots[row];
  const uint64_t canonical = __builtin_bswap64(digest);
  seg_history history;
  seg_load_history(table, slot, &history, SEG_HAS_ORDERS);
  if (seg_find_order(history.orders, history.order_count, canonical) >= 0) return true;
  const seg_bytes ids = seg_blob_of(&table->ids_of_events, seg_slot_ids(slot));
  return seg_knows_order(ids.data, ids.size, canonical);
}

int64_t seg_row_of_order(const seg_run *run, uint64_t digest) {
  const seg_workspace *work = run->work;
  const int64_t place = place_of(work, digest);
  if (!is_wanted(work, place, digest)) return -1;
  int64_t found = -1;
  for (int64_t at = work->wanted[place].first; at >= 0; at = work->holders[at].next) {
    const int64_t row = work->holders[at].row;
    if (row == found || !holds(run->table, row, digest)) continue;
    if (found >= 0) return -1;
    found = row;
  }
  return found;
}
