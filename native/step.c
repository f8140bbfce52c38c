/* A chunk of events, and time, through the table: who moves. The page to read first; stream_app/core/processor.py says
 * what it means.
 *
 * Theory. Events are taken in the order of the log. At each, two questions are asked for every segmentation: has
 * silence moved the customer, in the state before, since it was last assessed? Does the event move it, in the state
 * after? A *visit* is an instant at which that is asked: an event, or the end of the chunk, at which only the first
 * question is. Sweeps ask nothing by themselves, as the first move that silence makes, and its instant, are known in
 * closed form: a move found at a visit is told by the first sweep behind its instant, if there is one. At the end
 * everybody is visited who had an event, and who may be due by the last sweep.
 *
 * A customer's clock (assessed_at_ms) never runs backwards: neither behind its last assessment nor behind the last sweep.
 *
 * Moves are given in the order of the stream: by the place at which they are told, then by the customer's number, those
 * of silence before those of the event, then by segmentation, then as they were made.
 *
 * Contract. The caller has made room in the columns for as many new customers as there are events. Events lie within
 * `texts`; this is checked. Codes, sequences and instants of restored rows may be anything: they are never used as an
 * index unchecked, and sums wrap.
 *
 * Only rows that are given as changed change, for they alone are written to the changelog.
 *
 * Bounds. Memory: a move is 312 bytes, a customer that takes part 136 and 16 for each segmentation. Time: the silence of a
 * customer can make only as many moves within a span as its kind has dates for; a kind that would move a customer
 * without end at one instant is stopped by MOVES_MAX.
 */
#include "segmenter.h"

#include <stdlib.h>
#include <string.h>

#define MOVES_MAX 4096 /* of one customer in one span */
#define AHEAD 4        /* events: how long a row's memory is asked for before it is needed */

/* A customer that takes part in a step. */
typedef struct Part {
  int64_t row;
  seg_activity before; /* as it was before the step */
  bool has_moved;
} Part;

/* What a customer's membership said before the step. */
typedef struct Start {
  int64_t assessed_at_ms;
  int16_t segment;
} Start;

typedef struct Told {
  seg_move move;
  int64_t made; /* number in order of making */
} Told;

struct seg_workspace {
  Told *told;
  seg_move *moves;
  Part *parts;
  Start *starts;      /* of each part, m */
  int64_t *rows;      /* of each event, the customer's row before the step; -1 for none */
  int64_t *changed;
  int64_t *customers;
  uint32_t *part_of;  /* by row: 1 + index of its part; 0 if it takes none */
  int64_t told_count, told_room, moves_room, part_count, parts_room, changed_room, customers_room, rows_room;
  int64_t starts_room, event_rows_room;
};

/* What a step is about, handed from function to function. */
typedef struct Run {
  seg_workspace *work;
  seg_table *table;
  const seg_columns *columns;
  seg_step *step;
  int64_t swept_at_ms;  /* before the step */
  int64_t sweeps;       /* how many have passed at the event at hand */
} Run;

/* An instant at which a customer is looked at. */
typedef struct Visit {
  int64_t at_ms, decided_at_ms, position, event;
} Visit;

seg_workspace *seg_workspace_new(void) { return calloc(1, sizeof(seg_workspace)); }

void seg_workspace_free(seg_workspace *w) {
  if (w == NULL) return;
  free(w->told);
  free(w->moves);
  free(w->parts);
  free(w->starts);
  free(w->rows);
  free(w->changed);
  free(w->customers);
  free(w->part_of);
  free(w);
}

static inline int64_t later(int64_t one, int64_t other) { return one > other ? one : other; }

/* Makes room for `count` entries in a growable array. */
static bool reserve(void *array, int64_t *room, int64_t count, size_t size) {
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

static inline seg_membership *membership_of(const Run *run, int64_t row, int64_t m) {
  return &run->columns->memberships[m * run->columns->capacity + row];
}

static inline seg_held held_of(const seg_membership *m) {
  return (seg_held){.since_ms = m->since_ms, .segment = m->segment, .previous = m->previous, .kept = m->kept};
}

static inline int64_t last_sweep_ms(const Run *run) {
  return run->sweeps > 0 ? run->step->sweep_at_ms[run->sweeps - 1] : run->swept_at_ms;
}

/* Says where in the stream a move that silence made is told, and when it counts as found. */
static void tell(const Run *run, const Visit *visit, int64_t found_ms, seg_move *move) {
  const seg_step *step = run->step;
  int64_t low = 0, high = step->sweep_count;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (step->sweep_at_ms[middle] < found_ms) low = middle + 1;
    else high = middle;
  }
  move->position = visit->position;
  move->decided_at_ms = visit->decided_at_ms;
  if (low < step->sweep_count && step->sweep_before[low] + low < visit->position) {
    move->position = step->sweep_before[low] + low;
    move->decided_at_ms = step->sweep_at_ms[low];
  }
}

