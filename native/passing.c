/* Time passes for a customer: what silence does, and what new versions do.
 *
 * Theory. For each segmentation of the columns the first move that silence makes, and its instant, are known in closed
 * form (seg_silence). For all rules together one instant is known before which silence changes none of them
 * (rules_due_at_ms); there they are evaluated, and the next such instant follows. Both are gone through in the order of
 * time, as rules may look at segments: so whatever is asked at an instant sees everything as of that instant.
 *
 * A version that has taken over assesses a customer at that instant, or right after what the customer has been told last.
 * Versions that took over at different instants do so one after the other, and time passes in between for all others. So
 * it does not matter when somebody looks.
 *
 * Contract. Instants of a customer ascend: whatever is told comes after `seg_closed_ms`. Time passes up to an instant
 * that is not included, as what happens there belongs to the events of that instant.
 *
 * Bounds. The silence of a customer can make only as many moves within a span as its kind has dates for; a kind that
 * would move a customer without end at one instant is stopped by MOVES_MAX. */
#include "step.h"

#define MOVES_MAX 65536 /* of one customer in one span */

static seg_subject subject_of(const seg_table *table, const seg_columns *columns,
                              const seg_segmentation *const *segmentations, int64_t row,
                              const seg_activity *activity) {
  return (seg_subject){
      .activity = activity,
      .ledger = seg_table_ledger(table, row),
      .traits = seg_table_traits(table, row),
      .id = seg_table_id(table, row),
      .places = columns->places + row,
      .since_ms = columns->since_ms + row,
      .memberships = columns->memberships + row,
      .stride = columns->capacity,
      .segmentations = segmentations,
  };
}

seg_subject seg_subject_of(const seg_run *run, int64_t row, const seg_activity *activity) {
  return subject_of(run->table, run->columns, run->step->segmentations, row, activity);
}

int32_t seg_ask_rules(const seg_program *program, const seg_table *table, const seg_columns *columns,
                      const seg_segmentation *const *segmentations, int32_t r, int64_t first, int64_t n,
                      int64_t after_ms, seg_due *out) {
  const int64_t count = seg_table_count(table);
  if (r < 0 || r >= columns->ruled || first < 0 || n < 0 || first > count || n > count - first) {
    return SEG_OUT_OF_RANGE;
  }
  for (int64_t i = 0; i < n; i++) {
    const seg_subject now = subject_of(table, columns, segmentations, first + i, &columns->activity[first + i]);
    out[i] = seg_program_silence(program, &now, r, after_ms, SEG_NEVER);
  }
  return SEG_OK;
}

int64_t seg_closed_ms(const seg_run *run, int64_t row) {
  return seg_latest(run->columns->closed_at_ms[row], seg_before_ms(seg_last_sweep_ms(run)));
}

/* Lets nothing else be told of a customer at an instant. Silence does it, too, though events and sweeps close what lies
 * before them: a sweep may be broken off when some rows of it are written, and its instant is not. */
static void close(const seg_run *run, int64_t row, int64_t at_ms) {
  run->columns->closed_at_ms[row] = seg_latest(run->columns->closed_at_ms[row], at_ms);
}

static bool is_outdated(const seg_run *run, int64_t row, int64_t m) {
  return run->columns->outdated[m * run->columns->capacity + row] != 0;
}

static bool are_rules_outdated(const seg_run *run, int64_t row) {
  return run->step->program != NULL && run->columns->rules_outdated[row] != 0;
}

bool seg_is_outdated(const seg_run *run, int64_t row) {
  for (int64_t m = 0; m < run->columns->segmentations; m++) {
    if (is_outdated(run, row, m)) return true;
  }
  return are_rules_outdated(run, row);
}

/* --- silence --- */

/* When silence next moves a customer in a segmentation of the columns. */
static void ask_silence(seg_run *run, const seg_activity *state, int64_t row, int64_t m, int64_t after_ms,
                        int64_t until_ms) {
  const seg_held held = seg_held_of(seg_membership_of(run, row, m));
  run->work->dues[m] = seg_silence(run->step->segmentations[m], state, &held, after_ms,
                                   seg_latest(seg_before_ms(until_ms), after_ms));
}

static seg_move silent_move(int64_t row, const seg_activity *state, int64_t at_ms) {
  const int64_t last_ms = seg_last_event_ms(state);
  return (seg_move){
      .row = row,
      .event = -1,
      .effective_at_ms = at_ms,
      .before_ms = last_ms < at_ms ? last_ms : at_ms,
      .cause = SEG_LAPSE,
      .before = *state,
      .after = *state,
  };
}

/* Where rules stand of a customer of whom that is not known: as of the last instant that was told, or right after. */
static void refresh_rules(seg_run *run, const seg_subject *now, int64_t row, int64_t after_ms) {
  seg_workspace *work = run->work;
  const seg_columns *columns = run->columns;
  int64_t due_ms = SEG_NEVER;
  seg_program_evaluate(run->step->program, now, after_ms, work->targets, work->found, columns->bits + row,
                       columns->capacity, &due_ms);
  for (int32_t r = 0; r < run->shape.segmentations; r++) {
    if (columns->places[r * columns->capacity + row].segment != work->found[r]) due_ms = after_ms + 1;
  }
  columns->rules_due_at_ms[row] = due_ms;
}

