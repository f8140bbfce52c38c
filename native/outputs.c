/* Moves → migrations and memberships as JSON, the bytes that `segment-migrations` and `segment-memberships` consist of.
 *
 * Theory. A migration is written once, from front to back, into a text of the describer's
 * that keeps its size from chunk to chunk. Why a learned model has moved a customer is told here, but for one thing: of a
 * move whose cause is the model, `told` is what in the model has changed, the inside of a JSON string. Why rules have is
 * told here, too, by the facts that the step has left. Of the moves of all other kinds `told` is the whole explanation,
 * as JSON.
 *
 * Contract: see seg_describe. Bounds: each index and each length of a move is checked before anything is written of it;
 * numbers may be any. Ids are UTF-8 as they were read, and are not checked again.
 */
#include "outputs.h"

#include <stdlib.h>

#define ID_AT 17 /* where in a migration its id stands */

static const char *const changes[] = {"entered", "moved", "lapsed", "returned", "left"};
static const char *const axes[] = {"order_rate", "engagement_rate", "order_value"};

/* All that is written of one move. */
typedef struct told_move {
  seg_told of;
  const seg_move *move;
  const seg_fact *facts; /* of rules */
  seg_span told;
  int16_t from_code, to_code;
  int64_t decided_at_ms;
} told_move;

/* --- checks --- */

static bool is_known_move(const seg_move *m, const seg_presentation *p) {
  const int32_t count = p->form.target_count;
  const bool may_leave = m->cause == SEG_MERGE || m->is_barred; /* nobody else leaves a model */
  const bool must_be = p->form.kind == SEG_KIND_LEARNED && !may_leave;
  const int32_t first = must_be ? 0 : SEG_NOWHERE;
  return m->cause >= SEG_PURCHASE && m->cause <= SEG_ERASURE && m->change >= SEG_ENTERED && m->change <= SEG_LEFT &&
         m->from_code >= 0 && m->from_code <= SEG_CODE_MAX && m->target >= first && m->target < count &&
         m->next_target >= SEG_NOWHERE && m->next_target < count;
}

static bool take_facts(const seg_description *d, told_move *t) {
  const seg_move *const m = t->move;
  if (m->facts_at < 0 || m->fact_count < 0 || m->facts_at > d->fact_count) return false;
  if (m->fact_count > d->fact_count - m->facts_at) return false;
  if (!m->fact_count) return true;
  t->facts = d->facts + m->facts_at;
  for (int32_t i = 0; i < m->fact_count; i++) {
    if (t->facts[i].condition < 0 || t->facts[i].condition >= t->of.p->form.condition_count) return false;
  }
  return true;
}

/* Takes what is written of a move; false if something leads out of what was handed over. */
static bool take_move(const seg_description *d, int64_t number, told_move *t) {
  const seg_move *move = d->moves + number;
  if (move->segmentation < 0 || move->segmentation >= d->presentation_count) return false;
  const seg_presentation *const p = d->presentations[move->segmentation];
  *t = (told_move){.of = {.p = p, .cause = move->cause, .partition = d->partition}, .move = move};
  if (!is_known_move(move, p) || !seg_take_text(&d->customers, number, &t->of.customer)) return false;
  if (d->told.count && !seg_take_text(&d->told, number, &t->told)) return false;
  const int32_t kind = p->form.kind;
  if (!seg_take_event(d, move->event, &t->of)) return false;
  t->from_code = (int16_t)move->from_code;
  t->to_code = seg_presented_code(p, move->target);
  t->decided_at_ms = move->decided_at_ms > move->effective_at_ms ? move->decided_at_ms : move->effective_at_ms;
  if (t->of.ends || move->is_barred) return t->to_code == 0 && t->of.event;
  if (kind == SEG_KIND_LEARNED) return move->target >= 0;
  return kind == SEG_KIND_RULES ? take_facts(d, t) : t->told.size > 0;
}

/* --- parts --- */

static void add_direction(seg_text *text, const seg_presentation *p, int16_t from_code, int16_t to_code) {
  const int32_t from = p->levels[from_code];
  const int32_t to = p->levels[to_code];
  if (from == SEG_NO_LEVEL || to == SEG_NO_LEVEL) {
    SEG_ADD(text, "null");
  } else {
    seg_add_string(text, to > from ? "\"up\"" : to < from ? "\"down\"" : "\"sideways\"");
  }
}

/* --- why a learned model has moved a customer --- */

static void add_decisive(seg_text *text, const seg_case *c, int32_t change) {
  enum { NEW = SEG_ROLES };
  if (change == SEG_ENTERED) {
    SEG_ADD(text, "null");
    return;
  }
  SEG_ADD(text, "\"");
  if (c->cause == SEG_MODEL) {
    SEG_ADD(text, "model");
  } else if (c->target > NEW || c->origin > NEW || c->origin < 0) {
    SEG_ADD(text, "silence");
  } else if (c->origin == NEW && c->cause == SEG_LAPSE) {
    SEG_ADD(text, "tenure");
  } else {
    seg_add_string(text, axes[c->axis]);
  }
  SEG_ADD(text, "\"");
}

