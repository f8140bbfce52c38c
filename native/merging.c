/* Two rows as one: what the events of both ids would have left under one.
 *
 * Theory. A row is sums over distinct events and orders, latest and earliest instants, sets of days and of ids: each can
 * be joined in any order. Three things need care.
 *
 *     orders   What both rows know of an order is one entry (seg_join_orders), so the worth of each goes out of the
 *              totals and that of the joined entry in. Of which one row only has the id left, that row has counted it:
 *              then the other's worth goes out. An order that turns out to be older than one row knew leaves its day.
 *     ids      A refund or an engagement that both rows know counts once.
 *     floats   Sums of weights depend on the order of additions to the last bit. Where all days are known, and all
 *              orders are in the ledger as they were first stated, sums are made anew in the order of time, and equal
 *              those of one row to which the events came in that order; else they differ by rounding.
 *
 * Exact within the bounds of the memories of fold.c. Not exact beyond: what both rows have counted of an order that both
 * have forgotten, refunds that both have counted of one order under some of the same ids, of which the larger sum stays;
 * and ids of one kind are in the order of days, or one row's behind the other's, as nobody knows in which they came.
 *
 * Contract. Everything is worked out on copies; then the rows are replaced. The second row is left blank, with its
 * memberships: its customer goes by another id (SEG_MERGED_MS).
 *
 * Bounds. As in fold.c: counters and money stay at the ends of their range; rows may hold any numbers. */
#include <stdlib.h>

#include "program.h"
#include "table.h"

/* What one row brings. */
typedef struct side {
  seg_activity a;
  seg_history h;
} side;

static int64_t least(int64_t one, int64_t other) { return one < other ? one : other; }
static int64_t greatest(int64_t one, int64_t other) { return one > other ? one : other; }

/* --- orders --- */

/* Puts in what an order is worth (1), or takes it out (-1). */
static void count_worth(seg_activity *a, const seg_order *order, int32_t sign) {
  const seg_worth worth = seg_worth_of(order), nothing = {0, 0, 0.0};
  if (!worth.orders && !worth.minor) return;
  const double weight = seg_order_weight(order->at_ms, a->ordered_at_ms);
  if (sign > 0) seg_change_worth(a, &nothing, 0.0, &worth, weight);
  else seg_change_worth(a, &worth, weight, &nothing, 0.0);
}

/* Takes an order out of which the other row has only the id left, where it counts. */
static void count_once(seg_activity *a, const seg_order *order) {
  if (!seg_is_stated(order)) return;
  count_worth(a, order, -1);
  if (!(order->flags & (SEG_IS_CANCELLED | SEG_IS_RETURNED)))
    a->revenue_minor = seg_subtract64(a->revenue_minor, order->refunded_minor);
}

static void drop_old_orders(seg_activity *a, side *own, const side *other) {
  int32_t kept = 0;
  for (int32_t i = 0; i < own->h.order_count; i++) {
    const seg_order *order = &own->h.orders[i];
    if (seg_has_forgotten(&other->h.ids, order->digest) &&
        seg_find_order(other->h.orders, other->h.order_count, order->digest) < 0)
      count_once(a, order);
    else
      own->h.orders[kept++] = *order;
  }
  own->h.order_count = kept;
}

/* Enters an order into the ledger; one that has to go leaves its id. */
static void enter_order(seg_history *h, int32_t known, const seg_order *order) {
  seg_order forgotten;
  if (!seg_enter_order(h->orders, &h->order_count, known, order, &forgotten) || !seg_is_stated(&forgotten)) return;
  if (!seg_has_forgotten(&h->ids, forgotten.digest)) seg_keep_order(&h->ids, forgotten.digest);
}

/* Orders that one of the rows had a later instant of. */
typedef struct moved {
  int64_t from_ms[SEG_ORDER_LIMIT];
  int32_t count;
} moved;

