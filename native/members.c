/* Who is in a segment now, in figures: sums over its members.
 *
 * Theory. A sum of integers over members is a group: whoever leaves takes out exactly what it had put in, so sums that
 * are kept by changes alone equal those of a recount, whatever the order and however long. That is why they are
 * integers, why instants are in whole seconds (the sum over 10^8 customers stays under 2^59), and why no mean and no
 * decayed total is kept: stream_app/core/members.py makes means of the sums at the instant at which somebody looks.
 *
 * Bounds: rows hold segment codes >= 0, as others are refused; 0 is that of no segment. Sums wrap, as
 * those would that were kept by changes: of rows that somebody wrote, none comes near. */
#include "table.h"

static int64_t seconds(int64_t at_ms) { return at_ms / SEG_SECOND_MS - (at_ms % SEG_SECOND_MS < 0); }

void seg_member_values(const seg_activity *activity, int64_t values[SEG_MEMBER_SUMS]) {
  values[0] = 1;
  values[1] = activity->purchases;
  values[2] = activity->revenue_minor;
  const bool has_acted = activity->first_at_ms < SEG_NEVER;
  values[3] = has_acted ? seconds(activity->first_at_ms) : 0;
  values[4] = has_acted ? seconds(seg_last_act_ms(activity)) : 0;
  values[5] = !has_acted;
}

/* The segment that a customer is in; segmentations by rules come behind the others. */
static int16_t code_of(const seg_columns *columns, int64_t segmentation, int64_t row) {
  const int64_t ruled = segmentation - columns->segmentations;
  return ruled < 0 ? columns->memberships[segmentation * columns->capacity + row].segment
                   : columns->places[ruled * columns->capacity + row].segment;
}

void seg_table_count_members(const seg_table *table, const seg_columns *columns) {
  for (int64_t m = 0; m < columns->segmentations + columns->ruled; m++) {
    int64_t *sums = columns->member_sums + m * (SEG_CODE_MAX + 1) * SEG_MEMBER_SUMS;
    memset(sums, 0, (SEG_CODE_MAX + 1) * SEG_MEMBER_SUMS * sizeof *sums);
    for (int64_t row = 0; row < table->count; row++) {
      const int16_t code = code_of(columns, m, row);
      int64_t values[SEG_MEMBER_SUMS];
      if (code <= 0) continue; /* in no segment */
      seg_member_values(&columns->activity[row], values);
      for (int32_t i = 0; i < SEG_MEMBER_SUMS; i++) {
        int64_t *sum = &sums[code * SEG_MEMBER_SUMS + i];
        *sum = (int64_t)((uint64_t)*sum + (uint64_t)values[i]);
      }
    }
  }
}