/* What a move means, given the customer's last change. Without an order of segments every move that silence makes is a
 * lapse, and the next own act a return. */
static int32_t change_of(const seg_segmentation *s, int16_t from, int16_t to, int32_t cause, int16_t last) {
  if (to == 0) return SEG_LEFT;
  if (from == 0) return SEG_ENTERED;
  const bool lapses = !s->has_levels || seg_level_of(s, to) < 0;
  const bool returns = s->has_levels ? seg_level_of(s, from) < 0 && !lapses : last == SEG_LAPSED;
  if (cause == SEG_LAPSE && lapses) return SEG_LAPSED;
  if (cause < SEG_LAPSE && returns) return SEG_RETURNED;
  return SEG_MOVED;
}

/* Lets a customer be where it has moved to, and notes the move; `move` says all but what follows from the membership. */
static int32_t make_move(Run *run, int64_t m, seg_move *move) {
  const seg_segmentation *s = run->step->segmentations[m];
  seg_membership *of = membership_of(run, move->row, m);
  const int16_t from = of->segment, to = seg_code_of(s, move->target);
  if (!seg_is_lapsed(s, to)) of->kept = to;
  else if (!seg_is_lapsed(s, from)) of->kept = from;
  of->previous = from;
  of->segment = to;
  of->since_ms = move->effective_at_ms;
  of->assessed_at_ms = later(of->assessed_at_ms, move->effective_at_ms);
  of->sequence = (int32_t)((uint32_t)of->sequence + 1);
  of->model_version = s->version;
  of->change = (int16_t)change_of(s, from, to, move->cause, of->change);
  const seg_held held = held_of(of);
  const seg_due next = seg_silence(s, &move->after, &held, move->effective_at_ms, SEG_NEVER);
  move->decided_at_ms = later(move->decided_at_ms, move->effective_at_ms);
  move->segmentation = (int32_t)m;
  move->change = of->change;
  move->sequence = of->sequence;
  move->from_code = from;
  move->next_at_ms = next.at_ms;
  move->next_target = next.target;
  seg_workspace *work = run->work;
  work->parts[work->part_of[move->row] - 1].has_moved = true;
  if (!reserve(&work->told, &work->told_room, work->told_count + 1, sizeof(Told))) return SEG_NO_MEMORY;
  work->told[work->told_count] = (Told){.move = *move, .made = work->told_count};
  work->told_count++;
  return SEG_OK;
}

/* Assesses a customer under a version that has taken over, as it was then. */
static int32_t revise(Run *run, const Part *part, int64_t m, const Visit *first) {
  const seg_segmentation *s = run->step->segmentations[m];
  seg_membership *of = membership_of(run, part->row, m);
  run->columns->outdated[m * run->columns->capacity + part->row] = 0;
  const int64_t at_ms = of->assessed_at_ms;
  const seg_held held = held_of(of);
  const seg_decision decision = seg_revise(s, &part->before, at_ms, &held);
  if (!decision.moves) return SEG_OK;
  seg_move move = {
      .row = part->row,
      .position = -1,
      .event = -1,
      .effective_at_ms = at_ms,
      .decided_at_ms = first->decided_at_ms,
      .before_ms = at_ms,
      .cause = of->segment == 0 ? SEG_DEFINITION : s->revised_by,
      .target = decision.target,
      .before = part->before,
      .after = part->before,
  };
  return make_move(run, m, &move);
}

