/* Moves: what each means for the customer, and the order in which they are told.
 *
 * Theory. A move changes one membership, is numbered within it, and says when silence moves the customer next. The
 * membership of a segmentation by rules is a place of 8 bytes; which conditions have changed is told by facts.
 *
 * Moves are given in the order of the stream: by the place at which they are told, then by the customer's number, those
 * of silence before those of events, then by segmentation, then as they were made.
 *
 * Bounds. Codes and sequences of restored rows may be anything: they are never used as an index unchecked, and sums wrap.
 * A move takes 328 bytes, a fact 24, of which a move has SEG_FACTS_MAX at most. */
#include <stdlib.h>

#include "step.h"

bool seg_reserve(void *array, int64_t *room, int64_t count, size_t size) {
  if (count <= *room) return true;
  int64_t wanted = *room + *room / 2 + 64;
  if (wanted < count) wanted = count;
  if ((uint64_t)wanted > SIZE_MAX / size) return false;
  void *grown = realloc(*(void **)array, (size_t)wanted * size);
  if (grown == NULL) return false;
  *(void **)array = grown;
  *room = wanted;
  return true;
}

void seg_tell(const seg_run *run, const seg_visit *visit, int64_t found_ms, seg_move *move) {
  const seg_step *step = run->step;
  int64_t low = 0, high = step->sweep_count;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (step->sweep_at_ms[middle] <= found_ms) low = middle + 1;
    else high = middle;
  }
  move->position = visit->position;
  move->decided_at_ms = visit->decided_at_ms;
  if (low < step->sweep_count && step->sweep_before[low] + low < visit->position) {
    move->position = step->sweep_before[low] + low;
    move->decided_at_ms = step->sweep_at_ms[low];
  }
}

static bool is_act(int32_t cause) { return cause < SEG_LAPSE || cause == SEG_MERGE; }

/* What a move means, given the customer's last change. Without an order of segments every move that silence makes is a
 * lapse, and the next own act a return. */
static int32_t change_of(const seg_segmentation *s, int16_t from, int16_t to, int32_t cause, int16_t last) {
  if (to == 0) return SEG_LEFT;
  if (from == 0) return SEG_ENTERED;
  const bool lapses = !s->has_levels || seg_level_of(s, to) < 0;
  const bool returns = s->has_levels ? seg_level_of(s, from) < 0 && !lapses : last == SEG_LAPSED;
  if (cause == SEG_LAPSE && lapses) return SEG_LAPSED;
  if (is_act(cause) && returns) return SEG_RETURNED;
  return SEG_MOVED;
}

int32_t seg_note_move(seg_run *run, seg_part *part, seg_move *move) {
  seg_workspace *work = run->work;
  move->decided_at_ms = seg_latest(move->decided_at_ms, move->effective_at_ms);
  part->has_moved = true;
  if (!seg_reserve(&work->told, &work->told_room, work->told_count + 1, sizeof(seg_told))) return SEG_NO_MEMORY;
  move->consents = seg_consents_of(run, part->row);
  work->told[work->told_count] = (seg_told){.move = *move, .made = work->told_count};
  work->told_count++;
  return SEG_OK;
}

int32_t seg_make_move(seg_run *run, seg_part *part, int64_t m, seg_move *move) {
  const seg_segmentation *s = run->step->segmentations[m];
  seg_membership *of = seg_membership_of(run, move->row, m);
  const int16_t from = of->segment, to = seg_code_of(s, move->target);
  if (!seg_is_lapsed(s, to)) of->kept = to;
  else if (!seg_is_lapsed(s, from)) of->kept = from;
  of->previous = from;
  of->segment = to;
  of->since_ms = move->effective_at_ms;
  of->assessed_at_ms = seg_latest(of->assessed_at_ms, move->effective_at_ms);
  of->sequence = (int32_t)((uint32_t)of->sequence + 1);
  of->model_version = s->version;
  of->change = (int16_t)change_of(s, from, to, move->cause, of->change);
  const seg_held held = seg_held_of(of);
  const seg_due next = seg_silence(s, &move->after, &held, move->effective_at_ms, SEG_NEVER);
  move->segmentation = seg_number_of(run, m);
  move->change = of->change;
  move->sequence = of->sequence;
  move->from_code = from;
  move->next_at_ms = next.at_ms;
  move->next_target = next.target;
  return seg_note_move(run, part, move);
}

/* --- rules --- */

/* Notes which conditions have changed. */
static int32_t note_facts(seg_run *run, int32_t r, const seg_subject *before, const seg_subject *now, seg_move *move) {
  seg_workspace *work = run->work;
  if (!seg_reserve(&work->facts, &work->facts_room, work->fact_count + SEG_FACTS_MAX, sizeof(seg_fact))) {
    return SEG_NO_MEMORY;
  }
  move->facts_at = work->fact_count;
  move->fact_count = seg_program_explain(run->step->program, r, before, move->effective_at_ms - 1, now,
                                         move->effective_at_ms, work->facts + work->fact_count);
  work->fact_count += move->fact_count;
  return SEG_OK;
}

