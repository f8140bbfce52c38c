/* Why a customer moved under a learned model, in words: what it did and what is counted, never what decays.
 *
 * A sentence opens with what happened, goes on with the fact that decided, and ends with the path. The words stand here
 * and nowhere else but for those that depend on configuration (names, statements, the usual order): a presentation
 * brings them along. What in a model has changed is told by Python.
 *
 * Contract: all that is added is the inside of a JSON string. Bounds: targets are indices of a learned roster, checked in
 * outputs.c; numbers may be any.
 */
#include "outputs.h"

enum { OCCASIONAL, BROWSERS, REGULAR, LOYAL, BIG_SPENDERS, CHAMPIONS, VIP, NEW };

#define WHOLE_UNITS_FROM 10.0 /* major units from which on a typical value is told without minor ones */
#define DAYS_A_YEAR 365.0

/* `1 day`, `12 days`; `less than a day` below one. */
static void add_days(seg_text *text, double count) {
  const double whole = seg_nearest(count);
  if (whole < 1.0) {
    SEG_ADD(text, "less than a day");
  } else if (whole == 1.0) {
    SEG_ADD(text, "1 day");
  } else {
    seg_add_whole(text, whole);
    SEG_ADD(text, " days");
  }
}

/* `every day`, `every 12 days`; `less than once a year` beyond one. */
static void add_every(seg_text *text, double count) {
  const double whole = seg_nearest(count);
  if (count > DAYS_A_YEAR) {
    SEG_ADD(text, "less than once a year");
  } else if (whole <= 1.0) {
    SEG_ADD(text, "every day");
  } else {
    SEG_ADD(text, "every ");
    seg_add_whole(text, whole);
    SEG_ADD(text, " days");
  }
}

/* `no order`, `1 order`, `5 orders`. */
static void add_orders(seg_text *text, int64_t count) {
  if (count < 1) {
    SEG_ADD(text, "no order");
  } else if (count == 1) {
    SEG_ADD(text, "1 order");
  } else {
    seg_add_integer(text, count);
    SEG_ADD(text, " orders");
  }
}

/* `5 orders in 12 days, the last 3 days ago`. */
static void add_ordered(seg_text *text, const seg_figures *f) {
  add_orders(text, f->orders);
  if (!f->has_ordered || !f->orders) return;
  const bool is_today = f->order_recency_days < 1.0;
  if (f->orders == 1) {
    if (is_today) return;
    SEG_ADD(text, ", ");
  } else {
    if (seg_nearest(f->order_tenure_days) < 1.0) {
      SEG_ADD(text, " within a day");
    } else {
      SEG_ADD(text, " in ");
      add_days(text, f->order_tenure_days);
    }
    if (is_today) return;
    SEG_ADD(text, ", the last ");
  }
  add_days(text, f->order_recency_days);
  SEG_ADD(text, " ago");
}

static void add_usually(seg_text *text, const seg_case *c, const seg_figures *f) {
  if (c->gaps == 0.0) return;
  SEG_ADD(text, ", usually active ");
  add_every(text, f->usual_gap_days);
}

static void add_comes_about(seg_text *text, const seg_figures *f) {
  SEG_ADD(text, "comes about ");
  add_every(text, f->engagement_interval_days);
}

static bool comes(const seg_presentation *p, const seg_figures *f) {
  return f->has_engaged && p->form.counts_engagement;
}

static void add_comes(seg_text *text, const seg_presentation *p, const seg_figures *f) {
  if (!comes(p, f)) return;
  SEG_ADD(text, ", ");
  add_comes_about(text, f);
}

static void add_last_visit(seg_text *text, const seg_figures *f) {
  SEG_ADD(text, "the last visit ");
  add_days(text, f->has_engaged ? f->engagement_recency_days : 0.0);
  SEG_ADD(text, " ago");
}

static void add_visits(seg_text *text, const seg_figures *f) {
  if (!f->has_engaged) {
    SEG_ADD(text, "no visit so far");
    return;
  }
  add_comes_about(text, f);
  if (f->engagement_recency_days < 1.0) return;
  SEG_ADD(text, ", ");
  add_last_visit(text, f);
}

