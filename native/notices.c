/* Notices: that a customer will leave a segment by time alone, told so long before as the definition asks (`warn_before`).
 *
 * Theory. When silence moves a customer next is known, so is the instant at which that has to be told: the lead before
 * it, or now, if that has passed. What was told stands until the move is made, or until it will not be made then: the
 * customer has acted, or a version has changed. That is told as well ("averted"), or told anew where it is still near.
 *
 * What was told is kept as a place of its own, behind those of rules: the segment that it was about and the sequence of
 * notices; the instant of the move stands where places keep when they were entered. So it lies in the row, and who is
 * about to leave a segment has sums as its members have.
 *
 * Contract: asked after whatever happens to a customer at an instant, with everything as of that instant.
 * Bounds: as many notices at an instant as there are segmentations that ask for them. */
#include "step.h"

/* Where a customer is in a segmentation of the step's columns, and when silence moves it out of there. */
static int16_t segment_of(const seg_run *run, const seg_warning *warning, int64_t row) {
  const seg_columns *columns = run->columns;
  const int64_t m = columns->segmentations;
  return warning->column < m ? seg_membership_of(run, row, warning->column)->segment
                             : columns->places[(warning->column - m) * columns->capacity + row].segment;
}

static seg_due next_move(const seg_run *run, const seg_warning *warning, int64_t row, int64_t after_ms) {
  const seg_activity *state = &run->columns->activity[row];
  const int64_t m = run->columns->segmentations;
  if (segment_of(run, warning, row) == 0) return (seg_due){SEG_NEVER, SEG_NOWHERE, 0};
  if (warning->column < m) {
    const seg_held held = seg_held_of(seg_membership_of(run, row, warning->column));
    return seg_silence(run->step->segmentations[warning->column], state, &held, after_ms, SEG_NEVER);
  }
  const seg_subject now = seg_subject_of(run, row, state);
  return seg_program_silence(run->step->program, &now, (int32_t)(warning->column - m), after_ms, SEG_NEVER);
}

static bool is_outdated(const seg_run *run, const seg_warning *warning, int64_t row) {
  const int64_t m = run->columns->segmentations;
  return warning->column < m ? run->columns->outdated[warning->column * run->columns->capacity + row] != 0
                             : run->columns->rules_outdated[row] != 0;
}

int64_t seg_next_notice_ms(const seg_run *run, int64_t row, int64_t after_ms) {
  const seg_columns *columns = run->columns;
  int64_t first_ms = SEG_NEVER;
  for (int64_t i = 0; i < run->step->warning_count; i++) {
    const seg_warning *warning = &run->step->warnings[i];
    if (is_outdated(run, warning, row)) continue;
    if (columns->places[warning->place * columns->capacity + row].segment != 0) continue; /* told already */
    const seg_due next = next_move(run, warning, row, after_ms);
    if (next.at_ms >= SEG_NEVER) continue;
    const int64_t told_ms = seg_latest(next.at_ms - warning->lead_ms, after_ms + 1);
    if (told_ms < first_ms) first_ms = told_ms;
  }
  return first_ms;
}

static int32_t tell(seg_run *run, seg_part *part, const seg_warning *warning, const seg_cause *why, int32_t status,
                    int64_t leaves_at_ms, int32_t target, seg_due next) {
  seg_workspace *work = run->work;
  seg_place *place = &run->columns->places[warning->place * run->columns->capacity + part->row];
  if (!seg_reserve(&work->noticed, &work->noticed_room, work->noticed_count + 1, sizeof(seg_noticed))) {
    return SEG_NO_MEMORY;
  }
  place->sequence = (int32_t)((uint32_t)place->sequence + 1);
  place->change = (int16_t)target;
  work->noticed[work->noticed_count] = (seg_noticed){
      .position = why->position,
      .made = work->noticed_count,
      .notice = {
          .row = part->row,
          .event = why->event,
          .decided_at_ms = seg_latest(why->decided_at_ms, why->at_ms),
          .leaves_at_ms = leaves_at_ms,
          .lead_ms = warning->lead_ms,
          .next_at_ms = next.at_ms,
          .segmentation = seg_number_of(run, warning->column),
          .cause = why->cause,
          .sequence = place->sequence,
          .code = place->segment,
          .target = target,
          .next_target = next.target,
          .status = status,
      },
  };
  work->noticed_count++;
  part->has_moved = true;
  return SEG_OK;
}

/* Tells what has to be told of one segmentation. */
static int32_t give_notice(seg_run *run, seg_part *part, const seg_warning *warning, const seg_cause *why) {
  const seg_columns *columns = run->columns;
  const int64_t row = part->row;
  seg_place *place = &columns->places[warning->place * columns->capacity + row];
  int64_t *leaves_at_ms = &columns->since_ms[warning->since * columns->capacity + row];
  const int16_t segment = segment_of(run, warning, row);
  const seg_due next = next_move(run, warning, row, why->at_ms);
  const bool is_near = next.at_ms < SEG_NEVER && next.at_ms - warning->lead_ms <= why->at_ms;
  if (place->segment != 0) {
    const bool stands = segment == place->segment && next.at_ms == *leaves_at_ms;
    if (stands) return SEG_OK;
    const bool has_left = segment != place->segment && why->at_ms >= *leaves_at_ms;
    const bool is_replaced = segment == place->segment && is_near;
    if (!has_left && !is_replaced) {
      const int32_t status = tell(run, part, warning, why, SEG_AVERTED, *leaves_at_ms, place->change, next);
      if (status != SEG_OK) return status;
    }
    place->segment = 0;
    *leaves_at_ms = SEG_NO_TIME;
    part->has_moved = true;
  }
  if (!is_near) return SEG_OK;
  place->segment = segment;
  *leaves_at_ms = next.at_ms;
  return tell(run, part, warning, why, SEG_UPCOMING, next.at_ms, next.target, next);
}

int32_t seg_give_notices(seg_run *run, seg_part *part, const seg_cause *why) {
  for (int64_t i = 0; i < run->step->warning_count; i++) {
    const seg_warning *warning = &run->step->warnings[i];
    if (is_outdated(run, warning, part->row)) continue;
    const int32_t status = give_notice(run, part, warning, why);
    if (status != SEG_OK) return status;
  }
  return SEG_OK;
}
