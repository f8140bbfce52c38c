/* A chunk of events, and time, through the table: who moves. The page to read first; stream_app/core/processor.py says
 * what it means.
 *
 * Theory. Events are taken in the order of the log, those of equal instants that stand next to each other as one *run*:
 * what a customer has in a run counts at one instant. There two questions are asked for every segmentation: has silence
 * moved the customer, in the state before, up to then (passing.c)? Does what happened move it, in the state after? So a
 * customer makes one move at most in a segmentation at an instant. What comes late counts right after what the customer
 * was told last, and no instant counts twice: a customer's instants ascend.
 *
 * Sweeps ask nothing by themselves, as the first move that silence makes, and its instant, are known beforehand: a move
 * that is found at an event, or at the end, is told by the first sweep behind its instant, if there is one. A sweep does
 * not include its own instant, as events of that instant may still come. At the end everybody is looked at who had an
 * event, and who may be due by the last sweep.
 *
 * Profiles say what a customer is and are no acts: segmentations of the columns (the learned kind) do not ask about them.
 * Of whom nothing is known but returns of orders that nobody has stated, nobody asks anything.
 *
 * Contract. The caller has made room in the columns for as many new customers as there are events, and cuts chunks
 * between runs. Events lie within `texts`; this is checked. Only rows that are given as changed change, for they alone
 * are written to the changelog.
 *
 * Bounds. Memory: a customer that takes part takes about 150 bytes and 16 for each segmentation, one with events in the
 * run at hand 360 and what its conditions remember. */
#include "step.h"

#include <stdlib.h>
#include <string.h>

#define AHEAD 4 /* events: how long a row's memory is asked for before it is needed */

seg_workspace *seg_workspace_new(void) { return calloc(1, sizeof(seg_workspace)); }

void seg_workspace_free(seg_workspace *w) {
  if (w == NULL) return;
  free(w->told);
  free(w->moves);
  free(w->facts);
  free(w->noticed);
  free(w->notices);
  free(w->parts);
  free(w->starts);
  free(w->codes);
  free(w->pending);
  free(w->snapshots);
  free(w->rows);
  free(w->changed);
  free(w->customers);
  free(w->part_of);
  free(w->dues);
  free(w->targets);
  free(w->found);
  free(w->wanted);
  free(w->holders);
  free(w->owners);
  free(w->unwanted);
  free(w);
}

/* --- who takes part --- */

/* What the customer's memberships say before the step. */
static bool note_start(seg_run *run, int64_t index, int64_t row) {
  seg_workspace *work = run->work;
  const int64_t m = run->columns->segmentations, r = run->columns->ruled;
  if (!seg_reserve(&work->starts, &work->starts_room, (index + 1) * m, sizeof(seg_start)) ||
      !seg_reserve(&work->codes, &work->codes_room, (index + 1) * r, sizeof(int16_t))) {
    return false;
  }
  for (int64_t each = 0; each < m; each++) {
    const seg_membership *of = seg_membership_of(run, row, each);
    work->starts[index * m + each] = (seg_start){.assessed_at_ms = of->assessed_at_ms, .segment = of->segment};
  }
  for (int64_t each = 0; each < r; each++) {
    work->codes[index * r + each] = run->columns->places[each * run->columns->capacity + row].segment;
  }
  return true;
}

int64_t seg_take_part(seg_run *run, int64_t row, bool *is_first) {
  seg_workspace *work = run->work;
  if (row >= work->rows_room) {
    const int64_t had = work->rows_room;
    if (!seg_reserve(&work->part_of, &work->rows_room, row + 1, sizeof(uint32_t))) return -1;
    memset(work->part_of + had, 0, (size_t)(work->rows_room - had) * sizeof(uint32_t));
  }
  *is_first = work->part_of[row] == 0;
  if (!*is_first) return work->part_of[row] - 1;
  const int64_t index = work->part_count;
  if (index >= UINT32_MAX - 1 || !seg_reserve(&work->parts, &work->parts_room, index + 1, sizeof(seg_part)) ||
      !note_start(run, index, row)) {
    return -1;
  }
  work->part_count++;
  work->part_of[row] = (uint32_t)(index + 1);
  work->parts[index] = (seg_part){.row = row, .before = run->columns->activity[row], .pending = -1};
  return index;
}

