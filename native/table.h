/* What the parts that own rows know of each other: rows.c (who is in the table), histories.c, others.c, blobs.c and
 * pools.c (what lies beside a row's numbers), ids.c (what events are known again by), series.c (what events are counted
 * by), row_encoding.c, row_reading.c and earlier_rows.c (rows as bytes), days.c, local_days.c, orders.c and fold.c (an event into a
 * row). Nobody else looks in here.
 *
 * The numbers of a row lie in columns that Python allocates. What has no fixed size lies here: a slot of 32 bytes a
 * row says where, in pools of blocks by size class, its events' ids, orders, days, ledger and traits are. Blocks
 * are named by their number, so slots and pools grow without anything having to be corrected.
 *
 * A digest is kept as its 8 bytes stand in a row: XXH3's canonical form, the most significant byte first. */
#ifndef SEGMENTER_TABLE_H
#define SEGMENTER_TABLE_H

#include <string.h>

#include "segmenter.h"

#define SEG_DIGEST_BYTES 8
#define SEG_ORDER_LIMIT 16  /* orders a customer remembers, latest last */
#define SEG_ORDER_BYTES 42  /* of an order in a row: digest, instant, instant and amount stated, refunded, counts */
#define SEG_NARROW_ORDER_BYTES 28 /* of one in memory, where that is enough; the digest stands first in both */
#define SEG_ACTIVE_WORDS 6  /* of 64 days, 366 of them */
#define SEG_ENGAGED_WORDS 3 /* 182 */

/* --- pools --- */

#define SEG_NO_BLOCK UINT32_MAX
#define SEG_CHUNK_BLOCKS 256

/* Blocks of one size. */
typedef struct seg_pool {
  uint8_t **chunks;     /* of SEG_CHUNK_BLOCKS blocks each */
  uint32_t chunk_count;
  uint32_t used;        /* blocks that were ever taken */
  uint32_t free;        /* the first one given back, which names the next one; SEG_NO_BLOCK for none */
  uint32_t block_bytes; /* >= 4 */
} seg_pool;

void seg_pool_init(seg_pool *pool, uint32_t block_bytes);
void seg_pool_clear(seg_pool *pool);
/* A block, SEG_NO_BLOCK if there is no memory. */
uint32_t seg_pool_take(seg_pool *pool);
void seg_pool_give(seg_pool *pool, uint32_t block);
int64_t seg_pool_bytes(const seg_pool *pool);

static inline uint8_t *seg_pool_at(const seg_pool *pool, uint32_t block) {
  return pool->chunks[block / SEG_CHUNK_BLOCKS] + (size_t)(block % SEG_CHUNK_BLOCKS) * pool->block_bytes;
}

/* Bytes that are never moved, named by their place; a text lies within one chunk. */
#define SEG_ARENA_CHUNK 65536u
typedef struct seg_arena {
  uint8_t **chunks;
  uint64_t chunk_count;
  uint64_t used; /* the place after the last text */
  uint64_t dead; /* bytes of texts that are wanted no more */
} seg_arena;

#define SEG_NO_PLACE UINT64_MAX
/* Keeps a text of at most SEG_ARENA_CHUNK bytes; its place, SEG_NO_PLACE if there is no memory. */
uint64_t seg_arena_keep(seg_arena *arena, const uint8_t *text, size_t size);
void seg_arena_clear(seg_arena *arena);

static inline const uint8_t *seg_arena_at(const seg_arena *arena, uint64_t place) {
  return arena->chunks[place / SEG_ARENA_CHUNK] + place % SEG_ARENA_CHUNK;
}

/* --- blobs: bytes of any size: see blobs.c --- */

#define SEG_BLOB_CLASSES 29 /* blocks of the pools; beyond, each has memory of its own */
enum { SEG_NO_BLOB = 0, SEG_LONG_BLOB = SEG_BLOB_CLASSES + 1 };
enum { SEG_LINE_BYTES = 64, SEG_PREFETCHED_BYTES = 256 }; /* of a cache line; of a blob */