static void add_sentence(seg_text *text, const told_move *t, const seg_case *c) {
  if (t->of.event) {
    seg_add_event(text, t->of.p, t->of.event, t->of.type, t->move->change);
    seg_add_facts_of_act(text, t->of.p, c, t->from_code);
  } else if (t->move->cause == SEG_LAPSE) {
    seg_add_silence_grew(text, t->of.p, c);
  } else {
    seg_add_span(text, t->move->cause == SEG_MODEL ? t->told : t->of.p->texts[SEG_IS_NEW]);
    SEG_ADD(text, ": ");
    seg_add_standing(text, t->of.p, c);
  }
  SEG_ADD(text, "; ");
  seg_add_path(text, t->of.p, t->from_code, t->to_code);
  SEG_ADD(text, ".");
}

static void add_learned_explanation(seg_text *text, const told_move *t) {
  const seg_case c = seg_case_of(t->of.p, t->move);
  SEG_ADD(text, "{\"kind\":\"learned\",\"before\":");
  if (t->move->change == SEG_ENTERED || !c.has_before) {
    SEG_ADD(text, "null");
  } else {
    seg_add_figures(text, &c.before, t->of.p->form.digits);
  }
  SEG_ADD(text, ",\"after\":");
  seg_add_figures(text, &c.after, t->of.p->form.digits);
  SEG_ADD(text, ",\"decisive\":");
  add_decisive(text, &c, t->move->change);
  SEG_ADD(text, ",\"margin\":");
  if (c.has_margin) {
    seg_add_number(text, c.margin, SEG_DIGITS_MAX);
  } else {
    SEG_ADD(text, "null");
  }
  SEG_ADD(text, ",\"statement\":\"");
  seg_add_span(text, t->of.p->statements[t->move->target]);
  SEG_ADD(text, "\",\"sentence\":\"");
  add_sentence(text, t, &c);
  SEG_ADD(text, "\"}");
}

/* Of an id that another one stands for from then on. */
static void add_end(seg_text *text, const told_move *t) {
  SEG_ADD(text, "{\"kind\":\"definition\",\"sentence\":\"Goes by the id ");
  seg_add_escaped(text, t->of.other);
  SEG_ADD(text, " from now on; ");
  seg_add_path(text, t->of.p, t->from_code, t->to_code);
  SEG_ADD(text, ".\"}");
}

/* Of who is not to be known any more. */
static void add_bar(seg_text *text, const told_move *t) {
  SEG_ADD(text, "{\"kind\":\"definition\",\"sentence\":\"");
  if (t->move->cause == SEG_ERASURE) {
    SEG_ADD(text, "Erased on request; ");
  } else {
    SEG_ADD(text, "No consent to segmentation; ");
  }
  seg_add_path(text, t->of.p, t->from_code, t->to_code);
  SEG_ADD(text, ".\"}");
}

/* --- records --- */

/* What the customer agrees to, of the purposes of which anything is told. */
static void add_consents(seg_text *text, const seg_description *d, const told_move *t) {
  const uint32_t consents = t->move->consents;
  bool is_next = false;
  if (!consents) return;
  SEG_ADD(text, ",\"consents\":{");
  for (int32_t p = 0; p < SEG_PURPOSES_MAX; p++) {
    seg_span name;
    if (!(consents >> 2 * p & 1) || !seg_take_text(&d->purposes, p, &name)) continue;
    if (is_next) SEG_ADD(text, ",");
    is_next = true;
    seg_add_span(text, name);
    seg_add_string(text, consents >> (2 * p + 1) & 1 ? ":true" : ":false");
  }
  SEG_ADD(text, "}");
}

static void add_head(seg_text *text, seg_text *scratch, const told_move *t) {
  SEG_ADD(text, "{\"migration_id\":\"");
  seg_add_id(text, scratch, &t->of, t->move->sequence, "");
  SEG_ADD(text, "\",\"sequence\":");
  seg_add_integer(text, t->move->sequence);
  SEG_ADD(text, ",\"customer_id\":\"");
  seg_add_escaped(text, t->of.customer);
  SEG_ADD(text, "\",\"segmentation\":");
  seg_add_span(text, t->of.p->texts[SEG_NAME]);
  SEG_ADD(text, ",\"from_segment\":");
  seg_add_reference(text, t->of.p, t->from_code);
  SEG_ADD(text, ",\"to_segment\":");
  seg_add_reference(text, t->of.p, t->to_code);
  SEG_ADD(text, ",\"change\":\"");
  seg_add_string(text, changes[t->move->change]);
  SEG_ADD(text, "\",\"direction\":");
  add_direction(text, t->of.p, t->from_code, t->to_code);
  SEG_ADD(text, ",\"effective_at\":\"");
}

