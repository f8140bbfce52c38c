/* Somebody is not to be known: consent is missing or withdrawn, or the customer is to be forgotten.
 *
 * Theory. What was said last of each purpose of consent is a trait of a reserved name (traits.c), so it is kept, merged
 * and looked at by conditions as traits are. Of SEGMENTATION depends whether a customer is known at all: what was said of
 * it decides; where nothing was, the default of its jurisdiction does, of the longest part of it that has one (US-CA, then
 * US); and where that says nothing either, the default of everybody.
 *
 * Who may not be known is *barred*: it leaves each segment by one move to nowhere, what was folded is deleted, and of the
 * row remain the sequences of its memberships, which is where a later one goes on, and the statements. Its events are
 * counted and not folded; no time passes for it. Once it may be known, it begins anew, at the instant of the statement
 * that says so (SINCE, a trait without a value): what happened before that, and comes later, is not folded either, or
 * deliveries that are repeated would bring back what was deleted. Statements count when they come, as late events do; one
 * that is older than the last of its purpose changes nothing.
 *
 * An erasure does the same, keeps nothing, and leaves a row as new that is to be removed; whoever acts under that id
 * later is somebody new, and whoever calls has to know which events may not come back.
 *
 * Contract. As that of a step (step.c). Rows that are barred or erased have nothing folded and no membership.
 *
 * Bounds. As those of a step. */
#include <string.h>

#include "step.h"

enum { SEGMENTATION_PURPOSE = 0 };
#define SEGMENTATION SEG_STATEMENTS "segmentation"
#define JURISDICTION SEG_STATEMENTS "jurisdiction"
#define SINCE SEG_STATEMENTS "since"

/* --- who may be known --- */

/* Whether a purpose opts in by what is said of a jurisdiction; false if nothing is said of this one. */
static bool look_up(const seg_step *step, int32_t purpose, const uint8_t *text, int64_t size, bool *opts_in) {
  enum { HEADER = 3 };
  const uint8_t *at = step->jurisdictions;
  int64_t left = step->jurisdictions_size;
  for (; left >= HEADER && left - HEADER >= at[0]; left -= HEADER + at[0], at += HEADER + at[0]) {
    if (at[0] != size || !(at[1] >> purpose & 1) || memcmp(at + HEADER, text, (size_t)size) != 0) continue;
    *opts_in = at[2] >> purpose & 1;
    return true;
  }
  return false;
}

/* Whether a customer does not agree to a purpose as long as nothing is said of it. */
static bool opts_in(const seg_step *step, int32_t purpose, seg_bytes statements) {
  const seg_trait_seen said = seg_traits_seen(statements, JURISDICTION, sizeof JURISDICTION - 1);
  const seg_bytes jurisdiction = said.kind == SEG_FIELD_TEXT ? said.value : (seg_bytes){NULL, 0};
  bool found;
  for (int64_t size = jurisdiction.size; size > 0; size--) {
    const bool is_whole = size == jurisdiction.size || jurisdiction.data[size] == '-';
    if (is_whole && look_up(step, purpose, jurisdiction.data, size, &found)) return found;
  }
  return step->opts_in >> purpose & 1;
}

static bool is_barred_at_first(const seg_step *step, seg_bytes statements) {
  return opts_in(step, SEGMENTATION_PURPOSE, statements);
}

static bool may_be_known(const seg_step *step, seg_bytes statements) {
  const seg_trait_seen said = seg_traits_seen(statements, SEGMENTATION, sizeof SEGMENTATION - 1);
  if (said.kind == SEG_FIELD_TRUE || said.kind == SEG_FIELD_FALSE) return said.kind == SEG_FIELD_TRUE;
  return !is_barred_at_first(step, statements);
}