/* --- events --- */

/* Keeps a copy of some bytes for as long as the run lasts; where it stands, -1 if there is no memory. */
static int64_t keep(seg_workspace *work, seg_bytes bytes) {
  const int64_t at = work->snapshots_size;
  if (!seg_reserve(&work->snapshots, &work->snapshots_room, at + bytes.size, 1)) return -1;
  if (bytes.size) memcpy(work->snapshots + at, bytes.data, (size_t)bytes.size);
  work->snapshots_size += bytes.size;
  return at;
}

seg_pending *seg_open_instant(seg_run *run, int64_t part, int64_t at_ms, bool is_first, const seg_visit *visit,
                              int32_t *status) {
  seg_workspace *work = run->work;
  if (work->parts[part].pending >= 0) return &work->pending[work->parts[part].pending];
  const int64_t row = work->parts[part].row;
  const bool is_known = !seg_is_blank(run, row);
  int64_t due_ms, revised_ms = SEG_NO_TIME;
  if (seg_is_outdated(run, row)) *status = seg_catch_up(run, &work->parts[part], visit, &revised_ms);
  if (*status != SEG_OK) return NULL;
  at_ms = seg_latest(seg_latest(at_ms, revised_ms), seg_closed_ms(run, row) + 1);
  const bool is_calm = is_first && revised_ms == SEG_NO_TIME && at_ms <= run->columns->due_at_ms[row];
  if (is_known && !is_calm) *status = seg_pass_silence(run, &work->parts[part], at_ms, visit, &due_ms);
  if (*status != SEG_OK) return NULL;
  *status = SEG_NO_MEMORY;
  if (!seg_reserve(&work->pending, &work->pending_room, work->pending_count + 1, sizeof(seg_pending))) return NULL;
  seg_pending *pending = &work->pending[work->pending_count];
  *pending = (seg_pending){
      .part = part,
      .at_ms = at_ms,
      .event = -1,
      .act = -1,
      .merge = -1,
      .before = run->columns->activity[row],
      .is_known = is_known,
      .in_session = true,
      .is_sudden = !is_known,
  };
  if (run->step->program != NULL) {
    const seg_bytes ledger = seg_table_ledger(run->table, row), traits = seg_table_traits(run->table, row);
    pending->ledger_at = keep(work, ledger);
    pending->ledger_size = ledger.size;
    pending->traits_at = keep(work, traits);
    pending->traits_size = traits.size;
    if (pending->ledger_at < 0 || pending->traits_at < 0) return NULL;
  }
  *status = SEG_OK;
  work->parts[part].pending = work->pending_count++;
  return pending;
}

/* Enters an event into what rules remember of the customer. */
static int32_t note_for_rules(seg_run *run, const seg_event *event, int64_t row, const seg_folded *folded,
                              seg_pending *pending) {
  if (run->step->program == NULL || (folded->is_restated && folded->is_quiet)) return SEG_OK;
  seg_ledger *ledger = &run->work->ledger;
  const seg_bytes had = seg_table_ledger(run->table, row);
  if (had.size < 0 || had.size > SEG_LEDGER_MAX) return SEG_OUT_OF_RANGE;
  ledger->size = had.size;
  if (had.size) memcpy(ledger->data, had.data, (size_t)had.size);
  seg_touched *touched = &pending->touched;
  const int32_t any = touched->any;
  touched->any = 0;
  seg_program_note(run->step->program, event, run->step->texts, pending->at_ms, folded->is_restated, ledger, touched);
  const bool has_changed = touched->any != 0;
  touched->any |= any;
  if (!has_changed) return SEG_OK;
  return seg_table_put_ledger(run->table, row, (seg_bytes){ledger->data, ledger->size});
}