/* Lets silence move a customer in `(after_ms, visit->at_ms]`; `due_ms` is until when it then moves it no further. */
static int32_t pass_silence(Run *run, int64_t row, int64_t m, const seg_activity *state, const Visit *visit,
                            int64_t after_ms, int64_t *due_ms) {
  const seg_segmentation *s = run->step->segmentations[m];
  for (int made = 0; made < MOVES_MAX; made++) {
    const seg_held held = held_of(membership_of(run, row, m));
    const seg_due due = seg_silence(s, state, &held, after_ms, visit->at_ms);
    *due_ms = due.at_ms;
    if (due.at_ms > visit->at_ms) return SEG_OK;
    const int64_t last_ms = seg_last_event_ms(state);
    seg_move move = {
        .row = row,
        .event = -1,
        .effective_at_ms = due.at_ms,
        .before_ms = last_ms < due.at_ms ? last_ms : due.at_ms,
        .cause = SEG_LAPSE,
        .target = due.target,
        .before = *state,
        .after = *state,
    };
    tell(run, visit, due.at_ms, &move);
    const int32_t status = make_move(run, m, &move);
    if (status != SEG_OK) return status;
    after_ms = due.at_ms;
  }
  return SEG_OUT_OF_RANGE;
}

/* Visits a customer in one segmentation: at an event, whose state after it is `after`, or at the end (`after` is NULL).
 * `before` is NULL at a customer's very first event. */
static int32_t pay_visit(Run *run, const Part *part, int64_t m, const seg_activity *before, const seg_activity *after,
                         bool is_calm, Visit visit, int64_t *due_ms) {
  const seg_segmentation *s = run->step->segmentations[m];
  const int64_t row = part->row;
  seg_membership *of = membership_of(run, row, m);
  const bool is_outdated = run->columns->outdated[m * run->columns->capacity + row] != 0;
  if (is_outdated) of->assessed_at_ms = later(of->assessed_at_ms, run->step->revised_at_ms[m]);
  visit.at_ms = later(visit.at_ms, later(last_sweep_ms(run), of->assessed_at_ms));
  const int64_t after_ms = later(run->swept_at_ms, of->assessed_at_ms);
  int32_t status = SEG_OK;
  if (is_outdated) status = revise(run, part, m, &visit);
  if (status == SEG_OK && before != NULL && (!is_calm || is_outdated)) {
    status = pass_silence(run, row, m, before, &visit, after_ms, due_ms);
  }
  if (status != SEG_OK || after == NULL) return status;
  const seg_held held = held_of(of);
  const seg_decision decision = seg_acts(s, after, visit.at_ms, &held);
  if (decision.moves) {
    seg_move move = {
        .row = row,
        .position = visit.position,
        .event = visit.event,
        .effective_at_ms = visit.at_ms,
        .decided_at_ms = visit.decided_at_ms,
        .before_ms = visit.at_ms,
        .cause = run->step->events[visit.event].kind,
        .target = decision.target,
        .is_own = 1,
        .before = before != NULL ? *before : *after,
        .after = *after,
    };
    status = make_move(run, m, &move);
  }
  of->assessed_at_ms = later(of->assessed_at_ms, visit.at_ms);
  return status;
}

/* Returns the part that a row takes, making it if it has none yet; NULL if there is no memory. */
static Part *take_part(Run *run, int64_t row, bool *is_first) {
  seg_workspace *work = run->work;
  const int64_t m = run->columns->segmentations;
  if (row >= work->rows_room) {
    const int64_t had = work->rows_room;
    if (!reserve(&work->part_of, &work->rows_room, row + 1, sizeof(uint32_t))) return NULL;
    memset(work->part_of + had, 0, (size_t)(work->rows_room - had) * sizeof(uint32_t));
  }
  *is_first = work->part_of[row] == 0;
  if (!*is_first) return &work->parts[work->part_of[row] - 1];
  const int64_t index = work->part_count;
  if (index >= UINT32_MAX - 1 || !reserve(&work->parts, &work->parts_room, index + 1, sizeof(Part)) ||
      !reserve(&work->starts, &work->starts_room, (index + 1) * m, sizeof(Start))) {
    return NULL;
  }
  work->part_count++;
  work->part_of[row] = (uint32_t)(index + 1);
  work->parts[index] = (Part){.row = row, .before = run->columns->activity[row]};
  for (int64_t each = 0; each < m; each++) {
    const seg_membership *of = membership_of(run, row, each);
    work->starts[index * m + each] = (Start){.assessed_at_ms = of->assessed_at_ms, .segment = of->segment};
  }
  return &work->parts[index];
}