/* `spends about 45 EUR an order, others about 30 EUR`; false, and nothing, while no usual order is known. */
static bool add_spends(seg_text *text, const seg_presentation *p, const seg_figures *f) {
  if (!f->knows_value) return false;
  SEG_ADD(text, "spends about ");
  if (f->order_value >= WHOLE_UNITS_FROM) {
    seg_add_whole(text, f->order_value);
  } else {
    seg_add_fixed(text, f->order_value, p->form.digits);
  }
  SEG_ADD(text, " ");
  seg_add_span(text, p->texts[SEG_CURRENCY]);
  SEG_ADD(text, " an order, others ");
  seg_add_span(text, p->texts[SEG_USUAL_ORDER]);
  return true;
}

/* `Loyal means orders at least once in 22 days`. */
static void add_meaning(seg_text *text, const seg_presentation *p, int32_t target) {
  seg_add_span(text, p->names[p->codes[target]]);
  SEG_ADD(text, " means ");
  seg_add_span(text, p->statements[target]);
}

void seg_add_event(seg_text *text, const seg_presentation *p, const seg_event *event, seg_span type, int32_t change) {
  if (event->kind == SEG_PROFILE) {
    SEG_ADD(text, "Profile update");
    return;
  }
  if (event->kind == SEG_MERGE) {
    SEG_ADD(text, "Merge with another id");
    return;
  }
  if (event->kind == SEG_CONSENT) {
    SEG_ADD(text, "Statement on consent");
    return;
  }
  if (event->kind == SEG_ENGAGEMENT) {
    SEG_ADD(text, "Engagement (");
    seg_add_escaped(text, type);
    SEG_ADD(text, ")");
  } else if (event->amount_minor == SEG_CANCELS) {
    SEG_ADD(text, "Cancellation of an order");
  } else if (event->amount_minor == SEG_ALL_LEFT) {
    SEG_ADD(text, "Refund of a whole order");
  } else {
    seg_add_string(text, event->kind == SEG_PURCHASE ? "Purchase of " : "Refund of ");
    seg_add_amount(text, event->amount_minor, p->form.digits);
    SEG_ADD(text, " ");
    seg_add_span(text, p->texts[SEG_CURRENCY]);
  }
  if (change == SEG_ENTERED) SEG_ADD(text, ", the first event");
}

void seg_add_path(seg_text *text, const seg_presentation *p, int16_t from_code, int16_t to_code) {
  const seg_span origin = p->names[from_code];
  const seg_span destination = p->names[to_code];
  if (!destination.data) {
    SEG_ADD(text, "leaves");
    if (origin.data) SEG_ADD(text, " ");
    seg_add_span(text, origin);
    return;
  }
  if (!origin.data) SEG_ADD(text, "enters ");
  seg_add_span(text, origin);
  if (origin.data) SEG_ADD(text, " \xe2\x86\x92 "); /* → */
  seg_add_span(text, destination);
}

/* Why a customer who was not active is again. A refund, or an event that comes late, ends no silence. */
static void add_came_back(seg_text *text, const seg_case *c) {
  if (c->after.recency_days > 0.0) {
    add_ordered(text, &c->after);
    return;
  }
  SEG_ADD(text, "back after ");
  add_days(text, c->before.recency_days);
  add_usually(text, c, &c->before);
}

/* What is counted of orders after an act; for one that came in time, how long after the one before. */
static void add_ordered_again(seg_text *text, const seg_case *c) {
  const seg_figures *after = &c->after;
  if (c->cause != SEG_PURCHASE || after->order_recency_days != 0.0) {
    add_ordered(text, after);
  } else if (after->orders == 1) {
    if (c->before.has_ordered) {
      add_ordered(text, after);
    } else {
      SEG_ADD(text, "the first order");
    }
  } else {
    if (c->before.order_recency_days != 0.0) {
      add_days(text, c->before.order_recency_days);
      SEG_ADD(text, " after the last one, ");
    }
    add_ordered(text, after);
  }
}

