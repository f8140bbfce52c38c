/* An event into a customer's row. The order of arrival does not matter.
 *
 * Theory. Every total is a sum over distinct events of something that depends on that event alone, kept as of the
 * latest instant seen; a late event is added with the weight it would have had by then. Two things are not plain sums,
 * and are made order-free as follows.
 *
 *     distinct days   A bit a day says which days count already, so a day counts once whichever of its events comes
 *                     first. What is kept of the gaps between them is a function of the bits (see days.c).
 *     refunds         The ledger keeps, for each recent order, what was completed and what was refunded. What that
 *                     takes back (orders, revenue, log order values) is a function of the entry alone (see orders.c).
 *                     When an entry changes, the old correction is taken out and the new one put in; so a refund before
 *                     its purchase ends as one after it.
 *
 * Exact within the bounds of the memories: 32 event ids, 16 orders, 366 active and 182 engaged days a customer.
 *
 * Contract: everything is worked out on copies, memory is taken, and then the row is replaced; so SEG_NO_MEMORY leaves
 * it as it was. Operations and their order are part of the result, to the bit.
 *
 * Bounds: counters stay at the ends of an int32, revenue at those of an int64 (2^31 events of one customer, 9 * 10^18
 * minor units: nobody gets there but rows that nobody wrote). Instants of events lie within +-2^62. */
#include "table.h"

#define SESSION_MS (30 * INT64_C(60000)) /* longest pause within a session */

static bool holds(const uint64_t *events, int32_t count, uint64_t digest) {
  bool found = false;
  for (int32_t i = 0; i < count; i++) found |= events[i] == digest;
  return found;
}

static void remember(seg_history *history, uint64_t digest) {
  if (history->event_count == SEG_EVENT_LIMIT) {
    memmove(history->events, history->events + 1, (SEG_EVENT_LIMIT - 1) * sizeof *history->events);
    history->event_count--;
  }
  history->events[history->event_count++] = digest;
}

static void add_purchase(seg_activity *a, const seg_event *event, double weight) {
  a->purchases = seg_add32(a->purchases, 1);
  a->revenue_minor = seg_add64(a->revenue_minor, event->amount_minor);
  a->orders_decayed += weight;
  a->revenue_decayed += (double)event->amount_minor * weight;
  a->log_order_values += seg_log_order_value((double)event->amount_minor);
  if (event->at_ms < a->first_purchased_at_ms) a->first_purchased_at_ms = event->at_ms;
  if (event->at_ms > a->purchased_at_ms) a->purchased_at_ms = event->at_ms;
}

static void fold_order(seg_activity *a, seg_history *history, const seg_event *event) {
  const int64_t at_ms = event->at_ms;
  const bool is_purchase = event->kind == SEG_PURCHASE;
  double weight = 1.0;
  if (at_ms >= a->ordered_at_ms) {
    const double decay = seg_order_weight(a->ordered_at_ms, at_ms);
    a->orders_decayed *= decay;
    a->revenue_decayed *= decay;
    a->ordered_at_ms = at_ms;
  } else {
    weight = seg_order_weight(at_ms, a->ordered_at_ms);
  }
  seg_order order = {.digest = __builtin_bswap64(event->order_digest), .at_ms = at_ms};
  if (is_purchase) {
    add_purchase(a, event, weight);
    order.completed_minor = event->amount_minor;
    order.completions = 1;
  } else {
    a->refunds = seg_add32(a->refunds, 1);
    a->revenue_minor = seg_subtract64(a->revenue_minor, event->amount_minor);
    order.refunded_minor = event->amount_minor;
  }
  seg_change changes[2];
  const int32_t count = seg_enter_order(history->orders, &history->order_count, &order, changes);
  if (count == 0) return;
  const seg_correction correction = seg_total_correction(changes, count, a->ordered_at_ms);
  a->purchases = seg_add32(a->purchases, correction.purchases);
  a->orders_decayed += correction.orders_decayed;
  a->revenue_decayed += correction.revenue_decayed;
  a->log_order_values += correction.log_order_values;
}