/* Takes over what a profile says. */
static int32_t take_traits(seg_run *run, const seg_event *event, int64_t row, bool *has_changed) {
  seg_traits *traits = &run->work->traits;
  const seg_bytes had = seg_table_traits(run->table, row);
  if (had.size < 0 || had.size > SEG_TRAITS_MAX) return SEG_OUT_OF_RANGE;
  traits->size = had.size;
  if (had.size) memcpy(traits->data, had.data, (size_t)had.size);
  const int64_t kept_at = (int64_t)event->text_at + event->customer_size + event->event_id_size + event->type_size;
  const seg_bytes kept = {run->step->texts + kept_at, event->kept_size};
  const int32_t taken = seg_traits_take(traits, kept, event->at_ms);
  *has_changed = taken > 0;
  if (taken <= 0) return taken;
  return seg_table_put_traits(run->table, row, (seg_bytes){traits->data, traits->size});
}

static bool lies_within(const seg_step *step, const seg_event *event) {
  const uint64_t size = (uint64_t)event->customer_size + event->event_id_size + event->type_size + event->kept_size;
  const bool is_known = event->kind <= SEG_ENGAGEMENT || (event->kind >= SEG_PROFILE && event->kind <= SEG_ERASURE);
  return is_known && event->text_at + size <= (uint64_t)step->texts_size;
}

int64_t seg_known_row(const seg_run *run, int64_t index) {
  const seg_event *event = &run->step->events[index];
  if (seg_is_unnamed(event)) return seg_row_of_order(run, event->order_digest);
  const int64_t row = run->work->rows[index];
  if (row >= 0) return row;
  const uint8_t *id = run->step->texts + event->text_at;
  return seg_table_find(run->table, id, event->customer_size, event->customer_hash);
}

int64_t seg_find_row(seg_run *run, int64_t index, bool *is_new) {
  const seg_event *event = &run->step->events[index];
  const int64_t row = seg_known_row(run, index);
  *is_new = row < 0 && !seg_is_unnamed(event);
  if (!*is_new) return row;
  const uint8_t *id = run->step->texts + event->text_at;
  return seg_table_insert(run->table, run->columns, id, event->customer_size, event->customer_hash);
}

/* Whoever says how far time comes with each event may not have taken this one at its word; one that does not say whose
 * it is says nothing of time. */
static void pass_event(seg_step *step, const seg_event *event, int64_t index) {
  const int64_t said_ms = seg_is_unnamed(event) ? SEG_NO_TIME : event->at_ms;
  const int64_t reached_ms = step->watermarks_ms != NULL ? step->watermarks_ms[index] : said_ms;
  step->clock.watermark_ms = seg_latest(step->clock.watermark_ms, reached_ms);
}

/* Notes whose an event is that does not say so. */
static int32_t note_owner(seg_workspace *work, const seg_event *event, int64_t row) {
  if (!seg_is_unnamed(event)) return row < 0 ? (int32_t)row : SEG_OK;
  if (!seg_reserve(&work->owners, &work->owners_room, work->owner_count + 1, sizeof(int64_t))) return SEG_NO_MEMORY;
  work->owners[work->owner_count++] = row;
  return SEG_OK;
}

static void count_event(seg_step *step, const seg_event *event, int64_t index) {
  pass_event(step, event, index);
  if (event->at_ms < step->clock.watermark_ms) step->late++;
  else step->applied++;
}

/* Notes that an event is not folded, as nothing is to be known of its customer. */
static int32_t leave_out(seg_run *run, const seg_event *event, int64_t index) {
  seg_workspace *work = run->work;
  pass_event(run->step, event, index);
  if (!seg_reserve(&work->unwanted, &work->unwanted_room, work->unwanted_count + 1, sizeof(int64_t))) return SEG_NO_MEMORY;
  work->unwanted[work->unwanted_count++] = index;
  return seg_is_unnamed(event) ? note_owner(work, event, -1) : SEG_OK;
}