/* The fact by which an own act moved an active customer. */
static void add_act_counted(seg_text *text, const seg_presentation *p, const seg_case *c) {
  if (c->axis == SEG_VALUE && add_spends(text, p, &c->after)) {
    /* that is it */
  } else if (c->axis == SEG_ENGAGED) {
    add_comes_about(text, &c->after);
  } else {
    add_ordered_again(text, c);
  }
  if (c->target == BIG_SPENDERS && c->axis != SEG_VALUE && c->after.knows_value) {
    SEG_ADD(text, ", ");
    add_spends(text, p, &c->after);
  }
  if (c->failed && p->levels[p->codes[c->target]] <= p->levels[p->codes[c->origin]]) {
    SEG_ADD(text, "; ");
    add_meaning(text, p, c->origin);
  }
}

void seg_add_facts_of_act(seg_text *text, const seg_presentation *p, const seg_case *c, int16_t from_code) {
  if (!from_code) return;
  SEG_ADD(text, ": ");
  if (c->origin > NEW) {
    add_came_back(text, c);
  } else {
    add_act_counted(text, p, c);
  }
}

static void add_silent(seg_text *text, const seg_case *c) {
  SEG_ADD(text, "Silent for ");
  add_days(text, c->after.recency_days);
  if (c->gaps != 0.0) {
    add_usually(text, c, &c->after);
  } else {
    SEG_ADD(text, " since the only active day, customers usually return after ");
    add_days(text, c->after.usual_gap_days);
  }
}

static void add_rarer(seg_text *text, const seg_presentation *p, const seg_case *c) {
  const seg_figures *after = &c->after;
  if (c->axis == SEG_ENGAGED || !after->orders) {
    SEG_ADD(text, "Visits have become rarer: ");
    add_last_visit(text, after);
  } else if ((c->origin == REGULAR || c->origin == BIG_SPENDERS) && comes(p, after)) {
    SEG_ADD(text, "Orders and visits have become rarer: ");
    add_ordered(text, after);
    SEG_ADD(text, ", ");
    add_last_visit(text, after);
  } else {
    seg_add_string(text, after->orders > 1 ? "Orders have become rarer: " : "No further order: ");
    add_ordered(text, after);
  }
  if (c->origin < 0) return; /* silence moves nobody who is in no segment of this model */
  SEG_ADD(text, "; ");
  add_meaning(text, p, c->origin);
}

void seg_add_silence_grew(seg_text *text, const seg_presentation *p, const seg_case *c) {
  if (c->target > NEW) {
    add_silent(text, c);
  } else if (c->origin == NEW) {
    SEG_ADD(text, "No longer new after ");
    seg_add_span(text, p->texts[SEG_NEW_WITHIN]);
    SEG_ADD(text, ": ");
    add_ordered(text, &c->after);
    add_comes(text, p, &c->after);
  } else {
    add_rarer(text, p, c);
  }
}

/* Whoever looks at the customer. */
static void add_as_it_is(seg_text *text, const seg_presentation *p, const seg_case *c) {
  const seg_figures *after = &c->after;
  if (c->target > NEW) {
    SEG_ADD(text, "silent for ");
    add_days(text, after->recency_days);
    add_usually(text, c, after);
    return;
  }
  if (c->target == NEW || !after->orders) {
    SEG_ADD(text, "first seen ");
    add_days(text, after->tenure_days);
    SEG_ADD(text, " ago, ");
    add_orders(text, after->orders);
  } else {
    add_ordered(text, after);
  }
  add_comes(text, p, after);
}

void seg_add_standing(seg_text *text, const seg_presentation *p, const seg_case *c) {
  const bool is_between = c->cause == SEG_MODEL && c->origin >= 0 && c->origin < SEG_ROLES && c->target < SEG_ROLES;
  if (is_between && c->axis == SEG_VALUE && add_spends(text, p, &c->after)) return;
  if (is_between && c->axis == SEG_ENGAGED) {
    add_visits(text, &c->after);
  } else {
    add_as_it_is(text, p, c);
  }
}