static void join_order(seg_activity *a, seg_history *h, const seg_order *other, bool repeats_refunds, moved *later) {
  const int32_t known = seg_find_order(h->orders, h->order_count, other->digest);
  if (known < 0) {
    enter_order(h, -1, other);
    return;
  }
  const seg_order own = h->orders[known];
  seg_order both = seg_join_orders(&own, other);
  if (repeats_refunds && own.refunds && other->refunds) {
    both.refunds = own.refunds > other->refunds ? own.refunds : other->refunds;
    both.refunded_minor = greatest(own.refunded_minor, other->refunded_minor);
  }
  if (seg_is_stated(&both)) seg_advance_totals(a, greatest(own.at_ms, other->at_ms));
  count_worth(a, &own, -1);
  count_worth(a, other, -1);
  count_worth(a, &both, 1);
  if (seg_is_stated(&own) && seg_is_stated(other) && own.at_ms != other->at_ms)
    later->from_ms[later->count++] = greatest(own.at_ms, other->at_ms);
  enter_order(h, known, &both);
}

/* Whether all that was ever ordered is in the ledger, as it was first stated. */
static bool is_plain(const side *of) {
  int64_t minor = 0;
  if (of->h.ids.order_count || of->a.refunds) return false;
  for (int32_t i = 0; i < of->h.order_count; i++) {
    const seg_order *order = &of->h.orders[i];
    if (order->flags != SEG_IS_STATED || order->refunds || order->stated_at_ms != order->at_ms) return false;
    minor = seg_add64(minor, order->stated_minor);
  }
  return of->h.order_count == of->a.purchases && minor == of->a.revenue_minor;
}

/* Makes the sums over orders anew, in the order of time. */
static void refold_orders(side *of) {
  seg_activity *a = &of->a;
  const int64_t last_ms = a->ordered_at_ms;
  a->orders_decayed = a->revenue_decayed = a->log_order_values = 0.0;
  a->ordered_at_ms = SEG_NO_TIME;
  a->purchases = 0;
  a->revenue_minor = 0;
  for (int32_t i = 0; i < of->h.order_count; i++) {
    seg_advance_totals(a, of->h.orders[i].at_ms);
    count_worth(a, &of->h.orders[i], 1);
  }
  seg_advance_totals(a, last_ms);
}

static void join_orders(side *own, side *other, int32_t known_refunds, moved *later) {
  seg_activity *a = &own->a;
  drop_old_orders(a, own, other);
  drop_old_orders(a, other, own);
  seg_join_order_ids(&own->h.ids, &other->h.ids);
  for (int32_t i = 0; i < other->h.order_count; i++)
    join_order(a, &own->h, &other->h.orders[i], known_refunds > 0, later);
  for (int32_t i = 0; i < later->count; i++)
    if (later->from_ms[i] == a->purchased_at_ms) a->purchased_at_ms = seg_latest_order_ms(&own->h, SEG_NO_TIME);
  if (is_plain(own)) refold_orders(own);
}

/* --- days --- */

/* Adds days, as bits before a last one, to those before another last one, which is no earlier. */
static void unite_days(uint64_t *all, int32_t window, int64_t newest, const uint64_t *bits, int64_t last) {
  if (last > newest || newest - last >= window) return;
  for (int64_t age = newest - last; age < window; age++) {
    const int64_t own = age - (newest - last);
    if (bits[own / 64] >> (own % 64) & 1) all[age / 64] |= UINT64_C(1) << (age % 64);
  }
}

/* Makes the engaged days of both anew, in the order of time. */
static void join_engaged_days(const seg_table *table, side *own, const side *other, int64_t own_last) {
  const int64_t newest = seg_day(table, own->a.engaged_at_ms);
  uint64_t all[SEG_ENGAGED_WORDS] = {0}, *bits = own->h.engaged;
  unite_days(all, SEG_ENGAGED_WINDOW_DAYS, newest, bits, own_last);
  unite_days(all, SEG_ENGAGED_WINDOW_DAYS, newest, other->h.engaged, seg_day(table, other->a.engaged_at_ms));
  memset(bits, 0, sizeof own->h.engaged);
  own->a.engaged_days = 0.0;
  int64_t last = newest - 2 * SEG_ENGAGED_WINDOW_DAYS;
  for (int64_t age = SEG_ENGAGED_WINDOW_DAYS - 1; age >= 0; age--) {
    if (!(all[age / 64] >> (age % 64) & 1)) continue;
    seg_add_engaged_day(&table->weights, bits, &own->a.engaged_days, last, newest - age);
    last = newest - age;
  }
}