/* Where a blob is; `class` is SEG_NO_BLOB for an empty one, which is nowhere. */
typedef struct seg_blob {
  uint32_t at, class;
} seg_blob;

/* Memory of its own: the size of the blob in it, and for how much there is room. */
typedef struct seg_long_blob {
  uint32_t size, room;
  uint8_t data[];
} seg_long_blob;

typedef struct seg_blobs {
  seg_pool pools[SEG_BLOB_CLASSES];
  seg_long_blob **longs;    /* by number; NULL for those given back */
  uint32_t *free_longs;     /* numbers of these */
  uint32_t long_count, long_room, free_count;
  int64_t long_bytes;
} seg_blobs;

void seg_blobs_init(seg_blobs *blobs);
void seg_blobs_clear(seg_blobs *blobs);
int64_t seg_blobs_bytes(const seg_blobs *blobs);
seg_bytes seg_blob_of(const seg_blobs *blobs, seg_blob blob);
/* How many bytes it has at most, without a look at them unless it has memory of its own. */
int64_t seg_blob_room(const seg_blobs *blobs, seg_blob blob);
/* Has a blob fetched into the cache. It is not looked at, as that would wait for it; what has memory of its own is left. */
static inline void seg_blob_prefetch(const seg_blobs *blobs, seg_blob blob) {
  if (blob.class == SEG_NO_BLOB || blob.class == SEG_LONG_BLOB) return;
  const seg_pool *pool = &blobs->pools[blob.class - 1];
  const uint8_t *block = seg_pool_at(pool, blob.at);
  for (uint32_t at = 0; at < pool->block_bytes && at < SEG_PREFETCHED_BYTES; at += SEG_LINE_BYTES)
    __builtin_prefetch(block + at);
}
/* Keeps a copy; whether there was memory. */
bool seg_blob_keep(seg_blobs *blobs, seg_bytes data, seg_blob *out);
void seg_blob_give(seg_blobs *blobs, seg_blob blob);
/* Has a blob be another one, which may lie in it; whether there was memory. */
bool seg_blob_replace(seg_blobs *blobs, seg_blob *blob, seg_bytes data);
/* Whether it can be replaced by one of another size without memory being taken. */
bool seg_blob_has_room(seg_blob blob, int64_t size);

/* --- series: see series.c --- */

#define SEG_SERIES_BUCKETS (2 * SEG_SERIES_MAX)

/* Digests in the order in which they came, and where to find each. */
typedef struct seg_series {
  int32_t count;
  uint64_t digests[SEG_SERIES_MAX];
  uint16_t number_after[SEG_SERIES_BUCKETS]; /* number + 1, 0 for none */
} seg_series;

/* The number of a digest, a new one if it has none; SEG_NO_ROOM. */
int32_t seg_number_series(seg_series *series, uint64_t digest);
/* Forgets those that came last. */
void seg_series_cut(seg_series *series, int32_t count);

/* --- orders: see orders.c --- */

enum { SEG_IS_STATED = 1, SEG_IS_CANCELLED = 2, SEG_IS_RETURNED = 4 }; /* flags of an order; the last one: as a whole */
#define SEG_ORDER_FLAG_BITS 3
#define SEG_REFUNDS_MAX 8191

typedef struct seg_order {
  uint64_t digest;
  int64_t at_ms, stated_at_ms, stated_minor, refunded_minor;
  int32_t flags, refunds;
} seg_order;

static inline bool seg_is_stated(const seg_order *order) { return order->flags & SEG_IS_STATED; }

/* What an order adds to a row's totals: one or none, minor units, logarithm of its value. */
typedef struct seg_worth {
  int32_t orders;
  int64_t minor;
  double logs;
} seg_worth;

