/* Earlier rows, carried over: what they would say today of a customer whose events are long gone.
 *
 * Theory, until version 4. Rows held the digests of the last 32 events of any kind, and of each order what was completed
 * and refunded under its id, summed up. Their entries become statements of that sum as of their instant; an order that
 * had been told k times keeps counting k times in the totals, as nobody knows what it was told as. An order that was
 * refunded counts as refunded once. The digests of events become ids of engagements, as of the newest day of engagement,
 * and ids of refunds, where there was one; ids of orders that the ledger had forgotten are not known.
 *
 * Theory, versions 1 and 2. Those rows held totals of other half-lives (90 days for orders and revenue, 21 for engaged days), and no
 * gaps, log order values or first purchase. What they remember beside the totals gives most of it back:
 *
 *   - Gaps and engaged days come from the bits of the days. Gaps are exact; engaged days lack those from the 128th day
 *     before the last one on, which earlier versions forgot, and each of which would weigh 5 % or less.
 *   - Decayed orders and revenue, log order values and the first purchase come from the ledger of orders: exact if no
 *     order was ever forgotten, which is certain of fewer than 16. The ledger knows the last completion of an order
 *     only; one that was completed several times counts as if all had been then, and at their mean value.
 *
 * Of forgotten orders only their number and their weight at the old half-life are known. They are taken to have
 * happened at one instant, the one that gives this weight, and not after the oldest order remembered: w of each at 90
 * days is w^1.5 at 60. As that is convex, the result is never too high, and right if they did happen together. Their
 * values are taken to be like those remembered, and the first purchase to be as early as the first event. Decayed
 * totals outgrow such an estimate within a year; log order values and the first purchase stay estimates.
 *
 * Bounds: any numbers are taken. A row of a customer who has purchased, whose ledger is not full and yet has no
 * completed order, says of no instant that it was the first purchase, and is refused. */
#include "table.h"

static const double power = SEG_ORDER_HALF_LIFE_DAYS / 90.0;

typedef struct earlier {
  int64_t first_at_ms, purchased_at_ms, ordered_at_ms, engaged_at_ms, revenue_minor;
  double orders_decayed, revenue_decayed, engagement_decayed, active_days, engaged_days;
  int32_t first_active_day, purchases, refunds, engagements;
} earlier;
_Static_assert(sizeof(earlier) == SEG_EARLIER_ACTIVITY_BYTES, "earlier");

/* What refunds took back of one entry: orders, minor units, log order values. */
static void correct(const seg_earlier_order *order, int32_t *undone, int64_t *minor, double *logs) {
  *undone = 0;
  *minor = order->refunded_minor;
  *logs = 0.0;
  if (!order->completions || !order->refunded_minor) return;
  const int64_t completed = order->completed_minor, refunded = order->refunded_minor;
  const int64_t left = seg_subtract64(completed, completed < refunded ? completed : refunded);
  const double before = seg_log_order_value(seg_divided(completed, order->completions));
  const double after = seg_log_order_value(seg_divided(left, order->completions));
  *undone = left ? 0 : order->completions;
  *minor = seg_subtract64(completed, left);
  *logs = (double)order->completions * (before - after);
}

static bool first_purchase(const earlier *row, const seg_earlier_history *history, int64_t *at_ms) {
  *at_ms = -SEG_NO_TIME;
  if (row->purchased_at_ms == SEG_NO_TIME) return true;
  *at_ms = row->first_at_ms;
  if (history->order_count == SEG_ORDER_LIMIT) return true;
  bool is_known = false;
  for (int32_t i = 0; i < history->order_count; i++) {
    const seg_earlier_order *order = &history->orders[i];
    if (!order->completions || (is_known && order->at_ms >= *at_ms)) continue;
    *at_ms = order->at_ms;
    is_known = true;
  }
  return is_known;
}

/* Adds what forgotten orders were; `orders_left` and `revenue_left` are what those remembered leave of the totals. */
static void add_forgotten(const earlier *row, const seg_earlier_history *history, int64_t remembered,
                          double orders_left, double revenue_left, seg_activity *out) {
  const int64_t forgotten = row->purchases - remembered;
  orders_left = 0.0 > orders_left ? 0.0 : orders_left;
  const double oldest = seg_pow(seg_order_weight(history->orders[0].at_ms, row->ordered_at_ms), power);
  double weight = oldest;
  if (forgotten > 0) {
    weight = orders_left / (double)forgotten;
    if (oldest < weight) weight = oldest;
  }
  const double share = seg_pow(weight, 1.0 / power - 1.0);
  out->orders_decayed += orders_left * share;
  out->revenue_decayed += revenue_left * share;
  if (remembered)
    out->log_order_values *= seg_divided(row->purchases, remembered);
  else if (row->purchases > 0)
    out->log_order_values = row->purchases * seg_log_order_value(seg_divided(row->revenue_minor, row->purchases));
}