static int32_t move_by_rules(seg_run *run, seg_part *part, int32_t r, const seg_subject *before, const seg_subject *now,
                             const seg_move *common) {
  const seg_columns *columns = run->columns;
  const seg_segmentation *s = run->step->segmentations[columns->segmentations + r];
  seg_place *place = &columns->places[r * columns->capacity + part->row];
  seg_move move = *common;
  const int16_t from = place->segment, to = run->work->found[r];
  const int32_t status = note_facts(run, r, before, now, &move);
  if (status != SEG_OK) return status;
  place->segment = to;
  place->sequence = (int32_t)((uint32_t)place->sequence + 1);
  place->change = (int16_t)change_of(s, from, to, move.cause, place->change);
  const int32_t kept = seg_program_kept_since(run->step->program, r);
  if (kept >= 0) columns->since_ms[kept * columns->capacity + part->row] = move.effective_at_ms;
  move.segmentation = seg_number_of(run, columns->segmentations + r);
  move.change = place->change;
  move.sequence = place->sequence;
  move.from_code = from;
  move.target = run->work->targets[r];
  return seg_note_move(run, part, &move);
}

/* Says of moves that were just made when silence makes the next ones: only now everything is where it belongs. */
static void look_ahead(const seg_run *run, const seg_subject *now, int64_t first) {
  seg_workspace *work = run->work;
  const int64_t m = run->columns->segmentations;
  int64_t at = first;
  for (int32_t r = 0; r < run->shape.segmentations && at < work->told_count; r++) {
    seg_move *move = &work->told[at].move;
    if (move->segmentation != seg_number_of(run, m + r)) continue;
    const seg_due next = seg_program_silence(run->step->program, now, r, move->effective_at_ms, SEG_NEVER);
    move->next_at_ms = next.at_ms;
    move->next_target = next.target;
    at++;
  }
}

int32_t seg_follow_rules(seg_run *run, seg_part *part, const seg_subject *before, const seg_subject *now,
                         const seg_move *common) {
  seg_workspace *work = run->work;
  const seg_columns *columns = run->columns;
  const int64_t row = part->row, first = work->told_count;
  int64_t due_ms = SEG_NEVER;
  seg_program_evaluate(run->step->program, now, common->effective_at_ms, work->targets, work->found,
                       columns->bits + row, columns->capacity, &due_ms);
  for (int32_t r = 0; r < run->shape.segmentations; r++) {
    if (columns->places[r * columns->capacity + row].segment == work->found[r]) continue;
    const int32_t status = move_by_rules(run, part, r, before, now, common);
    if (status != SEG_OK) return status;
  }
  columns->rules_due_at_ms[row] = due_ms;
  columns->rules_outdated[row] = 0;
  look_ahead(run, now, first);
  return SEG_OK;
}

/* --- order --- */

static int compare_told(const void *left, const void *right) {
  const seg_told *a = left, *b = right;
  if (a->move.position != b->move.position) return a->move.position < b->move.position ? -1 : 1;
  if (a->move.row != b->move.row) return a->move.row < b->move.row ? -1 : 1;
  if (a->move.is_own != b->move.is_own) return a->move.is_own - b->move.is_own;
  if (a->move.segmentation != b->move.segmentation) return a->move.segmentation - b->move.segmentation;
  return a->made < b->made ? -1 : 1;
}

static int compare_noticed(const void *left, const void *right) {
  const seg_noticed *a = left, *b = right;
  if (a->position != b->position) return a->position < b->position ? -1 : 1;
  if (a->notice.row != b->notice.row) return a->notice.row < b->notice.row ? -1 : 1;
  return a->made < b->made ? -1 : 1;
}

static bool order_notices(seg_run *run) {
  seg_workspace *work = run->work;
  if (work->noticed_count > 1) {
    qsort(work->noticed, (size_t)work->noticed_count, sizeof(seg_noticed), compare_noticed);
  }
  if (!seg_reserve(&work->notices, &work->notices_room, work->noticed_count, sizeof(seg_notice))) return false;
  for (int64_t i = 0; i < work->noticed_count; i++) work->notices[i] = work->noticed[i].notice;
  run->step->notices = work->notices;
  run->step->notice_count = work->noticed_count;
  return true;
}

int32_t seg_order_moves(seg_run *run) {
  seg_workspace *work = run->work;
  if (work->told_count > 1) qsort(work->told, (size_t)work->told_count, sizeof(seg_told), compare_told);
  if (!seg_reserve(&work->moves, &work->moves_room, work->told_count, sizeof(seg_move))) return SEG_NO_MEMORY;
  for (int64_t i = 0; i < work->told_count; i++) work->moves[i] = work->told[i].move;
  run->step->moves = work->moves;
  run->step->move_count = work->told_count;
  run->step->facts = work->facts;
  run->step->fact_count = work->fact_count;
  return order_notices(run) ? SEG_OK : SEG_NO_MEMORY;
}
