/* Ids by which a customer's events are known again: of refunds, of orders that the ledger has forgotten, of engagements.
 *
 * Theory. What is delivered twice must count once, for as long as deliveries are repeated, and what is frequent must not
 * push out what is dear. So each kind has a memory of its own:
 *
 *     orders        need no id of an event as long as the ledger holds them: saying the same again changes nothing. Of
 *                   those that it has forgotten a digest remains, of the latest 240; with the 16 of the ledger 256
 *     refunds       add up, and are told apart by their events' ids: the latest 255
 *     engagements   those of the last 7 days of the customer's own time, at most the latest 256; and the latest 24 in
 *                   any case
 *
 * An id is 6 bytes: the first 6 of its digest, or of an engagement the first 4 and 2 of a day, the customer's newest day
 * of engagement when it came. An order clashes with one of 240 once in 10^12, an engagement with one of 256 once in 10^7.
 *
 * As bytes, in memory and in rows alike: number of refunds u8, of orders u8, the ids of refunds, orders and engagements,
 * each kind by arrival; nothing at all where there are none.
 *
 * Bounds: bytes that say more than there can be, or are not as long as they say, are none. */
#include "table.h"

bool seg_unpack_ids(seg_ids *ids, const uint8_t *packed, int64_t size) {
  ids->refund_count = ids->order_count = ids->engagement_count = 0;
  if (size == 0) return true;
  if (size < 2) return false;
  const int64_t refunds = packed[0], orders = packed[1], left = size - 2 - SEG_ID_BYTES * (refunds + orders);
  if (orders > SEG_OLD_ORDERS || left < 0 || left % SEG_ID_BYTES || left > SEG_ID_BYTES * SEG_ENGAGEMENT_IDS)
    return false;
  packed += 2;
  if (refunds) memcpy(ids->refunds, packed, (size_t)refunds * SEG_ID_BYTES);
  packed += refunds * SEG_ID_BYTES;
  if (orders) memcpy(ids->orders, packed, (size_t)orders * SEG_ID_BYTES);
  packed += orders * SEG_ID_BYTES;
  if (left) memcpy(ids->engagements, packed, (size_t)left);
  ids->refund_count = (int32_t)refunds;
  ids->order_count = (int32_t)orders;
  ids->engagement_count = (int32_t)(left / SEG_ID_BYTES);
  return true;
}

static uint8_t *put(uint8_t *at, const void *from, int32_t count) {
  if (count) memcpy(at, from, (size_t)count * SEG_ID_BYTES);
  return at + count * SEG_ID_BYTES;
}

int64_t seg_pack_ids(uint8_t *out, const seg_ids *ids) {
  if (!ids->refund_count && !ids->order_count && !ids->engagement_count) return 0;
  uint8_t *at = out;
  *at++ = (uint8_t)ids->refund_count;
  *at++ = (uint8_t)ids->order_count;
  at = put(put(at, ids->refunds, ids->refund_count), ids->orders, ids->order_count);
  return put(at, ids->engagements, ids->engagement_count) - out;
}

/* --- knowing --- */

/* Whether ids that stand one after the other hold one; of its digest 4 bytes are compared, or all 6. */
static bool holds(const uint8_t *ids, int32_t count, uint64_t digest, bool whole) {
  uint32_t first;
  memcpy(&first, &digest, sizeof first);
  for (int32_t i = 0; i < count; i++, ids += SEG_ID_BYTES) {
    uint32_t each;
    memcpy(&each, ids, sizeof each);
    if (each == first && (!whole || memcmp(ids, &digest, SEG_ID_BYTES) == 0)) return true;
  }
  return false;
}

bool seg_knows_refund(const seg_ids *ids, uint64_t digest) {
  return holds(ids->refunds[0], ids->refund_count, digest, true);
}

bool seg_knows_order(const uint8_t *packed, int64_t size, uint64_t digest) {
  return size >= 2 && holds(packed + 2 + SEG_ID_BYTES * packed[0], packed[1], digest, true);
}

bool seg_has_forgotten(const seg_ids *ids, uint64_t digest) {
  return holds(ids->orders[0], ids->order_count, digest, true);
}

bool seg_knows_engagement(const seg_ids *ids, uint64_t digest) {
  return holds(ids->engagements[0], ids->engagement_count, digest, false);
}

/* --- keeping --- */