/* Takes in what is no act, and says more than what a customer is. */
static int32_t take_statement(seg_run *run, int64_t index) {
  const seg_event *event = &run->step->events[index];
  count_event(run->step, event, index);
  if (event->kind == SEG_MERGE) return seg_take_merge(run, index);
  return event->kind == SEG_CONSENT ? seg_take_consent(run, index) : seg_take_erasure(run, index);
}

/* Takes one event in; what it leads to is asked at the end of its run. */
static int32_t take_event(seg_run *run, int64_t index) {
  seg_step *step = run->step;
  const seg_event *event = &step->events[index];
  const bool is_profile = event->kind == SEG_PROFILE;
  if (!lies_within(step, event)) return SEG_OUT_OF_RANGE;
  if (event->kind >= SEG_MERGE) return take_statement(run, index);
  bool is_new, is_first, has_changed = true;
  seg_folded folded = {false, false};
  const bool is_unnamed = seg_is_unnamed(event);
  int64_t row = seg_known_row(run, index);
  if (!(is_unnamed && row < 0) && seg_is_unwanted(run, event, row)) {
    return leave_out(run, event, index);
  }
  if (row < 0) row = seg_find_row(run, index, &is_new);
  int32_t status = note_owner(run->work, event, row);
  if (status != SEG_OK || row < 0) return status;
  const int64_t part = seg_take_part(run, row, &is_first);
  if (part < 0) return SEG_NO_MEMORY;
  run->work->parts[part].has_events = true;
  seg_activity after = run->columns->activity[row];
  if (after.first_at_ms == SEG_ERASED_MS) { /* somebody new of this id */
    if ((status = seg_begin_again(run, &run->work->parts[part])) != SEG_OK) return status;
    after.first_at_ms = SEG_NEVER;
  }
  status = is_profile ? SEG_OK : seg_fold(run->table, row, &after, event, &folded);
  if (status < 0) return status;
  if (status == SEG_REPEATED || status == SEG_TOO_OLD) {
    step->duplicates++;
    step->too_old += status == SEG_TOO_OLD;
    return SEG_OK;
  }
  count_event(step, event, index);
  if (!is_profile && (status = seg_note_holder(run, event, row)) != SEG_OK) return status;
  if (!is_profile && !seg_has_acted(&after)) { /* a return of an order that nobody has stated, and nothing else yet */
    run->columns->activity[row] = after;
    return SEG_OK;
  }
  const seg_visit visit = seg_visit_of(run, index);
  seg_pending *pending = seg_open_instant(run, part, event->at_ms, is_first, &visit, &status);
  if (pending == NULL) return status;
  if (is_profile && after.first_at_ms > SEG_NEVER) after.first_at_ms = SEG_NEVER; /* no longer one that has ended */
  run->columns->activity[row] = after;
  if (is_profile) status = take_traits(run, event, row, &has_changed);
  if (status != SEG_OK) return status;
  pending->touched.traits |= is_profile && has_changed;
  pending->touched.any |= is_profile && has_changed;
  pending->acts |= !is_profile;
  pending->in_session &= folded.is_quiet || is_profile;
  if (pending->ends) { /* it goes by this id again */
    pending->ends = false;
    pending->merge = -1;
    pending->is_sudden = true;
  }
  if (pending->merge >= 0) return note_for_rules(run, event, row, &folded, pending);
  if (!folded.is_quiet || pending->event < 0) pending->event = index;
  if (!is_profile && (!folded.is_quiet || pending->act < 0)) pending->act = index;
  return note_for_rules(run, event, row, &folded, pending);
}

/* --- the end of a run --- */

seg_move seg_own_move(const seg_run *run, const seg_pending *pending, int64_t event, int64_t row) {
  const seg_activity *after = &run->columns->activity[row];
  return (seg_move){
      .row = row,
      .position = event + run->sweeps,
      .event = event,
      .effective_at_ms = pending->at_ms,
      .decided_at_ms = seg_decided_at_ms(run),
      .before_ms = pending->at_ms,
      .cause = run->step->events[event].kind,
      .is_own = 1,
      .before = pending->is_known && seg_has_acted(&pending->before) ? pending->before : *after,
      .after = *after,
  };
}

