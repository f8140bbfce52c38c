/* What lies beside a row's numbers: ids of events, orders and days in blocks.
 *
 * A part has a block of the pool for its size, and changes it as it grows or shrinks; an empty part has none. The days
 * of both kinds share a block, the active ones first; ids are a blob (blobs.c), as they stand in a row.
 *
 * Contract: memory is taken before anything is changed, so SEG_NO_MEMORY leaves a row as it was.
 *
 * Bounds: histories hold no more than their arrays; slots are written here and where rows are added alone, so what they
 * say of blocks is true. */
#include "table.h"

enum { PARTS = 2 }; /* that have blocks: orders, days */

void seg_load_history(seg_table *table, const seg_slot *slot, seg_history *history, int32_t parts) {
  if (parts & SEG_HAS_IDS) {
    const seg_bytes ids = seg_blob_of(&table->ids_of_events, seg_slot_ids(slot));
    seg_unpack_ids(&history->ids, ids.data, ids.size); /* what was stored is whole */
  }
  if (parts & SEG_HAS_ORDERS) {
    history->order_count = slot->orders;
    if (slot->orders)
      seg_unpack_orders(history->orders, seg_pool_at(seg_order_pool(table, slot), slot->orders_at), slot->orders,
                        slot->orders_are_narrow);
  }
  if (parts & SEG_HAS_DAYS) {
    memset(history->active, 0, sizeof history->active);
    memset(history->engaged, 0, sizeof history->engaged);
    if (slot->active_words + slot->engaged_words) {
      const uint8_t *days = seg_pool_at(seg_day_pool(table, slot), slot->days_at);
      memcpy(history->active, days, 8u * slot->active_words);
      memcpy(history->engaged, days + 8u * slot->active_words, 8u * slot->engaged_words);
    }
  }
}

/* The pools of a slot's parts, NULL of a part that it does not have. */
typedef struct owned {
  seg_pool *pools[PARTS];
  uint32_t blocks[PARTS];
} owned;

static owned owned_by(seg_table *table, const seg_slot *slot) {
  return (owned){
      .pools = {slot->orders ? seg_order_pool(table, slot) : NULL,
                slot->active_words + slot->engaged_words ? seg_day_pool(table, slot) : NULL},
      .blocks = {slot->orders_at, slot->days_at},
  };
}

void seg_free_history(seg_table *table, const seg_slot *slot) {
  const owned own = owned_by(table, slot);
  for (int32_t part = 0; part < PARTS; part++)
    if (own.pools[part]) seg_pool_give(own.pools[part], own.blocks[part]);
  seg_blob_give(&table->ids_of_events, seg_slot_ids(slot));
}

/* Has each part have a block of the pool that it needs now, the one that it had where that is of this pool. */
static bool change_blocks(const owned *before, owned *after) {
  int32_t part = 0;
  for (; part < PARTS; part++) {
    after->blocks[part] = before->blocks[part];
    if (!after->pools[part] || after->pools[part] == before->pools[part]) continue;
    after->blocks[part] = seg_pool_take(after->pools[part]);
    if (after->blocks[part] == SEG_NO_BLOCK) break;
  }
  if (part < PARTS) {
    while (part-- > 0)
      if (after->pools[part] && after->pools[part] != before->pools[part])
        seg_pool_give(after->pools[part], after->blocks[part]);
    return false;
  }
  for (part = 0; part < PARTS; part++)
    if (before->pools[part] && after->pools[part] != before->pools[part])
      seg_pool_give(before->pools[part], before->blocks[part]);
  return true;
}

/* Takes a blob for ids where they do not fit into the one that there is. */
static bool take_ids(seg_table *table, const seg_slot *slot, seg_bytes ids, seg_blob *out) {
  *out = seg_slot_ids(slot);
  return seg_blob_has_room(*out, ids.size) || seg_blob_keep(&table->ids_of_events, ids, out);
}

static void put_ids(seg_table *table, seg_slot *slot, seg_bytes ids, seg_blob taken) {
  seg_blob had = seg_slot_ids(slot);
  if (seg_blob_has_room(had, ids.size)) {
    seg_blob_replace(&table->ids_of_events, &had, ids); /* takes no memory then */
    return;
  }
  seg_blob_give(&table->ids_of_events, had);
  seg_set_ids(slot, taken);
}

static void put_days(uint8_t *days, const seg_history *history, const seg_slot *slot) {
  memcpy(days, history->active, 8u * slot->active_words);
  memcpy(days + 8u * slot->active_words, history->engaged, 8u * slot->engaged_words);
}

int32_t seg_store_history(seg_table *table, seg_slot *slot, const seg_history *history, int32_t parts) {
  seg_slot next = *slot;
  uint8_t packed[SEG_IDS_MAX];
  seg_bytes ids = {packed, 0};
  seg_blob taken = seg_slot_ids(slot);
  if (parts & SEG_HAS_IDS) {
    ids.size = seg_pack_ids(packed, &history->ids);
    if (!take_ids(table, slot, ids, &taken)) return SEG_NO_MEMORY;
  }
  if (parts & SEG_HAS_ORDERS) {
    next.orders = (uint32_t)history->order_count & 31;
    next.orders_are_narrow = seg_orders_are_narrow(history->orders, history->order_count);
  }
  if (parts & SEG_HAS_DAYS) {
    next.active_words = (uint32_t)seg_words(history->active, SEG_ACTIVE_WORDS) & 7;
    next.engaged_words = (uint32_t)seg_words(history->engaged, SEG_ENGAGED_WORDS) & 3;
  }
  const owned before = owned_by(table, slot);
  owned after = owned_by(table, &next);
  if (!change_blocks(&before, &after)) {
    if (parts & SEG_HAS_IDS && !seg_blob_has_room(seg_slot_ids(slot), ids.size))
      seg_blob_give(&table->ids_of_events, taken);
    return SEG_NO_MEMORY;
  }
  if (parts & SEG_HAS_IDS) put_ids(table, &next, ids, taken);
  next.orders_at = after.blocks[0];
  next.days_at = after.blocks[1];
  *slot = next;
  if (parts & SEG_HAS_ORDERS && next.orders)
    seg_pack_orders(seg_pool_at(after.pools[0], next.orders_at), history->orders, next.orders,
                    next.orders_are_narrow);
  if (parts & SEG_HAS_DAYS && next.active_words + next.engaged_words)
    put_days(seg_pool_at(after.pools[1], next.days_at), history, &next);
  return SEG_OK;
}
