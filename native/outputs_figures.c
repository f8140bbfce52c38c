/* A customer's figures in natural units, as explanations and the `segment-migrations` contract show them.
 *
 * Theory. Axes are logs of rates a day: e^-r and e^-e are days from one order or visit to the next, and e^a of the
 * usual order value is the customer's own. Days have four decimals, money those of its currency, both rounded as
 * numpy's round does. What is not known is null: instants of what never was, an order value that the model does not
 * know.
 *
 * Bounds: any record of activity is taken, also one of nonsense; nothing here indexes or allocates. Differences of
 * instants wrap where a damaged row says nonsense.
 */
#include "outputs.h"

#define FIGURE_DIGITS 4

static const double minor_per_major[SEG_DIGITS_MAX + 1] = {1e0, 1e1, 1e2, 1e3, 1e4};

/* Sets the usual gap and the probability that it still is a customer. */
static void set_rhythm(seg_figures *figures, const seg_quantities *quantities, const seg_rhythm *rhythm) {
  seg_own_rhythm own;
  double usual_gap_days;
  double probability;
  seg_ask_rhythm(1, quantities, rhythm, &own);
  seg_ask_usual_gap(1, &own, &usual_gap_days);
  seg_ask_probability_active(1, &own, &quantities->recency_days, &probability);
  figures->usual_gap_days = seg_rounded(usual_gap_days, FIGURE_DIGITS);
  figures->probability_active = seg_rounded(probability, FIGURE_DIGITS);
}

static double days_since(int64_t at_ms, int64_t then_ms) {
  const int64_t passed_ms = seg_passed_ms(at_ms, then_ms);
  return seg_rounded((double)(passed_ms > 0 ? passed_ms : 0) / (double)SEG_DAY_MS, FIGURE_DIGITS);
}

seg_figures seg_figures_of(const seg_activity *a, const seg_quantities *q, const double axes[SEG_AXES], int64_t at_ms,
                           const seg_told_frame *frame, int32_t digits) {
  seg_figures f = {
      .recency_days = seg_rounded(q->recency_days, FIGURE_DIGITS),
      .tenure_days = seg_rounded(q->tenure_days, FIGURE_DIGITS),
      .order_interval_days = seg_rounded(seg_exp(-axes[SEG_ORDERS]), FIGURE_DIGITS),
      .engagement_interval_days = seg_rounded(seg_exp(-axes[SEG_ENGAGED]), FIGURE_DIGITS),
      .orders = a->purchases > 0 ? a->purchases : 0,
      .has_ordered = a->purchased_at_ms > SEG_NO_TIME,
      .has_engaged = a->engaged_at_ms > SEG_NO_TIME,
      .knows_value = frame->knows_order_value != 0,
  };
  set_rhythm(&f, q, &frame->rhythm);
  if (f.has_ordered) {
    f.order_recency_days = days_since(at_ms, a->purchased_at_ms);
    f.order_tenure_days = days_since(at_ms, a->first_purchased_at_ms);
  }
  if (f.has_engaged) f.engagement_recency_days = days_since(at_ms, a->engaged_at_ms);
  if (f.knows_value) {
    const double major = frame->order_value_minor * seg_exp(axes[SEG_VALUE]) / minor_per_major[digits];
    f.order_value = seg_rounded(major, digits);
  }
  return f;
}

void seg_add_major(seg_text *text, int64_t minor, int32_t digits) {
  seg_add_number(text, (double)minor / minor_per_major[digits], digits);
}

static void add_known(seg_text *text, bool is_known, double number, int32_t digits) {
  if (is_known) {
    seg_add_number(text, number, digits);
  } else {
    SEG_ADD(text, "null");
  }
}

void seg_add_figures(seg_text *text, const seg_figures *f, int32_t digits) {
  SEG_ADD(text, "{\"recency_days\":");
  seg_add_number(text, f->recency_days, FIGURE_DIGITS);
  SEG_ADD(text, ",\"tenure_days\":");
  seg_add_number(text, f->tenure_days, FIGURE_DIGITS);
  SEG_ADD(text, ",\"usual_gap_days\":");
  seg_add_number(text, f->usual_gap_days, FIGURE_DIGITS);
  SEG_ADD(text, ",\"probability_active\":");
  seg_add_number(text, f->probability_active, FIGURE_DIGITS);
  SEG_ADD(text, ",\"orders\":");
  seg_add_integer(text, f->orders);
  SEG_ADD(text, ",\"order_recency_days\":");
  add_known(text, f->has_ordered, f->order_recency_days, FIGURE_DIGITS);
  SEG_ADD(text, ",\"order_tenure_days\":");
  add_known(text, f->has_ordered, f->order_tenure_days, FIGURE_DIGITS);
  SEG_ADD(text, ",\"order_interval_days\":");
  seg_add_number(text, f->order_interval_days, FIGURE_DIGITS);
  SEG_ADD(text, ",\"order_value\":");
  add_known(text, f->knows_value, f->order_value, digits);
  SEG_ADD(text, ",\"engagement_recency_days\":");
  add_known(text, f->has_engaged, f->engagement_recency_days, FIGURE_DIGITS);
  SEG_ADD(text, ",\"engagement_interval_days\":");
  seg_add_number(text, f->engagement_interval_days, FIGURE_DIGITS);
  SEG_ADD(text, "}");
}
