/* The days of the shop's time zone: which one an instant is of, in constant time.
 *
 * Theory. A zone comes as runs of days that begin equally far behind UTC's midnight (calendars.c says what a day is).
 * Within a run an instant's day is floor((t + behind) / 24 h); where a run's last day is longer than 24 hours, as the
 * next run begins later, the days in between do not exist, and the instant is still of that last one. From where a run
 * begins on it is said for each 2^32 ms (49.7 days) which run is in force at their beginning; few runs begin within
 * them (clocks change twice a year, in Morocco four times), so that one is found by an index and a step or two.
 *
 * Days are in order: of two instants the later one is of no earlier day. Sets of days are kept from the last day back
 * (days.c), and the last day is that of the latest instant; so this order is what makes them independent of the order
 * of arrival.
 *
 * UTC, and whatever else is one run that begins at midnight, has no days of its own: the table keeps none, and all that
 * the hot path pays is the question.
 *
 * Bounds: runs ascend, each begins later than the one before, and no further than two days from midnight in UTC. Any
 * instant is taken; at the ends of the range sums stay there. */
#include <stdlib.h>

#include "table.h"

#define BEHIND_MAX (2 * 86400)
#define RUNS_MAX 4096
#define BUCKET_SHIFT 32
#define BUCKETS 1024 /* to the year 2109 */

typedef struct run {
  int64_t from_ms, behind_ms, last_day;
} run;

struct seg_local_days {
  int32_t count;
  uint16_t first[BUCKETS]; /* the run in force where a bucket begins */
  run runs[];
};

static int64_t floor_day(int64_t at_ms) { return at_ms / SEG_DAY_MS - (at_ms % SEG_DAY_MS < 0); }

int64_t seg_local_day_of(const seg_local_days *days, int64_t at_ms) {
  const int64_t bucket = at_ms < 0 ? 0 : at_ms >> BUCKET_SHIFT;
  int32_t i = days->first[bucket < BUCKETS ? bucket : BUCKETS - 1];
  while (i + 1 < days->count && days->runs[i + 1].from_ms <= at_ms) i++;
  const run *in_force = &days->runs[i];
  const int64_t day = floor_day(seg_add64(at_ms, in_force->behind_ms));
  return day < in_force->last_day ? day : in_force->last_day;
}

static bool are_runs(const seg_zone_run *runs, int64_t count) {
  if (count < 1 || count > RUNS_MAX) return false;
  for (int64_t i = 0; i < count; i++) {
    if (runs[i].behind < -BEHIND_MAX || runs[i].behind > BEHIND_MAX) return false;
    if (i && runs[i].day <= runs[i - 1].day) return false;
    if (i && seg_begin_of(&runs[i], runs[i].day) <= seg_begin_of(&runs[i - 1], runs[i - 1].day)) return false;
  }
  return true;
}

static void fill(seg_local_days *days, const seg_zone_run *runs) {
  for (int32_t i = 0; i < days->count; i++)
    days->runs[i] = (run){
        .from_ms = seg_begin_of(&runs[i], runs[i].day),
        .behind_ms = runs[i].behind * SEG_SECOND_MS,
        .last_day = i + 1 < days->count ? runs[i + 1].day - INT64_C(1) : INT64_MAX,
    };
  for (int64_t bucket = 0, i = 0; bucket < BUCKETS; bucket++) {
    while (i + 1 < days->count && days->runs[i + 1].from_ms <= bucket << BUCKET_SHIFT) i++;
    days->first[bucket] = (uint16_t)i;
  }
  days->first[0] = 0; /* also of what lies before */
}

int32_t seg_table_count_days(seg_table *table, const seg_zone_run *runs, int64_t count) {
  if (table->count || !are_runs(runs, count)) return SEG_OUT_OF_RANGE;
  seg_local_days *days = NULL;
  if (count > 1 || runs[0].behind) {
    days = malloc(sizeof *days + (size_t)count * sizeof *days->runs);
    if (!days) return SEG_NO_MEMORY;
    days->count = (int32_t)count;
    fill(days, runs);
  }
  free(table->local_days);
  table->local_days = days;
  return SEG_OK;
}

int64_t seg_table_day(const seg_table *table, int64_t at_ms) { return seg_day(table, at_ms); }