/* Makes the active days of both anew, without those that orders have left. */
static void join_active_days(const seg_table *table, side *own, const side *other, int64_t own_last,
                             const moved *later) {
  const int64_t other_last = seg_last_active_day(table, &other->a), newest = greatest(own_last, other_last);
  uint64_t all[SEG_ACTIVE_WORDS] = {0}, *bits = own->h.active;
  unite_days(all, SEG_ACTIVITY_WINDOW_DAYS, newest, bits, own_last);
  unite_days(all, SEG_ACTIVITY_WINDOW_DAYS, newest, other->h.active, other_last);
  for (int32_t i = 0; i < later->count; i++) {
    const int64_t day = seg_day(table, later->from_ms[i]), age = newest - day;
    const bool stays = seg_has_ordered_on(table, &own->h, day) ||
                       seg_is_day(own->h.engaged, SEG_ENGAGED_WORDS, seg_day(table, own->a.engaged_at_ms), day);
    if (!stays && age >= 0 && age < SEG_ACTIVITY_WINDOW_DAYS) all[age / 64] &= ~(UINT64_C(1) << (age % 64));
  }
  memset(bits, 0, sizeof own->h.active);
  seg_gaps gaps = {0, 0.0, 0.0};
  int64_t last = newest - 2 * SEG_ACTIVITY_WINDOW_DAYS;
  for (int64_t age = SEG_ACTIVITY_WINDOW_DAYS - 1; age >= 0; age--) {
    if (!(all[age / 64] >> (age % 64) & 1)) continue;
    seg_add_active_day(&table->weights, bits, &gaps, last, newest - age);
    last = newest - age;
  }
  seg_put_gaps(&own->a, &gaps);
}

/* --- rows --- */

static void join_numbers(seg_activity *a, const seg_activity *b) {
  seg_activity other = *b;
  const int64_t ordered_ms = greatest(a->ordered_at_ms, b->ordered_at_ms);
  seg_advance_totals(a, ordered_ms);
  seg_advance_totals(&other, ordered_ms);
  a->orders_decayed += other.orders_decayed;
  a->revenue_decayed += other.revenue_decayed;
  a->log_order_values += other.log_order_values;
  a->revenue_minor = seg_add64(a->revenue_minor, b->revenue_minor);
  a->purchases = seg_add32(a->purchases, b->purchases);
  a->refunds = seg_add32(a->refunds, b->refunds);
  a->engagements = seg_add32(a->engagements, b->engagements);
  a->first_at_ms = least(a->first_at_ms, b->first_at_ms);
  a->first_purchased_at_ms = least(a->first_purchased_at_ms, b->first_purchased_at_ms);
  a->purchased_at_ms = greatest(a->purchased_at_ms, b->purchased_at_ms);
  a->engaged_at_ms = greatest(a->engaged_at_ms, b->engaged_at_ms);
}

static void join_sides(const seg_table *table, side *own, side *other) {
  const int64_t own_engaged = seg_day(table, own->a.engaged_at_ms), own_active = seg_last_active_day(table, &own->a);
  moved later = {.count = 0};
  if (own->a.first_at_ms > SEG_NEVER) own->a.first_at_ms = SEG_NEVER; /* it was nobody's, and is somebody's again */
  join_numbers(&own->a, &other->a);
  const int32_t refunds = seg_join_refund_ids(&own->h.ids, &other->h.ids);
  const int32_t engagements = seg_join_engagement_ids(&own->h.ids, &other->h.ids);
  own->a.refunds = seg_add32(own->a.refunds, -refunds);
  own->a.engagements = seg_add32(own->a.engagements, -engagements);
  join_orders(own, other, refunds, &later);
  join_engaged_days(table, own, other, own_engaged);
  join_active_days(table, own, other, own_active, &later);
}

