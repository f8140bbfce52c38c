/* An event into a customer's row. The order of arrival does not matter.
 *
 * Theory. Every total is a sum over distinct events, or orders, of something that depends on them alone, kept as of the
 * latest instant seen; what comes late is added with the weight it would have had by then. Two things are not plain
 * sums, and are made order-free as follows.
 *
 *     distinct days   A bit a day says which days count already, so a day counts once whichever of its events comes
 *                     first. What is kept of the gaps between them is a function of the bits (see days.c).
 *     orders          The ledger keeps what each recent order is now; what it is worth is a function of its entry alone
 *                     (see orders.c). When an entry changes, the former worth goes out and the new one comes in.
 *
 * An order is placed where it was first stated: there it has its weight, its day of activity, and its part in the first
 * and the last purchase, which it keeps when it is edited, returned or cancelled, as the customer did order then. Where a
 * statement arrives that is earlier than those known, the order moves there. What is said of an order that nobody has
 * stated changes no total until somebody does; `ordered_at_ms` is the latest instant at which anything was said of a
 * stated order.
 *
 * Statements and cancellations need no ids, as saying them again changes nothing; refunds and engagements are known
 * again by their ids (ids.c). What is said of an order of which only the id is left is too old to be followed, but for a
 * refund of an amount: that money goes out of the revenue.
 *
 * Exact within the bounds of the memories: those of ids.c, 16 orders, 366 active and 182 engaged days a customer.
 *
 * Contract: everything is worked out on copies, memory is taken, and then the row is replaced; so SEG_NO_MEMORY leaves
 * it as it was. Operations and their order are part of the result, to the bit.
 *
 * Bounds: counters stay at the ends of an int32, revenue at those of an int64 (2^31 events of one customer, 9 * 10^18
 * minor units: nobody gets there but rows that nobody wrote). Instants of events lie within +-2^62. */
#include "table.h"

#define SESSION_MS (30 * INT64_C(60000)) /* longest pause within a session */

/* --- days --- */

static seg_gaps gaps_of(const seg_activity *a) { return (seg_gaps){a->gaps, a->log_gaps, a->log_gaps_squared}; }

/* Counts a day among the active ones; whether it changed them. `last` is the last active day before it. */
static bool fold_active_day(const seg_table *table, seg_activity *a, seg_history *history, int64_t last, int64_t day) {
  seg_gaps gaps = gaps_of(a);
  if (!seg_add_active_day(&table->weights, history->active, &gaps, last, day)) return false;
  seg_put_gaps(a, &gaps);
  return true;
}

/* --- engagements --- */

/* Counts an engagement's day among the active and engaged ones; the parts that have to be stored. */
static int32_t fold_engaged_day(seg_table *table, const seg_slot *slot, seg_activity *a, seg_history *history,
                                int64_t day) {
  const int64_t engaged = seg_day(table, a->engaged_at_ms), active = seg_last_active_day(table, a);
  bool changed = false;
  if (day == active && day == engaged) return 0;
  seg_load_history(table, slot, history, SEG_HAS_DAYS);
  if (day != active) changed = fold_active_day(table, a, history, active, day);
  if (day != engaged)
    changed |= seg_add_engaged_day(&table->weights, history->engaged, &a->engaged_days, engaged, day);
  return changed ? SEG_HAS_DAYS : 0;
}

static int32_t fold_engagement(seg_table *table, seg_slot *slot, seg_activity *a, const seg_event *event,
                               seg_history *history, seg_folded *folded, int32_t *parts) {
  const uint64_t digest = __builtin_bswap64(event->event_digest);
  const int64_t at_ms = event->at_ms, day = seg_day(table, at_ms), last = seg_day(table, a->engaged_at_ms);
  seg_load_history(table, slot, history, SEG_HAS_IDS);
  if (seg_knows_engagement(&history->ids, digest)) return SEG_REPEATED;
  folded->is_quiet = day == last && at_ms >= a->engaged_at_ms && at_ms - a->engaged_at_ms < SESSION_MS;
  seg_keep_engagement(&history->ids, digest, day > last ? day : last);
  if (at_ms < a->first_at_ms) a->first_at_ms = at_ms;
  *parts = SEG_HAS_IDS | fold_engaged_day(table, slot, a, history, day);
  a->engagements = seg_add32(a->engagements, 1);
  if (at_ms > a->engaged_at_ms) a->engaged_at_ms = at_ms;
  return SEG_OK;
}

/* --- orders --- */