/* Asks a segmentation of the columns where the customer's own act leads. */
static int32_t ask_act(seg_run *run, seg_part *part, int64_t m, const seg_pending *pending, bool *moved) {
  const seg_segmentation *s = run->step->segmentations[m];
  if (!pending->acts || (pending->in_session && !s->weighs_sessions)) return SEG_OK;
  seg_membership *of = seg_membership_of(run, part->row, m);
  const seg_held held = seg_held_of(of);
  const seg_decision decision = seg_acts(s, &run->columns->activity[part->row], pending->at_ms, &held);
  of->assessed_at_ms = seg_latest(of->assessed_at_ms, pending->at_ms);
  if (!decision.moves) return SEG_OK;
  *moved = true;
  seg_move move = seg_own_move(run, pending, pending->act, part->row);
  move.target = decision.target;
  return seg_make_move(run, part, m, &move);
}

/* Asks all rules, if what happened may have changed something. */
static int32_t ask_rules(seg_run *run, seg_part *part, const seg_pending *pending, bool segments_changed) {
  const seg_program *program = run->step->program;
  const seg_columns *columns = run->columns;
  const int64_t row = part->row, at_ms = pending->at_ms;
  if (program == NULL) return SEG_OK;
  const seg_subject now = seg_subject_of(run, row, &columns->activity[row]);
  const bool must = pending->is_sudden || pending->touched.must_evaluate || columns->rules_due_at_ms[row] <= at_ms ||
                    (segments_changed && run->shape.reads_segments);
  if (!must && !pending->touched.any && !(pending->touched.activity && run->shape.reads_activity)) return SEG_OK;
  if (!must && !seg_program_may_move(program, &now, at_ms, &pending->touched, columns->bits + row, columns->capacity,
                                     &columns->rules_due_at_ms[row])) {
    return SEG_OK;
  }
  seg_subject before = now;
  before.activity = &pending->before;
  before.ledger = (seg_bytes){run->work->snapshots + pending->ledger_at, pending->ledger_size};
  before.traits = (seg_bytes){run->work->snapshots + pending->traits_at, pending->traits_size};
  const seg_move common = seg_own_move(run, pending, pending->event, row);
  return seg_follow_rules(run, part, pending->is_known ? &before : NULL, &now, &common);
}

/* Tells what has to be told ahead of moves that time alone will make. */
static int32_t tell_ahead(seg_run *run, seg_part *part, const seg_pending *pending) {
  const seg_move move = seg_own_move(run, pending, pending->event, part->row);
  const seg_cause why = {move.effective_at_ms, move.decided_at_ms, move.position, move.event, move.cause};
  return seg_give_notices(run, part, &why);
}

int32_t seg_end_instant(seg_run *run, int64_t number) {
  const seg_pending *pending = &run->work->pending[number];
  seg_part *part = &run->work->parts[pending->part];
  bool moved = false;
  if (part->pending != number) return SEG_OK;
  part->pending = -1;
  int32_t status = pending->ends ? seg_leave_all(run, part, pending) : SEG_OK;
  const bool is_barred = pending->ends && pending->is_barred;
  for (int64_t m = 0; !pending->ends && m < run->columns->segmentations; m++) {
    status = ask_act(run, part, m, pending, &moved);
    if (status != SEG_OK) return status;
  }
  if (!pending->ends) status = ask_rules(run, part, pending, moved);
  if (status == SEG_OK && run->step->warning_count > 0) status = tell_ahead(run, part, pending);
  if (status != SEG_OK) return status;
  run->columns->closed_at_ms[part->row] = seg_latest(run->columns->closed_at_ms[part->row], pending->at_ms);
  if (is_barred) seg_settle_bar(run, part, pending);
  return SEG_OK;
}