/* The earliest instant at which silence does something, of the segmentations that are not outdated. */
static int64_t earliest(const seg_run *run, int64_t row, bool with_rules) {
  int64_t first_ms = with_rules ? run->columns->rules_due_at_ms[row] : SEG_NEVER;
  for (int64_t m = 0; m < run->columns->segmentations; m++) {
    if (!is_outdated(run, row, m) && run->work->dues[m].at_ms < first_ms) first_ms = run->work->dues[m].at_ms;
  }
  return first_ms;
}

/* Tells what has to be told ahead, of a customer in silence. */
static int32_t tell_ahead(seg_run *run, seg_part *part, const seg_activity *state, int64_t at_ms,
                          const seg_visit *visit) {
  seg_move move = silent_move(part->row, state, at_ms);
  seg_tell(run, visit, at_ms, &move);
  const seg_cause why = {at_ms, move.decided_at_ms, move.position, -1, SEG_LAPSE};
  return seg_give_notices(run, part, &why);
}

/* Lets happen what silence does at an instant. */
static int32_t pass_instant(seg_run *run, seg_part *part, const seg_activity *state, int64_t at_ms, int64_t until_ms,
                            const seg_visit *visit, bool with_rules) {
  const int64_t row = part->row, made = run->work->told_count;
  for (int64_t m = 0; m < run->columns->segmentations; m++) {
    const seg_due *due = &run->work->dues[m];
    if (due->at_ms != at_ms || is_outdated(run, row, m)) continue;
    seg_move move = silent_move(row, state, at_ms);
    move.target = due->target;
    seg_tell(run, visit, at_ms, &move);
    const int32_t status = seg_make_move(run, part, m, &move);
    if (status != SEG_OK) return status;
    ask_silence(run, state, row, m, at_ms, until_ms);
  }
  const bool looks = run->work->told_count > made && run->shape.reads_segments;
  if (with_rules && (run->columns->rules_due_at_ms[row] <= at_ms || looks)) {
    seg_move common = silent_move(row, state, at_ms);
    seg_tell(run, visit, at_ms, &common);
    const seg_subject now = seg_subject_of(run, row, state);
    const int32_t status = seg_follow_rules(run, part, &now, &now, &common);
    if (status != SEG_OK) return status;
  }
  if (run->work->told_count > made) close(run, row, at_ms);
  return SEG_OK;
}

int32_t seg_pass_silence(seg_run *run, seg_part *part, int64_t until_ms, const seg_visit *visit,
                         int64_t *due_ms) {
  const int64_t row = part->row;
  const seg_activity state = run->columns->activity[row];
  const bool with_rules = run->step->program != NULL && !are_rules_outdated(run, row) && !seg_is_blank(run, row);
  const int64_t swept_ms = seg_before_ms(run->swept_at_ms);
  for (int64_t m = 0; m < run->columns->segmentations; m++) {
    const int64_t assessed_ms = seg_membership_of(run, row, m)->assessed_at_ms;
    ask_silence(run, &state, row, m, seg_latest(swept_ms, assessed_ms), until_ms);
  }
  if (with_rules && run->columns->rules_due_at_ms[row] == SEG_NO_TIME) {
    const seg_subject now = seg_subject_of(run, row, &state);
    refresh_rules(run, &now, row, seg_latest(swept_ms, run->columns->closed_at_ms[row]));
  }
  const bool warns = run->step->warning_count > 0;
  int64_t notice_ms = SEG_NEVER;
  if (warns) notice_ms = seg_next_notice_ms(run, row, seg_latest(swept_ms, run->columns->closed_at_ms[row]));
  for (int made = 0; made < MOVES_MAX; made++) {
    const int64_t move_ms = earliest(run, row, with_rules);
    const int64_t next_ms = move_ms < notice_ms ? move_ms : notice_ms;
    if (next_ms >= until_ms) {
      *due_ms = next_ms;
      return SEG_OK;
    }
    int32_t status = SEG_OK;
    if (move_ms == next_ms) status = pass_instant(run, part, &state, next_ms, until_ms, visit, with_rules);
    if (status == SEG_OK && warns) status = tell_ahead(run, part, &state, next_ms, visit);
    if (status != SEG_OK) return status;
    if (warns) notice_ms = seg_next_notice_ms(run, row, next_ms);
  }
  return SEG_OUT_OF_RANGE;
}

/* --- new versions --- */

/* The first instant at which a version took over that has not assessed the customer yet. */
static int64_t next_revision(const seg_run *run, int64_t row) {
  int64_t first_ms = are_rules_outdated(run, row) ? run->step->rules_revised_at_ms : SEG_NEVER;
  for (int64_t m = 0; m < run->columns->segmentations; m++) {
    if (is_outdated(run, row, m) && run->step->revised_at_ms[m] < first_ms) first_ms = run->step->revised_at_ms[m];
  }
  return first_ms;
}