uint16_t seg_consents_of(const seg_run *run, int64_t row) {
  const seg_step *step = run->step;
  char name[sizeof SEG_STATEMENTS + UINT8_MAX] = SEG_STATEMENTS;
  if (!step->opts_in && !step->jurisdictions_size && !seg_table_has_statements(run->table)) return 0;
  const seg_bytes statements = seg_table_traits(run->table, row);
  const uint8_t *at = step->purposes;
  uint32_t told = 0;
  int64_t left = step->purposes_size;
  for (int32_t p = 0; p < SEG_PURPOSES_MAX && left >= 1 && left - 1 >= at[0]; left -= 1 + at[0], at += 1 + at[0], p++) {
    memcpy(name + sizeof SEG_STATEMENTS - 1, at + 1, at[0]);
    const seg_trait_seen said = seg_traits_seen(statements, name, (int32_t)sizeof SEG_STATEMENTS - 1 + at[0]);
    const bool is_said = said.kind == SEG_FIELD_TRUE || said.kind == SEG_FIELD_FALSE;
    const bool needs = !is_said && opts_in(step, p, statements);
    if (is_said || needs) told |= (said.kind == SEG_FIELD_TRUE ? 3u : 1u) << 2 * p;
  }
  return (uint16_t)told;
}

bool seg_is_unwanted(const seg_run *run, const seg_event *event, int64_t row) {
  const bool is_stranger_barred = run->step->opts_in >> SEGMENTATION_PURPOSE & 1;
  if (row < 0) return is_stranger_barred;
  const int64_t first_at_ms = run->columns->activity[row].first_at_ms;
  if (first_at_ms == SEG_BARRED_MS) return true;
  if (first_at_ms > SEG_NEVER) return is_stranger_barred;
  if (!seg_table_has_statements(run->table)) return false;
  return event->at_ms < seg_traits_seen(seg_table_traits(run->table, row), SINCE, sizeof SINCE - 1).observed_ms;
}

/* --- barring --- */

int32_t seg_begin_again(seg_run *run, seg_part *part) {
  const int64_t pending = part->pending;
  return pending >= 0 && run->work->pending[pending].ends ? seg_end_instant(run, pending) : SEG_OK;
}

int32_t seg_bar(seg_run *run, seg_pending *pending, int64_t index, bool erases) {
  const int64_t row = run->work->parts[pending->part].row;
  seg_traits *statements = &run->work->traits;
  const seg_bytes had = seg_table_traits(run->table, row);
  if (had.size < 0 || had.size > SEG_TRAITS_MAX) return SEG_OUT_OF_RANGE;
  statements->size = erases ? 0 : had.size;
  if (statements->size) memcpy(statements->data, had.data, (size_t)statements->size);
  seg_traits_keep_statements(statements);
  pending->ends = pending->is_barred = true;
  pending->erases |= erases;
  pending->event = index;
  pending->merge = -1;
  return seg_clear_row(run->table, run->columns, row, erases ? SEG_ERASED_MS : SEG_BARRED_MS,
                       (seg_bytes){statements->data, statements->size});
}

void seg_settle_bar(seg_run *run, const seg_part *part, const seg_pending *pending) {
  const seg_columns *columns = run->columns;
  const int64_t row = part->row;
  if (pending->erases) {
    const int64_t first_at_ms = columns->activity[row].first_at_ms;
    seg_renew_row(run->table, columns, row);
    columns->activity[row].first_at_ms = first_at_ms;
    return;
  }
  for (int64_t m = 0; m < columns->segmentations; m++) {
    seg_membership *of = seg_membership_of(run, row, m);
    *of = (seg_membership){.since_ms = of->since_ms,
                           .assessed_at_ms = of->assessed_at_ms,
                           .sequence = of->sequence,
                           .model_version = of->model_version,
                           .change = of->change};
  }
}

/* --- statements --- */

static seg_bytes kept_of(const seg_step *step, const seg_event *event) {
  const int64_t kept_at = (int64_t)event->text_at + event->customer_size + event->event_id_size + event->type_size;
  return (seg_bytes){step->texts + kept_at, event->kept_size};
}

/* Reads a customer's traits, with what is said, into the workspace; whether that changes them, or a seg_status. */
static int32_t read_with(seg_run *run, int64_t row, seg_bytes kept, int64_t at_ms) {
  seg_traits *traits = &run->work->traits;
  const seg_bytes had = seg_table_traits(run->table, row);
  if (had.size < 0 || had.size > SEG_TRAITS_MAX) return SEG_OUT_OF_RANGE;
  traits->size = had.size;
  if (had.size) memcpy(traits->data, had.data, (size_t)had.size);
  return seg_traits_take(traits, kept, at_ms);
}

static int32_t note(seg_run *run, int64_t row, seg_bytes kept, int64_t at_ms) {
  const int32_t taken = read_with(run, row, kept, at_ms);
  const seg_traits *traits = &run->work->traits;
  return taken < 0 ? taken : seg_table_put_traits(run->table, row, (seg_bytes){traits->data, traits->size});
}