static void drop(uint8_t *ids, int32_t *count, int32_t first) {
  *count -= first;
  if (first) memmove(ids, ids + first * SEG_ID_BYTES, (size_t)*count * SEG_ID_BYTES);
}

static void keep(uint8_t *ids, int32_t *count, int32_t limit, uint64_t digest) {
  if (*count == limit) drop(ids, count, 1);
  memcpy(ids + (*count)++ * SEG_ID_BYTES, &digest, SEG_ID_BYTES);
}

void seg_keep_refund(seg_ids *ids, uint64_t digest) {
  keep(ids->refunds[0], &ids->refund_count, SEG_REFUND_IDS, digest);
}

void seg_keep_order(seg_ids *ids, uint64_t digest) {
  keep(ids->orders[0], &ids->order_count, SEG_OLD_ORDERS, digest);
}

static uint16_t day_of(const uint8_t *id) {
  uint16_t day;
  memcpy(&day, id + 4, sizeof day);
  return day;
}

void seg_keep_engagement(seg_ids *ids, uint64_t digest, int64_t newest) {
  const uint16_t day = (uint16_t)newest;
  int32_t old = 0;
  while (ids->engagement_count - old >= SEG_ENGAGEMENT_IDS_LEAST &&
         (uint16_t)(day - day_of(ids->engagements[old])) > SEG_ENGAGEMENT_ID_DAYS)
    old++;
  drop(ids->engagements[0], &ids->engagement_count, old);
  keep(ids->engagements[0], &ids->engagement_count, SEG_ENGAGEMENT_IDS, digest);
  memcpy(ids->engagements[ids->engagement_count - 1] + 4, &day, sizeof day);
}

/* --- joining --- */

static uint64_t id_at(const uint8_t *ids, int32_t index) {
  uint64_t id = 0;
  memcpy(&id, ids + index * SEG_ID_BYTES, SEG_ID_BYTES);
  return id;
}

/* Adds ids that are not there yet behind the others; how many were there. */
static int32_t add(uint8_t *ids, int32_t *count, int32_t limit, const uint8_t *others, int32_t other_count) {
  int32_t known = 0;
  for (int32_t i = 0; i < other_count; i++) {
    const uint64_t id = id_at(others, i);
    if (holds(ids, *count, id, true)) known++;
    else keep(ids, count, limit, id);
  }
  return known;
}

int32_t seg_join_refund_ids(seg_ids *ids, const seg_ids *other) {
  return add(ids->refunds[0], &ids->refund_count, SEG_REFUND_IDS, other->refunds[0], other->refund_count);
}

void seg_join_order_ids(seg_ids *ids, const seg_ids *other) {
  add(ids->orders[0], &ids->order_count, SEG_OLD_ORDERS, other->orders[0], other->order_count);
}

static int16_t days_apart(const uint8_t *later, const uint8_t *earlier) {
  return (int16_t)(uint16_t)(day_of(later) - day_of(earlier));
}

/* Adds an engagement's id, which keeps its day, as seg_keep_engagement does. */
static void append_engagement(seg_ids *ids, const uint8_t *id) {
  int32_t old = ids->engagement_count == SEG_ENGAGEMENT_IDS;
  while (ids->engagement_count - old >= SEG_ENGAGEMENT_IDS_LEAST &&
         days_apart(id, ids->engagements[old]) > SEG_ENGAGEMENT_ID_DAYS)
    old++;
  drop(ids->engagements[0], &ids->engagement_count, old);
  keep(ids->engagements[0], &ids->engagement_count, SEG_ENGAGEMENT_IDS, id_at(id, 0));
}

int32_t seg_join_engagement_ids(seg_ids *ids, const seg_ids *other) {
  const seg_ids own = *ids;
  int32_t i = 0, j = 0, known = 0;
  ids->engagement_count = 0;
  while (i < own.engagement_count || j < other->engagement_count) {
    const bool takes_own = j == other->engagement_count ||
                           (i < own.engagement_count && days_apart(other->engagements[j], own.engagements[i]) >= 0);
    if (takes_own) {
      append_engagement(ids, own.engagements[i++]);
    } else if (seg_knows_engagement(&own, id_at(other->engagements[0], j))) {
      known++;
      j++;
    } else {
      append_engagement(ids, other->engagements[j++]);
    }
  }
  return known;
}