static void total_orders(const earlier *row, const seg_earlier_history *history, seg_activity *out) {
  int64_t remembered = 0;
  double orders_left = row->orders_decayed, revenue_left = row->revenue_decayed;
  for (int32_t i = 0; i < history->order_count; i++) {
    const seg_earlier_order *order = &history->orders[i];
    int32_t undone;
    int64_t taken_back;
    double logs;
    correct(order, &undone, &taken_back, &logs);
    const double count = order->completions - undone;
    const double minor = (double)seg_subtract64(order->completed_minor, taken_back);
    const double weight = seg_order_weight(order->at_ms, row->ordered_at_ms), earlier_weight = seg_pow(weight, power);
    remembered += order->completions - undone;
    out->orders_decayed += count * weight;
    out->revenue_decayed += minor * weight;
    orders_left -= count * earlier_weight;
    revenue_left -= minor * earlier_weight;
    if (order->completions)
      out->log_order_values +=
          order->completions * seg_log_order_value(seg_divided(order->completed_minor, order->completions)) - logs;
  }
  if (history->order_count == SEG_ORDER_LIMIT)
    add_forgotten(row, history, remembered, orders_left, revenue_left, out);
}

bool seg_carry_over(const seg_table *table, const uint8_t *encoded, const seg_history *history,
                    const seg_earlier_history *had, seg_activity *out) {
  earlier row;
  memcpy(&row, encoded, sizeof row);
  const seg_gaps gaps = seg_total_gaps(&table->weights, history->active);
  *out = (seg_activity){
      .first_at_ms = row.first_at_ms,
      .purchased_at_ms = row.purchased_at_ms,
      .ordered_at_ms = row.ordered_at_ms,
      .engaged_at_ms = row.engaged_at_ms,
      .revenue_minor = row.revenue_minor,
      .engaged_days = seg_total_engaged_days(&table->weights, history->engaged),
      .log_gaps = gaps.logs,
      .log_gaps_squared = gaps.logs_squared,
      .gaps = gaps.count,
      .purchases = row.purchases,
      .refunds = row.refunds,
      .engagements = row.engagements,
  };
  if (!first_purchase(&row, had, &out->first_purchased_at_ms)) return false;
  total_orders(&row, had, out);
  return true;
}

/* --- until version 4 --- */

void seg_unpack_earlier_orders(seg_earlier_order *out, const uint8_t *packed, int32_t count) {
  for (int32_t i = 0; i < count; i++, packed += SEG_EARLIER_ORDER_BYTES) {
    uint16_t completions;
    memcpy(&out[i].digest, packed, 8);
    memcpy(&out[i].at_ms, packed + 8, 8);
    memcpy(&out[i].completed_minor, packed + 16, 8);
    memcpy(&out[i].refunded_minor, packed + 24, 8);
    memcpy(&completions, packed + 32, 2);
    out[i].completions = completions;
  }
}

static seg_order order_of(const seg_earlier_order *had) {
  seg_order order = {.digest = had->digest, .at_ms = had->at_ms, .refunded_minor = had->refunded_minor};
  order.refunds = had->refunded_minor != 0 || !had->completions;
  if (had->completions) {
    order.flags = SEG_IS_STATED;
    order.stated_at_ms = had->at_ms;
    order.stated_minor = had->completed_minor;
  }
  return order;
}

void seg_carry_orders(const seg_table *table, const seg_earlier_history *had, const seg_activity *activity,
                      seg_history *out) {
  const int64_t engaged = seg_day(table, activity->engaged_at_ms);
  out->ids.refund_count = out->ids.order_count = out->ids.engagement_count = 0;
  for (int32_t i = 0; i < had->event_count; i++) {
    if (activity->engagements) seg_keep_engagement(&out->ids, had->events[i], engaged);
    if (activity->refunds) seg_keep_refund(&out->ids, had->events[i]);
  }
  out->order_count = had->order_count;
  for (int32_t i = 0; i < had->order_count; i++) out->orders[i] = order_of(&had->orders[i]);
}