/* Has a customer be known from an instant on, not before. */
static int32_t note_since(seg_run *run, int64_t row, int64_t since_ms) {
  static const uint8_t field[] = {sizeof SINCE - 1, SEG_FIELD_NULL, 0, 0};
  uint8_t kept[sizeof field + sizeof SINCE - 1];
  memcpy(kept, field, sizeof field);
  memcpy(kept + sizeof field, SINCE, sizeof SINCE - 1);
  return note(run, row, (seg_bytes){kept, sizeof kept}, since_ms);
}

int32_t seg_follow_statements(seg_run *run, seg_pending *pending, int64_t index, bool was_barred) {
  const int64_t row = run->work->parts[pending->part].row;
  if (!may_be_known(run->step, seg_table_traits(run->table, row))) return seg_bar(run, pending, index, false);
  if (!was_barred) return SEG_OK;
  const seg_trait_seen said = seg_traits_seen(seg_table_traits(run->table, row), SEGMENTATION, sizeof SEGMENTATION - 1);
  const int64_t said_ms = said.kind >= 0 ? said.observed_ms : run->step->events[index].at_ms;
  return note_since(run, row, said_ms);
}

/* Takes in a statement of a customer whose instant is opened for it, in the state before. */
static int32_t take_at_instant(seg_run *run, int64_t index, seg_part *part, bool is_first, bool was_barred) {
  const seg_event *event = &run->step->events[index];
  const int64_t row = part->row, number = part - run->work->parts;
  const seg_visit visit = seg_visit_of(run, index);
  int32_t status = SEG_OK;
  seg_pending *pending = seg_open_instant(run, number, event->at_ms, is_first, &visit, &status);
  if (pending == NULL) return status;
  status = note(run, row, kept_of(run->step, event), event->at_ms);
  if (status != SEG_OK) return status;
  seg_activity *activity = &run->columns->activity[row];
  if (activity->first_at_ms > SEG_NEVER) activity->first_at_ms = SEG_NEVER;
  if (pending->event < 0) pending->event = index;
  pending->touched.traits = pending->touched.any = 1;
  return seg_follow_statements(run, pending, index, was_barred);
}

int32_t seg_take_consent(seg_run *run, int64_t index) {
  const seg_event *event = &run->step->events[index];
  bool is_new, is_first;
  const int64_t row = seg_find_row(run, index, &is_new);
  if (row < 0) return (int32_t)row;
  const int64_t number = seg_take_part(run, row, &is_first);
  if (number < 0) return SEG_NO_MEMORY;
  seg_part *part = &run->work->parts[number];
  const int64_t first_at_ms = run->columns->activity[row].first_at_ms;
  const bool was_barred = first_at_ms == SEG_BARRED_MS, begins = is_new || first_at_ms > SEG_NEVER;
  int32_t status = read_with(run, row, kept_of(run->step, event), event->at_ms);
  if (status <= 0) return status;
  part->has_events = true;
  const seg_bytes said = {run->work->traits.data, run->work->traits.size};
  const bool is_barred = was_barred || (begins && is_barred_at_first(run->step, said));
  const bool stays = begins && !may_be_known(run->step, said);
  if (begins && !(was_barred && stays)) status = seg_begin_again(run, part);
  if (status < 0) return status;
  if (!stays) return take_at_instant(run, index, part, is_first, is_barred);
  run->columns->activity[row].first_at_ms = SEG_BARRED_MS; /* there is nothing to be ended */
  return note(run, row, kept_of(run->step, event), event->at_ms);
}

int32_t seg_take_erasure(seg_run *run, int64_t index) {
  const seg_event *event = &run->step->events[index];
  const int64_t row = seg_known_row(run, index);
  bool is_first;
  run->step->erasures++;
  if (row < 0) return SEG_OK;
  const int64_t number = seg_take_part(run, row, &is_first);
  if (number < 0) return SEG_NO_MEMORY;
  run->work->parts[number].has_events = true;
  const seg_visit visit = seg_visit_of(run, index);
  int32_t status = SEG_OK;
  seg_pending *pending = seg_open_instant(run, number, event->at_ms, is_first, &visit, &status);
  return pending == NULL ? status : seg_bar(run, pending, index, true);
}