/* Counts an event's day among the active ones; whether it changed them. `last` is the last active day before it. */
static bool fold_active_day(const seg_table *table, seg_activity *a, seg_history *history, int64_t last, int64_t day) {
  seg_gaps gaps = {a->gaps, a->log_gaps, a->log_gaps_squared};
  if (!seg_add_active_day(&table->weights, history->active, &gaps, last, day)) return false;
  a->gaps = gaps.count;
  a->log_gaps = gaps.logs;
  a->log_gaps_squared = gaps.logs_squared;
  return true;
}

/* Counts an event's day among the active and engaged ones; the parts that have to be stored. */
static int32_t fold_days(seg_table *table, const seg_slot *slot, seg_activity *a, seg_history *history,
                         const seg_event *event, int64_t day) {
  const int64_t engaged = seg_day(table, a->engaged_at_ms);
  const int64_t active = a->engaged_at_ms > a->purchased_at_ms ? engaged : seg_day(table, a->purchased_at_ms);
  const bool is_other_active = event->kind != SEG_REFUND && day != active;
  const bool is_other_engaged = event->kind == SEG_ENGAGEMENT && day != engaged;
  bool changed = false;
  if (!is_other_active && !is_other_engaged) return 0;
  seg_load_history(table, slot, history, SEG_HAS_DAYS);
  if (is_other_active) changed = fold_active_day(table, a, history, active, day);
  if (is_other_engaged)
    changed |= seg_add_engaged_day(&table->weights, history->engaged, &a->engaged_days, engaged, day);
  return changed ? SEG_HAS_DAYS : 0;
}

static bool continues_session(const seg_table *table, const seg_activity *a, const seg_event *event, int64_t day) {
  return event->kind == SEG_ENGAGEMENT && day == seg_day(table, a->engaged_at_ms) && event->at_ms >= a->engaged_at_ms &&
         event->at_ms - a->engaged_at_ms < SESSION_MS;
}

int32_t seg_fold(seg_table *table, int64_t row, seg_activity *activity, const seg_event *event, bool *in_session) {
  if (row < 0 || row >= table->count) return SEG_OUT_OF_RANGE;
  seg_slot *slot = &table->slots[row];
  seg_history history;
  const uint64_t digest = __builtin_bswap64(event->event_digest);
  *in_session = false;
  seg_load_history(table, slot, &history, SEG_HAS_EVENTS);
  if (holds(history.events, history.event_count, digest)) return SEG_REPEATED;
  seg_activity a = *activity;
  const int64_t day = seg_day(table, event->at_ms);
  const bool continues = continues_session(table, &a, event, day);
  int32_t parts = SEG_HAS_EVENTS;
  remember(&history, digest);
  if (event->at_ms < a.first_at_ms) a.first_at_ms = event->at_ms;
  parts |= fold_days(table, slot, &a, &history, event, day);
  if (event->kind == SEG_ENGAGEMENT) {
    a.engagements = seg_add32(a.engagements, 1);
    if (event->at_ms > a.engaged_at_ms) a.engaged_at_ms = event->at_ms;
  } else {
    seg_load_history(table, slot, &history, SEG_HAS_ORDERS);
    fold_order(&a, &history, event);
    parts |= SEG_HAS_ORDERS;
  }
  if (seg_store_history(table, slot, &history, parts) != SEG_OK) return SEG_NO_MEMORY;
  *activity = a;
  *in_session = continues;
  return SEG_OK;
}

int32_t seg_fold_all(seg_table *table, const seg_columns *columns, int64_t n, const int64_t *rows,
                     const seg_event *events, uint8_t *outcomes) {
  enum { AHEAD = 8 };
  for (int64_t i = 0; i < n; i++) {
    bool in_session;
    if (i + AHEAD < n) seg_table_prefetch(table, columns, rows[i + AHEAD]);
    if (rows[i] < 0 || rows[i] >= table->count) return SEG_OUT_OF_RANGE;
    const int32_t status = seg_fold(table, rows[i], &columns->activity[rows[i]], &events[i], &in_session);
    if (status < 0) return status;
    outcomes[i] = (uint8_t)(status == SEG_REPEATED ? SEG_FOLD_REPEATED : in_session ? SEG_FOLD_IN_SESSION : SEG_FOLDED);
  }
  return SEG_OK;
}