/* What is common to the moves of a customer that are a new version's doing. */
static seg_move version_move(const seg_run *run, int64_t row, int64_t at_ms, const seg_visit *visit, int32_t cause) {
  const seg_activity *state = &run->columns->activity[row];
  return (seg_move){
      .row = row,
      .position = -1,
      .event = -1,
      .effective_at_ms = at_ms,
      .decided_at_ms = visit->decided_at_ms,
      .before_ms = at_ms,
      .cause = cause,
      .before = *state,
      .after = *state,
  };
}

/* Assesses a customer under a version of a segmentation of the columns. */
static int32_t revise(seg_run *run, seg_part *part, int64_t m, int64_t at_ms, const seg_visit *visit) {
  const seg_segmentation *s = run->step->segmentations[m];
  const int64_t row = part->row;
  const seg_activity *state = &run->columns->activity[row];
  seg_membership *of = seg_membership_of(run, row, m);
  run->columns->outdated[m * run->columns->capacity + row] = 0;
  if (!seg_has_acted(state)) return SEG_OK;
  of->assessed_at_ms = seg_latest(of->assessed_at_ms, at_ms);
  const seg_held held = seg_held_of(of);
  const seg_decision decision = seg_revise(s, state, at_ms, &held);
  if (!decision.moves) return SEG_OK;
  seg_move move = version_move(run, row, at_ms, visit, of->segment == 0 ? SEG_DEFINITION : s->revised_by);
  move.target = decision.target;
  const int32_t status = seg_make_move(run, part, m, &move);
  if (status == SEG_OK) close(run, row, at_ms);
  return status;
}

/* Evaluates all rules for a customer because they, or what they look at, have changed. */
static int32_t revise_rules(seg_run *run, seg_part *part, int64_t at_ms, const seg_visit *visit, int32_t cause) {
  const int64_t row = part->row;
  const seg_activity *state = &run->columns->activity[row];
  if (seg_is_blank(run, row)) {
    run->columns->rules_outdated[row] = 0;
    return SEG_OK;
  }
  const seg_move common = version_move(run, row, at_ms, visit, cause);
  const seg_subject now = seg_subject_of(run, row, state);
  const int64_t made = run->work->told_count;
  const int32_t status = seg_follow_rules(run, part, NULL, &now, &common);
  if (run->work->told_count > made) close(run, row, at_ms);
  return status;
}

/* Lets the versions assess a customer that took over at an instant. */
static int32_t assess(seg_run *run, seg_part *part, int64_t revised_ms, int64_t at_ms,
                               const seg_visit *visit) {
  const int64_t row = part->row;
  bool models = false;
  for (int64_t m = 0; m < run->columns->segmentations; m++) {
    if (!is_outdated(run, row, m) || run->step->revised_at_ms[m] > revised_ms) continue;
    const int32_t status = revise(run, part, m, at_ms, visit);
    if (status != SEG_OK) return status;
    models = true;
  }
  if (are_rules_outdated(run, row) && run->step->rules_revised_at_ms <= revised_ms) {
    return revise_rules(run, part, at_ms, visit, SEG_DEFINITION);
  }
  const bool looks = models && run->shape.reads_segments && run->step->program != NULL;
  return looks && !are_rules_outdated(run, row) ? revise_rules(run, part, at_ms, visit, SEG_MODEL) : SEG_OK;
}

/* The same, and tells what has to be told ahead under them. */
static int32_t follow_versions(seg_run *run, seg_part *part, int64_t revised_ms, int64_t at_ms,
                               const seg_visit *visit) {
  const bool by_rules = are_rules_outdated(run, part->row) && run->step->rules_revised_at_ms <= revised_ms;
  const int32_t status = assess(run, part, revised_ms, at_ms, visit);
  if (status != SEG_OK || run->step->warning_count == 0) return status;
  const seg_cause why = {at_ms, visit->decided_at_ms, -1, -1, by_rules ? SEG_DEFINITION : SEG_MODEL};
  return seg_give_notices(run, part, &why);
}

int32_t seg_catch_up(seg_run *run, seg_part *part, const seg_visit *visit, int64_t *revised_ms) {
  const int64_t row = part->row;
  *revised_ms = SEG_NO_TIME;
  for (int64_t left = run->columns->segmentations + 1; left >= 0 && seg_is_outdated(run, row); left--) {
    *revised_ms = next_revision(run, row);
    const int64_t closed_ms = seg_latest(run->columns->closed_at_ms[row], seg_before_ms(run->swept_at_ms));
    const int64_t at_ms = *revised_ms > closed_ms ? *revised_ms : closed_ms + 1;
    int64_t due_ms;
    int32_t status = seg_pass_silence(run, part, at_ms, visit, &due_ms);
    if (status == SEG_OK) status = follow_versions(run, part, *revised_ms, at_ms, visit);
    if (status != SEG_OK) return status;
  }
  return SEG_OK;
}