int32_t seg_clear_row(seg_table *table, const seg_columns *columns, int64_t row, int64_t instead_of_first_ms,
                      seg_bytes statements) {
  seg_slot *slot = &table->slots[row];
  seg_history none;
  memset(&none, 0, sizeof none);
  if (seg_store_history(table, slot, &none, SEG_HAS_ALL) != SEG_OK) return SEG_NO_MEMORY;
  if (seg_table_put_ledger(table, row, (seg_bytes){NULL, 0}) != SEG_OK) return SEG_NO_MEMORY;
  if (seg_table_put_traits(table, row, statements) != SEG_OK) return SEG_NO_MEMORY;
  columns->activity[row] = (seg_activity){
      .first_at_ms = instead_of_first_ms,
      .first_purchased_at_ms = SEG_NEVER,
      .purchased_at_ms = SEG_NO_TIME,
      .ordered_at_ms = SEG_NO_TIME,
      .engaged_at_ms = SEG_NO_TIME,
  };
  columns->due_at_ms[row] = SEG_NO_TIME;
  if (columns->ruled) seg_forget_rules(columns, row);
  return SEG_OK;
}

static int32_t merge_beside(seg_table *table, const seg_program *program, seg_ledger *ledger, seg_traits *traits,
                            int64_t into, int64_t from) {
  const seg_bytes own = seg_table_ledger(table, into), own_traits = seg_table_traits(table, into);
  if (own.size > SEG_LEDGER_MAX || own_traits.size > SEG_TRAITS_MAX) return SEG_OUT_OF_RANGE;
  ledger->size = own.size;
  if (own.size) memcpy(ledger->data, own.data, (size_t)own.size);
  traits->size = own_traits.size;
  if (own_traits.size) memcpy(traits->data, own_traits.data, (size_t)own_traits.size);
  seg_ledger_merge(program, ledger, seg_table_ledger(table, from));
  seg_traits_merge(traits, seg_table_traits(table, from));
  const int32_t status = seg_table_put_ledger(table, into, (seg_bytes){ledger->data, ledger->size});
  return status == SEG_OK ? seg_table_put_traits(table, into, (seg_bytes){traits->data, traits->size}) : status;
}

int32_t seg_merge_rows(seg_table *table, const seg_columns *columns, const seg_program *program, seg_ledger *ledger,
                       seg_traits *traits, int64_t into, int64_t from) {
  if (into < 0 || from < 0 || into >= table->count || from >= table->count || into == from) return SEG_OUT_OF_RANGE;
  side *sides = malloc(2 * sizeof *sides);
  if (!sides) return SEG_NO_MEMORY;
  sides[0].a = columns->activity[into];
  sides[1].a = columns->activity[from];
  seg_load_history(table, &table->slots[into], &sides[0].h, SEG_HAS_ALL);
  seg_load_history(table, &table->slots[from], &sides[1].h, SEG_HAS_ALL);
  join_sides(table, &sides[0], &sides[1]);
  int32_t status = seg_store_history(table, &table->slots[into], &sides[0].h, SEG_HAS_ALL);
  if (status == SEG_OK) status = merge_beside(table, program, ledger, traits, into, from);
  if (status == SEG_OK) status = seg_clear_row(table, columns, from, SEG_MERGED_MS, (seg_bytes){NULL, 0});
  if (status == SEG_OK) {
    columns->activity[into] = sides[0].a;
    columns->due_at_ms[into] = SEG_NO_TIME;
    if (columns->ruled) seg_forget_rules(columns, into);
  }
  free(sides);
  return status;
}

int32_t seg_table_merge(seg_table *table, const seg_columns *columns, const seg_program *program, int64_t into,
                        int64_t from) {
  seg_ledger *ledger = malloc(sizeof *ledger);
  seg_traits *traits = malloc(sizeof *traits);
  const int32_t status = ledger && traits
                             ? seg_merge_rows(table, columns, program, ledger, traits, into, from)
                             : SEG_NO_MEMORY;
  free(ledger);
  free(traits);
  return status;
}
