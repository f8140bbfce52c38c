/* Notices → `segment-upcoming` as JSON: who will leave a segment by time alone, and who was about to and does not.
 *
 * Theory. A definition may ask to be told so long before silence moves a customer out of a segment (`lead`). A notice
 * says when that will be and where to; a second one, that it has been averted: the customer has acted, or a version has
 * changed. Notices of a customer and a segmentation have a sequence of their own, and ids that no migration has.
 *
 * Contract: see seg_describe_notices. Bounds: each index, instant and length of a notice is checked before anything is
 * written of it.
 */
#include "outputs.h"

#define ID_AT 14 /* where in a notice its id stands */

static const char *const statuses[] = {"upcoming", "averted"};

static bool is_known_notice(const seg_notice *n, const seg_presentation *p) {
  const int32_t count = p->form.target_count;
  return n->cause >= SEG_PURCHASE && n->cause <= SEG_ERASURE && n->code > 0 && n->code <= SEG_CODE_MAX &&
         n->target >= SEG_NOWHERE && n->target < count && n->next_target >= SEG_NOWHERE && n->next_target < count &&
         (n->status == SEG_UPCOMING || n->status == SEG_AVERTED) && n->lead_ms > 0 && n->lead_ms % SEG_SECOND_MS == 0 &&
         n->leaves_at_ms <= SEG_LAST_INSTANT_MS;
}

/* Takes what is written of a notice; false if something leads out of what was handed over. */
static bool take_notice(const seg_description *d, int64_t number, seg_told *t) {
  const seg_notice *const n = d->notices + number;
  if (n->segmentation < 0 || n->segmentation >= d->presentation_count) return false;
  *t = (seg_told){.p = d->presentations[n->segmentation], .cause = n->cause, .partition = d->partition};
  return is_known_notice(n, t->p) && t->p->references[n->code].data &&
         seg_take_text(&d->customers, number, &t->customer) && seg_take_event(d, n->event, t);
}

/* `3d`, as definitions say it: in the largest unit of which it is a multiple. */
static void add_lead(seg_text *text, int64_t lead_ms) {
  static const struct {
    int64_t ms;
    const char *name;
  } units[] = {{SEG_DAY_MS, "d"}, {3600 * SEG_SECOND_MS, "h"}, {60 * SEG_SECOND_MS, "m"}, {SEG_SECOND_MS, "s"}};
  size_t i = 0;
  while (lead_ms % units[i].ms != 0) i++;
  seg_add_integer(text, lead_ms / units[i].ms);
  seg_add_string(text, units[i].name);
}

static void describe(seg_describer *d, const seg_notice *n, const seg_told *t, seg_range *time) {
  seg_text *const text = &d->records;
  SEG_ADD(text, "{\"notice_id\":\"");
  seg_add_id(text, &d->scratch, t, n->sequence, "upcoming");
  SEG_ADD(text, "\",\"sequence\":");
  seg_add_integer(text, n->sequence);
  SEG_ADD(text, ",\"customer_id\":\"");
  seg_add_escaped(text, t->customer);
  SEG_ADD(text, "\",\"segmentation\":");
  seg_add_span(text, t->p->texts[SEG_NAME]);
  SEG_ADD(text, ",\"segment\":");
  seg_add_reference(text, t->p, (int16_t)n->code);
  SEG_ADD(text, ",\"leaves_at\":\"");
  seg_add_instant(text, n->leaves_at_ms);
  SEG_ADD(text, "\",\"to_segment\":");
  seg_add_reference(text, t->p, seg_presented_code(t->p, n->target));
  SEG_ADD(text, ",\"lead\":\"");
  add_lead(text, n->lead_ms);
  SEG_ADD(text, "\",\"status\":\"");
  seg_add_string(text, statuses[n->status]);
  SEG_ADD(text, "\",\"decided_at\":\"");
  time->at = text->size;
  seg_add_instant(text, n->decided_at_ms);
  time->size = text->size - time->at;
  SEG_ADD(text, "\",\"cause\":");
  seg_add_cause(text, t);
  SEG_ADD(text, ",\"model_version\":");
  seg_add_integer(text, t->p->form.version);
  SEG_ADD(text, ",\"next_move\":");
  seg_add_next_move(text, t->p, n->next_at_ms, n->next_target);
  SEG_ADD(text, ",\"holdout\":");
  seg_add_holdout(text, &d->scratch, t);
  SEG_ADD(text, "}");
}

int32_t seg_describe_notices(seg_describer *describer, seg_description *d) {
  seg_begin(describer);
  for (int64_t i = 0; i < d->notice_count; i++) {
    const seg_notice *const n = d->notices + i;
    const seg_ends begin = seg_ends_of(describer);
    seg_told t;
    seg_range time;
    if (!take_notice(d, i, &t)) return SEG_OUT_OF_RANGE;
    describe(describer, n, &t, &time);
    const seg_sort sort = {"upcoming", statuses[n->status], ID_AT, time};
    if (!seg_end_record(describer, &t, &sort, &d->source, &begin, d->described + i)) return SEG_OUT_OF_RANGE;
    d->described[i].membership_size = -1;
    if (seg_has_failed(describer)) return SEG_NO_MEMORY;
  }
  seg_hand_over(describer, d);
  return SEG_OK;
}