/* Takes one event in. */
static int32_t take_event(Run *run, int64_t index) {
  seg_step *step = run->step;
  const seg_event *event = &step->events[index];
  if (event->kind > SEG_ENGAGEMENT || (int64_t)event->text_at + event->customer_size > step->texts_size) {
    return SEG_OUT_OF_RANGE;
  }
  const uint8_t *id = step->texts + event->text_at;
  int64_t row = run->work->rows[index];
  if (row < 0) row = seg_table_find(run->table, id, event->customer_size, event->customer_hash);
  const bool is_new = row < 0;
  if (is_new) {
    row = seg_table_insert(run->table, run->columns, id, event->customer_size, event->customer_hash);
    if (row < 0) return (int32_t)row;
  }
  bool is_first, in_session = false;
  const Part *part = take_part(run, row, &is_first);
  if (part == NULL) return SEG_NO_MEMORY;
  const seg_activity before = run->columns->activity[row];
  seg_activity after = before;
  const int32_t folded = seg_fold(run->table, row, &after, event, &in_session);
  if (folded < 0) return folded;
  if (folded == SEG_REPEATED) {
    step->duplicates++;
    return SEG_OK;
  }
  run->columns->activity[row] = after;
  step->clock.watermark_ms = later(step->clock.watermark_ms, event->at_ms);
  if (event->at_ms < step->clock.watermark_ms) step->late++;
  else step->applied++;
  const Visit visit = {
      .at_ms = event->at_ms,
      .decided_at_ms = later(step->clock.watermark_ms, last_sweep_ms(run)),
      .position = index + run->sweeps,
      .event = index,
  };
  const seg_activity *known = is_new && is_first ? NULL : &before;
  const int64_t calm_until_ms = is_first ? run->columns->due_at_ms[row] : SEG_NO_TIME;
  for (int64_t m = 0; m < run->columns->segmentations; m++) {
    if (in_session && !step->segmentations[m]->weighs_sessions) continue;
    const int64_t assessed_ms = membership_of(run, row, m)->assessed_at_ms;
    const int64_t at_ms = later(visit.at_ms, later(last_sweep_ms(run), assessed_ms));
    int64_t due_ms;
    const int32_t status = pay_visit(run, part, m, known, &after, at_ms < calm_until_ms, visit, &due_ms);
    if (status != SEG_OK) return status;
  }
  return SEG_OK;
}

/* Visits a customer at the end of the step. */
static int32_t end_visit(Run *run, const Part *part) {
  const seg_step *step = run->step;
  const Visit visit = {
      .at_ms = last_sweep_ms(run),
      .decided_at_ms = last_sweep_ms(run),
      .position = step->event_count + step->sweep_count,
      .event = -1,
  };
  const seg_activity state = run->columns->activity[part->row];
  int64_t due_ms = SEG_NEVER;
  for (int64_t m = 0; m < run->columns->segmentations; m++) {
    int64_t due_here_ms = SEG_NEVER;
    const int32_t status = pay_visit(run, part, m, &state, NULL, false, visit, &due_here_ms);
    if (status != SEG_OK) return status;
    if (due_here_ms < due_ms) due_ms = due_here_ms;
  }
  run->columns->due_at_ms[part->row] = due_ms;
  return SEG_OK;
}

/* Visits everybody who may be due by the last sweep and takes no part yet. */
static int32_t visit_due(Run *run, int64_t count_before) {
  const seg_step *step = run->step;
  if (step->sweep_count == 0) return SEG_OK;
  const int64_t by_ms = step->sweep_at_ms[step->sweep_count - 1];
  const int64_t last = step->last_row < count_before ? step->last_row : count_before;
  for (int64_t row = step->first_row > 0 ? step->first_row : 0; row < last; row++) {
    if (run->columns->due_at_ms[row] > by_ms) continue;
    bool is_first;
    const Part *part = take_part(run, row, &is_first);
    if (part == NULL) return SEG_NO_MEMORY;
    if (!is_first) continue;
    const int32_t status = end_visit(run, part);
    if (status != SEG_OK) return status;
  }
  return SEG_OK;
}

static int compare_told(const void *left, const void *right) {
  const Told *a = left, *b = right;
  if (a->move.position != b->move.position) return a->move.position < b->move.position ? -1 : 1;
  if (a->move.row != b->move.row) return a->move.row < b->move.row ? -1 : 1;
  if (a->move.is_own != b->move.is_own) return a->move.is_own - b->move.is_own;
  if (a->move.segmentation != b->move.segmentation) return a->move.segmentation - b->move.segmentation;
  return a->made < b->made ? -1 : 1;
}

/* Adds what a customer puts into the sums of its segment, or takes it out. */
static void add_member(int64_t *sums, const seg_activity *activity, int64_t sign) {
  int64_t values[SEG_MEMBER_SUMS];
  seg_member_values(activity, values);
  for (int i = 0; i < SEG_MEMBER_SUMS; i++) {
    sums[i] = (int64_t)((uint64_t)sums[i] + (uint64_t)sign * (uint64_t)values[i]);
  }
}