/* The entry that one event alone makes; and what two entries of one order are together. */
seg_order seg_order_of(const seg_event *event);
seg_order seg_join_orders(const seg_order *a, const seg_order *b);
bool seg_orders_are_equal(const seg_order *a, const seg_order *b);
seg_worth seg_worth_of(const seg_order *order);
/* Has a row's totals over orders be as of an instant, if it is later. */
void seg_advance_totals(seg_activity *a, int64_t at_ms);
/* Takes out of them what an order was worth, and puts in what it is worth, each with its weight. */
void seg_change_worth(seg_activity *a, const seg_worth *was, double taken_out, const seg_worth *is, double put_in);
/* Where an order stands in a ledger, -1 if it does not. */
int32_t seg_find_order(const seg_order *ledger, int32_t count, uint64_t digest);
/* Enters an order in place of the known one into a ledger with room for one more than the limit; whether it has to
 * forget one, which may be this one. */
bool seg_enter_order(seg_order *ledger, int32_t *count, int32_t known, const seg_order *order, seg_order *forgotten);
double seg_log_order_value(double minor);
/* 2^(-(later - earlier) / half-life of orders), of an order at `at_ms` as of another instant. */
double seg_order_weight(int64_t at_ms, int64_t as_of_ms);
/* dividend / divisor, rounded once, as Python divides integers; divisor != 0. */
double seg_divided(int64_t dividend, int64_t divisor);

/* Orders in memory: 28 bytes each where instants fit 48 bits and amounts and delays 32, else as in a row. */
bool seg_orders_are_narrow(const seg_order *orders, int32_t count);
void seg_pack_orders(uint8_t *out, const seg_order *orders, int32_t count, bool narrow);
void seg_unpack_orders(seg_order *out, const uint8_t *packed, int32_t count, bool narrow);

/* --- ids: see ids.c --- */

#define SEG_ID_BYTES 6              /* of an id's digest, or four of them and a day */
#define SEG_REFUND_IDS 255
#define SEG_OLD_ORDERS 240          /* with those of the ledger 256 */
#define SEG_ENGAGEMENT_IDS 256
#define SEG_ENGAGEMENT_IDS_LEAST 24 /* that are kept however old they are */
#define SEG_ENGAGEMENT_ID_DAYS 7
#define SEG_IDS_MAX (2 + SEG_ID_BYTES * (SEG_REFUND_IDS + SEG_OLD_ORDERS + SEG_ENGAGEMENT_IDS))

/* Ids of what was folded, of each kind the latest arrival last. */
typedef struct seg_ids {
  int32_t refund_count, order_count, engagement_count;
  uint8_t refunds[SEG_REFUND_IDS][SEG_ID_BYTES], orders[SEG_OLD_ORDERS][SEG_ID_BYTES];
  uint8_t engagements[SEG_ENGAGEMENT_IDS][SEG_ID_BYTES];
} seg_ids;

/* Ids from bytes; false if they are none. And back: how many bytes they are, at most SEG_IDS_MAX. */
bool seg_unpack_ids(seg_ids *ids, const uint8_t *packed, int64_t size);
int64_t seg_pack_ids(uint8_t *out, const seg_ids *ids);
/* Digests are canonical, as they stand in a row. */
bool seg_knows_refund(const seg_ids *ids, uint64_t digest);
bool seg_knows_order(const uint8_t *packed, int64_t size, uint64_t digest);
/* Whether an order is one of which only the id is left. */
bool seg_has_forgotten(const seg_ids *ids, uint64_t digest);
bool seg_knows_engagement(const seg_ids *ids, uint64_t digest);
void seg_keep_refund(seg_ids *ids, uint64_t digest);
void seg_keep_order(seg_ids *ids, uint64_t digest);
/* Keeps an engagement's id as of its customer's newest day of engagement. */
void seg_keep_engagement(seg_ids *ids, uint64_t digest, int64_t newest);
/* Join the ids of another customer, those of engagements by their days, the others behind; how many both have. */
int32_t seg_join_refund_ids(seg_ids *ids, const seg_ids *other);
void seg_join_order_ids(seg_ids *ids, const seg_ids *other);
int32_t seg_join_engagement_ids(seg_ids *ids, const seg_ids *other);

/* --- days: see days.c --- */