/* Takes out what an order was worth, and puts in what it is worth; whether these differ. */
static bool follow_worth(seg_activity *a, const seg_order *before, const seg_order *after) {
  const seg_worth was = seg_worth_of(before), is = seg_worth_of(after);
  const bool has_moved = before->at_ms != after->at_ms;
  const bool is_nothing = !seg_is_stated(after) && !was.minor && !is.minor;
  if (is_nothing || (!has_moved && was.orders == is.orders && was.minor == is.minor)) return false;
  const double put_in = seg_order_weight(after->at_ms, a->ordered_at_ms);
  const bool was_any = was.orders || was.minor;
  const double taken_out = !has_moved ? put_in : was_any ? seg_order_weight(before->at_ms, a->ordered_at_ms) : 0.0;
  seg_change_worth(a, &was, taken_out, &is, put_in);
  return true;
}

/* Has an order that was stated be where it was stated earlier; the ledger has it there already. Parts to be stored. */
static int32_t move_order(seg_table *table, const seg_slot *slot, seg_activity *a, seg_history *history,
                          int64_t from_ms, int64_t to_ms) {
  const int64_t from = seg_day(table, from_ms), to = seg_day(table, to_ms), last = seg_last_active_day(table, a);
  if (from_ms == a->purchased_at_ms) a->purchased_at_ms = seg_latest_order_ms(history, to_ms);
  if (from == to) return 0;
  seg_load_history(table, slot, history, SEG_HAS_DAYS);
  const bool is_engaged = seg_is_day(history->engaged, SEG_ENGAGED_WORDS, seg_day(table, a->engaged_at_ms), from);
  if (!is_engaged && !seg_has_ordered_on(table, history, from)) {
    seg_gaps gaps = gaps_of(a);
    seg_remove_active_day(&table->weights, history->active, &gaps, last, from, seg_last_active_day(table, a));
    seg_put_gaps(a, &gaps);
  }
  fold_active_day(table, a, history, seg_last_active_day(table, a), to);
  return SEG_HAS_DAYS;
}

/* Has a customer order where a new order was stated; the parts that have to be stored. */
static int32_t place_order(seg_table *table, const seg_slot *slot, seg_activity *a, seg_history *history,
                           int64_t at_ms) {
  const int64_t day = seg_day(table, at_ms), active = seg_last_active_day(table, a);
  int32_t parts = 0;
  if (day != active) {
    seg_load_history(table, slot, history, SEG_HAS_DAYS);
    if (fold_active_day(table, a, history, active, day)) parts = SEG_HAS_DAYS;
  }
  if (at_ms > a->purchased_at_ms) a->purchased_at_ms = at_ms;
  return parts;
}

/* Follows what has become of an order in the totals; the parts that have to be stored. */
static int32_t follow_order(seg_table *table, const seg_slot *slot, seg_activity *a, seg_history *history,
                            const seg_order *before, const seg_order *after, seg_folded *folded) {
  const bool was_stated = seg_is_stated(before), is_stated = seg_is_stated(after), is_new = is_stated && !was_stated;
  const bool has_moved = was_stated && before->at_ms != after->at_ms;
  const int32_t refunds = after->refunds - before->refunds;
  folded->is_quiet = !follow_worth(a, before, after) && !is_new && !refunds;
  a->refunds = seg_add32(a->refunds, refunds);
  if (!is_stated) return 0;
  if (after->at_ms < a->first_at_ms) a->first_at_ms = after->at_ms;
  if (after->at_ms < a->first_purchased_at_ms) a->first_purchased_at_ms = after->at_ms;
  if (is_new) return place_order(table, slot, a, history, after->at_ms);
  return has_moved ? move_order(table, slot, a, history, before->at_ms, after->at_ms) : 0;
}

static bool is_refund(const seg_event *event) { return event->kind == SEG_REFUND && event->amount_minor != SEG_CANCELS; }

/* What is said of an order of which only the id is left. */
static int32_t fold_old_order(seg_activity *a, const seg_event *event) {
  if (event->kind != SEG_REFUND || event->amount_minor < 0) return SEG_TOO_OLD;
  a->refunds = seg_add32(a->refunds, 1);
  a->revenue_minor = seg_subtract64(a->revenue_minor, event->amount_minor);
  return SEG_OK;
}