/* Minor units; none where the move is made by the first event, before which there is no state. */
static int64_t revenue_before_of(const seg_move *move) {
  return move->after.first_at_ms == move->effective_at_ms ? 0 : move->before.revenue_minor;
}

static void add_tail(seg_text *text, seg_text *scratch, const seg_description *d, const told_move *t) {
  SEG_ADD(text, "\",\"decided_at\":\"");
  seg_add_instant(text, t->decided_at_ms);
  SEG_ADD(text, "\",\"cause\":");
  seg_add_cause(text, &t->of);
  SEG_ADD(text, ",\"model_version\":");
  seg_add_integer(text, t->of.p->form.version);
  SEG_ADD(text, ",\"explanation\":");
  if (t->of.ends) {
    add_end(text, t);
  } else if (t->move->is_barred) {
    add_bar(text, t);
  } else if (t->of.p->form.kind == SEG_KIND_LEARNED) {
    add_learned_explanation(text, t);
  } else if (t->of.p->form.kind == SEG_KIND_RULES) {
    const seg_rules_case c = {t->move, t->of.event, t->of.type, t->facts, t->from_code, t->to_code};
    seg_add_rules_explanation(text, t->of.p, &c);
  } else {
    seg_add_span(text, t->told);
  }
  SEG_ADD(text, ",\"next_move\":");
  seg_add_next_move(text, t->of.p, t->move->next_at_ms, t->move->next_target);
  SEG_ADD(text, ",\"holdout\":");
  seg_add_holdout(text, scratch, &t->of);
  SEG_ADD(text, ",\"revenue_before\":");
  seg_add_major(text, revenue_before_of(t->move), t->of.p->form.digits);
  add_consents(text, d, t);
  if (t->of.ends) {
    SEG_ADD(text, ",\"merged_into\":\"");
    seg_add_escaped(text, t->of.other);
    SEG_ADD(text, "\"");
  }
  SEG_ADD(text, "}");
}

static void add_membership(seg_text *text, const seg_description *d, const told_move *t) {
  SEG_ADD(text, "{\"customer_id\":\"");
  seg_add_escaped(text, t->of.customer);
  SEG_ADD(text, "\",\"segmentation\":");
  seg_add_span(text, t->of.p->texts[SEG_NAME]);
  SEG_ADD(text, ",\"segment\":");
  seg_add_reference(text, t->of.p, t->to_code);
  SEG_ADD(text, ",\"since\":\"");
  seg_add_instant(text, t->move->effective_at_ms);
  SEG_ADD(text, "\",\"sequence\":");
  seg_add_integer(text, t->move->sequence);
  SEG_ADD(text, ",\"model_version\":");
  seg_add_integer(text, t->of.p->form.version);
  SEG_ADD(text, ",\"as_of\":\"");
  seg_add_instant(text, t->decided_at_ms);
  SEG_ADD(text, "\",\"next_move\":");
  seg_add_next_move(text, t->of.p, t->move->next_at_ms, t->move->next_target);
  add_consents(text, d, t);
  SEG_ADD(text, "}");
}

/* Writes all texts of a move; false if one of them is longer than anybody can say. */
static bool describe(seg_describer *d, const seg_description *of, const told_move *t, seg_described *out) {
  const seg_ends begin = seg_ends_of(d);
  add_head(&d->records, &d->scratch, t);
  const size_t instant = d->records.size;
  seg_add_instant(&d->records, t->move->effective_at_ms);
  const seg_range time = {instant, d->records.size - instant};
  add_tail(&d->records, &d->scratch, of, t);
  const bool is_somewhere = t->of.p->references[t->to_code].data != NULL;
  if (is_somewhere) add_membership(&d->memberships, of, t);
  const seg_sort sort = {"migration", changes[t->move->change], ID_AT, time};
  if (!seg_end_record(d, &t->of, &sort, &of->source, &begin, out)) return false;
  if (!is_somewhere) out->membership_size = -1;
  return true;
}

int32_t seg_describe(seg_describer *describer, seg_description *d) {
  seg_begin(describer);
  for (int64_t i = 0; i < d->move_count; i++) {
    told_move t;
    if (!take_move(d, i, &t) || !describe(describer, d, &t, d->described + i)) return SEG_OUT_OF_RANGE;
    if (seg_has_failed(describer)) return SEG_NO_MEMORY;
  }
  seg_hand_over(describer, d);
  return SEG_OK;
}

int32_t seg_deciding_axes(const seg_presentation *p, int64_t n, const seg_move *moves, int32_t *out) {
  if (p->form.kind != SEG_KIND_LEARNED) return SEG_OUT_OF_RANGE;
  for (int64_t i = 0; i < n; i++) {
    if (!is_known_move(moves + i, p) || moves[i].target < 0) return SEG_OUT_OF_RANGE;
    out[i] = seg_case_of(p, moves + i).axis;
  }
  return SEG_OK;
}