typedef struct seg_day_weights {
  double engaged[2 * SEG_ENGAGED_WINDOW_DAYS]; /* of an engaged day, by its age */
  double gaps[SEG_ACTIVITY_WINDOW_DAYS + 1];   /* of a gap, by how many are newer */
  double logs[SEG_ACTIVITY_WINDOW_DAYS];       /* of a gap of so many days; 0 for none */
} seg_day_weights;

typedef struct seg_gaps {
  int32_t count;
  double logs, logs_squared;
} seg_gaps;

static inline void seg_put_gaps(seg_activity *a, const seg_gaps *gaps) {
  a->gaps = gaps->count;
  a->log_gaps = gaps->logs;
  a->log_gaps_squared = gaps->logs_squared;
}

void seg_day_weights_init(seg_day_weights *weights);
/* Both return whether the bits changed. */
bool seg_add_engaged_day(const seg_day_weights *weights, uint64_t *bits, double *total, int64_t last, int64_t day);
bool seg_add_active_day(const seg_day_weights *weights, uint64_t *bits, seg_gaps *gaps, int64_t last, int64_t day);
/* Takes an active day out of a set whose last one is `last`; without it the last one is `last_left`. */
void seg_remove_active_day(const seg_day_weights *weights, uint64_t *bits, seg_gaps *gaps, int64_t last, int64_t day,
                           int64_t last_left);
/* Whether the bits say that a day was one; `last` is the last one. */
bool seg_is_day(const uint64_t *bits, int32_t words, int64_t last, int64_t day);
double seg_total_engaged_days(const seg_day_weights *weights, const uint64_t *bits);
seg_gaps seg_total_gaps(const seg_day_weights *weights, const uint64_t *bits);
/* The days of a zone other than UTC: see local_days.c. */
typedef struct seg_local_days seg_local_days;
int64_t seg_local_day_of(const seg_local_days *days, int64_t at_ms);
/* When a day of a run begins. */
static inline int64_t seg_begin_of(const seg_zone_run *run, int64_t day) {
  return (day * 86400 - run->behind) * SEG_SECOND_MS;
}
/* How many bits there are up to the highest one that is set, and how many words that one is in. */
int32_t seg_bit_length(const uint64_t *bits, int32_t words);

static inline int32_t seg_words(const uint64_t *bits, int32_t words) {
  while (words > 0 && bits[words - 1] == 0) words--;
  return words;
}

/* --- the table --- */

#define SEG_ORDER_CLASSES 10 /* see seg_order_class */
#define SEG_DAY_CLASSES (SEG_ACTIVE_WORDS + SEG_ENGAGED_WORDS)

typedef struct seg_slot {
  uint64_t id_at : 48;
  uint64_t id_size : 16;
  /* Blocks, of the classes that the following say; of parts that it has. */
  uint32_t ids_at, orders_at, days_at, ledger_at, traits_at;
  uint32_t ids_class : 5;
  uint32_t orders : 5; /* how many there are */
  uint32_t orders_are_narrow : 1;
  uint32_t active_words : 3; /* one after the other in one block */
  uint32_t engaged_words : 2;
  uint32_t ledger_class : 5;
  uint32_t traits_class : 5;
} seg_slot;
_Static_assert(sizeof(seg_slot) == 32, "seg_slot");
_Static_assert(SEG_ORDER_LIMIT < 32 && SEG_LONG_BLOB < 32, "seg_slot");

/* A place in a segmentation by rules and when the segment was entered, SEG_NO_TIME where that is not known. */
typedef struct seg_dated_place {
  uint64_t name;
  seg_place place;
  int64_t since_ms;
} seg_dated_place;
_Static_assert(sizeof(seg_dated_place) == 24, "seg_dated_place");

/* A membership as it stands in a row. */
typedef struct seg_entry {
  uint64_t name;
  seg_membership membership;
} seg_entry;
#define SEG_ENTRY_BYTES (SEG_DIGEST_BYTES + 32)
_Static_assert(sizeof(seg_entry) == SEG_ENTRY_BYTES, "seg_entry");
#define SEG_ENTRY_LIMIT 255 /* of each kind in a row */

