/* Two ids turn out to be one customer's: one row takes the other in, and the other's memberships end.
 *
 * Theory. That two ids are one is an event of both at one instant (SEG_MERGE: the event's customer goes on, and the one
 * that its event id names ends). Silence is passed for both up to it. Then the rows are joined (merging.c), and whoever
 * goes on is assessed in that state, like after any event: memberships are never united. Who ends leaves each segment by
 * one move to nowhere; its row keeps the sequences of its memberships and nothing else, and nobody asks it anything, but
 * if it does something of its own again.
 *
 * If the statements of both on consent say that whoever goes on may not be known, it is barred (barring.c).
 *
 * What comes late counts right after what either was told last, as nothing is told of an instant before something that
 * has been told of the other; so the instant that is open of whoever goes on may have to be closed first.
 *
 * Where both ids are in different tables, the merge is two events: in the one table the id ends (SEG_HANDS_OVER; who asks
 * has its row as it was before), in the other one the customer goes on with a row that was put there under an id of its
 * own, and that stands nowhere (SEG_TAKES_OVER).
 *
 * Contract. As that of a step (step.c). Of an id that has no row, or has ended already, nothing is to be moved.
 *
 * Bounds. As those of a step; one allocation of some 20 KB for the time of a merge. */
#include "step.h"

/* Whether a row has nothing that another one could take in; one that is barred has its statements on consent. */
static bool has_ended(const seg_run *run, int64_t row) {
  const int64_t first_at_ms = run->columns->activity[row].first_at_ms;
  return first_at_ms > SEG_NEVER && first_at_ms != SEG_BARRED_MS;
}

/* Lets an id end at an event; says at which instant that counts. */
static int32_t end_id(seg_run *run, int64_t index, int64_t from, int64_t *at_ms) {
  seg_workspace *work = run->work;
  bool is_first;
  const int64_t part = seg_take_part(run, from, &is_first);
  if (part < 0) return SEG_NO_MEMORY;
  work->parts[part].has_events = true;
  const seg_visit visit = seg_visit_of(run, index);
  int32_t status = SEG_OK;
  seg_pending *ending = seg_open_instant(run, part, run->step->events[index].at_ms, is_first, &visit, &status);
  if (!ending) return status;
  ending->ends = true;
  ending->event = ending->merge = index;
  *at_ms = ending->at_ms;
  return SEG_OK;
}

/* The customer goes on with another row, from an instant on that nothing has been told of that one before. */
static int32_t go_on(seg_run *run, int64_t index, int64_t from, int64_t into, int64_t at_ms) {
  seg_workspace *work = run->work;
  bool is_first;
  const int64_t part = seg_take_part(run, into, &is_first);
  if (part < 0) return SEG_NO_MEMORY;
  work->parts[part].has_events = true;
  const int64_t first_at_ms = run->columns->activity[into].first_at_ms;
  if (first_at_ms > SEG_NEVER) {
    const int32_t begun = seg_begin_again(run, &work->parts[part]);
    if (begun != SEG_OK) return begun;
  }
  const seg_visit visit = seg_visit_of(run, index);
  const int64_t earlier = work->parts[part].pending;
  int32_t status = SEG_OK;
  if (earlier >= 0 && work->pending[earlier].at_ms < at_ms) {
    status = seg_end_instant(run, earlier);
    if (status != SEG_OK) return status;
    is_first = false;
  }
  seg_pending *pending = seg_open_instant(run, part, at_ms, is_first, &visit, &status);
  if (!pending) return status;
  status = seg_merge_rows(run->table, run->columns, run->step->program, &work->ledger, &work->traits, into, from);
  if (status == SEG_OK) status = seg_hand_over_orders(run, from, into);
  if (status != SEG_OK) return status;
  pending->touched.any = pending->touched.must_evaluate = 1;
  pending->acts = seg_has_acted(&run->columns->activity[into]);
  pending->in_session = pending->ends = false;
  pending->event = pending->act = pending->merge = index;
  if (!seg_table_has_statements(run->table) && !run->step->opts_in) return SEG_OK;
  return seg_follow_statements(run, pending, index, first_at_ms == SEG_BARRED_MS);
}