/* Asks what the events of a run have led to, customer by customer. */
static int32_t end_run(seg_run *run) {
  seg_workspace *work = run->work;
  for (int64_t i = 0; i < work->pending_count; i++) {
    const int32_t status = seg_end_instant(run, i);
    if (status != SEG_OK) return status;
  }
  work->pending_count = work->snapshots_size = 0;
  return SEG_OK;
}

static int32_t take_events(seg_run *run) {
  seg_step *step = run->step;
  int32_t status = SEG_OK;
  for (int64_t index = 0; index <= step->event_count; index++) {
    const bool is_end = index == step->event_count;
    const bool sweeps = run->sweeps < step->sweep_count && (is_end || step->sweep_before[run->sweeps] <= index);
    if (is_end || sweeps || (index > 0 && step->events[index].at_ms != step->events[index - 1].at_ms)) {
      status = end_run(run);
      if (status != SEG_OK) return status;
    }
    while (run->sweeps < step->sweep_count && (is_end || step->sweep_before[run->sweeps] <= index)) {
      run->work->customers[run->sweeps++] = seg_table_count(run->table);
    }
    if (is_end) break;
    if (index + AHEAD < step->event_count) {
      seg_table_prefetch(run->table, run->columns, run->work->rows[index + AHEAD]);
    }
    status = take_event(run, index);
    if (status != SEG_OK) return status;
  }
  return SEG_OK;
}

/* --- the end of the step --- */

/* Looks at a customer at the end of the step. */
static int32_t end_part(seg_run *run, seg_part *part) {
  const seg_step *step = run->step;
  const seg_visit visit = {
      .decided_at_ms = seg_last_sweep_ms(run),
      .position = step->event_count + step->sweep_count,
  };
  int64_t due_ms = SEG_NEVER, revised_ms;
  int32_t status = seg_catch_up(run, part, &visit, &revised_ms);
  if (status == SEG_OK) status = seg_pass_silence(run, part, seg_last_sweep_ms(run), &visit, &due_ms);
  run->columns->due_at_ms[part->row] = due_ms;
  return status;
}

/* Looks at everybody who may be due before the last sweep and takes no part yet. */
static int32_t visit_due(seg_run *run, int64_t count_before) {
  const seg_step *step = run->step;
  if (step->sweep_count == 0) return SEG_OK;
  const int64_t until_ms = step->sweep_at_ms[step->sweep_count - 1];
  const int64_t last = step->last_row < count_before ? step->last_row : count_before;
  for (int64_t row = step->first_row > 0 ? step->first_row : 0; row < last; row++) {
    if (run->columns->due_at_ms[row] >= until_ms) continue;
    bool is_first;
    const int64_t part = seg_take_part(run, row, &is_first);
    if (part < 0) return SEG_NO_MEMORY;
    if (!is_first) continue;
    const int32_t status = end_part(run, &run->work->parts[part]);
    if (status != SEG_OK) return status;
  }
  return SEG_OK;
}

/* Adds what a customer puts into the sums of its segment, or takes it out. */
static void add_member(int64_t *sums, const seg_activity *activity, int64_t sign) {
  int64_t values[SEG_MEMBER_SUMS];
  seg_member_values(activity, values);
  for (int i = 0; i < SEG_MEMBER_SUMS; i++) {
    sums[i] = (int64_t)((uint64_t)sums[i] + (uint64_t)sign * (uint64_t)values[i]);
  }
}

/* Keeps the sums over the members of the segments that a customer was and is in. */
static void count_members(const seg_run *run, const seg_part *part, int64_t segmentation, int16_t from, int16_t to) {
  if (run->columns->member_sums == NULL) return;
  int64_t *sums = run->columns->member_sums + segmentation * (SEG_CODE_MAX + 1) * SEG_MEMBER_SUMS;
  if (from > 0) add_member(sums + from * SEG_MEMBER_SUMS, &part->before, -1);
  if (to > 0) add_member(sums + to * SEG_MEMBER_SUMS, &run->columns->activity[part->row], 1);
}