/* Memberships and places in segmentations that the table does not have, as they stood in the row. */
typedef struct seg_others {
  int32_t entry_count, place_count;
  seg_entry *entries;      /* one after the other in the memory behind */
  seg_dated_place *places;
} seg_others;

typedef struct seg_bucket {
  uint32_t row_after; /* the row's number + 1, 0 for none */
  uint32_t hash;      /* of the id, the lower half */
} seg_bucket;

struct seg_table {
  seg_slot *slots;
  int64_t count, slot_capacity;
  seg_bucket *index;      /* open addressing with linear probing, at most 3/4 full */
  uint64_t bucket_count;  /* a power of 2 */
  seg_arena ids;
  seg_others **others;    /* [slot_capacity], NULL until a row has some */
  seg_pool narrow_orders[SEG_ORDER_CLASSES], wide_orders[SEG_ORDER_CLASSES];
  seg_pool days[SEG_DAY_CLASSES];
  seg_blobs ids_of_events, ledgers, traits;
  seg_series series;
  seg_day_weights weights;
  seg_local_days *local_days; /* NULL where days are UTC's */
  bool has_statements;        /* whether any row has had a statement on consent */
};

/* The day of the shop that an instant is of, counted from 1970-01-01. */
static inline int64_t seg_day(const seg_table *table, int64_t at_ms) {
  if (__builtin_expect(table->local_days != NULL, 0)) return seg_local_day_of(table->local_days, at_ms);
  return at_ms / SEG_DAY_MS - (at_ms % SEG_DAY_MS < 0);
}

/* The day of a row's last purchase or engagement. */
static inline int64_t seg_last_active_day(const seg_table *table, const seg_activity *a) {
  return seg_day(table, a->engaged_at_ms > a->purchased_at_ms ? a->engaged_at_ms : a->purchased_at_ms);
}

static inline seg_blob seg_slot_ledger(const seg_slot *slot) { return (seg_blob){slot->ledger_at, slot->ledger_class}; }
static inline seg_blob seg_slot_traits(const seg_slot *slot) { return (seg_blob){slot->traits_at, slot->traits_class}; }
static inline seg_blob seg_slot_ids(const seg_slot *slot) { return (seg_blob){slot->ids_at, slot->ids_class}; }
static inline void seg_set_ids(seg_slot *slot, seg_blob blob) {
  slot->ids_at = blob.at;
  slot->ids_class = blob.class & 31;
}
static inline void seg_set_ledger(seg_slot *slot, seg_blob blob) {
  slot->ledger_at = blob.at;
  slot->ledger_class = blob.class & 31;
}
static inline void seg_set_traits(seg_slot *slot, seg_blob blob) {
  slot->traits_at = blob.at;
  slot->traits_class = blob.class & 31;
}
/* Has a row's rules evaluated before they are asked. */
static inline void seg_forget_rules(const seg_columns *columns, int64_t row) {
  columns->rules_due_at_ms[row] = SEG_NO_TIME;
  for (int64_t word = 0; word < columns->words; word++) columns->bits[word * columns->capacity + row] = 0;
}

/* What lies beside a row's numbers, unpacked. */
typedef struct seg_history {
  seg_ids ids;
  seg_order orders[SEG_ORDER_LIMIT + 1];
  uint64_t active[SEG_ACTIVE_WORDS], engaged[SEG_ENGAGED_WORDS];
  int32_t order_count;
} seg_history;

enum { SEG_HAS_IDS = 1, SEG_HAS_ORDERS = 2, SEG_HAS_DAYS = 4, SEG_HAS_ALL = 7 }; /* parts of a history */

/* Blocks are for 1, 2, 3, 4, 6, 8, 10, 12, 14 or 16 orders. */
static inline int32_t seg_order_class(int32_t count) { return count <= 4 ? count - 1 : (count + 1) / 2 + 1; }
static inline int32_t seg_orders_of_class(int32_t order_class) {
  return order_class < 4 ? order_class + 1 : 2 * (order_class - 1);
}
static inline int32_t seg_day_class(const seg_slot *slot) { return slot->active_words + slot->engaged_words - 1; }