int32_t seg_take_merge(seg_run *run, int64_t index) {
  const seg_event *event = &run->step->events[index];
  const uint8_t *id = run->step->texts + event->text_at + event->customer_size;
  const int64_t part = event->amount_minor;
  const int64_t from = seg_table_find(run->table, id, event->event_id_size, event->event_digest);
  if (from < 0 || has_ended(run, from)) return SEG_OK;
  bool is_new;
  const int64_t into = part == SEG_HANDS_OVER ? -1 : seg_find_row(run, index, &is_new);
  if (into < 0 && part != SEG_HANDS_OVER) return (int32_t)into;
  if (into == from) return SEG_OUT_OF_RANGE;
  int64_t at_ms = seg_latest(event->at_ms, run->columns->closed_at_ms[from]);
  const int32_t status = part == SEG_TAKES_OVER ? SEG_OK : end_id(run, index, from, &at_ms);
  if (status != SEG_OK) return status;
  if (part != SEG_HANDS_OVER) return go_on(run, index, from, into, at_ms);
  return seg_clear_row(run->table, run->columns, from, SEG_MERGED_MS, (seg_bytes){NULL, 0});
}

/* What is common to the moves out of all segments. */
static seg_move leaving(const seg_run *run, const seg_part *part, const seg_pending *pending) {
  seg_move move = seg_own_move(run, pending, pending->event, part->row);
  move.next_at_ms = SEG_NEVER;
  move.next_target = move.target = SEG_NOWHERE;
  move.change = SEG_LEFT;
  move.before = move.after = pending->is_barred ? run->columns->activity[part->row] : pending->before;
  move.is_barred = pending->is_barred;
  return move;
}

static int32_t leave(seg_run *run, seg_part *part, int64_t m, const seg_pending *pending) {
  seg_membership *of = seg_membership_of(run, part->row, m);
  if (of->segment == 0) return SEG_OK;
  seg_move move = leaving(run, part, pending);
  move.segmentation = seg_number_of(run, m);
  move.from_code = of->previous = of->segment;
  of->segment = of->kept = 0;
  of->change = SEG_LEFT;
  of->since_ms = pending->at_ms;
  of->assessed_at_ms = seg_latest(of->assessed_at_ms, pending->at_ms);
  of->model_version = run->step->segmentations[m]->version;
  of->sequence = move.sequence = (int32_t)((uint32_t)of->sequence + 1);
  return seg_note_move(run, part, &move);
}

static int32_t leave_ruled(seg_run *run, seg_part *part, int32_t r, const seg_pending *pending) {
  const seg_columns *columns = run->columns;
  seg_place *place = &columns->places[r * columns->capacity + part->row];
  if (place->segment == 0) return SEG_OK;
  seg_move move = leaving(run, part, pending);
  move.segmentation = seg_number_of(run, columns->segmentations + r);
  move.from_code = place->segment;
  place->segment = 0;
  place->change = SEG_LEFT;
  place->sequence = move.sequence = (int32_t)((uint32_t)place->sequence + 1);
  const int32_t kept = seg_program_kept_since(run->step->program, r);
  if (kept >= 0) columns->since_ms[kept * columns->capacity + part->row] = pending->at_ms;
  return seg_note_move(run, part, &move);
}

int32_t seg_leave_all(seg_run *run, seg_part *part, const seg_pending *pending) {
  int32_t status = SEG_OK;
  for (int64_t m = 0; status == SEG_OK && m < run->columns->segmentations; m++) status = leave(run, part, m, pending);
  for (int32_t r = 0; status == SEG_OK && r < run->shape.segmentations; r++)
    status = leave_ruled(run, part, r, pending);
  return status;
}