/* Lists the rows that have changed, and lets those that have not be as they were. */
static int32_t settle(seg_run *run) {
  seg_workspace *work = run->work;
  const seg_columns *columns = run->columns;
  const int64_t m = columns->segmentations, r = columns->ruled;
  int64_t changed = 0;
  if (!seg_reserve(&work->changed, &work->changed_room, work->part_count, sizeof(int64_t))) return SEG_NO_MEMORY;
  for (int64_t index = 0; index < work->part_count; index++) {
    const seg_part *part = &work->parts[index];
    const bool has_changed = part->has_events || part->has_moved;
    work->part_of[part->row] = 0;
    if (has_changed) work->changed[changed++] = part->row;
    for (int64_t each = 0; each < m; each++) {
      const seg_start *start = &work->starts[index * m + each];
      seg_membership *of = seg_membership_of(run, part->row, each);
      if (has_changed) count_members(run, part, each, start->segment, of->segment);
      else of->assessed_at_ms = start->assessed_at_ms;
    }
    for (int64_t each = 0; has_changed && each < r; each++) {
      const int16_t from = work->codes[index * r + each];
      count_members(run, part, m + each, from, columns->places[each * columns->capacity + part->row].segment);
    }
  }
  run->step->changed = work->changed;
  run->step->changed_count = changed;
  return SEG_OK;
}

static bool make_room(seg_workspace *work, const seg_columns *columns, const seg_step *step) {
  return seg_reserve(&work->customers, &work->customers_room, step->sweep_count, sizeof(int64_t)) &&
         seg_reserve(&work->rows, &work->event_rows_room, step->event_count, sizeof(int64_t)) &&
         seg_reserve(&work->dues, &work->dues_room, columns->segmentations, sizeof(seg_due)) &&
         seg_reserve(&work->targets, &work->targets_room, columns->ruled, sizeof(int32_t)) &&
         seg_reserve(&work->found, &work->found_room, columns->ruled, sizeof(int16_t));
}

int32_t seg_take_step(seg_workspace *work, seg_table *table, const seg_columns *columns, seg_step *step) {
  const int64_t count_before = seg_table_count(table);
  if (columns->capacity - count_before < step->event_count) return SEG_NO_ROOM;
  seg_run run = {.work = work, .table = table, .columns = columns, .step = step, .swept_at_ms = step->clock.swept_at_ms};
  if (step->program != NULL) {
    seg_program_shape_of(step->program, &run.shape);
    if (run.shape.segmentations > columns->ruled || run.shape.words > columns->words ||
        run.shape.since > columns->since) {
      return SEG_OUT_OF_RANGE;
    }
  }
  work->noticed_count = work->told_count = work->part_count = work->pending_count = work->snapshots_size = work->fact_count = 0;
  work->unwanted_count = 0;
  step->applied = step->late = step->duplicates = step->too_old = step->erasures = 0;
  if (!make_room(work, columns, step)) return SEG_NO_MEMORY;
  int32_t status =
      seg_table_find_events(table, step->events, step->event_count, step->texts, step->texts_size, work->rows);
  if (status == SEG_OK) status = seg_gather_holders(&run);
  if (status == SEG_OK) status = take_events(&run);
  const int64_t with_events = work->part_count;
  for (int64_t index = 0; status == SEG_OK && index < with_events; index++) {
    status = end_part(&run, &work->parts[index]);
  }
  if (status == SEG_OK) status = visit_due(&run, count_before);
  if (status == SEG_OK) status = settle(&run);
  if (status == SEG_OK) status = seg_order_moves(&run);
  step->swept_customers = work->customers;
  step->owners = work->owners;
  step->owner_count = work->owner_count;
  step->unwanted = work->unwanted;
  step->unwanted_count = work->unwanted_count;
  if (step->sweep_count > 0 && step->last_row >= seg_table_count(table)) {
    step->clock.swept_at_ms = step->sweep_at_ms[step->sweep_count - 1];
  }
  return status;
}