/* The pools that a slot's blocks are of; of parts that it has. */
static inline seg_pool *seg_order_pool(seg_table *table, const seg_slot *slot) {
  return (slot->orders_are_narrow ? table->narrow_orders : table->wide_orders) + seg_order_class(slot->orders);
}
static inline seg_pool *seg_day_pool(seg_table *table, const seg_slot *slot) {
  return &table->days[seg_day_class(slot)];
}

/* Unpacks some parts. */
void seg_load_history(seg_table *table, const seg_slot *slot, seg_history *history, int32_t parts);
/* Replaces some parts; SEG_NO_MEMORY leaves all as they were. */
int32_t seg_store_history(seg_table *table, seg_slot *slot, const seg_history *history, int32_t parts);
void seg_free_history(seg_table *table, const seg_slot *slot);

/* Whether an order of the ledger was stated to be of a day. */
bool seg_has_ordered_on(const seg_table *table, const seg_history *history, int64_t day);
/* The latest instant of an order in the ledger, of those that were stated; `at_ms` if there is none later. */
int64_t seg_latest_order_ms(const seg_history *history, int64_t at_ms);

/* --- what there is of other segmentations: see others.c --- */

/* Takes memory for it, NULL for none; and replaces a row's by it once it is written. */
int32_t seg_make_others(seg_table *table, int32_t entries, int32_t places, seg_others **out);
void seg_put_others(seg_table *table, int64_t row, seg_others *others);
int64_t seg_others_bytes(const seg_others *others);
/* Takes out the one of a name; whether there is one. */
bool seg_take_entry(seg_entry *entries, int32_t *count, uint64_t name, seg_membership *out);
/* Takes out what there is of a segmentation that is by rules now: its place, or what a membership becomes; a place with
 * the sequence 0 for none. */
seg_dated_place seg_take_ruled(seg_entry *entries, int32_t *entry_count, seg_dated_place *places, int32_t *place_count,
                               uint64_t name);
static inline const seg_others *seg_others_of(const seg_table *table, int64_t row) {
  return table->others ? table->others[row] : NULL;
}
/* Writes a place into the columns of segmentation by rules r. */
void seg_write_place(const seg_columns *columns, const seg_names *names, int64_t r, int64_t row,
                     const seg_dated_place *place);

/* Takes the last row out again, which nobody has filled yet. */
void seg_table_drop_last(seg_table *table, uint64_t hash);

/* --- rows as bytes: see row_encoding.c and row_reading.c --- */

enum { SEG_ROW_VERSION = 5, SEG_ROW_HEADER_BYTES = 26 };

/* --- earlier rows: see earlier_rows.c --- */

#define SEG_EARLIER_ACTIVITY_BYTES 96
#define SEG_EARLIER_ORDER_BYTES 34  /* until version 4: digest, instant, completed, refunded, completions */
#define SEG_EARLIER_EVENT_LIMIT 32

typedef struct seg_earlier_order {
  uint64_t digest;
  int64_t at_ms, completed_minor, refunded_minor;
  int32_t completions;
} seg_earlier_order;

/* What earlier versions kept in place of ids and orders. */
typedef struct seg_earlier_history {
  uint64_t events[SEG_EARLIER_EVENT_LIMIT];
  seg_earlier_order orders[SEG_ORDER_LIMIT];
  int32_t event_count, order_count;
} seg_earlier_history;

void seg_unpack_earlier_orders(seg_earlier_order *out, const uint8_t *packed, int32_t count);
/* The numbers of a row of version 1 or 2; whether it can be read: with a purchase, but no order, it cannot. */
bool seg_carry_over(const seg_table *table, const uint8_t *encoded, const seg_history *history,
                    const seg_earlier_history *earlier, seg_activity *out);
/* Ids and orders of a row until version 4, whose numbers are corrected where they meant something else then. */
void seg_carry_orders(const seg_table *table, const seg_earlier_history *earlier, const seg_activity *activity,
                      seg_history *out);

#endif