static int32_t fold_known_order(seg_table *table, seg_slot *slot, seg_activity *a, const seg_event *event,
                                seg_history *history, int32_t known, seg_folded *folded, int32_t *parts) {
  const seg_order own = seg_order_of(event);
  const seg_order before = known < 0 ? (seg_order){.at_ms = own.at_ms} : history->orders[known];
  const seg_order after = known < 0 ? own : seg_join_orders(&before, &own);
  const bool was_stated = seg_is_stated(&before), is_stated = seg_is_stated(&after);
  const bool is_same = known >= 0 && !is_refund(event) && seg_orders_are_equal(&before, &after);
  folded->is_restated = event->kind == SEG_PURCHASE ? was_stated : !is_refund(event) && before.flags & SEG_IS_CANCELLED;
  folded->is_quiet = true;
  if (is_same && (!is_stated || event->at_ms <= a->ordered_at_ms)) return SEG_REPEATED;
  if (is_stated || after.refunded_minor) {
    seg_advance_totals(a, event->at_ms);
    if (!was_stated && before.at_ms > event->at_ms) seg_advance_totals(a, before.at_ms);
  }
  if (is_same) return SEG_OK;
  seg_order forgotten;
  if (seg_enter_order(history->orders, &history->order_count, known, &after, &forgotten) &&
      seg_is_stated(&forgotten)) {
    if (!(*parts & SEG_HAS_IDS)) seg_load_history(table, slot, history, SEG_HAS_IDS);
    seg_keep_order(&history->ids, forgotten.digest);
    *parts |= SEG_HAS_IDS;
  }
  *parts |= SEG_HAS_ORDERS;
  *parts |= follow_order(table, slot, a, history, &before, &after, folded);
  return SEG_OK;
}

static int32_t fold_order(seg_table *table, seg_slot *slot, seg_activity *a, const seg_event *event,
                          seg_history *history, seg_folded *folded, int32_t *parts) {
  const uint64_t order = __builtin_bswap64(event->order_digest);
  if (is_refund(event)) {
    const uint64_t digest = __builtin_bswap64(event->event_digest);
    seg_load_history(table, slot, history, SEG_HAS_IDS);
    if (seg_knows_refund(&history->ids, digest)) return SEG_REPEATED;
    seg_keep_refund(&history->ids, digest);
    *parts = SEG_HAS_IDS;
  }
  seg_load_history(table, slot, history, SEG_HAS_ORDERS);
  const int32_t known = seg_find_order(history->orders, history->order_count, order);
  if (known < 0 && slot->ids_class) {
    const seg_bytes ids = seg_blob_of(&table->ids_of_events, seg_slot_ids(slot));
    if (seg_knows_order(ids.data, ids.size, order)) return fold_old_order(a, event);
  }
  return fold_known_order(table, slot, a, event, history, known, folded, parts);
}

int32_t seg_fold(seg_table *table, int64_t row, seg_activity *activity, const seg_event *event, seg_folded *folded) {
  if (row < 0 || row >= table->count) return SEG_OUT_OF_RANGE;
  seg_slot *slot = &table->slots[row];
  seg_history history;
  seg_activity a = *activity;
  int32_t parts = 0;
  *folded = (seg_folded){false, false};
  const int32_t status = event->kind == SEG_ENGAGEMENT
                             ? fold_engagement(table, slot, &a, event, &history, folded, &parts)
                             : fold_order(table, slot, &a, event, &history, folded, &parts);
  if (status != SEG_OK) return status;
  if (parts && seg_store_history(table, slot, &history, parts) != SEG_OK) return SEG_NO_MEMORY;
  *activity = a;
  return SEG_OK;
}

int32_t seg_fold_all(seg_table *table, const seg_columns *columns, int64_t n, const int64_t *rows,
                     const seg_event *events, uint8_t *outcomes) {
  enum { AHEAD = 8 };
  for (int64_t i = 0; i < n; i++) {
    seg_folded folded;
    if (i + AHEAD < n) seg_table_prefetch(table, columns, rows[i + AHEAD]);
    if (rows[i] < 0 || rows[i] >= table->count) return SEG_OUT_OF_RANGE;
    const int32_t status = seg_fold(table, rows[i], &columns->activity[rows[i]], &events[i], &folded);
    if (status < 0) return status;
    outcomes[i] = (uint8_t)(status == SEG_REPEATED  ? SEG_FOLD_REPEATED
                            : status == SEG_TOO_OLD ? SEG_FOLD_TOO_OLD
                            : folded.is_quiet       ? SEG_FOLD_QUIET
                                                    : SEG_FOLDED);
  }
  return SEG_OK;
}
