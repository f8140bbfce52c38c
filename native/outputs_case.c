/* On what a move under a learned model was decided: figures before and after, the axis, and the margin.
 *
 * Theory. The axis is the one on which the statement of the role that was left is false; or else the one on which the
 * customer has gone furthest towards the target; or, where it has not, the one on which the target is nearest. Without
 * meaning where no role was left or entered. The margin is the signed distance past the middle between the centres of
 * the two roles; there is none where a false statement decided. Of a move that a version made, the figures before are
 * those of the same instant, by the model before if there was one.
 *
 * Contract: `move` is one whose target and codes have been checked (see outputs.c). Bounds: targets beyond the roles
 * are never used as indices; nothing here allocates.
 */
#include "outputs.h"

enum { OCCASIONAL, BROWSERS, REGULAR, LOYAL, BIG_SPENDERS, CHAMPIONS, VIP, NEW };

#define MARGIN_DIGITS 4
#define APART_MIN 1e-9

static inline double squared(double x) { return x * x; }
static inline bool is_role(int32_t target) { return target >= 0 && target < SEG_ROLES; }
static inline int32_t nearest_role(int32_t target) {
  return target < 0 ? 0 : target >= SEG_ROLES ? SEG_ROLES - 1 : target;
}

static int32_t axis_of_statement(const seg_statements *says, int32_t role, const double axes[SEG_AXES]) {
  if (axes[SEG_ORDERS] > says->orders_max[role]) return SEG_ORDERS;
  if (axes[SEG_VALUE] < says->value_min[role]) return SEG_VALUE;
  return role == BROWSERS ? SEG_ENGAGED : SEG_ORDERS;
}

static int32_t axis_of_distance(const seg_presentation *p, int32_t old, int32_t new, const double earlier[SEG_AXES],
                                const double later[SEG_AXES]) {
  const double *from = p->model.centres[old];
  const double *to = p->model.centres[new];
  double step[SEG_AXES];
  double place[SEG_AXES];
  bool goes = false;
  for (int32_t axis = 0; axis < SEG_AXES; axis++) {
    const double weight = p->squared_weights[axis];
    step[axis] = (later[axis] - earlier[axis]) * (to[axis] - from[axis]) * weight;
    place[axis] = (squared(later[axis] - from[axis]) - squared(later[axis] - to[axis])) * weight;
    goes = goes || step[axis] > 0.0;
  }
  const double *chosen = goes ? step : place;
  double most = -__builtin_inf();
  int32_t found = 0;
  for (int32_t axis = 0; axis < SEG_AXES; axis++) {
    if (!(p->squared_weights[axis] > 0.0)) continue;
    if (chosen[axis] != chosen[axis]) return axis; /* as numpy's argmax, of numbers too large to be compared */
    if (chosen[axis] > most) {
      most = chosen[axis];
      found = axis;
    }
  }
  return found;
}

/* Sets the signed distance past the middle between the centres of two roles, where that decided. */
static void set_margin(seg_case *c, const seg_learned *model, const double axes[SEG_AXES]) {
  double distances[SEG_ROLES];
  c->has_margin = is_role(c->origin) && is_role(c->target) && !c->failed;
  if (!c->has_margin) return;
  seg_ask_distances(1, axes, model->weights, model->centres[0], distances);
  const double apart = seg_max(2.0 * model->separation[c->origin][c->target], APART_MIN);
  c->margin = seg_rounded((distances[c->origin] - distances[c->target]) / apart, MARGIN_DIGITS);
}

static void set_axis(seg_case *c, const seg_presentation *p, const double earlier[SEG_AXES],
                     const double later[SEG_AXES]) {
  const int32_t old = nearest_role(c->origin);
  uint8_t holds[SEG_ROLES];
  seg_ask_hold(1, later, &p->model.statements, holds);
  c->failed = is_role(c->origin) && !holds[old];
  if (c->failed) {
    c->axis = axis_of_statement(&p->model.statements, old, later);
  } else if (c->origin == NEW || c->target >= SEG_ROLES) {
    c->axis = SEG_ORDERS;
  } else {
    c->axis = axis_of_distance(p, old, nearest_role(c->target), earlier, later);
  }
}

static void ask_axes(const seg_quantities *quantities, const seg_told_frame *frame, double axes[SEG_AXES]) {
  seg_ask_axes(1, quantities, frame->knows_order_value != 0, frame->log_order_value, axes);
}

seg_case seg_case_of(const seg_presentation *p, const seg_move *move) {
  const seg_presentation_form *f = &p->form;
  const bool by_version = move->cause == SEG_MODEL || move->cause == SEG_DEFINITION;
  const int64_t before_ms = by_version ? move->effective_at_ms : move->before_ms;
  const seg_quantities after = seg_quantities_at(&move->after, move->effective_at_ms);
  double later[SEG_AXES];
  double earlier[SEG_AXES];
  ask_axes(&after, &f->frame, later);
  seg_case c = {
      .cause = move->cause,
      .origin = p->target_of_code[move->from_code],
      .target = move->target,
      .gaps = (double)move->before.gaps,
      .has_before = move->from_code != 0,
      .after = seg_figures_of(&move->after, &after, later, move->effective_at_ms, &f->frame, f->digits),
  };
  if (c.has_before) {
    const seg_told_frame *frame = move->cause == SEG_MODEL ? &f->previous : &f->frame;
    const seg_quantities before = seg_quantities_at(&move->before, before_ms);
    ask_axes(&before, frame, earlier);
    c.before = seg_figures_of(&move->before, &before, earlier, before_ms, frame, f->digits);
    if (frame != &f->frame) ask_axes(&before, &f->frame, earlier);
    set_axis(&c, p, earlier, later);
  }
  set_margin(&c, &p->model, later);
  return c;
}