/* Keeps the sums over the members of each segment, and lists the rows that have changed. */
static int32_t settle(Run *run, int64_t with_events) {
  seg_workspace *work = run->work;
  const seg_columns *columns = run->columns;
  const int64_t m = columns->segmentations;
  int64_t changed = 0;
  if (!reserve(&work->changed, &work->changed_room, work->part_count, sizeof(int64_t))) return SEG_NO_MEMORY;
  for (int64_t index = 0; index < work->part_count; index++) {
    const Part *part = &work->parts[index];
    const seg_activity *now = &columns->activity[part->row];
    const bool has_changed = index < with_events || part->has_moved;
    for (int64_t each = 0; each < m; each++) {
      const Start *start = &work->starts[index * m + each];
      seg_membership *of = membership_of(run, part->row, each);
      if (!has_changed) of->assessed_at_ms = start->assessed_at_ms;
      const int16_t from = start->segment, to = of->segment;
      if (columns->member_sums == NULL || !has_changed) continue;
      int64_t *sums = columns->member_sums + each * (SEG_CODE_MAX + 1) * SEG_MEMBER_SUMS;
      if (from > 0) add_member(sums + from * SEG_MEMBER_SUMS, &part->before, -1);
      if (to > 0) add_member(sums + to * SEG_MEMBER_SUMS, now, 1);
    }
    if (has_changed) work->changed[changed++] = part->row;
    work->part_of[part->row] = 0;
  }
  run->step->changed = work->changed;
  run->step->changed_count = changed;
  return SEG_OK;
}

static int32_t order_moves(Run *run) {
  seg_workspace *work = run->work;
  if (work->told_count > 1) qsort(work->told, (size_t)work->told_count, sizeof(Told), compare_told);
  if (!reserve(&work->moves, &work->moves_room, work->told_count, sizeof(seg_move))) return SEG_NO_MEMORY;
  for (int64_t i = 0; i < work->told_count; i++) work->moves[i] = work->told[i].move;
  run->step->moves = work->moves;
  run->step->move_count = work->told_count;
  return SEG_OK;
}

static int32_t take_events(Run *run) {
  seg_step *step = run->step;
  for (int64_t index = 0; index <= step->event_count; index++) {
    while (run->sweeps < step->sweep_count && (index == step->event_count || step->sweep_before[run->sweeps] <= index)) {
      run->work->customers[run->sweeps++] = seg_table_count(run->table);
    }
    if (index == step->event_count) break;
    if (index + AHEAD < step->event_count) {
      seg_table_prefetch(run->table, run->columns, run->work->rows[index + AHEAD]);
    }
    const int32_t status = take_event(run, index);
    if (status != SEG_OK) return status;
  }
  return SEG_OK;
}

int32_t seg_take_step(seg_workspace *work, seg_table *table, const seg_columns *columns, seg_step *step) {
  const int64_t count_before = seg_table_count(table);
  if (columns->capacity - count_before < step->event_count) return SEG_NO_ROOM;
  Run run = {.work = work, .table = table, .columns = columns, .step = step, .swept_at_ms = step->clock.swept_at_ms};
  work->told_count = work->part_count = 0;
  step->applied = step->late = step->duplicates = 0;
  if (!reserve(&work->customers, &work->customers_room, step->sweep_count, sizeof(int64_t))) return SEG_NO_MEMORY;
  if (!reserve(&work->rows, &work->event_rows_room, step->event_count, sizeof(int64_t))) return SEG_NO_MEMORY;
  int32_t status =
      seg_table_find_events(table, step->events, step->event_count, step->texts, step->texts_size, work->rows);
  if (status == SEG_OK) status = take_events(&run);
  const int64_t with_events = work->part_count;
  for (int64_t index = 0; status == SEG_OK && index < with_events; index++) {
    status = end_visit(&run, &work->parts[index]);
  }
  if (status == SEG_OK) status = visit_due(&run, count_before);
  if (status == SEG_OK) status = settle(&run, with_events);
  if (status == SEG_OK) status = order_moves(&run);
  step->swept_customers = work->customers;
  if (step->sweep_count > 0 && step->last_row >= seg_table_count(table)) {
    step->clock.swept_at_ms = step->sweep_at_ms[step->sweep_count - 1];
  }
  return status;
}
